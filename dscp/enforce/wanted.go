package enforce

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"meetzone/dscp"
)

// Wanted is what the kernel shall agree with.
type Wanted struct {
	Profile dscp.Profile
	// Exceptions mark what leaves over an interface or goes to a prefix after another profile. The first that fits holds; New sorts nothing.
	Exceptions []Exception
	// Links get queues. Interfaces that are not named keep what they have.
	Links []Link
}

// Exception is another profile for some of the network. An empty Interface is every one, an invalid Prefix every destination.
type Exception struct {
	Interface string
	Prefix    netip.Prefix
	Profile   dscp.Profile
}

// Link is one interface whose queues are the box's.
type Link struct {
	Interface string
	// Rate in bits a second is what the link really carries: the box becomes the bottleneck, so that the queue is where it can be ordered.
	// 0 is the interface's own speed: bands without a rate, where the kernel has a qdisc for that.
	Rate uint64
}

// Bounds of what may be wanted.
const (
	MaxExceptions = 16
	MaxLinks      = 32
	MinRate       = 1_000_000       // below, one packet takes longer than audio may wait
	MaxRate       = 400_000_000_000 // of the fastest links there are
)

// Validate names everything that is wrong.
func (w Wanted) Validate() error {
	var errs []error
	if len(w.Exceptions) > MaxExceptions {
		errs = append(errs, fmt.Errorf("%d exceptions: at most %d are possible", len(w.Exceptions), MaxExceptions))
	}
	if len(w.Links) > MaxLinks {
		errs = append(errs, fmt.Errorf("%d links: at most %d are possible", len(w.Links), MaxLinks))
	}
	for i, e := range w.Exceptions {
		if e.Interface == "" && !e.Prefix.IsValid() {
			errs = append(errs, fmt.Errorf("exception %d has neither interface nor prefix: change the profile itself", i+1))
		}
		if e.Interface != "" && !IsInterfaceName(e.Interface) {
			errs = append(errs, fmt.Errorf("exception %d: %q is no name of an interface", i+1, e.Interface))
		}
	}
	for i, l := range w.Links {
		if !IsInterfaceName(l.Interface) {
			errs = append(errs, fmt.Errorf("link %d: %q is no name of an interface", i+1, l.Interface))
		}
		if l.Rate != 0 && (l.Rate < MinRate || l.Rate > MaxRate) {
			errs = append(errs, fmt.Errorf("link %s: the rate must be between 1 Mbit/s and 400 Gbit/s", l.Interface))
		}
		if slices.ContainsFunc(w.Links[:i], func(other Link) bool { return other.Interface == l.Interface }) {
			errs = append(errs, fmt.Errorf("link %s is there twice", l.Interface))
		}
	}
	return errors.Join(errs...)
}

// ProfileTo returns the profile that holds for what leaves by an interface to an address.
func (w Wanted) ProfileTo(iface string, to netip.Addr) dscp.Profile {
	for _, e := range w.Exceptions {
		if (e.Interface == "" || e.Interface == iface) && (!e.Prefix.IsValid() || e.Prefix.Contains(to.Unmap())) {
			return e.Profile
		}
	}
	return w.Profile
}

// IsInterfaceName follows dev_valid_name of the kernel, without the characters that mean something in templates of names.
func IsInterfaceName(s string) bool {
	return s != "" && len(s) < unix.IFNAMSIZ && s != "." && s != ".." && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune("/:%*", r)
	})
}

// points lists the code points that any packet of the box may carry under the policy, in order.
func (w Wanted) points() []dscp.CodePoint {
	points := []dscp.CodePoint{dscp.CS0}
	for _, p := range append([]Exception{{Profile: w.Profile}}, w.Exceptions...) {
		for class, m := range p.Profile.Marks {
			if !isMedium(dscp.Class(class)) {
				points = append(points, m.CodePoint)
			}
		}
	}
	slices.Sort(points)
	return slices.Compact(points)
}

// isMedium tells the classes whose points nobody but the router may use.
func isMedium(c dscp.Class) bool { return c == dscp.Audio || c == dscp.Video || c == dscp.Content }

// Major is the major number of the handles of our queueing disciplines, and of the priority of every packet of a class.
const Major = 0x4d5a // "MZ", as in the fwmarks

// Slot is the place of a class among the queues of a link, counted from 1. It is the minor number of the priority that its packets carry. What is in no
// class of ours has a slot too.
type Slot uint16

// numSlots: the classes, and everybody else's traffic.
const numSlots = dscp.NumClasses + 1

// others stands for the traffic that is in no class, wherever a class is asked for.
const others = dscp.Class(dscp.NumClasses)

// order returns the classes by the band in which a profile serves them, others between management and bulk, where best effort belongs.
func order(p dscp.Profile) [numSlots]dscp.Class {
	var out [numSlots]dscp.Class
	for i := range out {
		out[i] = dscp.Class(i)
	}
	slices.SortStableFunc(out[:], func(a, b dscp.Class) int { return cmp.Compare(band(p, a), band(p, b)) })
	return out
}

// bandOfOthers is where traffic without a class of ours is served: with management, before bulk.
const bandOfOthers = 3

func band(p dscp.Profile, c dscp.Class) uint8 {
	if c == others {
		return bandOfOthers
	}
	return p.Marks[c].Band
}

// slots returns the slot of each class, others included.
func slots(p dscp.Profile) (out [numSlots]Slot) {
	for i, c := range order(p) {
		out[c] = Slot(i + 1)
	}
	return out
}

// priority is what `meta priority` is set to for a slot.
func (s Slot) priority() uint32 { return Major<<16 | uint32(s) }
