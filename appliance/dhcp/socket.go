package dhcp

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// toClient passes what is UDP over IPv4, no later fragment, and for the port of clients; the packet begins with the IP header.
var toClient = []bpf.Instruction{
	bpf.LoadAbsolute{Off: 9, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_UDP, SkipTrue: 6},
	bpf.LoadAbsolute{Off: 6, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x1fff, SkipTrue: 4},
	bpf.LoadMemShift{Off: 0},
	bpf.LoadIndirect{Off: 2, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: dhcpv4.ClientPort, SkipTrue: 1},
	bpf.RetConstant{Val: 1 << 16},
	bpf.RetConstant{Val: 0},
}

// broadcast opens a client that needs no address. Its packet socket ends with the exchange, and sees nothing but DHCP.
func (c *Client) broadcast(mac net.HardwareAddr) (*nclient4.Client, error) {
	filter, err := bpf.Assemble(toClient)
	if err != nil {
		return nil, fmt.Errorf("dhcp: %w", err)
	}
	i, err := net.InterfaceByName(c.cfg.Interface)
	if err != nil {
		return nil, err
	}
	raw, err := packet.Listen(i, packet.Datagram, unix.ETH_P_IP, &packet.Config{Filter: filter})
	if err != nil {
		return nil, fmt.Errorf("dhcp: %w", err)
	}
	return c.open(nclient4.NewBroadcastUDPConn(raw, &net.UDPAddr{Port: dhcpv4.ClientPort}), mac, nclient4.DefaultServers)
}

// unicast opens a client that speaks to one server from the leased address.
func (c *Client) unicast(ctx context.Context, mac net.HardwareAddr, server netip.Addr) (*nclient4.Client, error) {
	cfg := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		controlErr := raw.Control(func(fd uintptr) {
			if err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err == nil {
				err = unix.BindToDevice(int(fd), c.cfg.Interface)
			}
		})
		if controlErr != nil {
			return controlErr
		}
		return err
	}}
	conn, err := cfg.ListenPacket(ctx, "udp4", netip.AddrPortFrom(c.lease.Address.Addr(), dhcpv4.ClientPort).String())
	if err != nil {
		return nil, fmt.Errorf("dhcp: %w", err)
	}
	return c.open(conn, mac, net.UDPAddrFromAddrPort(netip.AddrPortFrom(server, dhcpv4.ServerPort)))
}

func (c *Client) open(conn net.PacketConn, mac net.HardwareAddr, server *net.UDPAddr) (*nclient4.Client, error) {
	client, err := nclient4.NewWithConn(conn, mac, nclient4.WithTimeout(c.cfg.Patience), nclient4.WithRetry(3), nclient4.WithServerAddr(server))
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("dhcp: %w", err)
	}
	return client, nil
}
