package main

import (
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

func TestSourcesOfOtherPlatformsAndTestsAreLeftOut(t *testing.T) {
	folder := t.TempDir()
	all := []string{
		write(t, folder, "a.go", "package a\nimport \"fmt\"\nvar _ = fmt.Sprint\n"),
		write(t, folder, "a_windows.go", "package a\nimport \"syscall\"\n"),
		write(t, folder, "never.go", "//go:build never\n\npackage a\n"),
		write(t, folder, "inside_test.go", "package a\nimport \"testing\"\n"),
		write(t, folder, "outside_test.go", "package a_test\nimport \"x/a\"\n"),
		write(t, folder, "a_amd64.s", "TEXT x(SB), 0, $0\n"),
	}
	o := options{"src": all, "goos": {"linux"}, "goarch": {"amd64"}}
	for tests, expected := range map[string]string{"": "a.go inside_test.go", "external": "outside_test.go"} {
		found, err := readSources(o, tests)
		if err != nil {
			t.Fatal(err)
		}
		names := []string{}
		for _, path := range found.golang {
			names = append(names, filepath.Base(path))
		}
		if got := strings.Join(names, " "); got != expected {
			t.Errorf("%q: got %q, expected %q", tests, got, expected)
		}
		if len(found.asm) != 1 {
			t.Errorf("assembly: %v", found.asm)
		}
	}
}

func TestAMissingDependencyIsNamedWithItsPlace(t *testing.T) {
	folder := t.TempDir()
	source := write(t, folder, "a.go", "package a\n\nimport \"example.com/x\"\n")
	o := options{"src": {source}, "goos": {"linux"}, "goarch": {"amd64"}, "std": {folder}, "label": {"//p:a"}}
	found, err := readSources(o, "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = writeImports(o, found, folder)
	if err == nil {
		t.Fatal("expected an error")
	}
	for _, part := range []string{"a.go:3:8", "`deps` of //p:a", "add \"@go//example.com/x\""} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("no %s in %v", part, err)
		}
	}
}

func TestCgoIsAnError(t *testing.T) {
	source := write(t, t.TempDir(), "a.go", "package a\n\nimport \"C\"\n")
	found := &sources{}
	if err := found.add(source, ""); err == nil || !strings.Contains(err.Error(), "cgo is not supported") {
		t.Errorf("got %v", err)
	}
}

func TestEmbedPatternsMatchAsGoDoes(t *testing.T) {
	for _, test := range []struct {
		pattern, file string
		expected      bool
	}{
		{"a.txt", "a.txt", true},
		{"*.txt", "a.txt", true},
		{"*.txt", "sub/a.txt", false},
		{"sub", "sub/a.txt", true},
		{"sub", "sub/.hidden", false},
		{"all:sub", "sub/.hidden", true},
		{"sub/*", "sub/deep/a.txt", true},
		{"other", "sub/a.txt", false},
	} {
		if got := matches(test.pattern, test.file); got != test.expected {
			t.Errorf("%s, %s: got %v", test.pattern, test.file, got)
		}
	}
}

func TestATestMainCallsTestsOfBothPackages(t *testing.T) {
	folder := t.TempDir()
	o := options{"importpath": {"x/a"}, "out": {filepath.Join(folder, "main.go")}, "src": {
		write(t, folder, "a_test.go", "package a\nfunc TestIn(t *testing.T) {}\nfunc Testable(t *testing.T) {}\n"),
		write(t, folder, "b_test.go", "package a_test\nfunc TestMain(m *testing.M) {}\nfunc BenchmarkOut(b *testing.B) {}\n"),
	}}
	if err := testMain(o); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(o.get("out"))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"internal.TestIn}", "external.BenchmarkOut}", "external.TestMain(m)", `"x/a_test"`} {
		if !strings.Contains(string(text), part) {
			t.Errorf("no %s in\n%s", part, text)
		}
	}
	if strings.Contains(string(text), "Testable") {
		t.Error("Testable is no test")
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
