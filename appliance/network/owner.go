package network

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
)

// Config says how an Owner works.
type Config struct {
	OwnHost bool         // allows changes; without it nothing is touched
	Logger  *slog.Logger // default slog.Default
}

// ErrNotOurs is what Apply answers where the host is not to be changed.
var ErrNotOurs = errors.New("this host is not the appliance's own: start the daemon with --own-host to have its network configured")

// Owner keeps the kernel's network as wanted.
type Owner struct {
	cfg      Config
	listener *nl.NetlinkSocket
	notice   chan struct{} // a change that nobody has looked at yet

	mu      sync.Mutex // guards what follows, and makes work on the kernel serial
	wanted  *Wanted    // nil: nothing was applied yet
	events  []Event
	drifted uint64 // events since the start, also those that are forgotten
}

// Event is a change by somebody else.
type Event struct {
	Time   time.Time
	Object string // what differed
	Healed bool
	Took   time.Duration // from the notice to agreement
	Error  string        // why it was not healed
}

const maxEvents = 256

// Actual is what the kernel has, beside what was wanted.
type Actual struct {
	Differs []string
	Events  []Event // newest last
	Drifted uint64
}

// Agrees says that the kernel is as wanted.
func (a Actual) Agrees() bool { return len(a.Differs) == 0 }

// New returns an Owner that has touched nothing yet.
func New(cfg Config) (*Owner, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	o := &Owner{cfg: cfg, notice: make(chan struct{}, 1)}
	if !cfg.OwnHost {
		return o, nil
	}
	return o, o.listen()
}

// Close ends listening for changes. What is configured stays.
func (o *Owner) Close() error {
	if o.listener != nil {
		o.listener.Close()
	}
	return nil
}

// Missing names the interfaces that have to be there and are not, and those that are.
func Missing(w Wanted) (missing, have []string, err error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, nil, fmt.Errorf("listing interfaces: %w", err)
	}
	for _, l := range links {
		if l.Attrs().Name != "lo" {
			have = append(have, l.Attrs().Name)
		}
	}
	for _, i := range w.Interfaces {
		if i.Parent == "" && !slices.Contains(have, i.Name) {
			missing = append(missing, i.Name)
		}
	}
	return missing, have, nil
}

// Apply brings the kernel to w. What could not be done stays wanted, and is tried again whenever something changes.
func (o *Owner) Apply(w Wanted) (Actual, error) {
	if !o.cfg.OwnHost {
		return Actual{}, ErrNotOurs
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.wanted = &w
	_, err := o.agreeLocked()
	return o.actualLocked(), err
}

// Observe looks at the kernel.
func (o *Owner) Observe() Actual {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.actualLocked()
}

func (o *Owner) actualLocked() Actual {
	a := Actual{Events: slices.Clone(o.events), Drifted: o.drifted}
	if o.wanted == nil || !o.cfg.OwnHost {
		return a
	}
	have, err := look()
	if err != nil {
		a.Differs = []string{err.Error()}
		return a
	}
	for _, s := range plan(*o.wanted, have) {
		a.Differs = append(a.Differs, s.what)
	}
	return a
}

// rounds bounds how often one Apply looks again: an interface that is made takes addresses in the next round, and those take routes.
const rounds = 5

// agreeLocked takes steps until nothing differs. It returns what differed at first.
func (o *Owner) agreeLocked() (differed []string, err error) {
	for round := range rounds {
		have, err := look()
		if err != nil {
			return differed, err
		}
		steps := plan(*o.wanted, have)
		if len(steps) == 0 {
			return differed, nil
		}
		var errs []error
		for _, s := range steps {
			if round == 0 {
				differed = append(differed, s.what)
			}
			if err := s.take(); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", s.what, err))
			}
		}
		if round == rounds-1 {
			if err := errors.Join(errs...); err != nil {
				return differed, err
			}
		}
	}
	have, err := look()
	if err != nil {
		return differed, err
	}
	if left := plan(*o.wanted, have); len(left) > 0 {
		var texts []string
		for _, s := range left {
			texts = append(texts, s.what)
		}
		return differed, fmt.Errorf("the kernel does not take it: %s", strings.Join(texts, "; "))
	}
	return differed, nil
}
