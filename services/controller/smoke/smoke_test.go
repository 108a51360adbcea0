// Package smoke asks a running system for one prediction and follows its trace. The addresses come from
// CONTROLLER_ADDR and LEDGER_ADDR; without them the test fails, since it would have tested nothing.
package smoke

import (
	"context"
	"os"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	predictionv1 "prediction/protos/prediction/v1"
)

func TestAPredictionCanBeTraced(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	const text = "what a lovely day"

	controller := predictionv1.NewControllerClient(connect(t, "CONTROLLER_ADDR"))
	answer, err := controller.Predict(ctx, &predictionv1.PredictRequest{Text: text}, grpc.WaitForReady(true))
	if err != nil {
		t.Fatalf("predict: %v", err)
	}
	if answer.Prediction.GetLabel() != "positive" {
		t.Errorf("%q is %v, expected positive", text, answer.Prediction)
	}

	ledger := predictionv1.NewLedgerClient(connect(t, "LEDGER_ADDR"))
	found, err := ledger.Get(ctx, &predictionv1.GetRequest{Id: answer.Id}, grpc.WaitForReady(true))
	if err != nil {
		t.Fatalf("the prediction is not in the ledger: %v", err)
	}
	entry := found.Entry
	if entry.Text != text || !proto.Equal(entry.Prediction, answer.Prediction) {
		t.Errorf("the ledger has %v, the answer was %v", entry, answer)
	}
	if len(entry.Builds) == 0 || !proto.Equal(entry.Builds[0], answer.Model) || answer.Model.GetCodeVersion() == "" {
		t.Errorf("the ledger names the builds %v, the model was %v", entry.Builds, answer.Model)
	}
}

func connect(t *testing.T, variable string) *grpc.ClientConn {
	t.Helper()
	address := os.Getenv(variable)
	if address == "" {
		t.Fatalf("%s is not set: this test runs against an environment, as part of a deploy", variable)
	}
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	t.Cleanup(func() { connection.Close() })
	return connection
}
