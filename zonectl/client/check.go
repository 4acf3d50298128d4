package client

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/pion/stun/v3"

	"meetzone/dscp"
	"meetzone/zonectl/wire"
)

// ReachState says what came back of a check.
type ReachState string

// The states. Unknown is a check that was not made.
const (
	ReachUnknown ReachState = ""
	ReachAnswers ReachState = "answers"
	ReachSilent  ReachState = "silent"  // nothing came back
	ReachRefused ReachState = "refused" // the port, or a firewall, said no
	ReachClosed  ReachState = "closed"  // the connection was opened and then closed, or something else answered
	ReachNoRoute ReachState = "no route"
)

// Reach is whether the media port answers on one rung.
type Reach struct {
	State     ReachState
	RoundTrip time.Duration
	Address   string // of the media port
	Why       string // of a check that was not made, as a sentence; may be empty
	// What became of the mark on its way: the code point that was sent, that with which the probe arrived at the box, and that with which the answer
	// came back; -1 unknown.
	Sent, Arrived, Returned int
	// Answered is the code point with which the box has sent the answer; -1 unknown.
	Answered int
}

// Bounds of a check.
const (
	maxChecked   = 4 // candidates at once
	maxSTUN      = 548
	firstResend  = 20 * time.Millisecond
	checkTimeout = 3 * time.Second
)

// checkUDP sends probes to every candidate, and tells of the first that answers.
func checkUDP(ctx context.Context, with *wire.ProbeCheck, class dscp.Class, mark dscp.CodePoint) Reach {
	return checkAll(ctx, with, func(ctx context.Context, address string) Reach { return checkOneUDP(ctx, address, with, class, mark) })
}

// checkTCP does the same over TCP, with the framing of RFC 4571.
func checkTCP(ctx context.Context, with *wire.ProbeCheck, class dscp.Class, mark dscp.CodePoint) Reach {
	return checkAll(ctx, with, func(ctx context.Context, address string) Reach { return checkOneTCP(ctx, address, with, class, mark) })
}

func checkAll(ctx context.Context, with *wire.ProbeCheck, check func(context.Context, string) Reach) Reach {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	candidates := with.Candidates[:min(len(with.Candidates), maxChecked)]
	results := make(chan Reach, len(candidates))
	for _, address := range candidates {
		go func() { results <- check(ctx, address) }()
	}
	var best Reach
	for range candidates {
		r := <-results
		if r.State == ReachAnswers {
			return r
		}
		if best.State == ReachUnknown || best.State == ReachNoRoute || best.State == ReachSilent && r.State != ReachNoRoute {
			best = r
		}
	}
	return best
}

func checkOneUDP(ctx context.Context, address string, with *wire.ProbeCheck, class dscp.Class, mark dscp.CodePoint) Reach {
	r := Reach{State: ReachSilent, Address: address, Sent: int(mark), Arrived: -1, Returned: -1, Answered: -1}
	opened, err := (&net.Dialer{Control: markControl(mark)}).DialContext(ctx, "udp", address)
	if err != nil {
		r.State = stateOf(err)
		return r
	}
	defer opened.Close()
	conn, ok := opened.(*net.UDPConn)
	if !ok {
		return r
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	asked := map[[stun.TransactionIDSize]byte]time.Time{}
	buffer, control := make([]byte, maxSTUN), make([]byte, controlBytes)
	wait, again := firstResend, time.Time{}
	for ctx.Err() == nil {
		if time.Now().After(again) {
			request, err := buildCheck(with, class)
			if err != nil {
				return r
			}
			asked[request.TransactionID] = time.Now()
			if _, err := conn.Write(request.Raw); err != nil {
				r.State = stateOf(err)
				return r
			}
			again, wait = time.Now().Add(wait), 2*wait
		}
		_ = conn.SetReadDeadline(again)
		if ctx.Err() != nil {
			break // the deadline just set may have undone the context's
		}
		n, controls, _, _, err := conn.ReadMsgUDPAddrPort(buffer, control)
		switch {
		case isTimeout(err):
			continue
		case err != nil:
			r.State = stateOf(err)
			return r
		}
		sent, ok := r.take(buffer[:n], with, asked)
		if !ok {
			continue
		}
		r.RoundTrip = time.Since(sent)
		if tos, ok := receivedTOS(control[:controls]); ok {
			r.Returned = int(tos >> 2)
		}
		return r
	}
	return r
}

func checkOneTCP(ctx context.Context, address string, with *wire.ProbeCheck, class dscp.Class, mark dscp.CodePoint) (r Reach) {
	r = Reach{State: ReachSilent, Address: address, Sent: int(mark), Arrived: -1, Returned: -1, Answered: -1}
	conn, err := (&net.Dialer{Control: markControl(mark)}).DialContext(ctx, "tcp", address)
	if err != nil {
		r.State = stateOf(err)
		return r
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	look := lookOn(conn)
	defer func() { r.Returned = look.end() }()
	request, err := buildCheck(with, class)
	if err != nil {
		return r
	}
	start := time.Now()
	framed := binary.BigEndian.AppendUint16(nil, uint16(len(request.Raw)))
	if _, err := conn.Write(append(framed, request.Raw...)); err != nil {
		r.State = stateOf(err)
		return r
	}
	var head [2]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		r.State = stateOf(err)
		return r
	}
	body := make([]byte, binary.BigEndian.Uint16(head[:]))
	if len(body) > maxSTUN {
		r.State = ReachClosed
		return r
	}
	if _, err := io.ReadFull(conn, body); err != nil {
		r.State = stateOf(err)
		return r
	}
	if _, ok := r.take(body, with, map[[stun.TransactionIDSize]byte]time.Time{request.TransactionID: start}); !ok {
		r.State = ReachClosed
		return r
	}
	r.RoundTrip = time.Since(start)
	return r
}

// buildCheck makes a request as an ICE agent would, large enough for an answer with the TOS octet, which is to have a class.
func buildCheck(with *wire.ProbeCheck, class dscp.Class) (*stun.Message, error) {
	return stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername(with.Ufrag+":probe"), priorityOf(0), classOf(class),
		stun.NewShortTermIntegrity(with.Password), stun.Fingerprint)
}

// classOf is the class that an answer is asked to have.
type classOf dscp.Class

// AddTo implements stun.Setter.
func (c classOf) AddTo(m *stun.Message) error {
	m.Add(wire.ProbeClass, binary.BigEndian.AppendUint32(nil, uint32(c)))
	return nil
}

// priorityOf is the PRIORITY of a check, RFC 8445 section 7.1.1.
type priorityOf uint32

// AddTo implements stun.Setter.
func (p priorityOf) AddTo(m *stun.Message) error {
	m.Add(stun.AttrPriority, binary.BigEndian.AppendUint32(nil, uint32(p)))
	return nil
}

// take reads an answer, and returns when the request that it answers was sent; false where it is no authentic answer to any.
func (r *Reach) take(b []byte, with *wire.ProbeCheck, asked map[[stun.TransactionIDSize]byte]time.Time) (sent time.Time, ok bool) {
	m := &stun.Message{Raw: b}
	if m.Decode() != nil || m.Type != stun.BindingSuccess {
		return sent, false
	}
	if sent, ok = asked[m.TransactionID]; !ok || m.Check(stun.NewShortTermIntegrity(with.Password)) != nil {
		return sent, false
	}
	if echo, err := m.Get(wire.ProbeTOSEcho); err == nil && len(echo) == 4 {
		r.Arrived, r.Answered = int(echo[3]>>2), int(echo[2]>>2)
	}
	r.State = ReachAnswers
	return sent, true
}

// stateOf says what an error of a socket means.
func stateOf(err error) ReachState {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.EACCES):
		return ReachRefused // a firewall's reject comes as any of them
	case errors.Is(err, syscall.ENETUNREACH):
		return ReachNoRoute
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.EPIPE):
		return ReachClosed
	}
	return ReachSilent
}

// String says what came back, for a person.
func (r Reach) String() string {
	if r.State == ReachAnswers {
		return fmt.Sprintf("%.1f ms", milliseconds(r.RoundTrip))
	}
	if r.State == ReachUnknown {
		return "-"
	}
	return string(r.State)
}
