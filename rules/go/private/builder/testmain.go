package main

import (
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strings"
	"text/template"
	"unicode"
	"unicode/utf8"
)

// testCase is a function that the test main calls; an example has the output that it must have.
type testCase struct {
	Package, Name, Output string
	Unordered             bool
}

// testFunctions are all that the test main of a package calls. It follows `go test`.
type testFunctions struct {
	ImportPath, Start                      string
	Main                                   string // the package's TestMain, with its package
	Tests, Benchmarks, FuzzCases, Examples []testCase
	positions                              *token.FileSet
}

// testMain writes the main package of a test, and its default of GODEBUG.
//
//	--importpath --src --out   the package under test, its sources with tests, the source to write
//	--start                    the package that prepares the process
//	--debugout                 see writeDebug
func testMain(o options) error {
	inside, err := readSources(o, internal)
	if err != nil {
		return err
	}
	outside, err := readSources(o, external)
	if err != nil {
		return err
	}
	found := &testFunctions{ImportPath: o.get("importpath"), Start: o.get("start"), positions: token.NewFileSet()}
	for _, path := range inside.tests {
		if err := found.read(path, "_test"); err != nil {
			return err
		}
	}
	for _, path := range outside.tests {
		if err := found.read(path, "_xtest"); err != nil {
			return err
		}
	}
	if err := writeDebug(o, slices.Concat(inside.directives, outside.directives)); err != nil {
		return err
	}
	out, err := os.Create(o.get("out"))
	if err != nil {
		return err
	}
	defer out.Close()
	return mainTemplate.Execute(out, found)
}

// read adds the functions of a file, whose package the test main calls by `alias`.
func (t *testFunctions) read(path, alias string) error {
	file, err := parser.ParseFile(t.positions, path, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	for _, declaration := range file.Decls {
		if function, ok := declaration.(*ast.FuncDecl); ok && function.Recv == nil {
			if err := t.add(function, alias); err != nil {
				return err
			}
		}
	}
	examples := doc.Examples(file)
	slices.SortFunc(examples, func(a, b *doc.Example) int { return a.Order - b.Order })
	for _, example := range examples {
		// One without a comment about its output is compiled only.
		if example.Output != "" || example.EmptyOutput {
			t.Examples = append(t.Examples, testCase{alias, "Example" + example.Name, example.Output, example.Unordered})
		}
	}
	return nil
}

func (t *testFunctions) add(function *ast.FuncDecl, alias string) error {
	name := function.Name.Name
	test := testCase{Package: alias, Name: name}
	if name == "TestMain" && !takes(function, "T") {
		if err := t.check(function, "M"); err != nil {
			return err
		}
		if t.Main != "" {
			return fmt.Errorf("%s: multiple definitions of TestMain", t.positions.Position(function.Pos()))
		}
		t.Main = alias + ".TestMain"
		return nil
	}
	for kind, list := range map[string]*[]testCase{"Test": &t.Tests, "Benchmark": &t.Benchmarks, "Fuzz": &t.FuzzCases} {
		if isTest(name, kind) {
			*list = append(*list, test)
			return t.check(function, kind[:1])
		}
	}
	return nil
}

func (t *testFunctions) check(function *ast.FuncDecl, kind string) error {
	wrong := ""
	switch {
	case function.Type.TypeParams.NumFields() > 0:
		wrong = "test functions cannot have type parameters"
	case !takes(function, kind):
		wrong = fmt.Sprintf("must be: func %s(%s *testing.%s)", function.Name.Name, strings.ToLower(kind), kind)
	default:
		return nil
	}
	return fmt.Errorf("%s: wrong signature for %s, %s", t.positions.Position(function.Pos()), function.Name.Name, wrong)
}

// takes says whether a function has one parameter, of a type *T or *x.T, and no result.
func takes(function *ast.FuncDecl, kind string) bool {
	params := function.Type.Params.List
	if function.Type.Results.NumFields() > 0 || len(params) != 1 || len(params[0].Names) > 1 {
		return false
	}
	pointer, ok := params[0].Type.(*ast.StarExpr)
	if !ok {
		return false
	}
	switch named := pointer.X.(type) {
	case *ast.Ident:
		return named.Name == kind
	case *ast.SelectorExpr:
		return named.Sel.Name == kind
	}
	return false
}

// isTest follows `go test`: the prefix is not followed by a lower-case letter.
func isTest(name, prefix string) bool {
	rest, found := strings.CutPrefix(name, prefix)
	first, _ := utf8.DecodeRuneInString(rest)
	return found && (rest == "" || !unicode.IsLower(first))
}

// Uses says whether a package is called, and not only imported for what it does when it starts.
func (t *testFunctions) Uses(alias string) bool {
	is := func(test testCase) bool { return test.Package == alias }
	return strings.HasPrefix(t.Main, alias+".") ||
		slices.ContainsFunc(slices.Concat(t.Tests, t.Benchmarks, t.FuzzCases, t.Examples), is)
}

// The exit code is read as `go test` reads it: a TestMain need not pass on what m.Run returned. Only the process that
// the runner started is told that exiting with 0 is no end of a test; one that a test started may do so.
var mainTemplate = template.Must(template.New("main").Parse(`// Code generated for a test. DO NOT EDIT.

package main

import (
	start {{printf "%q" .Start}}

	"flag"
	"os"
{{if .Main}}	"reflect"
{{end}}	"testing"
	"testing/internal/testdeps"

	{{if .Uses "_test"}}_test{{else}}_{{end}} {{printf "%q" .ImportPath}}
	{{if .Uses "_xtest"}}_xtest{{else}}_{{end}} {{printf "%q" (print .ImportPath "_test")}}
)

var tests = []testing.InternalTest{
{{range .Tests}}	{"{{.Name}}", {{.Package}}.{{.Name}}},
{{end}}}

var benchmarks = []testing.InternalBenchmark{
{{range .Benchmarks}}	{"{{.Name}}", {{.Package}}.{{.Name}}},
{{end}}}

var fuzzTargets = []testing.InternalFuzzTarget{
{{range .FuzzCases}}	{"{{.Name}}", {{.Package}}.{{.Name}}},
{{end}}}

var examples = []testing.InternalExample{
{{range .Examples}}	{"{{.Name}}", {{.Package}}.{{.Name}}, {{printf "%q" .Output}}, {{.Unordered}}},
{{end}}}

func init() {
	testdeps.ImportPath = {{printf "%q" .ImportPath}}
}

func main() {
	m := testing.MainStart(testdeps.TestDeps{}, tests, benchmarks, fuzzTargets, examples)
	if start.ByRunner {
		flag.Set("test.paniconexit0", "true")
		if filter := os.Getenv("TESTBRIDGE_TEST_ONLY"); filter != "" {
			flag.Set("test.run", filter)
		}
	}
{{with .Main}}	{{.}}(m)
	os.Exit(int(reflect.ValueOf(m).Elem().FieldByName("exitCode").Int()))
{{else}}	os.Exit(m.Run())
{{end}}}
`))
