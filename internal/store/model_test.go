package store

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"
)

// model is the store without a bound: what must be found, where room is no matter.
type model map[uint64]*Item[value]

// play runs a program of five-byte steps on a store and a model. With room the two
// must agree at each step; without it the store may lack items, and what it lacks
// it lacks until it is put again.
func play(t *testing.T, program []byte, maxBytes int64, roomy bool) {
	t.Helper()
	s := newStore(t, maxBytes)
	m := make(model)
	for step := 0; len(program) >= 5; step++ {
		op, n, born, cost := program[0]%16, program[1], int64(program[2]), int64(binary.LittleEndian.Uint16(program[3:]))
		program = program[5:]
		// Shards and sets of the first level are few here, so that neighbours meet.
		hash := hashIn(int(n%2), int(n/2%16))
		switch {
		case op < 8:
			it := item(hash, born, cost)
			if op == 7 {
				it.Expires = now() + int64(time.Hour)
			}
			old := m[hash]
			ok := s.Put(it)
			later := old != nil && old.Born > born
			if roomy && ok == later {
				t.Fatalf("step %d: Put = %v, over %v", step, ok, old)
			}
			if ok {
				m[hash] = it
			} else if !later {
				delete(m, hash)
			}
		case op < 11:
			if it := m[hash]; it != nil {
				s.Delete(it)
				delete(m, hash)
			}
		case op == 11:
			s.Delete(item(hash, born, cost))
		case op == 12 && born < 16:
			s.Clear()
			clear(m)
		case op == 13:
			settle(s)
		default:
		}
		got := s.Find(hash)
		if got != m[hash] && (roomy || got != nil) {
			t.Fatalf("step %d: Find(%d) = %v, want %v", step, hash, got, m[hash])
		}
		if got == nil {
			delete(m, hash)
		}
		if used := s.bytes.Load(); used > maxBytes {
			t.Fatalf("step %d: %d bytes", step, used)
		}
		checkSet(t, s, hash)
	}
	checkSettled(t, s)
	for hash, want := range m {
		if got := s.Find(hash); got != want && (roomy || got != nil) {
			t.Errorf("at the end: Find(%d) = %v, want %v", hash, got, want)
		}
	}
}

// checkSet verifies that the set of hash holds stored items only.
func checkSet(t *testing.T, s *Store[value], hash uint64) {
	t.Helper()
	h := s.shard(hash)
	h.mu.Lock()
	defer h.mu.Unlock()
	for k := range s.ways(hash) {
		if it := s.ways(hash)[k].it.Load(); it != nil && h.records[it.Hash].it != it {
			t.Fatalf("the first level holds %d, which is not stored", it.Hash)
		}
	}
}

func playBoth(t *testing.T, program []byte) {
	t.Helper()
	play(t, program, 1<<24, true)
	play(t, program, 1<<18, false)
}

func TestModel(t *testing.T) {
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 0))
		program := make([]byte, 5*2000)
		for i := range program {
			program[i] = byte(random.Uint32())
		}
		playBoth(t, program)
	}
}

func FuzzModel(f *testing.F) {
	f.Add([]byte{0, 1, 1, 9, 0, 0, 1, 2, 9, 0, 13, 0, 0, 0, 0, 0, 1, 1, 9, 0, 8, 1, 0, 0, 0, 0, 1, 1, 9, 0})
	f.Add([]byte{0, 0, 1, 255, 255, 0, 2, 1, 255, 255, 0, 4, 1, 255, 255, 13, 0, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 1, 1})
	f.Fuzz(playBoth)
}
