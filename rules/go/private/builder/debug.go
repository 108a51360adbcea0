package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// setting is a known one of GODEBUG.
type setting struct {
	changed int    // the release that changed its default; 0 if none did
	old     string // the value before
}

// writeDebug writes what the linker sets as the program's default of GODEBUG, as `go build` computes it: from the
// `go` line of go.mod, then `godebug` lines, then //go:debug. <https://go.dev/doc/godebug>
//
//	--debugout                  the file to write
//	--maingo --godebug=<k>=<v>  lines of the main module's go.mod
func writeDebug(o options, directives []build.Directive) error {
	out := o.get("debugout")
	if out == "" {
		return nil
	}
	if len(o["godebug"]) == 0 && len(directives) == 0 && !olderThanThis(o.get("maingo")) {
		return os.WriteFile(out, nil, 0o644)
	}
	known, err := settings(o.get("goroot"))
	if err != nil {
		return err
	}
	chosen := o.pairs("godebug")
	if err := readDirectives(directives, known, chosen); err != nil {
		return err
	}
	version := o.get("maingo")
	if named, found := chosen["default"]; found {
		delete(chosen, "default")
		version = strings.TrimPrefix(named, "go")
	}
	all := map[string]string{}
	for name, setting := range known {
		if version != "" && release(version) < setting.changed {
			all[name] = setting.old
		}
	}
	maps.Copy(all, chosen)
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		pairs = append(pairs, name+"="+all[name])
	}
	return os.WriteFile(out, []byte(strings.Join(pairs, ",")), 0o644)
}

// readDirectives adds the settings of //go:debug lines.
func readDirectives(directives []build.Directive, known map[string]setting, chosen map[string]string) error {
	var problems []error
	seen := map[string]token.Position{}
	for _, directive := range directives {
		rest, is := strings.CutPrefix(directive.Text, "//go:debug")
		if !is || rest != "" && !strings.ContainsAny(rest[:1], " \t") {
			continue
		}
		name, value, err := parseSetting(strings.TrimSpace(rest), known)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: invalid //go:debug: %w", directive.Pos, err))
			continue
		}
		if earlier, twice := seen[name]; twice {
			problems = append(problems, fmt.Errorf("%s: repeated //go:debug for %s, which is at %s", directive.Pos, name, earlier))
			continue
		}
		seen[name] = directive.Pos
		chosen[name] = value
	}
	return errors.Join(problems...)
}

var goVersion = regexp.MustCompile(`^go1(\.[0-9]+)*((rc|beta|alpha)[0-9]+)?$`)

func parseSetting(text string, known map[string]setting) (name, value string, err error) {
	name, value, found := strings.Cut(text, "=")
	if !found {
		return "", "", errors.New("expected key=value")
	}
	if strings.ContainsAny(text, " \t,") {
		return "", "", errors.New("a key or a value holds a space or a comma")
	}
	if name == "default" {
		if !goVersion.MatchString(value) {
			return "", "", errors.New("the value of default= must be a version, such as go1.24")
		}
		return name, value, nil
	}
	if _, found := known[name]; !found {
		return "", "", fmt.Errorf("unknown //go:debug setting %q", name)
	}
	return name, value, nil
}

func olderThanThis(lang string) bool {
	return lang != "" && release(lang) < release(build.Default.ReleaseTags[len(build.Default.ReleaseTags)-1])
}

// settings reads the table of the distribution.
func settings(goroot string) (map[string]setting, error) {
	path := filepath.Join(goroot, "src", "internal", "godebugs", "table.go")
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	known := map[string]setting{}
	ast.Inspect(file, func(node ast.Node) bool {
		literal, is := node.(*ast.CompositeLit)
		if !is || literal.Type != nil {
			return true
		}
		fields := map[string]string{}
		for _, element := range literal.Elts {
			pair, paired := element.(*ast.KeyValueExpr)
			if !paired {
				continue
			}
			key, named := pair.Key.(*ast.Ident)
			if value, basic := pair.Value.(*ast.BasicLit); named && basic {
				fields[key.Name] = value.Value
			}
		}
		name, err := strconv.Unquote(fields["Name"])
		if _, removed := fields["Removed"]; err != nil || removed {
			return true
		}
		old, _ := strconv.Unquote(fields["Old"])
		changed, _ := strconv.Atoi(fields["Changed"])
		known[name] = setting{changed, old}
		return true
	})
	return known, nil
}
