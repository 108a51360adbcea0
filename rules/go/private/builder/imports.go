package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// writeImports says where each import is found. What neither a direct dependency nor the standard library has is an
// error that names the place and the attribute.
func writeImports(o options, found *sources, work string) (string, error) {
	deps := o.pairs("dep")
	var lines strings.Builder
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(found.imports)) {
		if name == "unsafe" {
			continue
		}
		archive, direct := deps[name]
		if !direct {
			archive = filepath.Join(o.get("std"), name+".a")
		}
		if err := o.mayImport(name, archive, direct); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", found.imports[name], err))
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

func (o options) mayImport(name, archive string, direct bool) error {
	if slices.Contains(o["cycle"], name) {
		return fmt.Errorf("import cycle not allowed in a test: %q imports the package under test: move what needs it to "+
			"`package x_test`", name)
	}
	standard := strings.HasPrefix(name, "vendor/")
	if !direct && !standard {
		_, err := os.Stat(archive)
		standard = err == nil
	}
	if !direct && !standard {
		return fmt.Errorf("import %q: no target in `deps` of %s has this import path%s", name, o.get("label"), o.hint(name))
	}
	if o.get("generated") == "" && !mayUse(o.get("importer"), name, standard) {
		return fmt.Errorf("import %q: use of internal package %s not allowed: only packages below %q may", name, name,
			strings.TrimSuffix(parentOfInternal(name), "/"))
	}
	return nil
}

// mayUse is the rule about `internal`: <https://go.dev/cmd/go/#hdr-Internal_Directories>. Of an unknown importer
// nothing is said, except that it is not of the standard library.
func mayUse(importer, name string, standard bool) bool {
	if !strings.Contains("/"+name+"/", "/internal/") && !strings.HasPrefix(name, "vendor/") {
		return true
	}
	if standard {
		return false
	}
	parent := parentOfInternal(name)
	return importer == "" || strings.HasPrefix(importer+"/", parent)
}

// parentOfInternal is `a/` for `a/internal/b`.
func parentOfInternal(name string) string {
	at := strings.LastIndex("/"+name+"/", "/internal/")
	return name[:max(at, 0)]
}

// hint says what to add to `deps`: what go.mod requires is named by its import path. Which target is a package of the
// workspace's own, the engine says, which reads "a target with ...".
func (o options) hint(name string) string {
	modules := o.pairs("module")
	for _, module := range slices.Backward(slices.Sorted(maps.Keys(modules))) {
		if below, inside := strings.CutPrefix(name+"/", module+"/"); inside {
			return fmt.Sprintf("; add a target with `importpath = %q`, of the sources in %q", name,
				path.Join(".", modules[module], below))
		}
	}
	far := "@" + o.repository() + "//" + name
	first, _, _ := strings.Cut(name, "/")
	switch dotted := strings.Contains(first, "."); {
	case !dotted:
		return fmt.Sprintf("; add a target with `importpath = %q`", name)
	case len(modules) == 0:
		return fmt.Sprintf("; add a target with `importpath = %q`, or %q", name, far)
	}
	return fmt.Sprintf("; add %q", far)
}

// repository is the one that go.mod's modules are in.
func (o options) repository() string {
	if name := o.get("repository"); name != "" {
		return name
	}
	return "go"
}
