package enforce

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"meetzone/dataplane/nstest"
)

// running runs an enforcer until the end of the test.
func running(t testing.TB, e *Enforcer) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// until waits for a condition.
func until(t testing.TB, limit time.Duration, what string, satisfied func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for !satisfied() {
		if time.Since(start) > limit {
			t.Fatalf("not within %v: %s", limit, what)
		}
		time.Sleep(2 * time.Millisecond)
	}
	return time.Since(start)
}

// others is a table of somebody else, which must stay as it is.
const othersTable = `table inet somebody { set s { type ipv4_addr; elements = { 192.0.2.1 }; }; chain c { type filter hook output priority 0; ip dscp cs7 drop; }; }`

// TestNetnsDrift: each object of ours that somebody deletes or alters with nft is back within a second, and the event says what it was.
func TestNetnsDrift(t *testing.T) {
	ns := nstest.New(t, "box")
	ns.Run(t, "nft", othersTable)
	theirs := func() string { return ns.Run(t, "nft", "list", "table", "inet", "somebody") }
	before := theirs()
	e := enforcer(t, ns)
	apply(t, e, Wanted{Profile: profile(t, "rfc4594")})
	running(t, e)

	handle := func(chain string, rule int) string {
		lines := strings.Split(ns.Run(t, "nft", "-a", "list", "chain", "inet", Table, chain), "\n")
		var found []string
		for _, line := range lines {
			if _, h, ok := strings.Cut(line, "# handle "); ok && !strings.Contains(line, "chain ") {
				found = append(found, h)
			}
		}
		return found[rule]
	}
	for _, c := range []struct {
		name, event string
		change      func() string
	}{
		{"table deleted", "table " + Table + " was missing", func() string { return "delete table inet " + Table }},
		{"table flushed", "chain audio was altered", func() string { return "flush table inet " + Table }},
		{"chain flushed", "chain video was altered", func() string { return "flush chain inet " + Table + " video" }},
		{"rule deleted", "chain output was altered", func() string {
			return fmt.Sprintf("delete rule inet %s output handle %s", Table, handle("output", 0))
		}},
		{"rule altered", "chain audio was altered", func() string {
			return fmt.Sprintf("replace rule inet %s audio handle %s ip dscp != cs1 ip dscp set cs1", Table, handle("audio", 1))
		}},
		{"rule added", "chain audio was altered", func() string { return fmt.Sprintf("add rule inet %s audio ip dscp set cs7", Table) }},
		{"chain added", "chain foreign was added", func() string { return fmt.Sprintf("add chain inet %s foreign", Table) }},
		{"element deleted", "element 03005a4d of map classes was missing", func() string { return fmt.Sprintf("delete element inet %s classes { 0x4d5a0003 }", Table) }},
		{"element altered", "element 03005a4d of map classes was altered", func() string {
			return fmt.Sprintf("delete element inet %s classes { 0x4d5a0003 }; add element inet %s classes { 0x4d5a0003 : goto bulk }", Table, Table)
		}},
		{"ruleset flushed", "table " + Table + " was missing", func() string { return "flush ruleset; " + othersTable }},
	} {
		seen := len(e.Observe().Events)
		ns.Run(t, "nft", c.change())
		took := until(t, time.Second, c.name+": the table is as wanted again", func() bool {
			a := e.Observe()
			return a.Agrees() && len(a.Events) > seen
		})
		var objects []string
		for _, event := range e.Observe().Events[seen:] {
			if !event.Healed {
				t.Errorf("%s: not healed: %s", c.name, event.Error)
			}
			objects = append(objects, event.Object)
		}
		t.Logf("%-16s healed after %v: %q", c.name, took.Round(time.Millisecond), objects[:min(3, len(objects))])
		if !strings.Contains(strings.Join(objects, "\n"), c.event) {
			t.Errorf("%s: no event says %q: %q", c.name, c.event, objects)
		}
	}
	if after := theirs(); after != before {
		t.Errorf("somebody else's table changed from\n%s\nto\n%s", before, after)
	}
	if err := e.Remove(); err != nil {
		t.Fatal(err)
	}
	if out := ns.Run(t, "nft", "list", "ruleset"); out != before {
		t.Errorf("after removal there is\n%s\nwant\n%s", out, before)
	}
}

// TestNetnsQueueDrift: each object of the queues that somebody deletes or alters with tc or ip is back within a second; another link's stay.
func TestNetnsQueueDrift(t *testing.T) {
	box := nstest.New(t, "box")
	iface, theirs := link(t, box), link(t, box)
	box.Run(t, "tc", "qdisc", "add", "dev", theirs, "root", "handle", "7:", "htb", "default", "1")
	box.Run(t, "tc", "class", "add", "dev", theirs, "parent", "7:", "classid", "7:1", "htb", "rate", "1mbit")
	show := func() string {
		out, _, _ := strings.Cut(box.Run(t, "tc", "qdisc", "show", "dev", theirs), "direct_packets_stat")
		return out + box.Run(t, "tc", "class", "show", "dev", theirs)
	}
	before := show()
	e := enforcer(t, box)
	if a := apply(t, e, Wanted{Profile: profile(t, "rfc4594"), Links: []Link{{Interface: iface, Rate: 20_000_000}}}); !a.Agrees() {
		t.Fatalf("differs: %q", a.Missing)
	}
	running(t, e)
	for _, c := range []struct{ name, event, change string }{
		{"root deleted", "root qdisc of " + iface + " was missing", "tc qdisc del dev IFACE root"},
		{"root replaced", "root qdisc of " + iface + " was altered", "tc qdisc replace dev IFACE root pfifo limit 9"},
		{"leaf deleted", "qdisc of class 4d5a:8 of " + iface + " was missing", "tc qdisc del dev IFACE parent 4d5a:8"},
		{"leaf altered", "qdisc of class 4d5a:1 of " + iface + " was altered", "tc qdisc change dev IFACE parent 4d5a:1 handle 4d5b: bfifo limit 5000"},
		{"leaf replaced", "qdisc of class 4d5a:4 of " + iface + " was altered", "tc qdisc replace dev IFACE parent 4d5a:4 handle 99: pfifo limit 3"},
		{"class deleted", "class 4d5a:5 of " + iface + " was missing", "tc class del dev IFACE classid 4d5a:5"},
		{"class altered", "class 4d5a:1 of " + iface + " was altered", "tc class change dev IFACE parent 4d5a:100 classid 4d5a:1 htb rate 1mbit ceil 1mbit prio 5"},
		{"root class altered", "class 4d5a:100 of " + iface + " was altered", "tc class change dev IFACE parent 4d5a: classid 4d5a:100 htb rate 900mbit"},
		{"class added", "class 4d5a:44 of " + iface + " was added", "tc class add dev IFACE parent 4d5a:100 classid 4d5a:44 htb rate 1mbit"},
		{"super-packets", "largest super-packet of " + iface + " was altered", "ip link set dev IFACE gso_max_size 65536"},
	} {
		seen := len(e.Observe().Events)
		args := strings.Fields(strings.ReplaceAll(c.change, "IFACE", iface))
		box.Run(t, args[0], args[1:]...)
		took := until(t, time.Second, c.name+": the queues are as wanted again", func() bool {
			a := e.Observe()
			return a.Agrees() && len(a.Events) > seen
		})
		var objects []string
		for _, event := range e.Observe().Events[seen:] {
			if !event.Healed {
				t.Errorf("%s: not healed: %s", c.name, event.Error)
			}
			objects = append(objects, event.Object)
		}
		t.Logf("%-18s healed after %v: %q", c.name, took.Round(time.Millisecond), objects[:min(2, len(objects))])
		if !strings.Contains(strings.Join(objects, "\n"), c.event) {
			t.Errorf("%s: no event says %q: %q", c.name, c.event, objects)
		}
	}
	if after := show(); after != before {
		t.Errorf("somebody else's queues changed from\n%s\nto\n%s", before, after)
	}
}
