package client

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/pion/stun/v3"
	turnstun "github.com/pion/stun/v4" // whose errors the TURN client returns

	"meetzone/dscp"
	"meetzone/zonectl/wire"
)

// The path test: marked probes of each class on each rung, and what became of the marks on the way there and back.

// Rung names a way of the media.
type Rung string

// The rungs, best first.
const (
	RungUDP Rung = "udp"
	RungTCP Rung = "tcp"
	RungTLS Rung = "tls"
)

// PathMark is one class on one rung. Code points are -1 where they are not known.
type PathMark struct {
	Rung  Rung
	Class dscp.Class
	Reach Reach
	// BoxSaw and ClientSaw say how the two ends have learned what arrived: SeenEach of a datagram, SeenHandshake where the kernel shows only that of a
	// connection, SeenCapture where packets were captured, or SeenNot.
	BoxSaw, ClientSaw Seen
}

// Seen is how an end has learned a mark.
type Seen string

// The ways.
const (
	SeenNot       Seen = ""
	SeenEach      Seen = "datagram"
	SeenHandshake Seen = "handshake"
	SeenCapture   Seen = "capture"
)

// Verdict says what a network has made of a mark.
type Verdict string

// The verdicts.
const (
	VerdictKept     Verdict = "kept"
	VerdictBleached Verdict = "bleached" // set to 0
	VerdictRemarked Verdict = "remarked" // set to something else
	VerdictUnknown  Verdict = "unknown"
)

// VerdictOn compares a mark at both ends of a way.
func VerdictOn(sent, arrived int) Verdict {
	switch {
	case sent < 0 || arrived < 0:
		return VerdictUnknown
	case sent == arrived:
		return VerdictKept
	case arrived == 0:
		return VerdictBleached
	}
	return VerdictRemarked
}

// Up is the verdict on the way to the box.
func (p PathMark) Up() Verdict { return VerdictOn(p.Reach.Sent, p.Reach.Arrived) }

// Down is the verdict on the way from the box.
func (p PathMark) Down() Verdict { return VerdictOn(p.Reach.Answered, p.Reach.Returned) }

// relayResend is when a probe through a relay is sent again.
const relayResend = 200 * time.Millisecond

// pathTimeout bounds a path test: where a firewall is silent, it takes a while.
const pathTimeout = time.Minute

// Path tests the way to the controller of the URL. Of the configuration it uses what says how to reach the zone, and the profile.
func Path(ctx context.Context, cfg Config) ([]PathMark, error) {
	cfg = cfg.withDefaults()
	base, _, err := cfg.target()
	if err != nil {
		return nil, &Error{Text: err.Error() + ".", Err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, pathTimeout)
	defer cancel()
	marks := cfg.marks()
	by := directWay(marks)
	var box netip.Addr
	dial := by.dial
	by.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err == nil {
			if remote, err := netip.ParseAddrPort(conn.RemoteAddr().String()); err == nil {
				box = remote.Addr().Unmap()
			}
		}
		return conn, err
	}
	w := newWeb(cfg, marks, by)
	defer w.close()
	var first wire.Probe
	if err := w.get(ctx, base, wire.PathProbe, &first); err != nil {
		return nil, explain(StageZone, hostOf(base), err)
	}
	if first.Check == nil {
		return nil, &Error{Text: "The box does not answer probes of the media port.", Advice: "It may be of another version than this program."}
	}
	first.Check.Candidates = onTheWayTo(box, first.Check.Candidates)
	var out []PathMark
	for _, rung := range []struct {
		name  Rung
		check func(context.Context, *wire.ProbeCheck, dscp.Class, dscp.CodePoint) Reach
		// how the box and this client learn of marks there
		box, here Seen
	}{{RungUDP, checkUDP, SeenEach, SeenEach}, {RungTCP, checkTCP, SeenHandshake, SeenCapture}} {
		for class := range dscp.Class(dscp.NumClasses) {
			r := rung.check(ctx, first.Check, class, marks[class])
			if r.State == ReachSilent {
				r = rung.check(ctx, first.Check, class, marks[class]) // a busy machine may have been asleep
			}
			out = append(out, PathMark{Rung: rung.name, Class: class, Reach: r, BoxSaw: seenIf(r.Arrived, rung.box), ClientSaw: seenIf(r.Returned, rung.here)})
			if r.State == ReachSilent && class == 0 {
				break // a firewall: the other classes would be silent for as long
			}
		}
	}
	for class := range dscp.Class(dscp.NumClasses) {
		var r Reach
		if class == dscp.Signalling {
			r = checkHTTPS(ctx, cfg, base, marks[class])
		} else {
			r = checkRelay(ctx, w, base, box, class)
		}
		out = append(out, PathMark{Rung: RungTLS, Class: class, Reach: r, BoxSaw: seenIf(r.Arrived, SeenHandshake), ClientSaw: seenIf(r.Returned, SeenCapture)})
	}
	return out, nil
}

// onTheWayTo chooses the candidates that are reached as the box itself was: at its address, else in its family. One path is tested, not whichever answers
// first.
func onTheWayTo(box netip.Addr, candidates []string) []string {
	var same, family []string
	for _, text := range candidates {
		c, err := netip.ParseAddrPort(text)
		if err != nil {
			continue
		}
		if c.Addr().Unmap() == box {
			same = append(same, text)
		}
		if c.Addr().Unmap().Is4() == box.Is4() {
			family = append(family, text)
		}
	}
	switch {
	case len(same) > 0:
		return same
	case len(family) > 0:
		return family
	}
	return candidates
}

func seenIf(point int, how Seen) Seen {
	if point < 0 {
		return SeenNot
	}
	return how
}

// checkRelay sends a probe as media travel through the HTTPS port: over a connection with the mark of its class, through an allocation of that class. The box
// marks its side of the connection when it makes the allocation, so that the answer has the mark of media and what came before it that of signalling.
func checkRelay(ctx context.Context, w *web, base string, box netip.Addr, class dscp.Class) (r Reach) {
	mark := w.marks[class]
	r = Reach{Sent: int(mark), Arrived: -1, Returned: -1, Answered: -1}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	var probe wire.Probe
	if err := w.get(ctx, base, wire.PathProbe+"?"+wire.RelayOfProbe+"="+class.String(), &probe); err != nil {
		r.State = stateOf(err)
		return r
	}
	if probe.Check == nil || probe.Check.Relay == nil || len(probe.Check.Relay.URLs) == 0 {
		return r // a box of another version: not tested
	}
	host, port, err := relayHost(probe.Check.Relay.URLs[0])
	if err != nil {
		return r
	}
	conn, err := w.dial(ctx, net.JoinHostPort(box.String(), port), mark)
	if err != nil {
		r.State = stateOf(err)
		return r
	}
	defer conn.Close()
	r.Address = conn.RemoteAddr().String()
	watched := lookOn(conn)
	defer func() { r.Returned = watched.end() }()
	relayed, err := allocate(ctx, conn, w.tlsConfig(host), *probe.Check.Relay, slog.New(slog.DiscardHandler))
	if err != nil {
		r.State, r.Why = stateOfRelay(ctx, err)
		return r
	}
	defer relayed.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	probe.Check.Candidates = onTheWayTo(box, probe.Check.Candidates)
	r.ask(ctx, relayed, probe.Check, class)
	return r
}

// stateOfRelay says what it means that there is no allocation. Too many of them are no matter of the way.
func stateOfRelay(ctx context.Context, err error) (ReachState, string) {
	var answered *turnstun.TurnError
	switch {
	case errors.As(err, &answered) && answered.ErrorCodeAttr.Code == turnstun.CodeAllocQuotaReached:
		return ReachUnknown, "Too many tests use the box's relay at present; try again in a minute."
	case errors.Is(err, errAllocate) && ctx.Err() == nil:
		return ReachRefused, ""
	}
	return stateOf(err), ""
}

// ask sends probes through an allocation until one is answered or the context ends. What goes through a relay is datagrams: either end drops what has
// waited for too long.
func (r *Reach) ask(ctx context.Context, relayed *relayedConn, with *wire.ProbeCheck, class dscp.Class) {
	r.State = ReachSilent
	asked := map[[stun.TransactionIDSize]byte]time.Time{}
	b := make([]byte, maxSTUN)
	for wait := relayResend; ctx.Err() == nil; wait *= 2 {
		request, err := buildCheck(with, class)
		if err != nil {
			return
		}
		asked[request.TransactionID] = time.Now()
		for _, text := range with.Candidates[:min(len(with.Candidates), maxChecked)] {
			to, err := netip.ParseAddrPort(text)
			if err == nil && relayed.write(request.Raw, to) == nil {
				break // else the relay does not lead there
			}
		}
		_ = relayed.packet.SetReadDeadline(time.Now().Add(wait))
		for {
			n, _, err := relayed.read(b)
			if isTimeout(err) {
				break
			}
			if err != nil {
				r.State = stateOf(err)
				return
			}
			if sent, ok := r.take(b[:n], with, asked); ok {
				r.RoundTrip = time.Since(sent)
				return
			}
		}
	}
}

// checkHTTPS asks over a connection with a mark of its own, and is answered as signalling: HTTPS is that.
func checkHTTPS(ctx context.Context, cfg Config, base string, mark dscp.CodePoint) (r Reach) {
	r = Reach{State: ReachSilent, Sent: int(mark), Arrived: -1, Returned: -1, Answered: -1}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	var marks dscp.Marks
	marks[dscp.Signalling] = mark
	by := directWay(marks)
	var watched *look
	dial := by.dial
	by.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err == nil {
			r.Address, watched = conn.RemoteAddr().String(), lookOn(conn)
		}
		return conn, err
	}
	w := newWeb(cfg, marks, by)
	if t, ok := w.client.Transport.(*http.Transport); ok {
		t.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{} // one request on one connection
	}
	defer w.close()
	var probe wire.Probe
	start := time.Now()
	if err := w.get(ctx, base, wire.PathProbe, &probe); err != nil {
		r.State = stateOf(err)
		return r
	}
	r.State, r.RoundTrip = ReachAnswers, time.Since(start)
	if probe.DSCP != nil {
		r.Arrived = *probe.DSCP
	}
	if probe.Signalling != nil {
		r.Answered = *probe.Signalling
	}
	r.Returned = watched.end()
	return r
}
