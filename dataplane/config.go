package dataplane

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"

	"meetzone/dscp"
)

// Defaults and limits of the configuration.
const (
	DefaultPort   = 8801
	DefaultBuffer = 8 << 20
	DefaultBatch  = 64
	DefaultBurst  = 16

	DefaultMaxStreams = 4096

	maxWorkers   = 256  // Datagram.Via is one byte
	maxBatch     = 1024 // UIO_MAXIOV, beyond which the kernel cuts off
	maxBurst     = 64   // UDP_MAX_SEGMENTS of the kernels that know least
	maxRingSlots = 1 << 16
	maxBuffer    = 1 << 30 // the kernel doubles it into an int
	maxStreams   = 1 << 16
)

// Config is what a plane is asked to be. Zero values mean the documented default.
type Config struct {
	// Listen are the addresses of the port; all must name the same one. Port 0 lets the kernel choose. The default is [::]:8801 for
	// IPv6 and IPv4, or 0.0.0.0:8801 where the kernel has no IPv6. [::] leaves IPv4 alone when an IPv4 address is listed too.
	Listen []netip.AddrPort
	// Workers is the number of threads; default: the number of CPUs this process may use.
	Workers int
	// ReceiveBuffer and SendBuffer are per socket, in bytes; default 8 MiB.
	ReceiveBuffer, SendBuffer int
	// Batch is how many messages one system call takes at most; default 64.
	Batch int
	// Burst is how many datagrams one UDP_SEGMENT message takes at most; default 16.
	Burst int
	// RingSlots is how many datagrams wait at most between one worker and another, a power of two; default 64 to 4096, by the number
	// of workers.
	RingSlots int
	// NoTCP leaves the port's TCP side closed. MaxStreams bounds the streams of the plane, those over TLS included; default 4096.
	NoTCP      bool
	MaxStreams int
	// Marks are the code points to begin with; the default marks nothing.
	Marks dscp.Marks
	// NoPin leaves the threads to the scheduler. NoGSO and NoGRO do without segmentation offload, NoOutlets without sockets by class, NoSteering
	// leaves it to the kernel which worker gets what.
	NoPin, NoGSO, NoGRO, NoOutlets, NoSteering bool
	// Logger takes what happens once, never what happens per datagram; default slog.Default.
	Logger *slog.Logger
}

// Validate names everything that is wrong with the configuration.
func (c Config) Validate() error {
	errs := c.checkListen()
	check := func(name string, value, least, most int) {
		if value != 0 && (value < least || value > most) {
			errs = append(errs, fmt.Errorf("%s: %d is not between %d and %d", name, value, least, most))
		}
	}
	check("workers", c.Workers, 1, maxWorkers)
	check("receive buffer", c.ReceiveBuffer, 1, maxBuffer)
	check("send buffer", c.SendBuffer, 1, maxBuffer)
	check("batch", c.Batch, 1, maxBatch)
	check("burst", c.Burst, 1, maxBurst)
	check("ring slots", c.RingSlots, 2, maxRingSlots)
	check("max streams", c.MaxStreams, 1, maxStreams)
	if c.RingSlots&(c.RingSlots-1) != 0 {
		errs = append(errs, fmt.Errorf("ring slots: %d is not a power of two", c.RingSlots))
	}
	for class, mark := range c.Marks {
		if mark > 63 {
			errs = append(errs, fmt.Errorf("marks: %d for %s is not a code point", mark, dscp.Class(class)))
		}
	}
	return errors.Join(errs...)
}

// checkListen wants valid addresses that do not cover each other, and one port.
func (c Config) checkListen() (errs []error) {
	for i, l := range c.Listen {
		if !l.Addr().IsValid() {
			errs = append(errs, fmt.Errorf("listen: entry %d has no address", i+1))
			continue
		}
		if l.Addr().IsMulticast() {
			errs = append(errs, fmt.Errorf("listen: %s is a multicast address", l))
		}
		for _, other := range c.Listen[:i] {
			if !other.Addr().IsValid() {
				continue
			}
			if l.Port() != other.Port() {
				errs = append(errs, fmt.Errorf("listen: %s and %s have different ports", other, l))
			}
			if overlaps(l.Addr().Unmap(), other.Addr().Unmap()) {
				errs = append(errs, fmt.Errorf("listen: %s and %s cover each other", other, l))
			}
		}
	}
	return errs
}

func overlaps(a, b netip.Addr) bool {
	return a == b || a.Is4() == b.Is4() && (a.IsUnspecified() || b.IsUnspecified())
}

// withDefaults fills in what is documented at the fields. Listen stays empty when it was: Open decides by what the kernel has.
func (c Config) withDefaults() Config {
	orDefault := func(value *int, def int) {
		if *value == 0 {
			*value = def
		}
	}
	orDefault(&c.Workers, min(runtime.NumCPU(), maxWorkers))
	orDefault(&c.ReceiveBuffer, DefaultBuffer)
	orDefault(&c.SendBuffer, DefaultBuffer)
	orDefault(&c.Batch, DefaultBatch)
	orDefault(&c.Burst, DefaultBurst)
	orDefault(&c.MaxStreams, DefaultMaxStreams)
	if c.RingSlots == 0 {
		// A busy machine may not run a worker for tens of milliseconds: a ring holds what another brings meanwhile.
		c.RingSlots = 4096
		for c.RingSlots > 64 && c.RingSlots*(c.Workers-1) > 8192 { // rings grow with the square of the workers
			c.RingSlots /= 2
		}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}
