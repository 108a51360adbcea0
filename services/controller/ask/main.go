// Ask sends one text to the controller and prints the answer and where it came from.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	predictionv1 "prediction/protos/prediction/v1"
	"prediction/services/grpcserver"
)

func main() {
	address := flag.String("address", grpcserver.Env("CONTROLLER_ADDR", "localhost:8081"), "the controller's host:port")
	text := flag.String("text", "", "the text to judge")
	timeout := flag.Duration("timeout", 10*time.Second, "how long to wait for the answer")
	flag.Parse()
	if *text == "" {
		fmt.Fprintln(os.Stderr, "ask: --text is missing, for example: ask --text 'what a lovely day'")
		os.Exit(2)
	}
	if err := ask(os.Stdout, *address, *text, *timeout); err != nil {
		fmt.Fprintf(os.Stderr, "ask: %s: %v\n", *address, err)
		os.Exit(1)
	}
}

func ask(out io.Writer, address, text string, timeout time.Duration) error {
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	request := &predictionv1.PredictRequest{Text: text}
	response, err := predictionv1.NewControllerClient(connection).Predict(ctx, request, grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	prediction := response.Prediction
	fmt.Fprintf(out, "%s (%.3f)\n", prediction.GetLabel(), prediction.GetScore())
	fmt.Fprintf(out, "  id          %s\n", response.Id)
	fmt.Fprintf(out, "  model       %s\n", prediction.GetModelVersion())
	for _, build := range []*predictionv1.Build{response.Model, response.Controller} {
		code, image := build.GetCodeVersion(), orNone(build.GetImageDigest())
		fmt.Fprintf(out, "  %-11s code %s image %s\n", build.GetService(), code, image)
	}
	return nil
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}
