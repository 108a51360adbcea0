package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"text/template"
)

// testCase is a function that the test main calls.
type testCase struct{ Package, Name string }

// testMain writes the main package of a test, as `go test` does.
//
//	--importpath --src --out   the package under test, its test sources, the source to write
func testMain(o options) error {
	paths, err := files(o["src"])
	if err != nil {
		return err
	}
	data := struct {
		ImportPath, Main             string
		Internal, External           bool
		Tests, Benchmarks, FuzzCases []testCase
	}{ImportPath: o.get("importpath")}
	for _, path := range paths {
		if !strings.HasSuffix(path, "_test.go") {
			continue
		}
		pkg, functions, err := testFunctions(path)
		if err != nil {
			return err
		}
		alias := "internal"
		if strings.HasSuffix(pkg, "_test") {
			alias, data.External = "external", true
		} else {
			data.Internal = true
		}
		for _, name := range functions["Test"] {
			if name == "TestMain" {
				data.Main = alias + ".TestMain"
				continue
			}
			data.Tests = append(data.Tests, testCase{alias, name})
		}
		for _, name := range functions["Benchmark"] {
			data.Benchmarks = append(data.Benchmarks, testCase{alias, name})
		}
		for _, name := range functions["Fuzz"] {
			data.FuzzCases = append(data.FuzzCases, testCase{alias, name})
		}
	}
	if len(data.Tests)+len(data.Benchmarks)+len(data.FuzzCases) == 0 && data.Main == "" {
		return fmt.Errorf("%s: `srcs` has no function TestXxx in a file *_test.go", o.get("label"))
	}
	data.Internal = uses(data.Internal, "internal", data.Main, data.Tests, data.Benchmarks, data.FuzzCases)
	data.External = uses(data.External, "external", data.Main, data.Tests, data.Benchmarks, data.FuzzCases)
	out, err := os.Create(o.get("out"))
	if err != nil {
		return err
	}
	defer out.Close()
	return mainTemplate.Execute(out, data)
}

// uses says whether a package's import would be used; Go allows no other.
func uses(present bool, alias, main string, lists ...[]testCase) bool {
	if !present || strings.HasPrefix(main, alias+".") {
		return present
	}
	return slices.ContainsFunc(lists, func(list []testCase) bool {
		return slices.ContainsFunc(list, func(test testCase) bool { return test.Package == alias })
	})
}

var mainTemplate = template.Must(template.New("main").Parse(`package main

import (
	"flag"
	"os"
	"testing"
	"testing/internal/testdeps"
{{if .Internal}}	internal {{printf "%q" .ImportPath}}
{{end}}{{if .External}}	external {{printf "%q" (print .ImportPath "_test")}}
{{end}})

var tests = []testing.InternalTest{
{{range .Tests}}	{"{{.Name}}", {{.Package}}.{{.Name}}},
{{end}}}

var benchmarks = []testing.InternalBenchmark{
{{range .Benchmarks}}	{"{{.Name}}", {{.Package}}.{{.Name}}},
{{end}}}

var fuzzTargets = []testing.InternalFuzzTarget{
{{range .FuzzCases}}	{"{{.Name}}", {{.Package}}.{{.Name}}},
{{end}}}

func main() {
	testdeps.ImportPath = {{printf "%q" .ImportPath}}
	m := testing.MainStart(testdeps.TestDeps{}, tests, benchmarks, fuzzTargets, nil)
	if filter := os.Getenv("TESTBRIDGE_TEST_ONLY"); filter != "" {
		flag.Set("test.run", filter)
	}
{{if .Main}}	{{.Main}}(m)
	os.Exit(0)
{{else}}	os.Exit(m.Run())
{{end}}}
`))
