package mmr

import (
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"meetzone/dataplane"
)

// TestProbe sends probes as clients do, and as others might.
func TestProbe(t *testing.T) {
	noLeaks(t)
	for _, listen := range []string{"127.0.0.1:0", "[::1]:0"} {
		tr := startRouter(t, 2, listen)
		given := tr.Probe()
		c := credentials{ufrag: given.Ufrag, pwd: given.Password}
		p := probe(t, tr.plane.Addrs()[0])
		for name, extra := range map[string][]stun.Setter{"a browser's": {priority, controlling}, "as small as can": nil} {
			request := makeCheck(t, c, extra...)
			p.send(request)
			reply := &stun.Message{Raw: p.answered()}
			if err := reply.Decode(); err != nil {
				t.Fatalf("%s: answer: %v", name, err)
			}
			if len(reply.Raw) > len(request) || reply.Type != stun.BindingSuccess || [12]byte(request[8:20]) != reply.TransactionID {
				t.Errorf("%s: %d bytes were answered with %d: %v", name, len(request), len(reply.Raw), reply)
			}
			if err := reply.Check(stun.Fingerprint, stun.NewShortTermIntegrity(c.pwd)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			var mapped stun.XORMappedAddress
			if err := mapped.GetFrom(reply); err != nil || mapped.String() != p.LocalAddr().String() {
				t.Errorf("%s: mapped address %v %v, want %v", name, mapped, err, p.LocalAddr())
			}
			if echo, err := reply.Get(AttrTOSEcho); err != nil || len(echo) != 4 || echo[3] != 0 {
				t.Errorf("%s: TOS octet %v, %v", name, echo, err)
			}
		}
		p.send(makeCheck(t, credentials{ufrag: c.ufrag, pwd: "another password here"}, priority))
		tr.drops(t, DropIntegrity, 1)
		p.silent("a wrong password")
		if n := tr.Stats().Probes; n != 2 {
			t.Errorf("%d probes were counted", n)
		}
		given = tr.probeUntil(0)
		time.Sleep(time.Until(tr.started.Add(1100 * time.Millisecond))) // until it is over
		p.send(makeCheck(t, credentials{ufrag: given.Ufrag, pwd: given.Password}, priority))
		tr.drops(t, DropProbe, 1)
		p.silent("an old probe")
		tr.end()
	}
}

// TestProbeBudget holds that a worker answers a bounded number of probes, and that none of them is kept.
func TestProbeBudget(t *testing.T) {
	h := idleHandler(t)
	given := h.r.Probe()
	batch := []dataplane.Datagram{{Path: somePath, Data: makeCheck(t, credentials{ufrag: given.Ufrag, pwd: given.Password}, priority, controlling), TOS: 0xb8}}
	now := dataplane.Instant(1)
	send := func() {
		h.HandleBatch(now, batch)
		h.w.Flush()
	}
	if n := testing.AllocsPerRun(100, send); n > 1 && !underRace { // pion's HMAC takes one, as for any check; the race detector empties its pool
		t.Errorf("%v allocations", n)
	}
	for range probesPerSecond {
		send()
	}
	if h.stats.Probes != probesPerSecond || h.stats.Drops[DropProbe] != 101 {
		t.Errorf("%d answered, dropped %v", h.stats.Probes, h.stats.Drops)
	}
	now += dataplane.Instant(time.Second)
	send()
	if h.stats.Probes != probesPerSecond+1 {
		t.Error("nothing is answered in the next second")
	}
}
