package main

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"meetzone/appliance/appliancetest"
)

// announce sends one LLDP frame out of a client's interface, as a switch would: port ge/1 of sw-1, good for that many seconds.
func announce(t *testing.T, c appliancetest.Client, seconds byte) {
	t.Helper()
	frame := []byte{0x01, 0x80, 0xc2, 0, 0, 0x0e, 2, 0, 0, 0, 0, 1, 0x88, 0xcc, 2, 7, 4, 2, 0, 0, 0, 0, 1, 4, 5, 5, 'g', 'e', '/', '1', 6, 2, 0, seconds, 10, 4, 's', 'w', '-', '1', 0, 0}
	index := c.NS.Interface(t, c.Iface).Index
	c.NS.Do(t, func() {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err == nil {
			defer unix.Close(fd)
			err = unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: index, Halen: 6})
		}
		if err != nil {
			t.Error(err)
		}
	})
}

// TestNetnsNeighbours: what a switch says of itself is shown beside the interface, for as long as the switch says.
func TestNetnsNeighbours(t *testing.T) {
	lab := appliancetest.New(t, 2)
	c := lab.Clients[1]
	daemon := lab.Start(t)
	const told = "is plugged into ge/1 of sw-1 02:00:00:00:00:01"
	shown := func() string { return string(daemon.Admin(t, "network", "show")) }
	soon(t, 30*time.Second, "the switch is shown", func() bool {
		announce(t, c, 120)
		return strings.Contains(shown(), c.BoxIface+" "+told)
	})
	if text := shown(); strings.Count(text, told) != 1 || !strings.Contains(text, c.Box.String()+"/24") || !strings.Contains(text, "route "+"10.88.1.0/24") {
		t.Errorf("network show:\n%s", text)
	}
	announce(t, c, 0)
	soon(t, 10*time.Second, "the switch that says goodbye is forgotten", func() bool { return !strings.Contains(shown(), told) })
}
