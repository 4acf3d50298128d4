package dhcp

import (
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"meetzone/dataplane/nstest"
)

// refuse is a server that answers each request of a client that has an address with a refusal.
func refuse(conn net.PacketConn, server net.IP) {
	buf := make([]byte, 2048)
	for {
		n, _, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		request, err := dhcpv4.FromBytes(buf[:n])
		if err != nil || request.MessageType() != dhcpv4.MessageTypeRequest {
			continue
		}
		nak, err := dhcpv4.NewReplyFromRequest(request, dhcpv4.WithMessageType(dhcpv4.MessageTypeNak), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(server)),
			dhcpv4.WithOption(dhcpv4.OptMessage("not here")))
		if err == nil {
			_, _ = conn.WriteTo(nak.ToBytes(), &net.UDPAddr{IP: request.ClientIPAddr, Port: dhcpv4.ClientPort})
		}
	}
}

// TestNetnsRefused: a server that refuses the lease at T1, or at T2, takes it away at once, and the client goes on.
func TestNetnsRefused(t *testing.T) {
	nstest.RequireRoot(t)
	box, far := nstest.New(t, "box"), nstest.New(t, "far")
	iface, _ := nstest.Link(t, box, far, "192.0.2.7/24", "192.0.2.1/24")
	var conn net.PacketConn
	var err error
	far.Do(t, func() { conn, err = net.ListenPacket("udp4", ":67") })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go refuse(conn, net.IPv4(192, 0, 2, 1))
	for name, age := range map[string]time.Duration{"T1": 35 * time.Minute, "T2": 55 * time.Minute} {
		lease, err := leaseOf(iface, mac, acknowledgement(t))
		if err != nil {
			t.Fatal(err)
		}
		lease.Boot, lease.Given = "another", time.Now().Add(-age)
		told := []*Lease{}
		c := &Client{lease: &lease, again: make(chan struct{}, 1),
			cfg: Config{Interface: iface, Patience: 2 * time.Second, Logger: slog.New(slog.DiscardHandler), Changed: func(l *Lease) { told = append(told, l) }}}
		began := time.Now()
		box.Do(t, func() { c.keep(t.Context()) })
		if c.lease != nil || len(told) != 1 || told[0] != nil {
			t.Errorf("%s: after the refusal the lease is %v, and %v were told", name, c.lease, told)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s: %v until the client asks for another lease", name, took)
		}
	}
}
