package client

import (
	"net/netip"
	"testing"
)

func TestVerdictOn(t *testing.T) {
	for _, c := range []struct {
		sent, arrived int
		want          Verdict
	}{{46, 46, VerdictKept}, {0, 0, VerdictKept}, {46, 0, VerdictBleached}, {46, 8, VerdictRemarked}, {0, 8, VerdictRemarked}, {-1, 0, VerdictUnknown}, {46, -1, VerdictUnknown}} {
		if got := VerdictOn(c.sent, c.arrived); got != c.want {
			t.Errorf("%d sent, %d arrived: %s, want %s", c.sent, c.arrived, got, c.want)
		}
	}
}

// FuzzDataFrom: whatever is on the wire, taking it apart stays within it.
func FuzzDataFrom(f *testing.F) {
	f.Add([]byte{0x45, 0xb8, 0, 41, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 1, 187, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x18, 0, 0, 0, 0, 0, 0, 7})
	f.Add(append([]byte{0x6b, 0x80, 0, 0, 0, 21, 6, 64}, make([]byte, 60)...))
	remote, local := netip.MustParseAddrPort("10.0.0.1:443"), netip.MustParseAddrPort("10.0.0.2:4096")
	f.Fuzz(func(t *testing.T, b []byte) {
		if tos, ok := dataFrom(b, remote, local); ok && len(b) == 41 && b[0] == 0x45 && tos != b[1] {
			t.Errorf("TOS %#x of % x", tos, b)
		}
	})
}
