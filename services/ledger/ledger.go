package main

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	predictionv1 "prediction/protos/prediction/v1"
)

const (
	defaultLimit = 100
	maximumLimit = 1000
)

// ledger implements the Ledger service on a store.
type ledger struct {
	predictionv1.UnimplementedLedgerServer
	store *store
	build *predictionv1.Build
}

// Record adds the ledger's own build to those that took part.
func (l *ledger) Record(_ context.Context, r *predictionv1.RecordRequest) (*predictionv1.RecordResponse, error) {
	if r.Prediction == nil {
		return nil, status.Error(codes.InvalidArgument, "prediction is not set")
	}
	entry := &predictionv1.Entry{Text: r.Text, Prediction: r.Prediction, Builds: append(r.Builds, l.build)}
	if err := l.store.record(entry); err != nil {
		return nil, status.Errorf(codes.Internal, "store the entry: %v", err)
	}
	return &predictionv1.RecordResponse{Id: entry.Id, Time: entry.Time}, nil
}

func (l *ledger) Get(_ context.Context, r *predictionv1.GetRequest) (*predictionv1.GetResponse, error) {
	entry, err := l.store.get(r.Id)
	switch {
	case errors.Is(err, errNotFound):
		return nil, status.Errorf(codes.NotFound, "no entry %q", r.Id)
	case err != nil:
		return nil, status.Errorf(codes.Internal, "read the entry: %v", err)
	}
	return &predictionv1.GetResponse{Entry: entry}, nil
}

func (l *ledger) List(_ context.Context, r *predictionv1.ListRequest) (*predictionv1.ListResponse, error) {
	limit := int(r.Limit)
	switch {
	case limit < 0:
		return nil, status.Error(codes.InvalidArgument, "limit is negative")
	case limit == 0:
		limit = defaultLimit
	}
	found, err := l.store.list(instant(r.Start), instant(r.End), min(limit, maximumLimit))
	if err != nil {
		return nil, status.Errorf(codes.Internal, "list the entries: %v", err)
	}
	return &predictionv1.ListResponse{Entries: found}, nil
}

func instant(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}
