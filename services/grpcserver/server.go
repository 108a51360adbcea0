// Package grpcserver runs a gRPC server the way every Go service here does: health, reflection, structured logs,
// metrics, and a graceful end on SIGTERM. A service registers its implementation and knows no more.
package grpcserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os/signal"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
)

// shutdownLimit is how long running calls may take once the end was asked for.
const shutdownLimit = 10 * time.Second

// Server is a service before it runs.
type Server struct {
	// GRPC takes the service's registration.
	GRPC *grpc.Server
	// Log is the service's logger.
	Log *slog.Logger

	config  Config
	health  *health.Server
	metrics *Metrics
}

// New makes a server that serves nothing but health and reflection yet.
func New(config Config) *Server {
	log := newLogger(config)
	metrics := NewMetrics()
	server := &Server{Log: log, config: config, health: health.NewServer(), metrics: metrics}
	server.GRPC = grpc.NewServer(grpc.UnaryInterceptor(observe(log, metrics)))
	healthv1.RegisterHealthServer(server.GRPC, server.health)
	reflection.Register(server.GRPC)
	return server
}

// Run serves until SIGTERM or SIGINT, then lets running calls end.
func (s *Server) Run() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	listener, err := net.Listen("tcp", net.JoinHostPort("", s.config.Port))
	if err != nil {
		return fmt.Errorf("listen for gRPC: %w", err)
	}
	return s.serve(ctx, listener)
}

func (s *Server) serve(ctx context.Context, listener net.Listener) error {
	metrics, err := s.serveMetrics()
	if err != nil {
		return err
	}
	defer metrics.Close()

	failed := make(chan error, 1)
	go func() { failed <- s.GRPC.Serve(listener) }()
	s.Log.Info("serving", "address", listener.Addr().String(), "code_version", s.config.CodeVersion,
		"image_digest", s.config.ImageDigest)
	select {
	case err := <-failed:
		return fmt.Errorf("serve gRPC: %w", err)
	case <-ctx.Done():
	}
	s.stop()
	return nil
}

// stop says NOT_SERVING first, so that no new call is sent here while the running ones end.
func (s *Server) stop() {
	s.Log.Info("stopping")
	s.health.Shutdown()
	hard := time.AfterFunc(shutdownLimit, s.GRPC.Stop)
	defer hard.Stop()
	s.GRPC.GracefulStop()
	s.Log.Info("stopped")
}

func (s *Server) serveMetrics() (*http.Server, error) {
	server := &http.Server{Handler: s.metrics, ReadHeaderTimeout: 5 * time.Second}
	if s.config.MetricsPort == "" {
		return server, nil
	}
	listener, err := net.Listen("tcp", net.JoinHostPort("", s.config.MetricsPort))
	if err != nil {
		return nil, fmt.Errorf("listen for metrics: %w", err)
	}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.Log.Error("metrics ended", "error", err)
		}
	}()
	return server, nil
}
