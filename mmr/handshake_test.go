package mmr

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/transport/v4/deadline"
)

// lossyEnd is one end of a path of DTLS that loses datagrams in bursts on the way from it.
type lossyEnd struct {
	*association // which reads
	to           *association
	mu           sync.Mutex // guards what follows
	rng          *rand.Rand // nil: nothing is lost
	share, burst float64
	bad          bool
}

func (l *lossyEnd) WriteTo(b []byte, _ net.Addr) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rng != nil {
		if l.bad {
			l.bad = l.rng.Float64() >= 1/l.burst
		} else {
			l.bad = l.rng.Float64() < l.share/(1-l.share)/l.burst
		}
	}
	if !l.bad {
		l.to.deliver(bytes.Clone(b))
	}
	return len(b), nil
}

func newReader(h *handler) *association {
	a := &association{r: h.r, w: h.w, t: new(transport), peer: net.UDPAddrFromAddrPort(netip.MustParseAddrPort("192.0.2.1:9")), inbox: make(chan []byte, inboxSlots), deadline: deadline.New()}
	a.open, a.shut = context.WithCancel(context.Background())
	a.alive, a.stop = context.WithCancel(context.Background())
	return a
}

// TestHandshakeUnderLoss: a path that loses a tenth of all datagrams towards the client in bursts of three lets a handshake through soon; nobody waits
// until it is given up. The time is simulated.
func TestHandshakeUnderLoss(t *testing.T) {
	h := idleHandler(t)
	theirs, err := newIdentity()
	if err != nil {
		t.Fatal(err)
	}
	const interval = 100 * time.Millisecond // as the reference client has it, which doubles it each time
	var took []time.Duration
	for seed := range uint64(100) {
		synctest.Test(t, func(t *testing.T) {
			server, client := newReader(h), newReader(h)
			server.fingerprints = append(server.fingerprints, theirs.fingerprint)
			down := &lossyEnd{association: server, to: client, rng: rand.New(rand.NewPCG(seed, 1)), share: 0.1, burst: 3}
			up := &lossyEnd{association: client, to: server}
			ctx, cancel := context.WithTimeout(context.Background(), handshakePatience)
			defer cancel()
			start := time.Now()
			var box sync.WaitGroup
			box.Go(func() { server.serve(down) }) // what it posts finds a transport that has another association
			active, err := dtls.ClientWithOptions(up, client.peer, dtls.WithCertificates(theirs.certificate), dtls.WithInsecureSkipVerify(true),
				dtls.WithSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM), dtls.WithFlightInterval(interval))
			if err != nil {
				t.Fatal(err)
			}
			if err := active.HandshakeContext(ctx); err != nil {
				t.Errorf("seed %d, client: %v", seed, err)
			}
			took = append(took, time.Since(start))
			time.Sleep(handshakePatience) // what the box repeats comes to an end
			if server.open.Err() != nil {
				t.Errorf("seed %d: the box has given up", seed)
			}
			_ = active.Close()
			box.Wait() // it has heard the goodbye
			client.shut()
		})
	}
	slices.Sort(took)
	t.Logf("median %v, 90 %% within %v, all within %v", took[len(took)/2], took[len(took)*9/10], took[len(took)-1])
	if most := took[len(took)-1]; most > 6*time.Second {
		t.Errorf("a handshake took %v", most)
	}
}
