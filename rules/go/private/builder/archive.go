package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// appendObjects adds object files to an archive, as `go tool pack r` does, which the distribution does not carry as a
// program. The format is ar: a header of 60 bytes a member, bodies padded to even length.
func appendObjects(archive string, objects []string) error {
	file, err := os.OpenFile(archive, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	for _, object := range objects {
		content, err := os.ReadFile(object)
		if err != nil {
			return err
		}
		name := filepath.Base(object)
		if len(name) > 16 {
			name = name[:16]
		}
		fmt.Fprintf(file, "%-16s%-12d%-6d%-6d%-8o%-10d`\n", name, 0, 0, 0, 0o644, len(content))
		if len(content)%2 == 1 {
			content = append(content, 0)
		}
		if _, err := file.Write(content); err != nil {
			return err
		}
	}
	return file.Close()
}
