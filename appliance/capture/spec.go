package capture

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"meetzone/dscp"
)

// Bounds of a capture.
const (
	MaxTime     = 10 * time.Minute
	MaxBytes    = 256 << 20
	DefaultTime = 30 * time.Second
	DefaultSize = 32 << 20
	MaxFlows    = 4096
	wholePacket = 65535
)

// Spec says what to capture.
type Spec struct {
	Interface string
	Time      time.Duration // default 30 s
	Bytes     int64         // of the file; default 32 MiB
	Payload   bool          // whole packets, not headers only
	// Class keeps one class of traffic: what leaves with its fwmark, and what arrives with its code point.
	Class *dscp.Class
	Marks dscp.Marks
	// Started is called when everything that passes from now on is seen; may be nil.
	Started func()
	// Flows, when it is set, is asked every second for the media that are to be kept. It may return none for now.
	Flows func() []Flow
}

// Flow is one transport of the media, by the addresses of its two ends as the box sees them.
type Flow struct{ Local, Remote netip.AddrPort }

// Validate names everything that is wrong.
func (s Spec) Validate() error {
	var errs []error
	if s.Interface == "" {
		errs = append(errs, errors.New("an interface is missing"))
	} else if _, err := net.InterfaceByName(s.Interface); err != nil {
		errs = append(errs, fmt.Errorf("there is no interface %q", s.Interface))
	}
	if s.Time < 0 || s.Time > MaxTime {
		errs = append(errs, fmt.Errorf("a capture may take up to %v", MaxTime))
	}
	if s.Bytes < 0 || s.Bytes > MaxBytes {
		errs = append(errs, fmt.Errorf("a capture may have up to %d bytes", MaxBytes))
	}
	if s.Class != nil && int(*s.Class) >= dscp.NumClasses {
		errs = append(errs, fmt.Errorf("class %d does not exist", *s.Class))
	}
	return errors.Join(errs...)
}

func (s Spec) withDefaults() Spec {
	if s.Time == 0 {
		s.Time = DefaultTime
	}
	if s.Bytes == 0 {
		s.Bytes = DefaultSize
	}
	return s
}

// Summary says how a capture ended.
type Summary struct {
	Packets int
	Bytes   int64 // of the file
	Missed  int   // for want of buffer
	Full    bool  // it ended because of its size
}
