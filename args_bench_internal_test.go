package querycache

import (
	"database/sql/driver"
	"testing"
	"time"
)

// BenchmarkArguments is what the arguments cost a hit: checking that they can be
// keyed, hashing and comparing them.
func BenchmarkArguments(b *testing.B) {
	zone := time.FixedZone("CET", 3600)
	for _, bb := range []struct {
		name string
		args []driver.NamedValue
	}{
		{"int64", args(int64(7))},
		{"string", args("a name")},
		{"float64", args(1.5)},
		{"bool", args(true)},
		{"bytes", args([]byte("0123456789abcdef"))},
		{"time", args(time.Date(2024, 6, 1, 12, 0, 0, 0, zone))},
		{"nil", args(nil)},
		{"int", args(7)},
		{"mixed", args(int64(7), "a name", int64(9), 1.5, true, nil)},
	} {
		b.Run(bb.name, func(b *testing.B) {
			s := &scope{id: 1}
			k := key{scope: s, text: "q", args: bb.args}.own(nil)
			b.ReportAllocs()
			for b.Loop() {
				for i := range bb.args {
					if !keyable(bb.args[i].Value) {
						b.Fatal("not keyable")
					}
				}
				if _, _, ok := hashArgs(1, bb.args); !ok || !k.equal(s, "q", bb.args) {
					b.Fatal("not found")
				}
			}
		})
	}
}
