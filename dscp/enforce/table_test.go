package enforce

import (
	"net/netip"
	"testing"
	"time"

	"meetzone/dataplane/nstest"
	"meetzone/dscp"
)

func profile(t testing.TB, name string) dscp.Profile {
	t.Helper()
	p, err := dscp.ShippedProfile(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// enforcer returns one whose kernel is the namespace.
func enforcer(t testing.TB, ns *nstest.NS) *Enforcer {
	t.Helper()
	var e *Enforcer
	var err error
	ns.Do(t, func() { e, err = New(Config{OwnHost: true}) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func apply(t testing.TB, e *Enforcer, w Wanted) Actual {
	t.Helper()
	a, err := e.Apply(w)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestNetnsTableAgrees: what is read back from the kernel is what was wanted, object by object, and applying it again changes nothing.
func TestNetnsTableAgrees(t *testing.T) {
	ns := nstest.New(t, "box")
	e := enforcer(t, ns)
	w := Wanted{Profile: profile(t, "rfc4594"), Exceptions: []Exception{
		{Interface: "uplink0", Profile: profile(t, "webex")},
		{Prefix: netip.MustParsePrefix("10.9.0.0/17"), Profile: profile(t, "zoom")},
		{Interface: "uplink0", Prefix: netip.MustParsePrefix("2001:db8:7::/48"), Profile: profile(t, "off")},
	}}
	start := time.Now()
	a := apply(t, e, w)
	t.Logf("applied in %v\n%s", time.Since(start), ns.Run(t, "nft", "list", "table", "inet", Table))
	if !a.Agrees() {
		t.Fatalf("differs: %q", a.Missing)
	}
	changed, err := e.agreeLocked()
	if err != nil || len(changed) > 0 {
		t.Errorf("applying again changed %q: %v", changed, err)
	}
	if err := e.Remove(); err != nil {
		t.Fatal(err)
	}
	if out := ns.Run(t, "nft", "list", "ruleset"); out != "" {
		t.Errorf("left behind: %s", out)
	}
}
