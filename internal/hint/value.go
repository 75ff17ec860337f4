package hint

import (
	"math"
	"strconv"
	"strings"
	"time"
)

func duration(s string) (time.Duration, string) {
	d, err := time.ParseDuration(s)
	switch {
	case err != nil && bareNumber(s):
		return 0, "the unit is missing, as in 30s"
	case err != nil:
		return 0, "not a duration"
	case d < 0:
		return 0, "negative"
	}
	return d, ""
}

func positive(s string) (time.Duration, string) {
	d, reason := duration(s)
	if d == 0 && reason == "" {
		reason = "not more than zero"
	}
	return d, reason
}

// bareNumber reports whether s is a decimal number and no more.
func bareNumber(s string) bool {
	s = strings.TrimLeft(s, "+-")
	whole, part, _ := strings.Cut(s, ".")
	return whole+part != "" && strings.Trim(whole+part, "0123456789") == ""
}

var units = map[string]uint64{
	"": 1, "b": 1,
	"kb": 1e3, "mb": 1e6, "gb": 1e9,
	"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30,
}

func size(s string) (int64, string) {
	unit := strings.TrimLeft(s, "0123456789")
	factor, ok := units[lower(unit)]
	number := s[:len(s)-len(unit)]
	if !ok || number == "" {
		return 0, "not a size, as in 64KiB"
	}
	n, err := strconv.ParseUint(number, 10, 63)
	switch {
	case err != nil, n > math.MaxInt64/factor:
		return 0, "too large"
	case n == 0:
		return 0, "not more than zero"
	}
	return int64(n * factor), ""
}

// names returns the names of a list, without quotes and duplicates.
func names(s string) ([]string, string) {
	var out []string
	seen := map[string]bool{}
	for {
		var name, reason string
		if name, s, reason = cutName(s); reason != "" {
			return nil, reason
		}
		if !seen[name] {
			seen[name] = true
			out = append(out, name)
		}
		if s == "" {
			return out, ""
		}
		s = s[1:] // The comma.
	}
}

// cutName returns the first name of a list and what follows it, which is empty
// or begins with a comma.
func cutName(s string) (name, rest, reason string) {
	if strings.HasPrefix(s, `"`) {
		n := quotedLen(s)
		name, rest = strings.ReplaceAll(s[1:n-1], `""`, `"`), s[n:]
	} else {
		n := 0
		for n < len(s) && isBare(s[n]) {
			n++
		}
		name, rest = s[:n], s[n:]
	}
	switch {
	case rest != "" && rest[0] != ',':
		return "", "", "a name with other characters than letters, digits and _.-:/ needs quotes"
	case name == "":
		return "", "", "an empty name"
	}
	return name, rest, ""
}

// quotedLen returns how long the quoted name is that s begins with. The quote
// is closed, as [cutItem] saw to.
func quotedLen(s string) int {
	for i := 1; i < len(s); i++ {
		if s[i] != '"' {
			continue
		}
		if i+1 == len(s) || s[i+1] != '"' {
			return i + 1
		}
		i++
	}
	return len(s)
}

func isBare(c byte) bool {
	return c >= 0x80 || isAlnum(c) || strings.IndexByte("_.-:/", c) >= 0
}
