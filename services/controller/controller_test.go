package main

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	predictionv1 "prediction/protos/prediction/v1"
)

type fakeModel struct{ err error }

func (m fakeModel) Score(
	context.Context, *predictionv1.ScoreRequest, ...grpc.CallOption,
) (*predictionv1.ScoreResponse, error) {
	return &predictionv1.ScoreResponse{
		Prediction: &predictionv1.Prediction{Label: "positive", Score: 0.8, ModelVersion: "m1"},
		Build:      &predictionv1.Build{Service: "model", CodeVersion: "c1"},
	}, m.err
}

type fakeLedger struct {
	predictionv1.LedgerClient
	recorded *predictionv1.RecordRequest
	err      error
}

func (l *fakeLedger) Record(
	_ context.Context, request *predictionv1.RecordRequest, _ ...grpc.CallOption,
) (*predictionv1.RecordResponse, error) {
	l.recorded = request
	return &predictionv1.RecordResponse{Id: "id1"}, l.err
}

func TestAPredictionIsRecordedWithAllBuilds(t *testing.T) {
	ledger := &fakeLedger{}
	c := &controller{model: fakeModel{}, ledger: ledger, build: &predictionv1.Build{Service: "controller"}}
	response, err := c.Predict(t.Context(), &predictionv1.PredictRequest{Text: "good"})
	if err != nil {
		t.Fatal(err)
	}
	if response.Id != "id1" || response.Prediction.Label != "positive" || response.Model.CodeVersion != "c1" {
		t.Errorf("got %v", response)
	}
	builds := ledger.recorded.Builds
	if ledger.recorded.Text != "good" || len(builds) != 2 || builds[0].Service != "model" ||
		builds[1].Service != "controller" {
		t.Errorf("recorded %v", ledger.recorded)
	}
}

func TestErrorsNameTheirService(t *testing.T) {
	down := status.Error(codes.Unavailable, "down")
	for _, test := range []struct {
		name     string
		text     string
		model    error
		ledger   error
		code     codes.Code
		expected string
	}{
		{"empty text", "", nil, nil, codes.InvalidArgument, "text must have"},
		{"long text", strings.Repeat("x", textLimit+1), nil, nil, codes.InvalidArgument, "text must have"},
		{"no model", "good", down, nil, codes.Unavailable, "model: down"},
		{"no ledger", "good", nil, down, codes.Unavailable, "ledger: down"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := &controller{model: fakeModel{test.model}, ledger: &fakeLedger{err: test.ledger}}
			_, err := c.Predict(t.Context(), &predictionv1.PredictRequest{Text: test.text})
			if status.Code(err) != test.code || !strings.Contains(err.Error(), test.expected) {
				t.Errorf("got %v", err)
			}
		})
	}
}
