package dataplane

import (
	"golang.org/x/sys/unix"
)

// Names of the features in Actual; they are the kernel's, where it has one.
const (
	FeatureGSO       = "UDP_SEGMENT"
	FeatureGRO       = "UDP_GRO"
	FeatureMark      = "SO_MARK"
	FeatureDropCount = "SO_RXQ_OVFL"
	FeatureOutlets   = "sockets by class"
	FeatureSteering  = "SO_ATTACH_REUSEPORT_CBPF"
)

// features are the optional features of the kernel, as probed once when the plane is opened.
type features struct {
	gso, gro, mark, dropCount bool
}

// probe tries each feature on a socket that nobody else uses. A feature that the configuration forbids is probed all the same.
func probe(fd int) features {
	try := func(level, opt, value int) bool { return unix.SetsockoptInt(fd, level, opt, value) == nil }
	f := features{
		gso:       try(unix.IPPROTO_UDP, unix.UDP_SEGMENT, 1200),
		gro:       try(unix.IPPROTO_UDP, unix.UDP_GRO, 1),
		mark:      try(unix.SOL_SOCKET, unix.SO_MARK, 1), // needs CAP_NET_ADMIN or CAP_NET_RAW, as in a control message
		dropCount: try(unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1),
	}
	return f
}

// probeFeatures opens the socket that probe tries on.
func probeFeatures(v6 bool) (features, error) {
	family := unix.AF_INET
	if v6 {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.IPPROTO_UDP)
	if err != nil {
		return features{}, err
	}
	defer unix.Close(fd)
	return probe(fd), nil
}

// list tells of each feature whether it was wanted and is there.
func (f features) list(cfg Config, outlets, steering bool) []Feature {
	list := []Feature{
		{FeatureGSO, !cfg.NoGSO, f.gso, "every datagram is sent as a message of its own"},
		{FeatureGRO, !cfg.NoGRO, f.gro, "every datagram is received as a message of its own"},
		{FeatureMark, true, f.mark, "datagrams carry no fwmark: needs CAP_NET_ADMIN or CAP_NET_RAW; the TOS is set all the same"},
		{FeatureDropCount, true, f.dropCount, "what the kernel drops on receiving is not counted by worker"},
		{FeatureOutlets, !cfg.NoOutlets, outlets, "mark and source go with each message, which costs a tenth more"},
		{FeatureSteering, !cfg.NoSteering, steering, "datagrams that arrive at another worker than their meeting's are always handed over"},
	}
	for i := range list {
		l := &list[i]
		l.Actual = l.Actual && l.Wanted
		if l.Actual || !l.Wanted {
			l.Lost = ""
		}
	}
	return list
}
