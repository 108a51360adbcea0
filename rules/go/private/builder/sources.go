package main

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// sources are the files of one package that belong to the platform.
type sources struct {
	golang  []string
	asm     []string
	headers []string
	imports map[string]token.Position // the first place that imports it
	embeds  []embed
}

type embed struct {
	pattern string
	at      token.Position
}

// readSources sorts files out. `tests` says which files count: "" for those that are no tests of another package
// (package x_test), "external" for these alone.
func readSources(o options, tests string) (*sources, error) {
	paths, err := files(o["src"])
	if err != nil {
		return nil, err
	}
	context := build.Default
	context.GOOS, context.GOARCH, context.CgoEnabled = o.get("goos"), o.get("goarch"), false
	context.BuildTags = o["tag"]
	found := &sources{imports: map[string]token.Position{}}
	for _, path := range paths {
		matches, err := context.MatchFile(filepath.Split(path))
		if err != nil {
			return nil, err
		}
		if !matches {
			continue
		}
		if err := found.add(path, tests); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func (s *sources) add(path, tests string) error {
	switch filepath.Ext(path) {
	case ".go":
		return s.addGo(path, tests)
	case ".s":
		s.asm = append(s.asm, path)
	case ".h":
		s.headers = append(s.headers, path)
	}
	return nil
}

func (s *sources) addGo(path, tests string) error {
	positions := token.NewFileSet()
	file, err := parser.ParseFile(positions, path, nil, parser.ImportsOnly)
	if err != nil {
		return err
	}
	external := strings.HasSuffix(path, "_test.go") && strings.HasSuffix(file.Name.Name, "_test")
	if external != (tests == "external") {
		return nil
	}
	embeds := false
	for _, spec := range file.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return err
		}
		if name == "C" {
			return fmt.Errorf("%s: cgo is not supported", positions.Position(spec.Pos()))
		}
		embeds = embeds || name == "embed"
		if _, found := s.imports[name]; !found {
			s.imports[name] = positions.Position(spec.Pos())
		}
	}
	if embeds {
		if err := s.addEmbeds(path); err != nil {
			return err
		}
	}
	s.golang = append(s.golang, path)
	return nil
}

// addEmbeds reads the file again, beyond its imports.
func (s *sources) addEmbeds(path string) error {
	positions := token.NewFileSet()
	file, err := parser.ParseFile(positions, path, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	for _, group := range file.Comments {
		for _, comment := range group.List {
			patterns, found := strings.CutPrefix(comment.Text, "//go:embed ")
			if !found {
				continue
			}
			for _, pattern := range strings.Fields(patterns) {
				if unquoted, err := strconv.Unquote(pattern); err == nil {
					pattern = unquoted
				}
				s.embeds = append(s.embeds, embed{pattern, positions.Position(comment.Pos())})
			}
		}
	}
	return nil
}

// testFunctions are the functions of a test file that a test main calls, by kind.
func testFunctions(path string) (pkg string, functions map[string][]string, err error) {
	positions := token.NewFileSet()
	file, err := parser.ParseFile(positions, path, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return "", nil, err
	}
	functions = map[string][]string{}
	for _, declaration := range file.Decls {
		function, ok := declaration.(*ast.FuncDecl)
		if !ok || function.Recv != nil {
			continue
		}
		name := function.Name.Name
		for _, kind := range []string{"Test", "Benchmark", "Fuzz"} {
			if isTest(name, kind) && len(function.Type.Params.List) == 1 {
				functions[kind] = append(functions[kind], name)
			}
		}
	}
	return file.Name.Name, functions, nil
}

// isTest follows `go test`: the prefix is not followed by a lower-case letter.
func isTest(name, prefix string) bool {
	rest, found := strings.CutPrefix(name, prefix)
	return found && (rest == "" || !slices.Contains([]byte("abcdefghijklmnopqrstuvwxyz"), rest[0]))
}
