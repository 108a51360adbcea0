package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// options are the arguments of a command.
type options map[string][]string

func parse(args []string) (options, error) {
	parsed := options{}
	for _, arg := range args {
		name, value, found := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		if !found || !strings.HasPrefix(arg, "--") {
			return nil, fmt.Errorf("%q is not of the form --name=value", arg)
		}
		parsed[name] = append(parsed[name], value)
	}
	return parsed, nil
}

// get is the value of an option that is given at most once; empty when it is not given.
func (o options) get(name string) string {
	if values := o[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// pairs reads values of the form key=value.
func (o options) pairs(name string) map[string]string {
	pairs := map[string]string{}
	for _, value := range o[name] {
		key, value, _ := strings.Cut(value, "=")
		pairs[key] = value
	}
	return pairs
}

// zip reads two lists whose values belong together one by one, so that either may hold any character.
func (o options) zip(names, values string) map[string]string {
	pairs := map[string]string{}
	for i, name := range o[names] {
		pairs[name] = o[values][i]
	}
	return pairs
}

// checkRelease says when sources ask for a newer Go than the distribution's, or were chosen for another one.
func (o options) checkRelease() error {
	own := release(runtime.Version())
	if wanted := release(o.get("lang")); wanted > own {
		return fmt.Errorf("%s: its go.mod says `go %s`, but the Go of `@toolchains//:go` is %s: take a newer one, or a lower "+
			"`go` line", o.get("label"), o.get("lang"), runtime.Version())
	}
	if chosen := o.get("release"); chosen != "" && release(chosen) != own {
		return fmt.Errorf("%s: its files were chosen for Go %s, but the Go of `@toolchains//:go` is %s: write `release = "+
			"\"1.%d\"` into go_modules() in WORKSPACE.star", o.get("label"), chosen, runtime.Version(), own)
	}
	return nil
}

// release is the 26 of `go1.26.1`, `1.26rc1` and `1.26`; 0 when it is none.
func release(version string) int {
	_, minor, _ := strings.Cut(version, ".")
	number := 0
	for _, digit := range minor {
		if digit < '0' || digit > '9' {
			break
		}
		number = 10*number + int(digit-'0')
	}
	return number
}

// tool is a program of the Go distribution, for the machine that this runs on.
func (o options) tool(name string) string {
	return filepath.Join(o.get("goroot"), "pkg", "tool", runtime.GOOS+"_"+runtime.GOARCH, name)
}

// environment is what the tools see.
func (o options) environment() []string {
	return []string{"GOOS=" + o.get("goos"), "GOARCH=" + o.get("goarch"), "GOROOT=" + o.get("goroot")}
}

// files expands the folders among paths to the files below them, in order.
func files(paths []string) ([]string, error) {
	var list []string
	for _, path := range paths {
		err := filepath.WalkDir(path, func(path string, entry os.DirEntry, err error) error {
			if err == nil && !entry.IsDir() {
				list = append(list, path)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}
