package main

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	predictionv1 "prediction/protos/prediction/v1"
)

// open makes a ledger in a folder of the test; its clock moves a second with each entry.
func open(t *testing.T) *ledger {
	t.Helper()
	store, err := openStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.close() })
	clock := time.Unix(1_000, 0)
	store.now = func() time.Time {
		clock = clock.Add(time.Second)
		return clock
	}
	return &ledger{store: store, build: &predictionv1.Build{Service: "ledger", CodeVersion: "l1"}}
}

func record(t *testing.T, l *ledger, text string) string {
	t.Helper()
	response, err := l.Record(t.Context(), &predictionv1.RecordRequest{
		Text:       text,
		Prediction: &predictionv1.Prediction{Label: "positive", Score: 0.9, ModelVersion: "m1"},
		Builds:     []*predictionv1.Build{{Service: "model", CodeVersion: "c1", ImageDigest: "sha256:1"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return response.Id
}

func TestAnEntryIsFoundByItsID(t *testing.T) {
	l := open(t)
	record(t, l, "first")
	id := record(t, l, "second")
	response, err := l.Get(t.Context(), &predictionv1.GetRequest{Id: id})
	if err != nil {
		t.Fatal(err)
	}
	entry := response.Entry
	if entry.Text != "second" || entry.Prediction.ModelVersion != "m1" || entry.Id != id {
		t.Errorf("got %v", entry)
	}
	if len(entry.Builds) != 2 || entry.Builds[0].ImageDigest != "sha256:1" || entry.Builds[1].CodeVersion != "l1" {
		t.Errorf("builds: %v", entry.Builds)
	}
}

func TestUnknownIDsAreNotFound(t *testing.T) {
	l := open(t)
	for _, id := range []string{"", "00ff", "not hex"} {
		_, err := l.Get(t.Context(), &predictionv1.GetRequest{Id: id})
		if status.Code(err) != codes.NotFound {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestEntriesAreListedByTime(t *testing.T) {
	l := open(t)
	for _, text := range []string{"a", "b", "c", "d"} {
		record(t, l, text)
	}
	at := func(second int64) *timestamppb.Timestamp { return timestamppb.New(time.Unix(second, 0)) }
	for _, test := range []struct {
		request  *predictionv1.ListRequest
		expected string
	}{
		{&predictionv1.ListRequest{}, "abcd"},
		{&predictionv1.ListRequest{Start: at(1_002), End: at(1_004)}, "bc"},
		{&predictionv1.ListRequest{Start: at(1_003)}, "cd"},
		{&predictionv1.ListRequest{Limit: 1}, "a"},
		{&predictionv1.ListRequest{Start: at(2_000)}, ""},
	} {
		response, err := l.List(t.Context(), test.request)
		if err != nil {
			t.Fatal(err)
		}
		texts := ""
		for _, entry := range response.Entries {
			texts += entry.Text
		}
		if texts != test.expected {
			t.Errorf("%v: got %q, expected %q", test.request, texts, test.expected)
		}
	}
}
