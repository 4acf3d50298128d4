package network

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/vishvananda/netlink"

	"meetzone/appliance/dhcp"
	"meetzone/dscp/drift"
)

// Config says how an Owner works.
type Config struct {
	OwnHost bool         // allows changes; without it nothing is touched
	Logger  *slog.Logger // default slog.Default

	File      string                                  // keeps what interfaces were before they were taken; empty: this ends with the process
	WriteFile func(path string, content []byte) error // replaces a file at once, for nobody else to read; needed with File and Leases
	Leases    string                                  // file that keeps the leases of DHCP; empty: they end with the process
	Leased    func()                                  // told after a lease has changed; nil: nobody
}

// Validate says what is wrong.
func (c Config) Validate() error {
	if (c.File != "" || c.Leases != "") && c.WriteFile == nil {
		return errors.New("network: File and Leases need WriteFile")
	}
	return nil
}

// ErrNotOurs is what Apply answers where the host is not to be changed.
var ErrNotOurs = errors.New("this host is not the appliance's own: start the daemon with --own-host to have its network configured")

// Owner keeps the kernel's network as wanted.
type Owner struct {
	cfg   Config
	watch *drift.Watch

	mu      sync.Mutex // guards what follows, and makes work on the kernel serial
	wanted  *Wanted    // nil: nothing was applied yet
	memory  *memory
	leases  leases
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
	Leases  []dhcp.Lease // in use
	Waiting []string     // interfaces that have no lease yet
}

// Agrees says that the kernel is as wanted.
func (a Actual) Agrees() bool { return len(a.Differs) == 0 }

// New returns an Owner that has touched nothing yet.
func New(cfg Config) (*Owner, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	o := &Owner{cfg: cfg, memory: &memory{file: cfg.File, write: cfg.WriteFile, log: cfg.Logger}}
	if !cfg.OwnHost {
		return o, nil
	}
	o.memory.load()
	o.leases.load(cfg)
	return o, o.listen()
}

// Close ends listening for changes. What is configured stays.
func (o *Owner) Close() error { return o.watch.Close() }

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
	for _, i := range w.whole().Interfaces {
		if !i.isMade() && !slices.Contains(have, i.Name) {
			missing = append(missing, i.Name)
		}
	}
	return missing, have, nil
}

// Check says why the kernel cannot be brought to w, as far as that can be known without changing anything. It asks only about what w says otherwise
// than what is wanted now.
func (o *Owner) Check(w Wanted) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	have, err := look()
	if err != nil {
		return err
	}
	var errs []error
	news := w.news(o.wanted)
	for _, s := range plan(w.whole(), have, o.memory) {
		if s.refused != nil && news[s.about] {
			errs = append(errs, fmt.Errorf("%s: %w", s.what, s.refused))
		}
	}
	return errors.Join(errs...)
}

// Apply brings the kernel to w. What could not be done stays wanted, and is tried again whenever something changes. It is an error only of what w
// says otherwise than what was wanted before; all that differs is in Actual.
func (o *Owner) Apply(w Wanted) (Actual, error) {
	if !o.cfg.OwnHost {
		return Actual{}, ErrNotOurs
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	news := w.news(o.wanted)
	o.memory.strict = o.wanted != nil
	defer func() { o.memory.strict = false }()
	o.wanted = &w
	_, failed, err := o.agreeLocked()
	o.leases.follow(o)
	var errs []error
	for _, f := range failed {
		if news[f.about] {
			errs = append(errs, f)
		} else {
			o.cfg.Logger.Warn("the network is not as configured", "err", f)
		}
	}
	return o.actualLocked(), errors.Join(err, errors.Join(errs...))
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
	for _, s := range plan(o.leases.put(*o.wanted), have, o.memory) {
		a.Differs = append(a.Differs, s.what)
	}
	a.Leases, a.Waiting = o.leases.of(*o.wanted)
	return a
}

// rounds bounds how often one Apply looks again: an interface that is taken or made takes addresses in the next round, and those take routes.
const rounds = 6

// failure is what still differs after all that could be done.
type failure struct {
	about, what string
	err         error
}

func (f failure) Error() string { return f.what + ": " + f.err.Error() }

func (f failure) Unwrap() error { return f.err }

var errNotTaken = errors.New("the kernel does not take it")

// agreeLocked takes steps until nothing differs. It returns what differed at first, and what does so in the end; the error is that the kernel cannot
// be looked at.
func (o *Owner) agreeLocked() (differed []string, failed []failure, err error) {
	why := map[string]error{}
	for round := range rounds + 1 {
		have, err := look()
		if err != nil {
			return differed, nil, err
		}
		steps := plan(o.leases.put(*o.wanted), have, o.memory)
		failed = nil
		for _, s := range steps {
			if round == 0 {
				differed = append(differed, s.what)
			}
			if round == rounds {
				if why[s.what] == nil {
					why[s.what] = errNotTaken
				}
				failed = append(failed, failure{s.about, s.what, why[s.what]})
				continue
			}
			why[s.what] = s.take()
		}
		if len(steps) == 0 {
			break
		}
	}
	return differed, failed, nil
}

func joined(failed []failure) error {
	errs := make([]error, len(failed))
	for i, f := range failed {
		errs[i] = f
	}
	return errors.Join(errs...)
}
