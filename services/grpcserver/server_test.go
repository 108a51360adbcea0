package grpcserver

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

func TestServesHealthAndEndsWhenAsked(t *testing.T) {
	server := New(Config{Service: "test"})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.serve(ctx, listener) }()

	connection, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	response, err := healthv1.NewHealthClient(connection).Check(t.Context(), &healthv1.HealthCheckRequest{})
	if err != nil || response.Status != healthv1.HealthCheckResponse_SERVING {
		t.Fatalf("health: %v, %v", response, err)
	}

	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the server did not end")
	}
}

func TestMetricsAreInPrometheusFormat(t *testing.T) {
	metrics := NewMetrics()
	metrics.Observe("/p.S/M", "OK", 2*time.Millisecond)
	metrics.Observe("/p.S/M", "NotFound", 2*time.Second)
	var text strings.Builder
	metrics.write(&text)
	for _, line := range []string{
		`grpc_server_handled_total{method="/p.S/M",code="OK"} 1`,
		`grpc_server_handling_seconds_bucket{method="/p.S/M",le="0.005"} 1`,
		`grpc_server_handling_seconds_bucket{method="/p.S/M",le="+Inf"} 2`,
		`grpc_server_handling_seconds_count{method="/p.S/M"} 2`,
	} {
		if !strings.Contains(text.String(), line+"\n") {
			t.Errorf("no line %s in\n%s", line, text.String())
		}
	}
}
