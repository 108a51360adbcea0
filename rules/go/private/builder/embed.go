package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// embeddable are the files that //go:embed may match: their paths by their names in the package.
type embeddable map[string]string

func (o options) embeddable() (embeddable, error) {
	all := embeddable{}
	for name, file := range o.zip("embedname", "embedfile") {
		if err := all.add(name, file); err != nil {
			return nil, err
		}
	}
	if folder := o.get("embedroot"); folder != "" {
		return all, all.add(".", folder)
	}
	return all, nil
}

// add takes a file, or all files of a folder.
func (e embeddable) add(name, file string) error {
	return filepath.WalkDir(file, func(place string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		below, err := filepath.Rel(file, place)
		e[path.Join(name, filepath.ToSlash(below))] = place
		return err
	})
}

// writeEmbeds tells the compiler which files each pattern takes.
func writeEmbeds(o options, patterns []string, at func(pattern string) string, work string) (string, error) {
	all, err := o.embeddable()
	if err != nil {
		return "", err
	}
	config := struct {
		Patterns map[string][]string
		Files    map[string]string
	}{map[string][]string{}, map[string]string{}}
	var problems []error
	for _, pattern := range patterns {
		names, err := all.match(pattern)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: pattern %s: %w of %s", at(pattern), pattern, err, o.get("label")))
			continue
		}
		config.Patterns[pattern] = names
		for _, name := range names {
			config.Files[name] = all[name]
		}
	}
	if len(problems) > 0 {
		return "", errors.Join(problems...)
	}
	content, err := json.Marshal(config)
	if err != nil {
		return "", err
	}
	file := filepath.Join(work, "embedcfg")
	return file, os.WriteFile(file, content, 0o644)
}

// match is the files that a pattern takes, as `go build` says: <https://pkg.go.dev/embed#hdr-Directives>.
func (e embeddable) match(pattern string) ([]string, error) {
	glob, hidden := strings.CutPrefix(pattern, "all:")
	if _, err := path.Match(glob, ""); err != nil || glob == "." || !fs.ValidPath(glob) {
		return nil, errors.New("invalid pattern syntax in the sources")
	}
	depth := strings.Count(glob, "/") + 1
	matched := map[string]bool{}
	folders := map[string]bool{} // matched folder -> whether it gave a file
	for _, name := range slices.Sorted(maps.Keys(e)) {
		segments := strings.SplitN(name, "/", depth+1)
		if len(segments) < depth {
			continue
		}
		head := strings.Join(segments[:depth], "/")
		if ok, _ := path.Match(glob, head); !ok {
			continue
		}
		if bad := slices.IndexFunc(segments[:depth], isBadName); bad >= 0 {
			return nil, fmt.Errorf("cannot embed %s, for its name %q, into a package", head, segments[bad])
		}
		if len(segments) == depth {
			matched[name] = true
			continue
		}
		visible := !slices.ContainsFunc(strings.Split(segments[depth], "/"), func(segment string) bool {
			return isBadName(segment) || !hidden && strings.ContainsAny(segment[:1], "._")
		})
		folders[head] = folders[head] || visible
		if visible {
			matched[name] = true
		}
	}
	for _, folder := range slices.Sorted(maps.Keys(folders)) {
		if !folders[folder] {
			return nil, fmt.Errorf("cannot embed the folder %s: no file that may be embedded is in it in `embed`", folder)
		}
	}
	if len(matched) == 0 {
		return nil, errors.New("matches no file in `embed`")
	}
	return slices.Sorted(maps.Keys(matched)), nil
}

// isBadName: what a module cannot hold, `module.CheckFilePath` of golang.org/x/mod.
func isBadName(name string) bool {
	switch name {
	case "", ".", "..", ".bzr", ".git", ".hg", ".svn":
		return true
	}
	return strings.ContainsAny(name, "\"'*<>?`|/\\:;") || strings.HasSuffix(name, ".")
}
