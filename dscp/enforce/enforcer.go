package enforce

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/vishvananda/netlink/nl"
)

// Config says how an Enforcer works.
type Config struct {
	// OwnHost allows changes. Without it everything is only shown.
	OwnHost bool
	// Logger takes drift and failures; default slog.Default.
	Logger *slog.Logger
}

// Errors of an Enforcer.
var (
	ErrNotOurs = errors.New("this host is not the appliance's own: start the daemon with --own-host to have marks enforced")
)

// Enforcer keeps the kernel in agreement with a policy.
type Enforcer struct {
	cfg       Config
	tables    tables
	listeners []*nl.NetlinkSocket
	notice    chan struct{} // a change that nobody has looked at yet

	mu      sync.Mutex // guards what follows, and makes work on the kernel serial
	wanted  *Wanted    // nil: nothing is wanted, and nothing is there
	table   []string   // description of the wanted table
	carried Counters   // of tables that were replaced
	events  []Event
	drifted uint64 // events since the start, also those that are forgotten
}

// Event is a change of our objects by somebody else.
type Event struct {
	Time   time.Time
	Object string // what it was, and what had happened to it
	Healed bool
	Took   time.Duration // from the notice to the object being back
	Error  string        // why it was not healed
}

// maxEvents bounds what is remembered.
const maxEvents = 256

// Actual is what the kernel has, beside what was wanted.
type Actual struct {
	Enforced bool     // the host is ours and something is wanted
	Missing  []string // what differs, by object
	Counters Counters
	Events   []Event // newest last
	Drifted  uint64  // all events, also those that are forgotten
}

// Agrees says that the kernel is as wanted.
func (a Actual) Agrees() bool { return len(a.Missing) == 0 }

// New returns an Enforcer that has touched nothing yet.
func New(cfg Config) (*Enforcer, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	e := &Enforcer{cfg: cfg, carried: newCounters(), notice: make(chan struct{}, 1)}
	if !cfg.OwnHost {
		return e, nil
	}
	var err error
	if e.tables, err = openTables(); err != nil {
		return nil, fmt.Errorf("nf_tables: %w", err)
	}
	if err := e.listen(); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// Apply makes the kernel agree. What is already as wanted is left as it is, counters included.
func (e *Enforcer) Apply(w Wanted) (Actual, error) {
	if err := w.Validate(); err != nil {
		return Actual{}, err
	}
	if !e.cfg.OwnHost {
		return Actual{}, ErrNotOurs
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	t := newTable(w)
	e.wanted, e.table = &w, t.describe()
	if _, err := e.agreeLocked(); err != nil {
		return e.observeLocked(), err
	}
	return e.observeLocked(), nil
}

// agreeLocked changes what differs, and names it.
func (e *Enforcer) agreeLocked() (changed []string, err error) {
	actual, err := e.tables.describe()
	if err != nil {
		return nil, err
	}
	if changed = difference(e.table, actual); len(changed) == 0 {
		return nil, nil
	}
	if actual == nil {
		changed = []string{"table " + Table + " was missing"}
	}
	e.carried = e.carried.plus(e.tables.counters())
	return changed, e.tables.replace(newTable(*e.wanted))
}

// Remove takes away everything that was made, and wants nothing any more.
func (e *Enforcer) Remove() error {
	if !e.cfg.OwnHost {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.wanted, e.table = nil, nil
	e.carried = e.carried.plus(e.tables.counters())
	return e.tables.remove()
}

// Observe looks at the kernel.
func (e *Enforcer) Observe() Actual {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.observeLocked()
}

func (e *Enforcer) observeLocked() Actual {
	a := Actual{Enforced: e.cfg.OwnHost && e.wanted != nil, Events: slices.Clone(e.events), Drifted: e.drifted}
	if !a.Enforced {
		a.Counters = e.carried
		return a
	}
	have, err := e.tables.describe()
	if err != nil {
		a.Missing = []string{err.Error()}
	} else {
		a.Missing = difference(e.table, have)
	}
	a.Counters = e.carried.plus(e.tables.counters())
	return a
}

// Close ends what the Enforcer holds open. What is in the kernel stays.
func (e *Enforcer) Close() error {
	for _, s := range e.listeners {
		s.Close()
	}
	if e.tables.conn == nil {
		return nil
	}
	return e.tables.conn.CloseLasting()
}
