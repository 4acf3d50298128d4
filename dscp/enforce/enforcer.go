package enforce

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"meetzone/dscp/drift"
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
	cfg     Config
	tables  tables
	traffic traffic
	watch   *drift.Watch

	mu       sync.Mutex // guards what follows, and makes work on the kernel serial
	wanted   *Wanted    // nil: nothing is wanted, and nothing is there
	table    []string   // description of the wanted table
	problems []string   // what keeps links from being as wanted, as of the last look
	carried  Counters   // of tables that were replaced
	events   []Event
	drifted  uint64 // events since the start, also those that are forgotten
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
	Lost     string   // queueing disciplines that the kernel does not have
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
	e := &Enforcer{cfg: cfg, carried: newCounters()}
	if !cfg.OwnHost {
		return e, nil
	}
	var err error
	if e.tables, err = openTables(); err != nil {
		return nil, fmt.Errorf("nf_tables: %w", err)
	}
	if e.traffic, err = openTraffic(); err != nil {
		return nil, errors.Join(fmt.Errorf("traffic control: %w", err), e.Close())
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
	err := e.releaseLocked(func(name string) bool {
		return !slices.ContainsFunc(w.Links, func(l Link) bool { return l.Interface == name })
	})
	_, problem := e.agreeLocked()
	return e.observeLocked(), errors.Join(err, problem)
}

// agreeLocked changes what differs, and names it. What keeps a link from agreeing is no error but a problem that is shown.
func (e *Enforcer) agreeLocked() (changed []string, err error) {
	changed, err = e.agreeTableLocked()
	e.problems = nil
	for _, l := range e.wanted.Links {
		objects, problem := e.agreeLink(l)
		changed = append(changed, objects...)
		if problem != nil {
			e.problems = append(e.problems, problem.Error())
		}
	}
	return changed, err
}

func (e *Enforcer) agreeTableLocked() (changed []string, err error) {
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

// errNoRate says why a link has no queues.
var errNoRate = errors.New("bands without a rate need the queueing discipline ets, which this kernel does not have: give the link a rate")

func (e *Enforcer) agreeLink(l Link) ([]string, error) {
	q, ok := newQueues(l, e.wanted.Profile, !e.traffic.lost["ets"])
	if !ok {
		return nil, fmt.Errorf("%s: %w", l.Interface, errNoRate)
	}
	changed, err := e.traffic.agree(q)
	if q.root.kind == "ets" && errors.Is(err, unix.ENOENT) {
		e.traffic.lost["ets"] = true
		return nil, fmt.Errorf("%s: %w", l.Interface, errNoRate)
	}
	return changed, err
}

// releaseLocked takes our queues off the links that unwanted names.
func (e *Enforcer) releaseLocked(unwanted func(name string) bool) error {
	names, err := e.traffic.all()
	errs := []error{err}
	for _, name := range names {
		if unwanted(name) {
			errs = append(errs, e.traffic.release(name))
		}
	}
	return errors.Join(errs...)
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
	return errors.Join(e.tables.remove(), e.releaseLocked(func(string) bool { return true }))
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
	for _, l := range e.wanted.Links {
		if q, ok := newQueues(l, e.wanted.Profile, !e.traffic.lost["ets"]); ok {
			differs, _, err := e.traffic.differs(q)
			if err == nil {
				a.Missing = append(a.Missing, differs...)
			}
		}
	}
	a.Missing = append(a.Missing, e.problems...)
	a.Lost = e.traffic.lostKinds()
	a.Counters = e.carried.plus(e.tables.counters())
	return a
}

// Close ends what the Enforcer holds open. What is in the kernel stays.
func (e *Enforcer) Close() error {
	_ = e.watch.Close()
	e.traffic.close()
	if e.tables.conn == nil {
		return nil
	}
	return e.tables.conn.CloseLasting()
}
