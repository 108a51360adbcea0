// Package integration starts the three services as programs and asks them, as a client would.
package integration

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/status"

	predictionv1 "prediction/protos/prediction/v1"
)

// system is the three services on loopback ports. CONTROLLER, MODEL and LEDGER name the programs.
type system struct {
	controller, model, ledger *service
}

type service struct {
	process    *exec.Cmd
	log        bytes.Buffer
	connection *grpc.ClientConn
	metrics    string
}

func startSystem(t *testing.T) system {
	t.Helper()
	ledger := start(t, "LEDGER", "DATA_DIR="+t.TempDir())
	model := start(t, "MODEL")
	controller := start(t, "CONTROLLER",
		"MODEL_ADDR="+model.connection.Target(), "LEDGER_ADDR="+ledger.connection.Target())
	return system{controller, model, ledger}
}

// start runs the program that the variable names until the test ends, and waits for its health service.
func start(t *testing.T, variable string, env ...string) *service {
	t.Helper()
	program := os.Getenv(variable)
	if program == "" {
		t.Fatalf("%s is not set; it names the program to start", variable)
	}
	port, metrics := freePort(t), freePort(t)
	s := &service{process: exec.Command(program), metrics: "http://127.0.0.1:" + metrics + "/metrics"}
	s.process.Dir = os.Getenv("RUNFILES_DIR")
	s.process.Env = append(os.Environ(), "GRPC_PORT="+port, "METRICS_PORT="+metrics, "IMAGE_DIGEST=sha256:"+variable)
	s.process.Env = append(s.process.Env, env...)
	s.process.Stdout, s.process.Stderr = &s.log, &s.log
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.stop(t, variable) })
	s.connect(t, "127.0.0.1:"+port)
	return s
}

func (s *service) connect(t *testing.T, address string) {
	t.Helper()
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	s.connection = connection
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	health := healthv1.NewHealthClient(connection)
	response, err := health.Check(ctx, &healthv1.HealthCheckRequest{}, grpc.WaitForReady(true))
	if err != nil || response.Status != healthv1.HealthCheckResponse_SERVING {
		t.Fatalf("health: %v, %v", response, err)
	}
}

// stop sends SIGTERM and expects a clean end.
func (s *service) stop(t *testing.T, name string) {
	s.connection.Close()
	s.process.Process.Signal(syscall.SIGTERM)
	hard := time.AfterFunc(10*time.Second, func() { s.process.Process.Kill() })
	defer hard.Stop()
	if err := s.process.Wait(); err != nil {
		t.Errorf("%s did not end cleanly: %v", name, err)
	}
	if t.Failed() {
		t.Logf("%s:\n%s", name, s.log.String())
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return fmt.Sprint(listener.Addr().(*net.TCPAddr).Port)
}

func TestAPredictionIsAnsweredAndTraced(t *testing.T) {
	s := startSystem(t)
	controller := predictionv1.NewControllerClient(s.controller.connection)
	ledger := predictionv1.NewLedgerClient(s.ledger.connection)
	for text, label := range map[string]string{
		"what a wonderful day, I love it":     "positive",
		"this is terrible, I am disappointed": "negative",
	} {
		answer, err := controller.Predict(t.Context(), &predictionv1.PredictRequest{Text: text})
		if err != nil {
			t.Fatal(err)
		}
		if answer.Prediction.Label != label || answer.Prediction.ModelVersion == "" {
			t.Errorf("%q: got %v", text, answer.Prediction)
		}
		if answer.Model.CodeVersion == "" || answer.Model.ImageDigest != "sha256:MODEL" {
			t.Errorf("model: %v", answer.Model)
		}
		found, err := ledger.Get(t.Context(), &predictionv1.GetRequest{Id: answer.Id})
		if err != nil {
			t.Fatal(err)
		}
		if found.Entry.Text != text || found.Entry.Prediction.Score != answer.Prediction.Score {
			t.Errorf("the ledger has %v", found.Entry)
		}
		if len(found.Entry.Builds) != 3 {
			t.Errorf("builds: %v", found.Entry.Builds)
		}
	}
	listed, err := ledger.List(t.Context(), &predictionv1.ListRequest{})
	if err != nil || len(listed.Entries) != 2 {
		t.Errorf("list: %v, %v", listed, err)
	}
}

func TestAMissingServiceIsNamed(t *testing.T) {
	controller := start(t, "CONTROLLER", "MODEL_ADDR=127.0.0.1:1", "LEDGER_ADDR=127.0.0.1:1")
	client := predictionv1.NewControllerClient(controller.connection)
	_, err := client.Predict(t.Context(), &predictionv1.PredictRequest{Text: "hello"})
	// The controller waits for a callee as long as a call may take: it may just be replaced.
	if status.Code(err) != codes.DeadlineExceeded || !strings.Contains(err.Error(), "model:") {
		t.Errorf("got %v", err)
	}
}

func TestEveryServiceHasReflectionAndMetrics(t *testing.T) {
	s := startSystem(t)
	for name, service := range map[string]*service{
		"prediction.v1.Controller": s.controller, "prediction.v1.Model": s.model, "prediction.v1.Ledger": s.ledger,
	} {
		if services := reflected(t, service.connection); !strings.Contains(services, name) {
			t.Errorf("%s: reflection knows %q", name, services)
		}
		response, err := http.Get(service.metrics)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if !strings.Contains(string(text), `grpc_server_handled_total{method="/grpc.health.v1.Health/Check",code="OK"} 1`) {
			t.Errorf("%s: metrics are\n%s", name, text)
		}
	}
}

func reflected(t *testing.T, connection *grpc.ClientConn) string {
	t.Helper()
	stream, err := reflectionv1alpha.NewServerReflectionClient(connection).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	list := &reflectionv1alpha.ServerReflectionRequest{
		MessageRequest: &reflectionv1alpha.ServerReflectionRequest_ListServices{ListServices: ""},
	}
	if err := stream.Send(list); err != nil {
		t.Fatal(err)
	}
	response, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	stream.CloseSend()
	names := []string{}
	for _, service := range response.GetListServicesResponse().GetService() {
		names = append(names, service.Name)
	}
	return strings.Join(names, " ")
}
