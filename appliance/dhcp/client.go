package dhcp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
)

// The life of a lease (RFC 2131, section 4.4):
//
//	none ──discover, request──► bound ──T1: ask its server──► ──T2: ask any server──► expired: none
//	kept ──ask whether it is still so──► bound; refused: none; no answer: bound as long as it lasts

// Config says for which interface, and who is told.
type Config struct {
	Interface string
	Kept      *Lease        // an earlier one, to begin with; nil: none
	Changed   func(*Lease)  // called by Run with each new lease and each renewal, and with nil when there is none any more
	Patience  time.Duration // the first wait for an answer, which doubles twice; default 2 s
	Logger    *slog.Logger  // default slog.Default
}

// Validate says what is wrong.
func (c Config) Validate() error {
	if c.Interface == "" || c.Changed == nil {
		return errors.New("dhcp: Interface and Changed are needed")
	}
	return nil
}

// Client keeps the lease of one interface.
type Client struct {
	cfg   Config
	lease *Lease        // Run's
	again chan struct{} // one place: ask whether the lease is still good
}

// New returns a Client; Run obtains the lease.
func New(cfg Config) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Patience == 0 {
		cfg.Patience = 2 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	c := &Client{cfg: cfg, again: make(chan struct{}, 1)}
	if cfg.Kept != nil {
		kept := *cfg.Kept
		c.lease = &kept
		c.Verify()
	}
	return c, nil
}

// Verify has the client ask whether its lease is still good, as when the link was down: it may be on another network now.
func (c *Client) Verify() {
	select {
	case c.again <- struct{}{}:
	default:
	}
}

// Waits between attempts that had no answer.
const (
	leastWait = time.Second
	mostWait  = time.Minute
)

// Run obtains the lease and keeps it until ctx ends. The lease is not given back then: it is good for the next start.
func (c *Client) Run(ctx context.Context) {
	wait := leastWait
	for ctx.Err() == nil {
		if c.lease == nil {
			if err := c.obtain(ctx); err != nil {
				c.cfg.Logger.Debug("no lease yet", "interface", c.cfg.Interface, "err", err)
				c.sleep(ctx, jitter(wait))
				wait = min(2*wait, mostWait)
			}
			continue
		}
		wait = leastWait
		c.keep(ctx)
	}
}

// keep does the next thing that the lease needs, when it is time.
func (c *Client) keep(ctx context.Context) {
	select {
	case <-c.again:
		c.ask(ctx, c.verify)
		return
	default:
	}
	lease := *c.lease // what the answer makes of it is c.lease
	age := lease.Age()
	switch {
	case age >= lease.Expire:
		c.drop("it has expired")
	case age >= lease.Rebind:
		c.ask(ctx, c.rebind)
		c.wait(ctx, lease.Expire)
	case age >= lease.Renew:
		c.ask(ctx, c.renew)
		c.wait(ctx, lease.Rebind)
	default:
		c.sleep(ctx, lease.Renew-age)
	}
}

// retryBefore is half of what is left until a time of the lease, and at least a minute, unless that is too late. A fresh lease has nothing to retry.
func (l *Lease) retryBefore(end time.Duration) time.Duration {
	if l.Age() < l.Renew {
		return 0
	}
	left := end - l.Age()
	return max(0, min(left, max(left/2, mostWait)))
}

// wait passes the time until the next attempt, where the lease is still there to ask about: a server may have refused it.
func (c *Client) wait(ctx context.Context, end time.Duration) {
	if c.lease == nil {
		return
	}
	if d := c.lease.retryBefore(end); d > 0 {
		c.sleep(ctx, d)
	}
}

// sleep ends early when the lease is to be verified; that is then still to be done.
func (c *Client) sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-c.again:
		if c.lease != nil {
			c.Verify()
		}
	}
}

func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d) }

// ask takes what a server answers: another term, a refusal, or nothing.
func (c *Client) ask(ctx context.Context, how func(context.Context) (*dhcpv4.DHCPv4, error)) {
	ctx, cancel := context.WithTimeout(ctx, max(0, c.lease.Left()))
	defer cancel()
	ack, err := how(ctx)
	switch {
	case err != nil:
		c.cfg.Logger.Debug("no answer about the lease", "interface", c.cfg.Interface, "address", c.lease.Address, "err", err)
	case ack.MessageType() == dhcpv4.MessageTypeNak:
		c.drop("the server refuses it: " + printable(ack.Message()))
	default:
		if err := c.take(ack); err != nil {
			c.cfg.Logger.Warn("an answer about the lease cannot be used", "interface", c.cfg.Interface, "err", err)
		}
	}
}

func (c *Client) take(ack *dhcpv4.DHCPv4) error {
	mac, err := c.mac()
	if err != nil {
		return err
	}
	l, err := leaseOf(c.cfg.Interface, mac, ack)
	if err != nil {
		return err
	}
	if c.lease == nil || c.lease.Address != l.Address {
		c.cfg.Logger.Info("lease obtained", "interface", l.Interface, "address", l.Address, "server", l.Server, "for", l.Expire)
	}
	c.lease = &l
	told := l
	c.cfg.Changed(&told)
	return nil
}

func (c *Client) drop(why string) {
	c.cfg.Logger.Warn("lease lost", "interface", c.cfg.Interface, "address", c.lease.Address, "why", why)
	c.lease = nil
	c.cfg.Changed(nil)
}

func (c *Client) mac() (net.HardwareAddr, error) {
	i, err := net.InterfaceByName(c.cfg.Interface)
	if err != nil {
		return nil, err
	}
	if i.Flags&net.FlagUp == 0 {
		return nil, errors.New("the interface is down")
	}
	return i.HardwareAddr, nil
}

// ---- the messages

// wanted is what servers are asked for (RFC 2132; RFC 3442 wants 121 before 3).
var wanted = dhcpv4.WithRequestedOptions(dhcpv4.OptionSubnetMask, dhcpv4.OptionClasslessStaticRoute, dhcpv4.OptionRouter, dhcpv4.OptionDomainNameServer,
	dhcpv4.OptionDomainName, dhcpv4.OptionNTPServers)

var answered = nclient4.IsMessageType(dhcpv4.MessageTypeAck, dhcpv4.MessageTypeNak)

// obtain gets a new lease by broadcast.
func (c *Client) obtain(ctx context.Context) error {
	mac, err := c.mac()
	if err != nil {
		return err
	}
	client, err := c.broadcast(mac)
	if err != nil {
		return err
	}
	defer client.Close()
	lease, err := client.Request(ctx, wanted)
	if err != nil {
		return err
	}
	return c.take(lease.ACK)
}

// verify asks any server whether the address is still right here (INIT-REBOOT).
func (c *Client) verify(ctx context.Context) (*dhcpv4.DHCPv4, error) {
	return c.request(ctx, netip.Addr{}, dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(c.lease.Address.Addr().AsSlice())))
}

// renew asks the server that gave it (RENEWING).
func (c *Client) renew(ctx context.Context) (*dhcpv4.DHCPv4, error) {
	return c.request(ctx, c.lease.Server, dhcpv4.WithClientIP(c.lease.Address.Addr().AsSlice()))
}

// rebind asks any server (REBINDING).
func (c *Client) rebind(ctx context.Context) (*dhcpv4.DHCPv4, error) {
	return c.request(ctx, netip.Addr{}, dhcpv4.WithClientIP(c.lease.Address.Addr().AsSlice()))
}

// request asks one server, or all on the link.
func (c *Client) request(ctx context.Context, server netip.Addr, more dhcpv4.Modifier) (*dhcpv4.DHCPv4, error) {
	mac, err := c.mac()
	if err != nil {
		return nil, err
	}
	var client *nclient4.Client
	if server.IsValid() {
		client, err = c.unicast(ctx, mac, server)
	} else {
		client, err = c.broadcast(mac)
	}
	if err != nil {
		return nil, err
	}
	defer client.Close()
	request, err := dhcpv4.New(dhcpv4.WithMessageType(dhcpv4.MessageTypeRequest), dhcpv4.WithHwAddr(mac), wanted,
		dhcpv4.WithOption(dhcpv4.OptMaxMessageSize(nclient4.MaxMessageSize)), more)
	if err != nil {
		return nil, fmt.Errorf("dhcp: %w", err)
	}
	return client.SendAndRead(ctx, client.RemoteAddr(), request, answered)
}

func printable(s string) string {
	out := []rune(s)
	for i, r := range out {
		if r < ' ' || r > '~' {
			out[i] = '?'
		}
	}
	return string(out[:min(len(out), 80)])
}
