package client

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"meetzone/zonectl/wire"
)

func TestPick(t *testing.T) {
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	measured := func(id string, rank int, trip time.Duration, change ...func(*Measured)) Measured {
		m := Measured{Zone: wire.Zone{ID: id}, RoundTrip: trip, rank: rank}
		for _, c := range change {
			c(&m)
		}
		return m
	}
	reach := func(udp, tcp ReachState) func(*Measured) {
		return func(m *Measured) { m.UDP.State, m.TCP.State = udp, tcp }
	}
	lost := func(m *Measured) { m.Lost = 1 }
	dead := func(m *Measured) { m.Err = errNotZone }
	drains := func(m *Measured) { m.Probe.Draining = true }
	loaded := func(m *Measured) { m.Probe.Load = 95 }
	for _, c := range []struct {
		want string
		all  []Measured
	}{
		{"near", []Measured{measured("far", 0, ms(80)), measured("near", 1, ms(5))}},
		{"first", []Measured{measured("second", 1, ms(5)), measured("first", 0, ms(9))}},
		{"first", []Measured{measured("third", 2, ms(1)), measured("second", 1, ms(8)), measured("first", 0, ms(11))}},
		{"whole", []Measured{measured("lossy", 0, ms(1), lost), measured("whole", 1, ms(90))}},
		{"alive", []Measured{measured("dead", 0, 0, dead), measured("alive", 1, ms(90))}},
		{"udp", []Measured{measured("tcp", 0, ms(1), reach(ReachSilent, ReachAnswers)), measured("udp", 1, ms(60), reach(ReachAnswers, ReachUnknown))}},
		{"tcp", []Measured{measured("tls", 0, ms(1), reach(ReachSilent, ReachRefused)), measured("tcp", 1, ms(60), reach(ReachRefused, ReachAnswers))}},
		{"serves", []Measured{measured("drains", 0, ms(1), drains), measured("serves", 1, ms(900))}},
		{"drains", []Measured{measured("dead", 0, 0, dead), measured("drains", 1, ms(1), drains)}},
		{"idle", []Measured{measured("loaded", 0, ms(1), loaded), measured("idle", 1, ms(100))}},
	} {
		if got, err := pick(c.all); err != nil || got.Zone.ID != c.want {
			t.Errorf("%s instead of %s: %v", got.Zone.ID, c.want, err)
		}
	}
	if _, err := pick([]Measured{measured("dead", 0, 0, dead)}); err == nil {
		t.Error("a dead controller was picked")
	}
}

// probeServer answers probes after a while.
func probeServer(t *testing.T, delay time.Duration) *httptest.Server {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(delay):
		case <-r.Context().Done():
		}
		_ = json.NewEncoder(w).Encode(wire.Probe{Zone: "z"})
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// TestSelectZoneWaitsForNobody has the best zone rank last, behind one that is slow, one that never answers, one that refuses and one whose certificate is
// not trusted: it is picked long before any of them would have answered.
func TestSelectZoneWaitsForNobody(t *testing.T) {
	best, slow := probeServer(t, 0), probeServer(t, 2*time.Second)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	untrusted := httptest.NewUnstartedServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0)
	untrusted.StartTLS()
	defer untrusted.Close()
	refused, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused.Close()
	zone := func(id, address string) wire.Zone { return wire.Zone{ID: id, Controllers: []string{address}} }
	name := func(l net.Listener) string { return "https://" + l.Addr().String() }
	zones := []wire.Zone{zone("silent", name(silent)), zone("slow", slow.URL), zone("refused", name(refused)),
		zone("untrusted", strings.Replace(untrusted.URL, "127.0.0.1", "localhost", 1)), zone("best", best.URL)}
	pool := best.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	cfg := Config{Roots: pool}.withDefaults()
	w := newWeb(cfg, cfg.marks(), directWay(cfg.marks()))
	defer w.close()
	start := time.Now()
	picked, all, err := w.selectZone(context.Background(), zones)
	if err != nil || picked.Zone.ID != "best" {
		t.Fatalf("%s was picked: %v", picked.Zone.ID, err)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("picking took %v", took)
	}
	if len(all) != len(zones) {
		t.Errorf("%d of %d controllers are told of", len(all), len(zones))
	}
}
