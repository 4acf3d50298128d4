package lldp

import (
	"strings"
	"testing"
	"time"
)

// frame is an announcement as a switch sends it: chassis and port by type, time to live, port description, name, description, management address.
func frame(more ...byte) []byte {
	f := []byte{0x01, 0x80, 0xc2, 0, 0, 0x0e, 2, 0, 0, 0, 0, 1, 0x88, 0xcc, 2, 7, 4, 2, 0, 0, 0, 0, 1, 4, 5, 5, 'g', 'e', '/', '1', 6, 2, 0, 120,
		8, 4, 'd', 'o', 'w', 'n', 10, 4, 's', 'w', 27, '1', 16, 12, 5, 1, 192, 0, 2, 1, 2, 0, 0, 0, 1, 0}
	return append(append(f, more...), 0, 0)
}

func TestDecode(t *testing.T) {
	n, life, err := decode(frame())
	want := Neighbour{Chassis: "02:00:00:00:00:01", Port: "ge/1", PortText: "down", System: "sw?1", Management: "192.0.2.1"}
	if err != nil || n != want || life != 2*time.Minute {
		t.Errorf("%+v, %v, %v", n, life, err)
	}
	for name, broken := range map[string][]byte{"nothing": nil, "an ARP request": {255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1, 8, 6, 0}, "half": frame()[:20]} {
		if n, _, err := decode(broken); err == nil {
			t.Errorf("%s is taken as %+v", name, n)
		}
	}
}

// FuzzDecode: nothing on the wire is too much, and what is shown is bounded and printable.
func FuzzDecode(f *testing.F) {
	f.Add(frame())
	f.Add(frame(0xfe, 6, 0, 0x12, 0x0f, 1, 0, 0))
	f.Add(frame()[:30])
	f.Fuzz(func(t *testing.T, b []byte) {
		n, _, err := decode(b)
		if err != nil {
			return
		}
		for _, s := range []string{n.Chassis, n.Port, n.PortText, n.System, n.Description, n.Management} {
			if len(s) > maxText || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("%q", s)
			}
		}
	})
}
