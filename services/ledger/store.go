package main

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	predictionv1 "prediction/protos/prediction/v1"
)

// errNotFound says that no entry has the id.
var errNotFound = errors.New("no such entry")

// entries is the only bucket. An id starts with the time in big-endian nanoseconds, so key order is time order.
var entries = []byte("entries")

// store keeps entries in one file.
type store struct {
	db  *bolt.DB
	now func() time.Time
}

func openStore(folder string) (*store, error) {
	path := filepath.Join(folder, "ledger.db")
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: 5 * time.Second})
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	create := func(tx *bolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(entries)
		return err
	}
	if err := db.Update(create); err != nil {
		db.Close()
		return nil, fmt.Errorf("prepare %s: %w", path, err)
	}
	return &store{db: db, now: time.Now}, nil
}

func (s *store) close() error { return s.db.Close() }

// record stores the entry under a new id and the present time, which it fills in.
func (s *store) record(entry *predictionv1.Entry) error {
	now := s.now()
	id := append(timeKey(now), make([]byte, 8)...)
	rand.Read(id[8:])
	entry.Id = hex.EncodeToString(id)
	entry.Time = timestamppb.New(now)
	value, err := proto.Marshal(entry)
	if err != nil {
		return err
	}
	return s.db.Update(func(tx *bolt.Tx) error { return tx.Bucket(entries).Put(id, value) })
}

func (s *store) get(id string) (*predictionv1.Entry, error) {
	key, err := hex.DecodeString(id)
	if err != nil {
		return nil, errNotFound
	}
	var entry *predictionv1.Entry
	err = s.db.View(func(tx *bolt.Tx) error {
		value := tx.Bucket(entries).Get(key)
		if value == nil {
			return errNotFound
		}
		entry, err = decode(value)
		return err
	})
	return entry, err
}

// list returns entries with start <= time < end, oldest first. A zero end means no end.
func (s *store) list(start, end time.Time, limit int) ([]*predictionv1.Entry, error) {
	var list []*predictionv1.Entry
	err := s.db.View(func(tx *bolt.Tx) error {
		cursor := tx.Bucket(entries).Cursor()
		for key, value := cursor.Seek(timeKey(start)); key != nil && len(list) < limit; key, value = cursor.Next() {
			if !end.IsZero() && string(key[:8]) >= string(timeKey(end)) {
				return nil
			}
			entry, err := decode(value)
			if err != nil {
				return err
			}
			list = append(list, entry)
		}
		return nil
	})
	return list, err
}

func decode(value []byte) (*predictionv1.Entry, error) {
	entry := &predictionv1.Entry{}
	if err := proto.Unmarshal(value, entry); err != nil {
		return nil, fmt.Errorf("decode an entry: %w", err)
	}
	return entry, nil
}

func timeKey(at time.Time) []byte {
	var nanoseconds uint64
	if at.Unix() > 0 {
		nanoseconds = uint64(at.UnixNano())
	}
	return binary.BigEndian.AppendUint64(nil, nanoseconds)
}
