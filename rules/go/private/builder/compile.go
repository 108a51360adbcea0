package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
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
//	--part                           see part
//	--importer                       the package's path for rules about `internal`, where it is known
//	--cycle=<importpath>             a package that imports this one
//	--generated                      the sources are our own, which may import anything
//	--lang --tag                     language version, build tags
//	--embedname --embedfile          files that //go:embed may match: names in the package, and paths
//	--embedroot                      a folder whose files it may match
//	--debugout                       see writeDebug
//	--release                        the release that the sources were chosen for, where that was not done here
func compile(o options) error {
	found, err := readSources(o, part(o.get("part")))
	if err != nil {
		return err
	}
	if err := writeDebug(o, found.directives); err != nil {
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
		flags = append(flags, fmt.Sprintf("-lang=go1.%d", release(lang)))
	}
	if len(found.embeds) > 0 {
		at := func(pattern string) string { return found.embeds[pattern].String() }
		config, err := writeEmbeds(o, slices.Sorted(maps.Keys(found.embeds)), at, work)
		if err != nil {
			return err
		}
		flags = append(flags, "-embedcfg", config)
	}
	if len(found.asm) == 0 {
		err = o.command("compile", append(append(flags, "-complete"), found.golang...))
	} else {
		err = compileWithAssembly(o, found, flags, work)
	}
	if err != nil && len(found.cgo) > 0 {
		return fmt.Errorf("%w; left out, since they import \"C\" and cgo is not supported: %s", err,
			strings.Join(found.cgo, ", "))
	}
	return err
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
