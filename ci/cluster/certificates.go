package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"flag"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// identity is a client of the API server. Kubernetes takes the user from the common name and groups from organisations.
type identity struct{ file, user, group string }

const node = "node-0"

var identities = []identity{
	{"admin", "admin", "system:masters"},
	{"controller-manager", "system:kube-controller-manager", ""},
	{"scheduler", "system:kube-scheduler", ""},
	{"proxy", "system:kube-proxy", ""},
	{"kubelet", "system:node:" + node, "system:nodes"},
}

// authority signs all certificates of one cluster. They are valid for a day.
type authority struct {
	folder      string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	encoded     []byte
}

// writeCertificates writes ca.crt, ca.key, serving certificates, the service account key pair, and a kubeconfig for each
// identity, whose context is called by the -context flag.
func writeCertificates(arguments []string) error {
	flags := flag.NewFlagSet("certificates", flag.ExitOnError)
	folder := flags.String("dir", "pki", "where to write")
	names := flags.String("names", "127.0.0.1,localhost", "names and addresses of the API server and the node")
	kubeContext := flags.String("context", "minikube", "name of the context in the kubeconfigs")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if err := os.MkdirAll(*folder, 0o700); err != nil {
		return err
	}
	a, err := newAuthority(*folder)
	if err != nil {
		return err
	}
	served := strings.Split(*names, ",")
	for _, server := range []identity{{"apiserver", "kube-apiserver", ""}, {"kubelet-serving", node, ""}} {
		if _, err := a.issue(server, served); err != nil {
			return err
		}
	}
	if _, err := a.issue(identity{"apiserver-kubelet-client", "apiserver", "system:masters"}, nil); err != nil {
		return err
	}
	for _, client := range identities {
		key, err := a.issue(client, nil)
		if err != nil {
			return err
		}
		if err := a.kubeconfig(client.file, *kubeContext, key); err != nil {
			return err
		}
	}
	return a.serviceAccountKeys()
}

func newAuthority(folder string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "test cluster"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	a := &authority{folder: folder, certificate: parsed, key: key, encoded: encode("CERTIFICATE", der)}
	if err := a.write("ca.crt", a.encoded); err != nil {
		return nil, err
	}
	return a, a.writeKey("ca.key", key)
}

// issued is a certificate and its key, both PEM.
type issued struct{ certificate, key []byte }

func (a *authority) issue(who identity, names []string) (issued, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return issued{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 96))
	if err != nil {
		return issued{}, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: who.user},
		NotBefore:    a.certificate.NotBefore,
		NotAfter:     a.certificate.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	if who.group != "" {
		template.Subject.Organization = []string{who.group}
	}
	for _, name := range names {
		if address := net.ParseIP(name); address != nil {
			template.IPAddresses = append(template.IPAddresses, address)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return issued{}, err
	}
	encodedKey, err := encodeKey(key)
	if err != nil {
		return issued{}, err
	}
	result := issued{encode("CERTIFICATE", der), encodedKey}
	if err := a.write(who.file+".crt", result.certificate); err != nil {
		return issued{}, err
	}
	return result, a.write(who.file+".key", result.key)
}

func (a *authority) serviceAccountKeys() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	if err := a.write("sa.pub", encode("PUBLIC KEY", public)); err != nil {
		return err
	}
	return a.writeKey("sa.key", key)
}

func (a *authority) kubeconfig(file, name string, client issued) error {
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: %[1]s
contexts:
- {name: %[1]s, context: {cluster: %[1]s, user: %[1]s}}
clusters:
- name: %[1]s
  cluster: {server: "https://127.0.0.1:6443", certificate-authority-data: %[2]s}
users:
- name: %[1]s
  user: {client-certificate-data: %[3]s, client-key-data: %[4]s}
`, name, base64.StdEncoding.EncodeToString(a.encoded), base64.StdEncoding.EncodeToString(client.certificate),
		base64.StdEncoding.EncodeToString(client.key))
	return a.write(file+".kubeconfig", []byte(text))
}

func (a *authority) writeKey(file string, key *ecdsa.PrivateKey) error {
	encoded, err := encodeKey(key)
	if err != nil {
		return err
	}
	return a.write(file, encoded)
}

func (a *authority) write(file string, content []byte) error {
	return os.WriteFile(filepath.Join(a.folder, file), content, 0o600)
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	return encode("EC PRIVATE KEY", der), err
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
