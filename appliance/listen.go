package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"meetzone/dscp"
)

// markedListener accepts TCP connections of one traffic class, and marks them and itself, whose SYN-ACKs come before any connection.
type markedListener struct {
	*net.TCPListener
	class dscp.Class

	mu    sync.Mutex // guards what follows; held for a few system calls at most
	point dscp.CodePoint
	open  map[*markedConn]struct{}
}

// listenMarked opens a TCP listener of a class.
func listenMarked(ctx context.Context, address string, class dscp.Class) (*markedListener, error) {
	cfg := net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3}}
	l, err := cfg.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listening for %s: %w", class, err)
	}
	return &markedListener{TCPListener: l.(*net.TCPListener), class: class, open: map[*markedConn]struct{}{}}, nil
}

// setMark changes the code point of the listener and of every connection that is open.
func (l *markedListener) setMark(point dscp.CodePoint) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.point = point
	if err := mark(l.TCPListener, l.class, point); err != nil {
		return fmt.Errorf("marking %s: %w", l.Addr(), err)
	}
	for c := range l.open {
		_ = mark(c.TCPConn, l.class, point) // one that is being closed needs none
	}
	return nil
}

// marked is the code point in use.
func (l *markedListener) marked() dscp.CodePoint {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.point
}

// Accept returns the next connection, marked.
func (l *markedListener) Accept() (net.Conn, error) {
	conn, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	c := &markedConn{TCPConn: conn, from: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = mark(conn, l.class, l.point)
	l.open[c] = struct{}{}
	return c, nil
}

type markedConn struct {
	*net.TCPConn
	from *markedListener
}

// Close closes the connection and forgets it.
func (c *markedConn) Close() error {
	c.forget()
	return c.TCPConn.Close()
}

// forget leaves the marking of the connection to somebody else.
func (c *markedConn) forget() {
	c.from.mu.Lock()
	delete(c.from.open, c)
	c.from.mu.Unlock()
}

// markedBelow finds the marked connection under a connection, nil when there is none.
func markedBelow(conn net.Conn) *markedConn {
	for range 8 {
		switch c := conn.(type) {
		case *markedConn:
			return c
		case interface{ Raw() net.Conn }: // with a PROXY protocol header before it
			conn = c.Raw()
		case interface{ NetConn() net.Conn }:
			conn = c.NetConn()
		default:
			return nil
		}
	}
	return nil
}

// NetConn returns the connection itself.
func (c *markedConn) NetConn() net.Conn { return c.TCPConn }

// mark sets code point and fwmark of a socket. IPv4 on a dual-stack socket takes its mark from IP_TOS, IPv6 from IPV6_TCLASS. The fwmark
// needs a capability; without it the code point alone has to do.
func mark(s syscall.Conn, class dscp.Class, point dscp.CodePoint) error {
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	return markRaw(raw, class, point)
}

// dial opens connections.
type dial func(ctx context.Context, network, address string) (net.Conn, error)

// markedDialer opens connections of a class, which have its mark from their first packet on. One that cannot be marked works all the same.
func markedDialer(class dscp.Class, point func() dscp.CodePoint) dial {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		d := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
			_ = markRaw(raw, class, point())
			return nil
		}}
		return d.DialContext(ctx, network, address)
	}
}

// markRaw is mark for a socket that is only being opened.
func markRaw(raw syscall.RawConn, class dscp.Class, point dscp.CodePoint) error {
	var refused error
	err := raw.Control(func(fd uintptr) {
		tos := int(point.TOS())
		errTOS := unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TOS, tos)
		errClass := unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_TCLASS, tos)
		if errTOS != nil && errClass != nil {
			refused = errors.Join(errTOS, errClass)
		}
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(class.Fwmark()))
	})
	return errors.Join(err, refused)
}
