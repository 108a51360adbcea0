// The ledger stores every prediction with its input and the code that made it, and answers by id and by time.
package main

import (
	"os"

	predictionv1 "prediction/protos/prediction/v1"
	"prediction/services/grpcserver"
)

func main() {
	config := grpcserver.FromEnv("ledger", "8083")
	server := grpcserver.New(config)
	store, err := openStore(grpcserver.Env("DATA_DIR", "/data"))
	if err != nil {
		server.Log.Error("cannot start", "error", err)
		os.Exit(1)
	}
	predictionv1.RegisterLedgerServer(server.GRPC, &ledger{store: store, build: config.Build()})
	err = server.Run()
	store.close()
	if err != nil {
		server.Log.Error("ended", "error", err)
		os.Exit(1)
	}
}
