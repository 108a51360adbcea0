package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"strings"
)

const (
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	configType   = "application/vnd.oci.image.config.v1+json"
	layerType    = "application/vnd.oci.image.layer.v1.tar"
)

// pushImage pushes a one-file image to a plain-HTTP registry: the kubelet needs a pause image before anything else runs.
func pushImage(arguments []string) error {
	flags := flag.NewFlagSet("image", flag.ExitOnError)
	registry := flags.String("registry", "127.0.0.1:5000", "host and port")
	name := flags.String("name", "", "repository")
	tag := flags.String("tag", "latest", "tag")
	binary := flags.String("binary", "", "the static program that the image runs")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	program, err := os.ReadFile(*binary)
	if err != nil {
		return err
	}
	entry := path.Base(*binary)
	var layer bytes.Buffer
	archive := tar.NewWriter(&layer)
	header := tar.Header{Typeflag: tar.TypeReg, Name: entry, Mode: 0o755, Size: int64(len(program))}
	if err := archive.WriteHeader(&header); err != nil {
		return err
	}
	if _, err := archive.Write(program); err != nil {
		return err
	}
	if err := archive.Close(); err != nil {
		return err
	}

	type object = map[string]any
	config, err := json.Marshal(object{
		"os": "linux", "architecture": "amd64",
		"config": object{"Entrypoint": []string{"/" + entry}, "User": "65532"},
		"rootfs": object{"type": "layers", "diff_ids": []string{digestOf(layer.Bytes())}},
	})
	if err != nil {
		return err
	}
	describe := func(kind string, content []byte) object {
		return object{"mediaType": kind, "digest": digestOf(content), "size": len(content)}
	}
	manifest, err := json.Marshal(object{
		"schemaVersion": 2, "mediaType": manifestType,
		"config": describe(configType, config), "layers": []object{describe(layerType, layer.Bytes())},
	})
	if err != nil {
		return err
	}
	repository := fmt.Sprintf("http://%s/v2/%s", *registry, *name)
	for _, blob := range [][]byte{layer.Bytes(), config} {
		location, err := send("POST", repository+"/blobs/uploads/", "", nil)
		if err != nil {
			return err
		}
		if strings.HasPrefix(location, "/") {
			location = "http://" + *registry + location
		}
		separator := "?"
		if strings.Contains(location, "?") {
			separator = "&"
		}
		if _, err := send("PUT", location+separator+"digest="+digestOf(blob), "application/octet-stream", blob); err != nil {
			return err
		}
	}
	_, err = send("PUT", repository+"/manifests/"+*tag, manifestType, manifest)
	return err
}

func send(method, address, kind string, body []byte) (location string, err error) {
	request, err := http.NewRequest(method, address, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", kind)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	if answer.StatusCode/100 != 2 {
		text, _ := io.ReadAll(answer.Body)
		return "", fmt.Errorf("%s %s: %s: %s", method, address, answer.Status, text)
	}
	return answer.Header.Get("Location"), nil
}

func digestOf(content []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(content)) }
