// The controller is the front door: it asks the model, stores the answer in the ledger, and returns it.
package main

import (
	"log/slog"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	predictionv1 "prediction/protos/prediction/v1"
	"prediction/services/grpcserver"
)

func main() {
	config := grpcserver.FromEnv("controller", "8081")
	server := grpcserver.New(config)
	predictionv1.RegisterControllerServer(server.GRPC, &controller{
		model:  predictionv1.NewModelClient(dial(server.Log, grpcserver.Env("MODEL_ADDR", "localhost:8082"))),
		ledger: predictionv1.NewLedgerClient(dial(server.Log, grpcserver.Env("LEDGER_ADDR", "localhost:8083"))),
		build:  config.Build(),
	})
	if err := server.Run(); err != nil {
		server.Log.Error("ended", "error", err)
		os.Exit(1)
	}
}

// dial names a service to call; the connection is made by the first call and made anew when it breaks.
func dial(log *slog.Logger, address string) *grpc.ClientConn {
	// A callee that is just being replaced refuses connections for a moment; a call's own deadline bounds the wait.
	connection, err := grpc.NewClient(
		address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
		}),
	)
	if err != nil {
		log.Error("not an address", "address", address, "error", err)
		os.Exit(1)
	}
	return connection
}
