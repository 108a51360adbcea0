package main

import (
	"go/build"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func write(t *testing.T, folder, name, text string) string {
	t.Helper()
	path := filepath.Join(folder, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func base(paths []string) string {
	names := []string{}
	for _, path := range paths {
		names = append(names, filepath.Base(path))
	}
	return strings.Join(names, " ")
}

func TestSourcesOfOtherPlatformsAndTestsAreLeftOut(t *testing.T) {
	folder := t.TempDir()
	all := []string{
		write(t, folder, "a.go", "package a\nimport \"fmt\"\nvar _ = fmt.Sprint\n"),
		write(t, folder, "a_windows.go", "package a\nimport \"syscall\"\n"),
		write(t, folder, "never.go", "//go:build never\n\npackage a\n"),
		write(t, folder, "cgo.go", "package a\n\nimport \"C\"\n"),
		write(t, folder, "inside_test.go", "package a\nimport \"testing\"\n"),
		write(t, folder, "outside_test.go", "package a_test\nimport \"x/a\"\n"),
		write(t, folder, "outside_windows_test.go", "package a_test\nimport \"x/b\"\n"),
		write(t, folder, "_ignored.go", "no Go"),
		write(t, folder, "a_amd64.s", "TEXT x(SB), 0, $0\n"),
	}
	o := options{"src": all, "goos": {"linux"}, "goarch": {"amd64"}}
	for _, test := range []struct {
		part              part
		files, asm, names string
	}{
		{library, "a.go", "a_amd64.s", "fmt"},
		{internal, "a.go inside_test.go", "a_amd64.s", "fmt testing"},
		{external, "outside_test.go", "", "x/a"},
	} {
		found, err := readSources(o, test.part)
		if err != nil {
			t.Fatal(err)
		}
		imports := strings.Join(slices.Sorted(maps.Keys(found.imports)), " ")
		if base(found.golang) != test.files || base(found.asm) != test.asm || imports != test.names {
			t.Errorf("%q: got %v, %v, %v", test.part, found.golang, found.asm, imports)
		}
	}
}

func TestFilesOfTwoPackagesAreNamedAsTheUserKnowsThem(t *testing.T) {
	folder := t.TempDir()
	one, two := write(t, folder, "one.go", "package one\n"), write(t, folder, "two.go", "package two\n")
	o := options{"src": {one, two}, "goos": {"linux"}, "goarch": {"amd64"}, "label": {"//p:a"}}
	_, err := readSources(o, library)
	if err == nil || !strings.Contains(err.Error(), "one ("+one+") and two ("+two+") in //p:a") {
		t.Errorf("got %v", err)
	}
	broken := write(t, folder, "one.go", "package one\n\nimport (\n")
	_, err = readSources(o, library)
	if err == nil || !strings.Contains(err.Error(), broken+":3:10") {
		t.Errorf("got %v", err)
	}
}

func TestAMissingDependencyIsNamedWithItsPlace(t *testing.T) {
	folder := t.TempDir()
	source := write(t, folder, "a.go", "package a\n\nimport \"example.com/x\"\n")
	o := options{"src": {source}, "goos": {"linux"}, "goarch": {"amd64"}, "std": {folder}, "label": {"//p:a"}}
	found, err := readSources(o, library)
	if err != nil {
		t.Fatal(err)
	}
	_, err = writeImports(o, found, folder)
	if err == nil {
		t.Fatal("expected an error")
	}
	for _, part := range []string{"a.go:3:8", "`deps` of //p:a", "\"@go//example.com/x\""} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("no %s in %v", part, err)
		}
	}
}

func TestOwnPackagesAreNamedByTheirFolder(t *testing.T) {
	o := options{"module": {"t=", "t/deep=a/b"}, "label": {"//p:a"}}
	for name, expected := range map[string]string{
		"t/x/y":    "add a target with `importpath = \"t/x/y\"`, of the sources in \"x/y\"",
		"t/deep/y": "in \"a/b/y\"",
		"t/deep":   "in \"a/b\"",
		"t":        "in \".\"",
		"tt/x":     "; add a target with `importpath = \"tt/x\"`",
		"b.c/d":    `add "@go//b.c/d"`,
	} {
		if got := o.hint(name); !strings.Contains(got, expected) || expected == "" && got != "" {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

func TestInternalPackagesAreImportedFromBelowTheirParent(t *testing.T) {
	for _, test := range []struct {
		importer, name string
		standard, may  bool
	}{
		{"t/a", "t/a/internal/x", false, true},
		{"t/a/b", "t/a/internal", false, true},
		{"t/ab", "t/a/internal/x", false, false},
		{"t/a/internal/y", "t/a/internal/x/internal/z", false, false},
		{"t/b", "internal/x", false, true},
		{"", "t/a/internal/x", false, true},
		{"", "internal/bytealg", true, false},
		{"t", "net/http/internal", true, false},
		{"t", "vendor/golang.org/x/net/idna", true, false},
		{"t", "t/internals", false, true},
	} {
		if got := mayUse(test.importer, test.name, test.standard); got != test.may {
			t.Errorf("%s imports %s: got %v", test.importer, test.name, got)
		}
	}
}

func TestCgoIsAnErrorWhereNothingElseIsLeft(t *testing.T) {
	source := write(t, t.TempDir(), "a.go", "package a\n\nimport \"C\"\n")
	_, err := readSources(options{"src": {source}, "goos": {"linux"}, "goarch": {"amd64"}}, library)
	if err == nil || !strings.Contains(err.Error(), "a.go:3:8: cgo is not supported") {
		t.Errorf("got %v", err)
	}
}

func TestEmbedPatternsMatchAsGoDoes(t *testing.T) {
	all := embeddable{}
	for _, name := range []string{"a.txt", "a b.txt", "sub/a.txt", "sub/.hidden", "sub/_dir/b.txt", "sub/deep/a.txt",
		".top", "dark/.x", "git/.git/config", "key=value", strings.Repeat("a", 100) + "c"} {
		all[name] = name
	}
	for _, test := range []struct{ pattern, expected string }{
		{"a.txt", "a.txt"},
		{"a b.txt", "a b.txt"},
		{"*.txt", "a b.txt|a.txt"},
		{"a?b.txt", "a b.txt"},
		{"[a-b].txt", "a.txt"},
		{`\a.txt`, "a.txt"},
		{"sub", "sub/a.txt|sub/deep/a.txt"},
		{"all:sub", "sub/.hidden|sub/_dir/b.txt|sub/a.txt|sub/deep/a.txt"},
		{"sub/*", "sub/.hidden|sub/_dir/b.txt|sub/a.txt|sub/deep/a.txt"},
		{".top", ".top"},
		{"all:dark", "dark/.x"},
		{"dark", ""},
		{"git/.git", ""},
		{"all:git", ""},
		{"other", ""},
		{".", ""},
		{"../a.txt", ""},
		{"/a.txt", ""},
		{"a/", ""},
		{"[", ""},
		{"key=value", "key=value"},
		{strings.Repeat("*a", 60) + "b", ""},
	} {
		got, err := all.match(test.pattern)
		if strings.Join(got, "|") != test.expected || (err == nil) != (test.expected != "") {
			t.Errorf("%s: got %q, %v", test.pattern, got, err)
		}
	}
}

func TestGodebugIsWhatGoBuildComputes(t *testing.T) {
	folder := t.TempDir()
	table := filepath.Join(folder, "src", "internal", "godebugs")
	if err := os.MkdirAll(table, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, table, "table.go", `package godebugs
var All = []Info{
	{Name: "panicnil", Package: "runtime", Changed: 21, Old: "1"},
	{Name: "timer", Package: "time", Changed: 23, Old: "1"},
	{Name: "plain", Package: "x"},
}
var Removed = []RemovedInfo{{Name: "gone", Removed: 25}}
`)
	for _, test := range []struct {
		lang, lines, directives, expected string
	}{
		{"", "", "", ""},
		{"1.20", "", "", "panicnil=1,timer=1"},
		{"1.22", "", "", "timer=1"},
		{"1.22", "timer=0", "plain=7", "plain=7,timer=0"},
		{"1.22", "timer=0", "timer=2", "timer=2"},
		{"1.20", "", "default=go1.22", "timer=1"},
		{"1.20", "", "gone=1", "unknown"},
		{"1.20", "", "plain", "expected key=value"},
		{"1.20", "", "plain=1 2", "space"},
		{"1.20", "", "default=1.22", "version"},
	} {
		o := options{"goroot": {folder}, "debugout": {filepath.Join(folder, "out")}, "maingo": {test.lang}}
		if test.lines != "" {
			o["godebug"] = []string{test.lines}
		}
		var directives []build.Directive
		if test.directives != "" {
			directives = []build.Directive{{Text: "//go:debug " + test.directives}}
		}
		err := writeDebug(o, directives)
		if err != nil {
			if !strings.Contains(err.Error(), test.expected) {
				t.Errorf("%v: %v", test, err)
			}
			continue
		}
		got, err := os.ReadFile(o.get("debugout"))
		if err != nil || string(got) != test.expected {
			t.Errorf("%v: got %q, %v", test, got, err)
		}
	}
}

func TestAnotherReleaseIsSaid(t *testing.T) {
	for value, part := range map[string]string{"1.99": "`go 1.99`", "1.20": "", "": ""} {
		err := options{"lang": {value}}.checkRelease()
		if (err == nil) != (part == "") || err != nil && !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v", value, err)
		}
	}
	if err := (options{"release": {"1.19"}}).checkRelease(); err == nil || !strings.Contains(err.Error(), "`release = \"1.") {
		t.Errorf("got %v", err)
	}
}

func TestATestMainCallsTestsOfBothPackages(t *testing.T) {
	folder := t.TempDir()
	o := options{"importpath": {"x/a"}, "start": {"+s"}, "goos": {"linux"}, "goarch": {"amd64"}, "out": {filepath.Join(folder, "main.go")}, "src": {
		write(t, folder, "a_test.go", "package a\nfunc TestIn(t *testing.T) {}\nfunc Testable(t *testing.T) {}\n"),
		write(t, folder, "b_test.go", "package a_test\nfunc TestMain(m *testing.M) {}\nfunc BenchmarkOut(b *testing.B) {}\n"+
			"func Example() {\n\t// Unordered output: a\n\t// b\n}\nfunc Example_none() {}\nfunc Example_empty() {\n\t// Output:\n}\n"),
		write(t, folder, "c_windows_test.go", "package a\nfunc TestElsewhere(t *testing.T) {}\n"),
	}}
	if err := testMain(o); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(o.get("out"))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"_test.TestIn}", "_xtest.BenchmarkOut}", "_xtest.TestMain(m)", `_xtest "x/a_test"`,
		`_xtest.Example, "a\nb\n", true}`, `_xtest.Example_empty, "", false}`} {
		if !strings.Contains(string(text), part) {
			t.Errorf("no %s in\n%s", part, text)
		}
	}
	for _, part := range []string{"Testable", "TestElsewhere", "Example_none"} {
		if strings.Contains(string(text), part) {
			t.Error(part + " is not called")
		}
	}
}

func TestFunctionsThatOnlyLookLikeTestsAreErrors(t *testing.T) {
	for _, function := range []string{
		"func TestA() {}", "func TestA(t *testing.B) {}", "func TestA(t testing.T) {}", "func TestA(t *testing.T) int { return 1 }",
		"func TestA[X any](t *testing.T) {}", "func TestMain(t *testing.B) {}", "func FuzzA(t *testing.T) {}",
		"func BenchmarkA(a, b *testing.B) {}",
	} {
		folder := t.TempDir()
		o := options{"out": {filepath.Join(folder, "main.go")}, "goos": {"linux"}, "goarch": {"amd64"},
			"src": {write(t, folder, "a_test.go", "package a\n"+function+"\n")}}
		if err := testMain(o); err == nil || !strings.Contains(err.Error(), "a_test.go:2:1: wrong signature for ") {
			t.Errorf("%s: got %v", function, err)
		}
	}
}

func TestAnArchiveTakesObjects(t *testing.T) {
	folder := t.TempDir()
	archive := write(t, folder, "a.a", "!<arch>\n")
	object := write(t, folder, "odd.o", "123")
	if err := appendObjects(archive, []string{object}); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	if len(content) != 8+60+4 || !slices.Equal(content[8+60:], []byte("123\x00")) {
		t.Errorf("got %q", content)
	}
}
