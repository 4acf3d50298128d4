//go:build !linux

package client

import (
	"net"
	"syscall"

	"meetzone/dscp"
)

// controlBytes: nothing is asked for.
const controlBytes = 0

// markControl leaves sockets unmarked: this system is not supported yet, and an unmarked packet is still a packet.
func markControl(dscp.CodePoint) func(network, address string, raw syscall.RawConn) error {
	return func(string, string, syscall.RawConn) error { return nil }
}

// receivedTOS knows nothing.
func receivedTOS([]byte) (uint8, bool) { return 0, false }

// drainErrors has nothing to do where no errors are asked for.
func drainErrors(*net.UDPConn) {}
