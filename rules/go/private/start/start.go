// Package start prepares the process of a test before any package of the test starts.
//
// Packages start in the order of their import paths, as far as their imports allow, and this one's path, `+test/start`,
// is before all that can be written in a module. So whatever reads a file when it starts finds itself in the folder of
// the package under test, as under `go test`.
package start

import (
	"fmt"
	"os"
)

// folder is the package's, below the folder in which tests start; empty for the root package. The linker sets it.
var folder string

// started is set for the processes that a test starts, which are no tests.
const started = "GO_TEST_STARTED"

// ByRunner says whether the runner of tests started this process.
var ByRunner = begin()

func begin() bool {
	if os.Getenv("TEST_TARGET") == "" || os.Getenv(started) != "" {
		return false
	}
	if err := enter(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

func enter() error {
	if err := os.Setenv(started, "1"); err != nil {
		return err
	}
	here, err := os.Getwd()
	if err != nil {
		return err
	}
	if os.Args[0][0] != '/' {
		os.Args[0] = here + "/" + os.Args[0]
	}
	there := here
	if folder != "" {
		there += "/" + folder
	}
	// Without data there is no such folder.
	if err := os.MkdirAll(there, 0o755); err != nil {
		return err
	}
	show(parent(os.Args[0]), there)
	if err := os.Setenv("PWD", there); err != nil {
		return err
	}
	return os.Chdir(there)
}

// show links what targets of the package made for the test, which lies beside the program, to where it would be if it
// were a source. A folder of sources that is mounted as a whole takes no links; then only the made one's path is left.
func show(made, there string) {
	entries, err := os.ReadDir(made)
	if err != nil {
		return
	}
	for _, entry := range entries {
		from, to := made+"/"+entry.Name(), there+"/"+entry.Name()
		info, err := os.Stat(to)
		switch {
		case from == os.Args[0]:
		case err != nil:
			_ = os.Symlink(from, to)
		case entry.IsDir() && info.IsDir():
			show(from, to)
		}
	}
}

func parent(path string) string {
	for end := len(path) - 1; end > 0; end-- {
		if path[end] == '/' {
			return path[:end]
		}
	}
	return "/"
}
