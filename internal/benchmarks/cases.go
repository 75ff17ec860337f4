package benchmarks

// Kind is what the cache does in a case.
type Kind string

// The kinds of cases.
const (
	Hit    Kind = "hit"
	Miss   Kind = "miss"
	Bypass Kind = "bypass"
	Write  Kind = "write"
)

// The names of the alternatives.
const (
	Noop       = "noop"
	Direct     = "direct"
	Querycache = "querycache"
)

// Floor is the most that querycache may cost relative to another alternative;
// the zero Floor asks for nothing.
type Floor struct {
	Against string
	AtMost  float64
}

// Case is one thing to be measured.
type Case struct {
	Name  string
	Kind  Kind
	Floor Floor
	// Procs is GOMAXPROCS and the number of goroutines that share the runs; zero
	// leaves the one as it is and uses a single goroutine.
	Procs int

	// parents are the alternatives to querycache, which itself wraps SQLite if
	// Direct is among them and the no-op driver if not.
	parents []string
	body    body
	// prepare is the text that the session prepares, if any.
	prepare string
	rows    int
	entries int
}

var (
	rowHit  = Floor{Against: Noop, AtMost: 1.5}
	pageHit = Floor{Against: Noop, AtMost: 1.15}
	bypass  = Floor{Against: Noop, AtMost: 1.15}
	miss    = Floor{Against: Direct, AtMost: 1.25}

	all     = []string{Noop, Direct}
	onNoop  = []string{Noop}
	onFiles = []string{Direct}
)

// Cases returns all cases, in the order in which they are reported.
func Cases() []Case {
	var cases []Case
	cases = append(cases, hits()...)
	cases = append(cases, misses()...)
	cases = append(cases, bypasses()...)
	return append(cases, writes()...)
}

func hits() []Case {
	id, email, start := always(int64(1)), always("person00001@example.com"), always(int64(0))
	one := func(name string, f Floor, b body) Case {
		return Case{Name: name, Kind: Hit, Floor: f, parents: all, body: b, rows: 1, entries: 1}
	}
	many := func(name string, b body) Case {
		return Case{Name: name, Kind: Hit, Floor: pageHit, parents: all, body: b, rows: page, entries: 1}
	}
	prepared := one("hit/1row/prepared", rowHit, scanPrepared(id))
	prepared.prepare = byID
	// No floor: what this shows is the memory's latency, ours and the parent's.
	scatter := one("hit/1row/scan/4096entries", Floor{}, scan(byID, scattered()))
	scatter.entries = hot
	cases := []Case{
		one("hit/1row/scan/int", rowHit, scan(byID, id)),
		one("hit/1row/scan/string", rowHit, scan(byEmail, email)),
		one("hit/1row/get/int", rowHit, get(byID, id)),
		one("hit/1row/get/string", rowHit, get(byEmail, email)),
		prepared,
		many("hit/100rows/scan", scan(pageAfter, start)),
		many("hit/100rows/select", selectAll(pageAfter, start)),
		scatter,
	}
	for _, c := range []Case{
		one("hit/1row/scan", rowHit, scan(byID, id)),
		many("hit/100rows/scan", scan(pageAfter, start)),
	} {
		serial, parallel := c, c
		serial.Name, serial.Procs = c.Name+"/procs1", 1
		parallel.Name, parallel.Procs = c.Name+"/procs2", 2
		cases = append(cases, serial, parallel)
	}
	return cases
}

func misses() []Case {
	return []Case{
		{
			Name: "miss/1row/scan", Kind: Miss, Floor: miss, parents: onFiles,
			body: scan(distinctRow, distinct), rows: 1,
		},
		{
			Name: "miss/100rows/scan", Kind: Miss, Floor: miss, parents: onFiles,
			body: scan(distinctPage, distinct), rows: page,
		},
	}
}

func bypasses() []Case {
	id := always(int64(1))
	return []Case{
		{
			Name: "bypass/1row/volatile", Kind: Bypass, Floor: bypass, parents: onNoop,
			body: scan(volatile, id), rows: 1,
		},
		{
			Name: "bypass/1row/context", Kind: Bypass, Floor: bypass, parents: onNoop,
			body: scanBypassed(byID, id), rows: 1,
		},
		{
			Name: "bypass/1row/tx", Kind: Bypass, Floor: bypass, parents: onNoop,
			body: scanInTx(byID, id), rows: 1,
		},
		{
			Name: "bypass/100rows/volatile", Kind: Bypass, Floor: bypass, parents: onNoop,
			body: scan(volatile, id), rows: page,
		},
	}
}

func writes() []Case {
	return []Case{
		{Name: "write/sqlite", Kind: Write, parents: onFiles, body: write},
		{Name: "write/noop", Kind: Write, parents: onNoop, body: write},
	}
}
