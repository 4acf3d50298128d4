package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/stun/v3"
	"golang.org/x/net/ipv4"

	"meetzone/appliance/appliancetest"
	"meetzone/dataplane/nstest"
)

// The flood: datagrams per second of each kind, and from how many ports.
const (
	floodRate    = 20_000
	floodSockets = 256
	floodTick    = 2 * time.Millisecond
	floodBatch   = 40   // datagrams in a system call
	floodBehind  = 2000 // what is made up for when the sender did not get to run: 50 ms
)

// flooder sends datagrams to the media port from many source ports and looks for answers.
type flooder struct {
	sockets  []*ipv4.PacketConn
	box      net.Addr
	random   []byte   // any part of it is a random datagram
	hostile  [][]byte // well-formed, and none of them valid
	listener *net.IPConn

	mu      sync.Mutex // guards what follows
	answers []string
	proven  bool
	seen    chan struct{} // closed when something came from elsewhere than the media port, which proves that the listener listens
}

// newFlooder opens its sockets in a client's namespace. user is what STUN calls a user name; it belongs to a real transport of the meeting.
func newFlooder(t *testing.T, c appliancetest.Client, user string) *flooder {
	t.Helper()
	f := &flooder{box: &net.UDPAddr{IP: c.Box.AsSlice(), Port: 8801}, random: make([]byte, 1<<20), seen: make(chan struct{})}
	random := rand.NewChaCha8([32]byte{8, 8, 0, 1})
	_, _ = random.Read(f.random) // never fails
	f.hostile = hostileDatagrams(t, rand.New(random), user)
	c.NS.Do(t, func() {
		for range floodSockets {
			conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: c.Addr.AsSlice()})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			f.sockets = append(f.sockets, ipv4.NewPacketConn(conn))
		}
		var err error
		if f.listener, err = net.ListenIP("ip4:udp", &net.IPAddr{IP: c.Addr.AsSlice()}); err != nil {
			t.Fatal(err)
		}
	})
	t.Cleanup(func() { f.listener.Close() })
	go f.runListener()
	return f
}

// runListener gets a copy of every UDP datagram that comes to the namespace, and nothing of what leaves it, until it is closed.
func (f *flooder) runListener() {
	buf := make([]byte, 1<<16)
	for {
		n, _, err := f.listener.ReadFromIP(buf)
		if err != nil {
			return
		}
		if n < 8 {
			continue
		}
		f.mu.Lock()
		if port := binary.BigEndian.Uint16(buf); port == 8801 {
			f.answers = append(f.answers, fmt.Sprintf("%d bytes to port %d: % x", n-8, binary.BigEndian.Uint16(buf[2:]), buf[8:min(n, 40)]))
		} else if !f.proven {
			f.proven = true
			close(f.seen)
		}
		f.mu.Unlock()
	}
}

// run floods for a time and returns how many datagrams went out. What could not be sent in time is made up for, within limits.
func (f *flooder) run(ctx context.Context) (sent int64) {
	tick := time.NewTicker(floodTick)
	defer tick.Stop()
	begin, next, source := time.Now(), int64(0), rand.New(rand.NewPCG(8801, 1))
	batch := make([]ipv4.Message, 0, floodBatch)
	for {
		select {
		case <-ctx.Done():
			return sent
		case now := <-tick.C:
			due := int64(now.Sub(begin).Seconds() * 2 * floodRate)
			next = max(next, due-floodBehind) // too late for those before: the rate that was reached shows it
			for next < due {
				batch = batch[:0]
				for ; next < due && len(batch) < floodBatch; next++ {
					batch = append(batch, ipv4.Message{Buffers: [][]byte{f.datagram(source, next)}, Addr: f.box})
				}
				n, _ := f.sockets[source.IntN(len(f.sockets))].WriteBatch(batch, 0) // a full buffer shows in what was sent
				sent += int64(max(n, 0))
			}
		}
	}
}

// datagram is a random one and a hostile one in turns.
func (f *flooder) datagram(source *rand.Rand, number int64) []byte {
	if number%2 == 0 {
		size := 1 + source.IntN(1200)
		from := source.IntN(len(f.random) - size)
		return f.random[from : from+size]
	}
	return f.hostile[source.IntN(len(f.hostile))]
}

// hostileDatagrams are what looks right at first sight: each kind many times with other random parts.
func hostileDatagrams(t *testing.T, random *rand.Rand, user string) [][]byte {
	t.Helper()
	var all [][]byte
	short := func(setters ...stun.Setter) {
		m, err := stun.Build(append([]stun.Setter{stun.TransactionID}, setters...)...)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m.Raw)
	}
	fill := func(b []byte, from int) []byte {
		for i := from; i < len(b); i++ {
			b[i] = byte(random.Uint32())
		}
		return b
	}
	wrong := stun.NewShortTermIntegrity("not the password of this transport")
	for range 200 {
		short(stun.BindingRequest)
		short(stun.BindingRequest, stun.Fingerprint)
		short(stun.BindingRequest, stun.NewUsername(user), wrong, stun.Fingerprint)
		short(stun.BindingRequest, stun.NewUsername(fmt.Sprintf("%08x:%08x", random.Uint32(), random.Uint32())), wrong, stun.Fingerprint)
		short(stun.BindingSuccess, &stun.XORMappedAddress{IP: net.IPv4(10, 88, 0, 1), Port: 8801}, wrong, stun.Fingerprint)
		short(stun.BindingError, stun.CodeUnauthorized, stun.Fingerprint)
		short(stun.NewType(stun.MethodAllocate, stun.ClassRequest), stun.NewUsername(user), wrong, stun.Fingerprint)
		all = append(all, clientHello(random), fill([]byte{0x40, 0, 0, 96, 99: 0}, 4)) // ChannelData
		rtp := fill(make([]byte, 12+80+random.IntN(1000)), 0)
		rtp[0], rtp[1] = 0x80, byte([]int{opus, vp8}[random.IntN(2)])
		all = append(all, rtp)
		for _, kind := range []byte{200, 201, 205, 206} { // SR, RR, transport and payload feedback
			rtcp := fill(make([]byte, 28+14), 0)
			rtcp[0], rtcp[1], rtcp[2], rtcp[3] = 0x81, kind, 0, 6
			all = append(all, rtcp)
		}
	}
	return all
}

// clientHello is a DTLS 1.2 ClientHello without cookie (RFC 6347, section 4.2) that offers use_srtp, as a peer would begin with.
func clientHello(random *rand.Rand) []byte {
	body := []byte{0xfe, 0xfd}
	for range 32 {
		body = append(body, byte(random.Uint32()))
	}
	body = append(body, 0, 0)                         // neither session nor cookie
	body = append(body, 0, 4, 0xc0, 0x2b, 0xc0, 0x2f) // ECDHE with AES-128-GCM
	body = append(body, 1, 0)                         // no compression
	extensions := []byte{
		0, 10, 0, 4, 0, 2, 0, 23, 0, 11, 0, 2, 1, 0, // P-256, uncompressed
		0, 14, 0, 5, 0, 2, 0, 7, 0, // use_srtp with AEAD_AES_128_GCM
		0xff, 0x01, 0, 1, 0, // renegotiation_info
	}
	body = append(append(body, 0, byte(len(extensions))), extensions...)
	handshake := append([]byte{1, 0, 0, byte(len(body)), 0, 0, 0, 0, 0, 0, 0, byte(len(body))}, body...)
	return append([]byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, byte(len(handshake))}, handshake...)
}

// userName takes the user name out of a client's first connectivity check.
func userName(packets []nstest.Packet) string {
	for _, p := range packets {
		m := &stun.Message{Raw: p.Payload}
		var user stun.Username
		if p.Dst.Port() == 8801 && stun.IsMessage(p.Payload) && m.Decode() == nil && user.GetFrom(m) == nil {
			return user.String()
		}
	}
	return ""
}

// mediaFromBox counts packets of speech and of pictures that the box sent.
func mediaFromBox(packets []nstest.Packet) (audio, video int) {
	for _, p := range packets {
		if p.Src.Port() == 8801 {
			switch payloadType(p) {
			case opus:
				audio++
			case vp8:
				video++
			}
		}
	}
	return audio, video
}

// longestPause is the longest time between two packets of a payload type that the box sent, within a time.
func longestPause(packets []nstest.Packet, kind int, begin, end time.Time) (longest time.Duration) {
	last := begin
	for _, p := range packets {
		if p.Src.Port() == 8801 && payloadType(p) == kind && p.Time.After(begin) && p.Time.Before(end) {
			longest, last = max(longest, p.Time.Sub(last)), p.Time
		}
	}
	return max(longest, end.Sub(last))
}

// TestNetnsFlood: a meeting of two goes on while somebody sends garbage and well-formed hostile datagrams to the media port. The meeting loses at
// most one packet in a thousand either way and never pauses, and the flooder is never answered. Sender, box and clients share the machine's cores;
// told is the rate that was really reached.
func TestNetnsFlood(t *testing.T) {
	during := 10 * time.Second
	if long() {
		during = 30 * time.Second
	}
	lab := appliancetest.New(t, 3)
	enemy := lab.Clients[2]
	enemy.NS.SetOffload(t, enemy.Iface, true)
	lab.Box.SetOffload(t, enemy.BoxIface, true)
	daemon := lab.Start(t)
	number := newMeetings(t, daemon, 1)
	ctx, cancel := context.WithTimeout(context.Background(), during+time.Minute)
	defer cancel()

	var captures []*nstest.Capture
	results, failures := make([]gathered, 2), make(chan error, 2)
	for i, c := range lab.Clients[:2] {
		captures = append(captures, mediaPackets(t, c))
		go func() {
			var err error
			results[i], err = gather(ctx, lab, c, number, gathering{1, 1, 1, 1, during + 10*time.Second})
			failures <- err
		}()
	}
	for _, c := range captures {
		c.WaitFor(t, 20*time.Second, func(all []nstest.Packet) bool {
			audio, video := mediaFromBox(all)
			return audio > 50 && video > 50
		})
	}
	user := userName(captures[0].Packets())
	if user == "" {
		t.Fatal("no connectivity check with a user name was captured")
	}
	f := newFlooder(t, enemy, user)
	f.proveListening(t, lab, enemy)

	before := read(t, daemon)
	flooding, stop := context.WithTimeout(ctx, during)
	defer stop()
	begin := time.Now()
	sent := f.run(flooding)
	end := time.Now()
	after := read(t, daemon)
	for i, c := range captures {
		packets := c.Packets()
		for name, kind := range map[string]int{"audio": opus, "video": vp8} {
			pause := longestPause(packets, kind, begin, end)
			t.Logf("client %d: longest pause of %s %v", i, name, pause.Round(time.Millisecond))
			// Flooder, box and clients share the cores here, and a pause is what the scheduler makes of it: a bound only where nothing else runs.
			if long() && pause > 200*time.Millisecond {
				t.Errorf("client %d got no %s for %v", i, name, pause)
			}
		}
		if missed := c.Missed(); missed > 0 {
			t.Errorf("the capture of client %d missed %d packets", i, missed)
		}
	}
	for range results {
		if err := <-failures; err != nil {
			t.Fatal(err)
		}
	}
	for i, r := range results {
		checkLoss(t, i, r)
	}
	f.checkArrived(t, sent, end.Sub(begin), before, after)
	f.checkUnanswered(t)
}

// checkLoss wants at most one packet in a thousand lost, either way.
func checkLoss(t *testing.T, client int, r gathered) {
	t.Helper()
	for _, medium := range []string{"audio", "video"} {
		m := r.Media[medium]
		t.Logf("client %d: %s sent %d, %d lost on the way up; received %d, lost %d", client, medium, m.Sent, m.FarLost, m.Received, m.Lost)
		if m.Received == 0 || m.Sent == 0 || m.Lost*1000 > m.Received || m.FarLost*1000 > m.Sent {
			t.Errorf("client %d, %s: of %d packets sent %d were lost, of %d received %d", client, medium, m.Sent, m.FarLost, m.Received, m.Lost)
		}
	}
}

// proveListening lets the box's namespace send one datagram from another port, and waits until the listener has it.
func (f *flooder) proveListening(t *testing.T, lab *appliancetest.Lab, c appliancetest.Client) {
	t.Helper()
	lab.Box.Do(t, func() {
		conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(c.Addr, 9)))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write([]byte("seen?")); err != nil {
			t.Fatal(err)
		}
	})
	select {
	case <-f.seen:
	case <-time.After(5 * time.Second):
		t.Fatal("the flooder's listener sees nothing")
	}
}

// checkArrived wants that the flood reached the box, and tells its rate and what became of it.
func (f *flooder) checkArrived(t *testing.T, sent int64, took time.Duration, before, after readings) {
	t.Helper()
	const inward = `direction="in"`
	arrived := after.sum(t, "meetzone_worker_datagrams_total", inward) - before.sum(t, "meetzone_worker_datagrams_total", inward)
	lost := after.sum(t, "meetzone_worker_kernel_drops_total", "") - before.sum(t, "meetzone_worker_kernel_drops_total", "")
	var reasons []string
	for name, value := range after {
		if grown := value - before[name]; grown > 0 && strings.HasPrefix(name, "meetzone_dropped_total") {
			reasons = append(reasons, fmt.Sprintf("%s %.0f", strings.TrimPrefix(name, "meetzone_dropped_total"), grown))
		}
	}
	t.Logf("sent %d in %v: %.0f/s, half of them random, half hostile, from %d ports; the box took %.0f/s in, its kernel dropped %.0f; CPU of the box %.2f s; "+
		"refused: %s", sent, took.Round(time.Millisecond), float64(sent)/took.Seconds(), floodSockets, arrived/took.Seconds(), lost,
		after["process_cpu_seconds_total"]-before["process_cpu_seconds_total"], strings.Join(reasons, ", "))
	if arrived+lost < 0.95*float64(sent) {
		t.Errorf("of %d datagrams only %.0f came to the box", sent, arrived+lost)
	}
	if rate := float64(sent) / took.Seconds(); rate < floodRate {
		t.Errorf("the flood reached only %.0f datagrams/s of %d", rate, 2*floodRate)
	}
}

// checkUnanswered wants that nothing came back.
func (f *flooder) checkUnanswered(t *testing.T) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, answer := range f.answers {
		if i == 5 {
			break
		}
		t.Errorf("the flooder was answered: %s", answer)
	}
	t.Logf("%d answers to the flooder", len(f.answers))
}
