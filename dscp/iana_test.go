package dscp

import (
	"encoding/csv"
	"os"
	"strconv"
	"testing"
)

// The IANA registry "Differentiated Services Field Codepoints (DSCP)", pools 1 and 3, name and binary value as registered.
// testdata/iana-dscp.csv has its columns: name, space, reference.
func TestRegistry(t *testing.T) {
	f, err := os.Open("testdata/iana-dscp.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	rows = rows[1:]
	if len(rows) != len(registry) {
		t.Errorf("the registry has %d points, the package %d", len(rows), len(registry))
	}
	for _, row := range rows {
		v, err := strconv.ParseUint(row[1], 2, 6)
		if err != nil {
			t.Fatal(err)
		}
		if got := CodePoint(v).Name(); got != row[0] {
			t.Errorf("code point %s: have name %q, registered is %q", row[1], got, row[0])
		}
		if c, err := ParseCodePoint(row[0]); err != nil || c != CodePoint(v) {
			t.Errorf("parse %q: %v, %v", row[0], c, err)
		}
		if got := OfTOS(CodePoint(v).TOS() | 3); got != CodePoint(v) {
			t.Errorf("%s: came back from its TOS octet as %s", row[0], got)
		}
	}
}
