// Builder runs the Go compiler, assembler and linker for the rules: what cannot be said by arguments alone, since it
// depends on what the sources contain (build constraints, imports, embedded files, test functions).
//
// Arguments are `--name=value`, repeated for lists; all paths are relative to the working folder.
package main

import (
	"fmt"
	"os"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("expected a command: compile, link or testmain")
	}
	options, err := parse(args[1:])
	if err != nil {
		return err
	}
	if err := options.checkRelease(); err != nil {
		return err
	}
	switch args[0] {
	case "compile":
		return compile(options)
	case "link":
		return link(options)
	case "testmain":
		return testMain(options)
	}
	return fmt.Errorf("%q is no command: expected compile, link or testmain", args[0])
}
