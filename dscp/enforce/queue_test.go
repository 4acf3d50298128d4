package enforce

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"meetzone/dataplane/nstest"
	"meetzone/dscp"
)

func TestShares(t *testing.T) {
	sum := uint64(0)
	for _, s := range share {
		sum += s
	}
	if sum != 100 {
		t.Errorf("the shares are %d %% of the link together", sum)
	}
}

// TestSlots: the order of the queues is that of the bands, and each class has its own.
func TestSlots(t *testing.T) {
	p := profile(t, "rfc4594")
	got := order(p)
	want := []dscp.Class{dscp.Audio, dscp.Signalling, dscp.Cluster, dscp.Video, dscp.Content, dscp.Management, others, dscp.Bulk}
	if !slices.Equal(got[:], want) {
		t.Errorf("order %v, want %v", got, want)
	}
	p.Marks[dscp.Bulk].Band, p.Marks[dscp.Audio].Band = 0, 4
	if s := slots(p); s[dscp.Bulk] != 1 || s[dscp.Audio] != 8 {
		t.Errorf("slots %v: bulk in band 0 is not first", s)
	}
}

func TestSuperPacket(t *testing.T) {
	for rate, want := range map[uint64]uint32{MinRate: leastSuper, 20_000_000: 5000, 100_000_000: 25_000, 1_000_000_000: 65536, MaxRate: 65536} {
		if got := SuperPacket(rate); got != want {
			t.Errorf("%d bit/s: super-packets of %d bytes, want %d", rate, got, want)
		}
	}
}

// link joins the box to somebody and returns the box's interface.
func link(t testing.TB, box *nstest.NS) string {
	t.Helper()
	iface, _ := nstest.Link(t, box, nstest.New(t, "other"), "10.7.0.1/24", "10.7.0.2/24")
	return iface
}

// TestNetnsQueuesAgree: what is read back is what was wanted; a new rate changes what differs, in place; removal leaves the kernel's own.
func TestNetnsQueuesAgree(t *testing.T) {
	box := nstest.New(t, "box")
	iface := link(t, box)
	show := func() string {
		return box.Run(t, "tc", "qdisc", "show", "dev", iface) + box.Run(t, "ip", "-d", "link", "show", "dev", iface)
	}
	before := show()
	e := enforcer(t, box)
	w := Wanted{Profile: profile(t, "rfc4594"), Links: []Link{{Interface: iface, Rate: 20_000_000}}}
	start := time.Now()
	a := apply(t, e, w)
	t.Logf("applied in %v, without %q\n%s%s", time.Since(start), a.Lost, box.Run(t, "tc", "qdisc", "show", "dev", iface), box.Run(t, "tc", "class", "show", "dev", iface))
	if !a.Agrees() {
		t.Fatalf("differs: %q", a.Missing)
	}
	if changed, err := e.agreeLocked(); err != nil || len(changed) > 0 {
		t.Errorf("applying again changed %q: %v", changed, err)
	}
	w.Links[0].Rate = 50_000_000
	if a := apply(t, e, w); !a.Agrees() {
		t.Fatalf("with another rate it differs: %q", a.Missing)
	}
	if out := box.Run(t, "tc", "class", "show", "dev", iface); !strings.Contains(out, "rate 50Mbit ceil 50Mbit") {
		t.Errorf("no class has the new rate:\n%s", out)
	}
	w.Links = nil
	if a := apply(t, e, w); !a.Agrees() {
		t.Fatalf("without the link it differs: %q", a.Missing)
	}
	if after := show(); after != before {
		t.Errorf("the link was\n%s\nand is left as\n%s", before, after)
	}
}

// TestNetnsForeignQueues: a link whose queues somebody else has made stays theirs, and status says so.
func TestNetnsForeignQueues(t *testing.T) {
	box := nstest.New(t, "box")
	iface := link(t, box)
	box.Run(t, "tc", "qdisc", "add", "dev", iface, "root", "handle", "7:", "htb", "default", "1")
	show := func() string { // without the counter
		out, _, _ := strings.Cut(box.Run(t, "tc", "qdisc", "show", "dev", iface), "direct_packets_stat")
		return out
	}
	before := show()
	e := enforcer(t, box)
	a := apply(t, e, Wanted{Profile: profile(t, "rfc4594"), Links: []Link{{Interface: iface, Rate: 20_000_000}, {Interface: "absent0", Rate: MinRate}}})
	said := strings.Join(a.Missing, "\n")
	for _, want := range []string{iface + ": its queues belong to somebody else: htb 7:0", "absent0: Link not found"} {
		if !strings.Contains(said, want) {
			t.Errorf("status does not say %q: %s", want, said)
		}
	}
	if err := e.Remove(); err != nil {
		t.Error(err)
	}
	if after := show(); after != before {
		t.Errorf("somebody else's queues were\n%s\nand are\n%s", before, after)
	}
}

// TestSuperPacketFits: a card that segments less than the rate allows gets what it can do, and then the kernel agrees; one that segments more, or of which
// nothing is known, gets what the rate allows.
func TestSuperPacketFits(t *testing.T) {
	q, _ := newQueues(Link{Interface: "lan0", Rate: 1_000_000_000}, profile(t, "rfc4594"), true)
	if q.super != mostSuper {
		t.Fatalf("at 1 Gbit/s super-packets of %d bytes", q.super)
	}
	for _, c := range []struct{ card, want uint32 }{{0, mostSuper}, {16 << 10, 16 << 10}, {mostSuper, mostSuper}, {524280, mostSuper}} {
		a := netlink.LinkAttrs{Name: "lan0", TSOMaxSize: c.card, GSOMaxSize: c.want}
		wanted := q.fit(&a)
		if wanted.super != c.want {
			t.Errorf("a card of %d bytes: super-packets of %d, want %d", c.card, wanted.super, c.want)
		}
		line := fmt.Sprintf("largest super-packet of lan0\x00%d", c.want)
		have := linkState{link: &netlink.Device{LinkAttrs: a}}.describe(true)
		if lines := wanted.describe((traffic{}).kind, false); !slices.Contains(lines, line) || !slices.Contains(have, line) {
			t.Errorf("a card of %d bytes: wanted %q and had %q do not agree on %q", c.card, lines, have, line)
		}
	}
	q, _ = newQueues(Link{Interface: "lan0"}, profile(t, "rfc4594"), true)
	if got := q.fit(&netlink.LinkAttrs{TSOMaxSize: 16 << 10}).super; got != 0 {
		t.Errorf("a link without a rate has its super-packets bounded to %d bytes", got)
	}
}

// TestNetnsSuperPacketsRestored: whatever super-packets a link allowed before, it allows again when its queues are removed; after another process has left
// them there, it gets what the kernel gives every link.
func TestNetnsSuperPacketsRestored(t *testing.T) {
	box := nstest.New(t, "box")
	iface := link(t, box)
	sizes := func() string {
		words := strings.Fields(box.Run(t, "ip", "-d", "link", "show", "dev", iface))
		var out []string
		for i, w := range words {
			if w == "gso_max_size" || w == "gso_ipv4_max_size" {
				out = append(out, w+" "+words[i+1])
			}
		}
		return strings.Join(out, " ")
	}
	usual := sizes()
	w := Wanted{Profile: profile(t, "rfc4594"), Links: []Link{{Interface: iface, Rate: 20_000_000}}}
	e := enforcer(t, box)
	for _, size := range []string{"30000", "65536", "131072"} {
		box.Run(t, "ip", "link", "set", "dev", iface, "gso_max_size", size)
		before := sizes()
		for _, rate := range []uint64{20_000_000, 50_000_000} { // a change of ours is not what was before
			w.Links[0].Rate = rate
			if a := apply(t, e, w); !a.Agrees() {
				t.Fatalf("differs: %q", a.Missing)
			}
		}
		if during := sizes(); during == before {
			t.Errorf("%s: nothing is bounded", during)
		}
		if err := e.Remove(); err != nil {
			t.Fatal(err)
		}
		if after := sizes(); after != before {
			t.Errorf("it was %s and is left with %s", before, after)
		}
	}
	apply(t, e, w)
	if err := enforcer(t, box).Remove(); err != nil {
		t.Fatal(err)
	}
	if after := sizes(); after != usual {
		t.Errorf("what another process had bounded is left with %s, want %s", after, usual)
	}
}
