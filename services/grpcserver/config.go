package grpcserver

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"os"

	predictionv1 "prediction/protos/prediction/v1"
)

// Config is what every service takes from its environment.
type Config struct {
	// Service is the service's name in logs and in the ledger.
	Service string
	// Port is the gRPC port (GRPC_PORT).
	Port string
	// MetricsPort is the HTTP port of /metrics (METRICS_PORT); empty for none.
	MetricsPort string
	// CodeVersion says what code runs (CODE_VERSION); the content hash of the executable when not set.
	CodeVersion string
	// ImageDigest is the digest of the running image (IMAGE_DIGEST).
	ImageDigest string
}

// FromEnv reads the configuration of a service with the given name and default port.
func FromEnv(service, port string) Config {
	config := Config{
		Service:     service,
		Port:        Env("GRPC_PORT", port),
		MetricsPort: Env("METRICS_PORT", "9090"),
		CodeVersion: os.Getenv("CODE_VERSION"),
		ImageDigest: os.Getenv("IMAGE_DIGEST"),
	}
	if config.CodeVersion == "" {
		config.CodeVersion = executableHash()
	}
	return config
}

// Build is the configuration's answer to "what code was that?".
func (c Config) Build() *predictionv1.Build {
	return &predictionv1.Build{Service: c.Service, CodeVersion: c.CodeVersion, ImageDigest: c.ImageDigest}
}

// Env is an environment variable, or a fallback when it is not set.
func Env(name, fallback string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return fallback
}

func newLogger(config Config) *slog.Logger {
	return slog.New(slog.NewJSONHandler(os.Stdout, nil)).With("service", config.Service)
}

// executableHash is equal wherever the same program runs, since builds are reproducible.
func executableHash() string {
	path, err := os.Executable()
	if err != nil {
		return ""
	}
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return ""
	}
	return hex.EncodeToString(hash.Sum(nil))[:16]
}
