package main

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	predictionv1 "prediction/protos/prediction/v1"
)

const (
	// callLimit bounds the two calls of one prediction together.
	callLimit = 5 * time.Second
	// textLimit is the longest text taken, in bytes.
	textLimit = 10_000
)

// controller implements the Controller service with a model and a ledger.
type controller struct {
	predictionv1.UnimplementedControllerServer
	model  predictionv1.ModelClient
	ledger predictionv1.LedgerClient
	build  *predictionv1.Build
}

// Predict answers only what the ledger holds: a prediction that cannot be traced is an error.
func (c *controller) Predict(
	ctx context.Context, request *predictionv1.PredictRequest,
) (*predictionv1.PredictResponse, error) {
	if request.Text == "" || len(request.Text) > textLimit {
		return nil, status.Errorf(codes.InvalidArgument, "text must have 1 to %d bytes", textLimit)
	}
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	scored, err := c.model.Score(ctx, &predictionv1.ScoreRequest{Text: request.Text})
	if err != nil {
		return nil, status.Errorf(status.Code(err), "model: %s", status.Convert(err).Message())
	}
	recorded, err := c.ledger.Record(ctx, &predictionv1.RecordRequest{
		Text:       request.Text,
		Prediction: scored.Prediction,
		Builds:     []*predictionv1.Build{scored.Build, c.build},
	})
	if err != nil {
		return nil, status.Errorf(status.Code(err), "ledger: %s", status.Convert(err).Message())
	}
	return &predictionv1.PredictResponse{
		Id:         recorded.Id,
		Prediction: scored.Prediction,
		Model:      scored.Build,
		Controller: c.build,
	}, nil
}
