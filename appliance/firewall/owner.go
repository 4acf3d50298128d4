package firewall

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"meetzone/dscp/drift"
)

// Wanted is who may reach what. Without interfaces there is no table.
type Wanted struct {
	Interfaces []string // whose input is filtered
	Open       []Opening
	DHCP       []string // interfaces that ask DHCP servers
}

// Opening is a port that is open.
type Opening struct {
	Name       string
	UDP        bool // otherwise TCP
	Port       uint16
	Interfaces []string       // by which
	From       []netip.Prefix // who; empty: anyone
}

// Config says how an Owner works.
type Config struct {
	OwnHost bool         // allows changes; without it nothing is touched
	Logger  *slog.Logger // default slog.Default
}

// ErrNotOurs is what Apply answers where the host is not to be changed.
var ErrNotOurs = errors.New("this host is not the appliance's own: start the daemon with --own-host to have its input filtered")

// Owner keeps the kernel's table as wanted. What the kernel does not do is tried again whenever something changes, and every few seconds.
type Owner struct {
	cfg    Config
	kernel tables
	watch  *drift.Watch

	mu      sync.Mutex // guards what follows, and makes work on the kernel serial
	wanted  *Wanted    // nil: nothing was applied yet
	before  map[string]Count
	events  []Event
	drifted uint64
}

// Event is a change by somebody else.
type Event struct {
	Time   time.Time
	Object string // what differed
	Healed bool
	Took   time.Duration // from the notice to agreement
	Error  string        // why it was not healed
}

const maxEvents = 64

// Actual is what the kernel has.
type Actual struct {
	Differs []string
	Counts  map[string]Count // by the name of an opening or of a rule of ours, since the Owner was made
	Events  []Event          // newest last
	Drifted uint64
}

// Agrees says that the kernel is as wanted.
func (a Actual) Agrees() bool { return len(a.Differs) == 0 }

// Dropped is what was refused.
func (a Actual) Dropped() Count { return a.Counts[nameDropped] }

// New returns an Owner that has touched nothing yet.
func New(cfg Config) (*Owner, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	o := &Owner{cfg: cfg, before: map[string]Count{}}
	if !cfg.OwnHost {
		return o, nil
	}
	var err error
	if o.watch, err = drift.Listen(drift.Notices{Protocol: unix.NETLINK_NETFILTER, Groups: []uint{unix.NFNLGRP_NFTABLES}}); err != nil {
		cfg.Logger.Warn("changes of the firewall are not told; it is looked at every few seconds", "err", err)
		o.watch, err = drift.Listen()
	}
	return o, err
}

// Close ends listening for changes. The table stays.
func (o *Owner) Close() error {
	return errors.Join(o.watch.Close(), o.kernel.close())
}

// Run keeps the kernel as wanted until ctx ends.
func (o *Owner) Run(ctx context.Context) error {
	if !o.cfg.OwnHost {
		<-ctx.Done()
		return nil
	}
	o.watch.Run(ctx, o.heal)
	return nil
}

// Apply has the kernel's table like w.
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
	a := Actual{Events: slices.Clone(o.events), Drifted: o.drifted, Counts: maps.Clone(o.before)}
	if o.wanted == nil || !o.cfg.OwnHost {
		return a
	}
	have, err := o.readLocked()
	if err != nil {
		a.Differs = []string{err.Error()}
		return a
	}
	a.Differs = differs(o.want(), have)
	for name, n := range counts(have) {
		sum := a.Counts[name]
		a.Counts[name] = Count{sum.Packets + n.Packets, sum.Bytes + n.Bytes}
	}
	return a
}

func (o *Owner) want() []chain {
	if len(o.wanted.Interfaces) == 0 {
		return nil
	}
	return o.wanted.chains()
}

// readLocked looks at the kernel's table. Where none is wanted, a kernel without nf_tables has all that it takes.
func (o *Owner) readLocked() ([]chain, error) {
	have, err := o.kernel.read()
	if err != nil && len(o.wanted.Interfaces) == 0 && absent(err) {
		return nil, nil
	}
	return have, err
}

// agreeLocked replaces the table where it differs, and tells what did. What it had counted is kept.
func (o *Owner) agreeLocked() (differed []string, err error) {
	have, err := o.readLocked()
	if err != nil {
		return nil, err
	}
	want := o.want()
	if differed = differs(want, have); len(differed) == 0 {
		return nil, nil
	}
	for name, n := range counts(have) {
		sum := o.before[name]
		o.before[name] = Count{sum.Packets + n.Packets, sum.Bytes + n.Bytes}
	}
	return differed, o.kernel.replace(want)
}

// differs compares two tables; the first chain that differs is named.
func differs(want, have []chain) []string {
	w, h := describe(want), describe(have)
	switch {
	case slices.Equal(w, h):
		return nil
	case len(have) == 0:
		return []string{"table " + Table + " is not there"}
	case len(want) == 0:
		return []string{"table " + Table + " is not wanted"}
	}
	for i, line := range w {
		if i >= len(h) || h[i] != line {
			name, _, _ := strings.Cut(line, ":")
			return []string{"table " + Table + " differs, beginning with " + name}
		}
	}
	return []string{"table " + Table + " has more than it should"}
}

// heal looks, puts back what differs, and tells whether there was anything.
func (o *Owner) heal(noticed time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.wanted == nil {
		return false
	}
	changed, err := o.agreeLocked()
	if len(changed) == 0 && err == nil {
		return false
	}
	if len(changed) == 0 {
		changed = []string{"the kernel's state cannot be read"}
	}
	if n := len(o.events); err != nil && n > 0 && o.events[n-1].Error == err.Error() {
		return true // said already
	}
	for _, object := range changed {
		event := Event{Time: noticed, Object: object, Healed: err == nil, Took: time.Since(noticed)}
		if err != nil {
			event.Error = err.Error()
		}
		o.events = append(o.events, event)
	}
	o.events = o.events[max(0, len(o.events)-maxEvents):]
	o.drifted += uint64(len(changed))
	o.cfg.Logger.Warn("the firewall was changed by somebody else", "objects", changed, "healed", err == nil, "err", err)
	return true
}
