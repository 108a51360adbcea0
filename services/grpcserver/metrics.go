package grpcserver

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

// buckets are the upper bounds of the latency histogram, in seconds.
var buckets = []float64{0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5}

// Metrics counts calls and serves the counts in Prometheus' text format.
type Metrics struct {
	mutex   sync.Mutex
	methods map[string]*method
}

type method struct {
	codes   map[string]uint64
	buckets []uint64
	seconds float64
	count   uint64
}

// NewMetrics has counted nothing yet.
func NewMetrics() *Metrics {
	return &Metrics{methods: map[string]*method{}}
}

// Observe counts one call.
func (m *Metrics) Observe(name, code string, took time.Duration) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	entry := m.methods[name]
	if entry == nil {
		entry = &method{codes: map[string]uint64{}, buckets: make([]uint64, len(buckets))}
		m.methods[name] = entry
	}
	entry.codes[code]++
	entry.count++
	entry.seconds += took.Seconds()
	for i, bound := range buckets {
		if took.Seconds() <= bound {
			entry.buckets[i]++
		}
	}
}

// ServeHTTP answers GET /metrics.
func (m *Metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/metrics" {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	m.write(w)
}

func (m *Metrics) write(w io.Writer) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	names := slices.Sorted(maps.Keys(m.methods))
	fmt.Fprintln(w, "# TYPE grpc_server_handled_total counter")
	for _, name := range names {
		entry := m.methods[name]
		for _, code := range slices.Sorted(maps.Keys(entry.codes)) {
			fmt.Fprintf(w, "grpc_server_handled_total{method=%q,code=%q} %d\n", name, code, entry.codes[code])
		}
	}
	fmt.Fprintln(w, "# TYPE grpc_server_handling_seconds histogram")
	for _, name := range names {
		m.methods[name].writeHistogram(w, name)
	}
}

func (m *method) writeHistogram(w io.Writer, name string) {
	for i, bound := range buckets {
		le := strconv.FormatFloat(bound, 'g', -1, 64)
		fmt.Fprintf(w, "grpc_server_handling_seconds_bucket{method=%q,le=%q} %d\n", name, le, m.buckets[i])
	}
	fmt.Fprintf(w, "grpc_server_handling_seconds_bucket{method=%q,le=\"+Inf\"} %d\n", name, m.count)
	fmt.Fprintf(w, "grpc_server_handling_seconds_sum{method=%q} %g\n", name, m.seconds)
	fmt.Fprintf(w, "grpc_server_handling_seconds_count{method=%q} %d\n", name, m.count)
}

// observe logs and counts every unary call.
func observe(log *slog.Logger, metrics *Metrics) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		start := time.Now()
		response, err := handler(ctx, request)
		took := time.Since(start)
		code := status.Code(err).String()
		metrics.Observe(info.FullMethod, code, took)
		level := slog.LevelInfo
		if err != nil {
			level = slog.LevelError
		}
		if info.FullMethod != "/grpc.health.v1.Health/Check" || err != nil {
			log.Log(ctx, level, "call", "method", info.FullMethod, "code", code, "ms", took.Milliseconds(), "error", err)
		}
		return response, err
	}
}
