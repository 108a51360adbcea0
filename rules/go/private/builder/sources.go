package main

import (
	"errors"
	"fmt"
	"go/build"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// part says which files of a package are meant.
type part string

const (
	library  part = ""         // what others import: no tests
	internal part = "internal" // with the tests that are inside the package
	external part = "external" // package x_test alone
)

// sources are the files of one package that belong to the platform.
type sources struct {
	golang     []string
	tests      []string // those of golang that are tests
	asm        []string
	headers    []string
	imports    map[string]token.Position // the first place that imports it
	embeds     map[string]token.Position // patterns of //go:embed
	directives []build.Directive
	cgo        []string // left out, since they import "C"
}

// folder shows files from anywhere as one folder, so that go/build itself, whose word counts, sorts them out.
type folder struct {
	paths map[string]string // by the name in the folder
	names []string
}

// root is where go/build sees the folder.
const root = "/package"

func newFolder(paths []string) *folder {
	sorted := slices.Clone(paths)
	slices.SortStableFunc(sorted, func(a, b string) int {
		return strings.Compare(filepath.Base(a), filepath.Base(b))
	})
	f := &folder{paths: map[string]string{}}
	for i, path := range sorted {
		base := filepath.Base(path)
		if strings.HasPrefix(base, "_") || strings.HasPrefix(base, ".") {
			continue
		}
		// Files of one name may come from several folders. What a name says of the platform comes behind a `_`.
		name := fmt.Sprintf("%06d-%s", i, base)
		f.paths[name] = path
		f.names = append(f.names, name)
	}
	return f
}

func (f *folder) real(path string) string {
	if real, found := f.paths[filepath.Base(path)]; found {
		return real
	}
	return path
}

func (f *folder) reals(names []string) []string {
	var paths []string
	for _, name := range names {
		paths = append(paths, f.real(name))
	}
	return paths
}

// explain replaces the names of the folder in an error by those that the user knows.
func (f *folder) explain(err error, label string) error {
	text := strings.ReplaceAll(err.Error(), " in "+root, " in "+label)
	for name, path := range f.paths {
		text = strings.ReplaceAll(strings.ReplaceAll(text, root+"/"+name, path), name, path)
	}
	return errors.New(text)
}

func (f *folder) context(o options) build.Context {
	context := build.Default
	context.GOOS, context.GOARCH, context.CgoEnabled = o.get("goos"), o.get("goarch"), false
	context.GOROOT, context.GOPATH, context.Compiler = "", "", "gc"
	context.BuildTags = o["tag"]
	context.ToolTags = toolTags(context.ToolTags, context.GOARCH)
	context.IsDir = func(path string) bool { return path == root }
	context.HasSubdir = func(string, string) (string, bool) { return "", false }
	context.OpenFile = func(path string) (io.ReadCloser, error) { return os.Open(f.real(path)) }
	context.ReadDir = func(string) ([]fs.FileInfo, error) {
		var list []fs.FileInfo
		for _, name := range f.names {
			info, err := os.Stat(f.paths[name])
			if err != nil {
				return nil, err
			}
			list = append(list, named{info, name})
		}
		return list, nil
	}
	return context
}

// named is a file under another name.
type named struct {
	fs.FileInfo
	name string
}

func (n named) Name() string { return n.name }

// toolTags are those of the distribution, with the features of the target's processor in place of this one's.
func toolTags(tags []string, arch string) []string {
	tags = slices.DeleteFunc(slices.Clone(tags), func(tag string) bool {
		return strings.HasPrefix(tag, runtime.GOARCH+".")
	})
	switch arch {
	case "amd64":
		return append(tags, "amd64.v1")
	case "arm64":
		return append(tags, "arm64.v8.0")
	}
	return tags
}

// readSources sorts files out.
func readSources(o options, wanted part) (*sources, error) {
	paths, err := files(o["src"])
	if err != nil {
		return nil, err
	}
	folder := newFolder(paths)
	context := folder.context(o)
	all, err := context.ImportDir(root, 0)
	var none *build.NoGoError
	if err != nil && !errors.As(err, &none) {
		return nil, folder.explain(err, o.get("label"))
	}
	found := &sources{imports: map[string]token.Position{}, embeds: map[string]token.Position{}}
	if wanted == external {
		found.golang, found.tests = folder.reals(all.XTestGoFiles), folder.reals(all.XTestGoFiles)
		found.collect(folder, all.XTestImportPos, all.XTestEmbedPatternPos, all.XTestDirectives)
		return found, nil
	}
	found.golang = folder.reals(all.GoFiles)
	found.asm, found.headers = folder.reals(all.SFiles), folder.reals(all.HFiles)
	found.collect(folder, all.ImportPos, all.EmbedPatternPos, all.Directives)
	if wanted == internal {
		found.tests = folder.reals(all.TestGoFiles)
		found.golang = append(found.golang, found.tests...)
		found.collect(folder, all.TestImportPos, all.TestEmbedPatternPos, all.TestDirectives)
	}
	return found, found.leaveCgo(folder, all)
}

func (s *sources) collect(folder *folder, imports, embeds map[string][]token.Position, directives []build.Directive) {
	first := func(into map[string]token.Position, from map[string][]token.Position) {
		for name, positions := range from {
			if _, known := into[name]; !known && len(positions) > 0 {
				position := positions[0]
				position.Filename = folder.real(position.Filename)
				into[name] = position
			}
		}
	}
	first(s.imports, imports)
	first(s.embeds, embeds)
	for _, directive := range directives {
		directive.Pos.Filename = folder.real(directive.Pos.Filename)
		s.directives = append(s.directives, directive)
	}
}

// leaveCgo remembers which files were left out since they import "C". It is an error when no other is left.
func (s *sources) leaveCgo(folder *folder, all *build.Package) error {
	for _, path := range folder.reals(all.IgnoredGoFiles) {
		positions := token.NewFileSet()
		file, err := parser.ParseFile(positions, path, nil, parser.ImportsOnly)
		if err != nil {
			continue
		}
		for _, spec := range file.Imports {
			if name, err := strconv.Unquote(spec.Path.Value); err == nil && name == "C" {
				s.cgo = append(s.cgo, path)
				if len(s.golang) == 0 {
					return fmt.Errorf("%s: cgo is not supported, and no other file is left", positions.Position(spec.Pos()))
				}
			}
		}
	}
	return nil
}
