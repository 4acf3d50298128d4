package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/google/gopacket/pcapgo"
	"golang.org/x/sys/unix"

	"meetzone/appliance/adminapi"
	"meetzone/appliance/capture"
	"meetzone/dscp"
	"meetzone/zonectl/wire"
)

// Capture implements admin.Marks.
func (p marksPart) Capture(ctx context.Context, asked adminapi.Capture, to io.Writer) (adminapi.Captured, error) {
	refuse := func(err error) (adminapi.Captured, error) {
		return adminapi.Captured{}, &adminapi.Error{Code: adminapi.CodeBad, Text: sentence(err.Error())}
	}
	doc := p.d.revisions.Running().Document
	profile, err := doc.DSCP.Policy()
	if err != nil {
		return refuse(err)
	}
	spec := capture.Spec{Interface: asked.Interface, Time: time.Duration(asked.TimeMS) * time.Millisecond, Bytes: asked.Bytes, Payload: asked.Payload,
		Marks: profile.Points()}
	var class *dscp.Class
	if asked.Class != "" {
		c, err := dscp.ParseClass(asked.Class)
		if err != nil {
			return refuse(err)
		}
		class = &c
	}
	switch {
	case asked.Meeting != "":
		number := wire.Number(asked.Meeting)
		if _, err := p.flows(ctx, number, asked.Participant, class); err != nil {
			return adminapi.Captured{}, told(err)
		}
		spec.Flows = func() []capture.Flow {
			list, _ := p.flows(ctx, number, asked.Participant, class) // a meeting that has ended has none
			return list
		}
	case asked.Participant != "":
		return refuse(errors.New("a participant needs the number of the meeting too"))
	default:
		spec.Class = class
	}
	if err := spec.Validate(); err != nil {
		return refuse(err)
	}
	done, err := capture.Run(ctx, spec, to)
	if errors.Is(err, unix.EPERM) {
		return adminapi.Captured{}, &adminapi.Error{Code: adminapi.CodeConflict, Text: "The daemon may not capture.", Advice: "It needs CAP_NET_RAW, as its unit gives it."}
	}
	return adminapi.Captured{Packets: done.Packets, Bytes: done.Bytes, Missed: done.Missed, Full: done.Full}, err
}

// errNoPerson says that a meeting has no such participant.
var errNoPerson = &adminapi.Error{Code: adminapi.CodeUnknown, Text: "There is no such participant in the meeting.", Advice: "See `appliance meeting show`."}

// flows lists the media of a meeting, or of one of its participants, or of one class of it.
func (p marksPart) flows(ctx context.Context, number, participant string, class *dscp.Class) (list []capture.Flow, err error) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	m, err := p.d.zone.Meeting(ctx, number)
	if err != nil {
		return nil, err
	}
	found := participant == ""
	for _, person := range m.Participants {
		if participant != "" && person.ID != participant {
			continue
		}
		found = true
		for _, t := range person.Transports {
			if f, ok := flowOf(t); ok && (class == nil || t.Medium == wire.Medium(class.String())) {
				list = append(list, f)
			}
		}
	}
	if !found {
		return nil, errNoPerson
	}
	return list, nil
}

func flowOf(t wire.TransportState) (f capture.Flow, ok bool) {
	remote, err := netip.ParseAddrPort(t.Remote)
	if err != nil {
		return f, false
	}
	f.Remote = remote
	if local, err := netip.ParseAddrPort(t.Local); err == nil && !local.Addr().IsUnspecified() {
		f.Local = local
	}
	return f, true
}

// sentence makes one of an error.
func sentence(text string) string {
	if text == "" {
		return text
	}
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// ---- verify

// Bounds of a verification.
const (
	discardPort = 9
	verifyFor   = 700 * time.Millisecond
)

// Verify implements admin.Marks: a datagram of each class, and one that is marked wrongly on purpose, are sent and captured where they leave.
func (p marksPart) Verify(ctx context.Context, v adminapi.Verify) (out adminapi.Verified, err error) {
	addr, err := netip.ParseAddr(v.To)
	if err != nil || addr.IsMulticast() || addr.IsUnspecified() {
		return out, &adminapi.Error{Code: adminapi.CodeBad, Text: fmt.Sprintf("%q is no address to send to.", v.To), Advice: "Name the address of a host or of the gateway."}
	}
	doc := p.d.revisions.Running().Document
	wanted, err := wantedMarks(doc)
	if err != nil {
		return out, err
	}
	to := netip.AddrPortFrom(addr, discardPort)
	if out.Interface, err = egressTo(to); err != nil {
		return out, &adminapi.Error{Code: adminapi.CodeConflict, Text: fmt.Sprintf("There is no way to %s: %v.", addr, err)}
	}
	a := p.d.enforcer.Observe()
	out.Enforced = a.Enforced && a.Agrees()
	profile := wanted.ProfileTo(out.Interface, addr)
	left, err := sendAndCapture(ctx, out.Interface, to, profile.Points())
	if err != nil {
		return out, &adminapi.Error{Code: adminapi.CodeConflict, Text: sentence(err.Error()), Advice: "The daemon needs CAP_NET_RAW to capture, as its unit gives it."}
	}
	for class, point := range profile.Points() {
		one := adminapi.VerifiedMark{Class: dscp.Class(class).String(), Wanted: pointOf(point), Left: left[class].right, Corrected: left[class].wrong}
		one.OK = one.Left != nil && *one.Left == one.Wanted && (!out.Enforced || one.Corrected != nil && *one.Corrected == one.Wanted)
		out.Classes = append(out.Classes, one)
	}
	return out, nil
}

// egressTo finds the interface by which a destination is reached.
func egressTo(to netip.AddrPort) (string, error) {
	conn, err := net.Dial("udp", to.String())
	if err != nil {
		return "", err
	}
	defer conn.Close()
	local, err := netip.ParseAddrPort(conn.LocalAddr().String())
	if err != nil {
		return "", err
	}
	ifaces, err := net.Interfaces()
	if err != nil {
		return "", err
	}
	for _, i := range ifaces {
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr().WithZone("") == local.Addr().WithZone("") {
				return i.Name, nil
			}
		}
	}
	return "", fmt.Errorf("no interface has the address %s", local.Addr())
}

// leaving is what was seen of one class.
type leaving struct{ right, wrong *adminapi.CodePoint }

// sender sends one datagram of a class, with its mark or with another.
type sender struct {
	class dscp.Class
	wrong bool
	conn  net.Conn
	local netip.AddrPort
}

// openSenders opens two for each class; their ports tell them apart.
func openSenders(ctx context.Context, to netip.AddrPort, points dscp.Marks) (byPort map[uint16]sender, err error) {
	byPort = map[uint16]sender{}
	for class, point := range points {
		for _, wrong := range []bool{false, true} {
			mark := point
			if wrong {
				mark = point ^ dscp.CS1
			}
			d := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error { return markRaw(raw, dscp.Class(class), mark) }}
			s := sender{class: dscp.Class(class), wrong: wrong}
			if s.conn, err = d.DialContext(ctx, "udp", to.String()); err != nil {
				return byPort, err
			}
			if s.local, err = netip.ParseAddrPort(s.conn.LocalAddr().String()); err != nil {
				s.conn.Close()
				return byPort, err
			}
			byPort[s.local.Port()] = s
		}
	}
	return byPort, nil
}

// sendAndCapture sends all of them and returns with what marks they were seen.
func sendAndCapture(ctx context.Context, iface string, to netip.AddrPort, points dscp.Marks) (out [dscp.NumClasses]leaving, err error) {
	byPort, err := openSenders(ctx, to, points)
	defer func() {
		for _, s := range byPort {
			s.conn.Close()
		}
	}()
	if err != nil {
		return out, err
	}
	var flows []capture.Flow
	for _, s := range byPort {
		flows = append(flows, capture.Flow{Local: s.local, Remote: to})
	}
	var file bytes.Buffer
	send := func() {
		for _, s := range byPort {
			_, _ = s.conn.Write(nil) // an empty datagram; that nobody takes it is of no interest
		}
	}
	spec := capture.Spec{Interface: iface, Time: verifyFor, Flows: func() []capture.Flow { return flows }, Started: send}
	if _, err := capture.Run(ctx, spec, &file); err != nil {
		return out, err
	}
	r, err := pcapgo.NewNgReader(&file, pcapgo.DefaultNgReaderOptions)
	if err != nil {
		return out, err
	}
	for {
		frame, _, err := r.ReadPacketData()
		if err != nil {
			return out, nil // the end
		}
		port, point, ok := capture.SourceAndMark(frame)
		s, known := byPort[port]
		if !ok || !known {
			continue
		}
		seen := pointOf(point)
		if s.wrong {
			out[s.class].wrong = &seen
		} else {
			out[s.class].right = &seen
		}
	}
}
