package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// link makes a program.
//
//	--goroot --std --goos --goarch   as for compile
//	--main --out                     the archive of package main; the program
//	--dep=<importpath>=<archive>     all archives it is made of, besides the standard library
//	--define=<importpath>.<name>=<value>  values of string variables
//	--godebug=<file>                 the program's default of GODEBUG, see writeDebug
//	--strip                          without symbols and debugging information
func link(o options) error {
	work, err := os.MkdirTemp("", "link")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	var lines strings.Builder
	for _, dep := range o["dep"] {
		fmt.Fprintf(&lines, "packagefile %s\n", dep)
	}
	if err := standardLibrary(o.get("std"), &lines); err != nil {
		return err
	}
	importcfg := filepath.Join(work, "importcfg.link")
	if err := os.WriteFile(importcfg, []byte(lines.String()), 0o644); err != nil {
		return err
	}
	args := []string{"-importcfg", importcfg, "-buildid=", "-buildmode=exe", "-o", o.get("out")}
	if o.get("strip") != "" {
		args = append(args, "-s", "-w")
	}
	if file := o.get("godebug"); file != "" {
		defaults, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if len(defaults) > 0 {
			args = append(args, "-X", "runtime.godebugDefault="+string(defaults))
		}
	}
	for _, define := range o["define"] {
		args = append(args, "-X", define)
	}
	return o.command("link", append(args, o.get("main")))
}

// standardLibrary lists all archives below a folder; the linker reads those it needs.
func standardLibrary(root string, lines *strings.Builder) error {
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if name, found := strings.CutSuffix(path, ".a"); found && err == nil && !entry.IsDir() {
			relative, relErr := filepath.Rel(root, name)
			if relErr != nil {
				return relErr
			}
			fmt.Fprintf(lines, "packagefile %s=%s\n", relative, path)
		}
		return err
	})
}
