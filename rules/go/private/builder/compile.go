package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// compile makes the archive of one package.
//
//	--goroot --std --goos --goarch   distribution, compiled standard library, platform
//	--importpath --out               the package and its archive
//	--src                            sources and folders of sources
//	--dep=<importpath>=<archive>     direct dependencies: what may be imported besides the standard library
//	--label                          the target, for messages
//	--tests=external                 only the files of package x_test
//	--lang --tag                     language version, build tags
//	--embedfile=<name>=<file>        a file that //go:embed may match, by its path in the package
//	--embed=<pattern>=<file>         a known match, below --embedroot
func compile(o options) error {
	found, err := readSources(o, o.get("tests"))
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "compile")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if len(found.golang) == 0 {
		empty := filepath.Join(work, "empty.go")
		if err := os.WriteFile(empty, []byte("package empty\n"), 0o644); err != nil {
			return err
		}
		found.golang = []string{empty}
	}
	importcfg, err := writeImports(o, found, work)
	if err != nil {
		return err
	}
	flags := []string{"-p", o.get("importpath"), "-importcfg", importcfg, "-pack", "-nolocalimports", "-buildid=",
		"-trimpath", trim(work), "-o", o.get("out")}
	if lang := o.get("lang"); lang != "" {
		// The compiler knows language versions, not releases: 1.24.0 is 1.24.
		parts := strings.SplitN(lang, ".", 3)
		flags = append(flags, "-lang=go"+strings.Join(parts[:min(2, len(parts))], "."))
	}
	if len(found.embeds) > 0 {
		config, err := writeEmbeds(o, found.embeds, work)
		if err != nil {
			return err
		}
		flags = append(flags, "-embedcfg", config)
	}
	if len(found.asm) == 0 {
		return o.command("compile", append(append(flags, "-complete"), found.golang...))
	}
	return compileWithAssembly(o, found, flags, work)
}

// compileWithAssembly lets the assembler name its symbols first, and then adds its objects to the archive.
func compileWithAssembly(o options, found *sources, flags []string, work string) error {
	symbols, header := filepath.Join(work, "symabis"), filepath.Join(work, "go_asm.h")
	include := filepath.Join(o.get("goroot"), "pkg", "include")
	common := []string{"-p", o.get("importpath"), "-trimpath", trim(work), "-I", work, "-I", include,
		"-D", "GOOS_" + o.get("goos"), "-D", "GOARCH_" + o.get("goarch")}
	for _, folder := range folders(found.headers, found.asm) {
		common = append(common, "-I", folder)
	}
	if o.get("goarch") == "amd64" {
		common = append(common, "-D", "GOAMD64_v1")
	}
	if err := os.WriteFile(header, nil, 0o644); err != nil {
		return err
	}
	list := append(append(slices.Clone(common), "-gensymabis", "-o", symbols), found.asm...)
	if err := o.command("asm", list); err != nil {
		return err
	}
	flags = append(flags, "-symabis", symbols, "-asmhdr", header)
	if err := o.command("compile", append(flags, found.golang...)); err != nil {
		return err
	}
	objects := []string{}
	for i, source := range found.asm {
		object := filepath.Join(work, fmt.Sprintf("%d-%s.o", i, strings.TrimSuffix(filepath.Base(source), ".s")))
		if err := o.command("asm", append(append(slices.Clone(common), "-o", object), source)); err != nil {
			return err
		}
		objects = append(objects, object)
	}
	return appendObjects(o.get("out"), objects)
}

// trim keeps the place where an action runs out of its outputs.
func trim(work string) string {
	here, err := os.Getwd()
	if err != nil {
		return work + "=>"
	}
	return work + "=>;" + here + "=>"
}

func folders(lists ...[]string) []string {
	set := map[string]bool{}
	for _, list := range lists {
		for _, file := range list {
			set[filepath.Dir(file)] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// writeImports says where each import is found. What neither a direct dependency nor the standard library has is an
// error that names the place and the attribute.
func writeImports(o options, found *sources, work string) (string, error) {
	deps := o.pairs("dep")
	var lines strings.Builder
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(found.imports)) {
		archive, direct := deps[name]
		if !direct {
			archive = filepath.Join(o.get("std"), name+".a")
		}
		if name == "unsafe" {
			continue
		}
		if _, err := os.Stat(archive); err != nil && !direct {
			problems = append(problems, fmt.Errorf("%s: import %q: no target in `deps` of %s has this import path%s",
				found.imports[name], name, o.get("label"), hint(name)))
			continue
		}
		fmt.Fprintf(&lines, "packagefile %s=%s\n", name, archive)
	}
	if len(problems) > 0 {
		return "", errors.Join(problems...)
	}
	file := filepath.Join(work, "importcfg")
	return file, os.WriteFile(file, []byte(lines.String()), 0o644)
}

func hint(name string) string {
	if first, _, _ := strings.Cut(name, "/"); strings.Contains(first, ".") {
		return "; add \"@go//" + name + "\""
	}
	return ""
}

// writeEmbeds matches patterns as `go build` does: relative to the package's folder, folders as a whole.
func writeEmbeds(o options, embeds []embed, work string) (string, error) {
	config := struct {
		Patterns map[string][]string
		Files    map[string]string
	}{map[string][]string{}, o.pairs("embedfile")}
	for _, value := range o["embed"] {
		pattern, file, _ := strings.Cut(value, "=")
		config.Patterns[pattern] = append(config.Patterns[pattern], file)
		config.Files[file] = filepath.Join(o.get("embedroot"), file)
	}
	for _, embed := range embeds {
		matched := config.Patterns[embed.pattern]
		for _, file := range slices.Sorted(maps.Keys(o.pairs("embedfile"))) {
			if matches(embed.pattern, file) && !slices.Contains(matched, file) {
				matched = append(matched, file)
			}
		}
		if len(matched) == 0 {
			return "", fmt.Errorf("%s: pattern %s matches no file in `embed` of %s", embed.at, embed.pattern, o.get("label"))
		}
		config.Patterns[embed.pattern] = matched
	}
	content, err := json.Marshal(config)
	if err != nil {
		return "", err
	}
	file := filepath.Join(work, "embedcfg")
	return file, os.WriteFile(file, content, 0o644)
}

func matches(pattern, file string) bool {
	all := strings.HasPrefix(pattern, "all:")
	pattern = strings.TrimPrefix(pattern, "all:")
	for prefix := file; prefix != "." && prefix != "/"; prefix = path.Dir(prefix) {
		if ok, err := path.Match(pattern, prefix); err != nil || !ok {
			continue
		}
		return all || !hidden(strings.TrimPrefix(file, prefix))
	}
	return false
}

// hidden: files below a matched folder that begin with a dot or an underscore are left out.
func hidden(below string) bool {
	return strings.Contains(below, "/.") || strings.Contains(below, "/_")
}

// command runs a tool of the distribution; what it says goes to standard error.
func (o options) command(tool string, args []string) error {
	command := exec.Command(o.tool(tool), args...)
	command.Env = o.environment()
	command.Stdout, command.Stderr = os.Stderr, os.Stderr
	err := command.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("%s of %s failed", tool, o.get("label"))
	}
	return err
}
