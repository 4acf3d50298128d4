package network

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"

	"github.com/vishvananda/netlink"

	"meetzone/appliance/dhcp"
)

// Leases: a dhcp.Client for each interface that wants one, while Run runs. What they obtain is put into what is wanted of the kernel, and kept in a
// file, so that a start has the address before any server has answered. Their addresses have no lifetime in the kernel: a daemon that does not
// start makes nobody unreachable, and the next one gives up what has expired.
type leases struct { // Owner.mu guards it
	cfg     Config
	kept    map[string]dhcp.Lease // by interface; also of those that want none at the moment: the document may come back
	running map[string]*keeper
	life    context.Context // of Run; nil: clients do not run
	ended   sync.WaitGroup
}

// keeper is a client that runs.
type keeper struct {
	client *dhcp.Client
	stop   context.CancelFunc
	up     bool // the link, when it was last looked at
}

func (l *leases) load(cfg Config) {
	l.cfg, l.kept, l.running = cfg, map[string]dhcp.Lease{}, map[string]*keeper{}
	if cfg.Leases == "" {
		return
	}
	content, err := os.ReadFile(cfg.Leases)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	var list []dhcp.Lease
	if err == nil {
		err = json.Unmarshal(content, &list)
	}
	if err != nil {
		cfg.Logger.Warn("the leases of DHCP cannot be read; new ones are obtained", "file", cfg.Leases, "err", err)
		return
	}
	for _, one := range list {
		link, err := netlink.LinkByName(one.Interface)
		foreign := err == nil && link.Attrs().HardwareAddr.String() != one.MAC
		if one.Address.IsValid() && one.Left() > 0 && !foreign {
			l.kept[one.Interface] = one
		}
	}
}

func (l *leases) save() {
	if l.cfg.Leases == "" {
		return
	}
	list := []dhcp.Lease{}
	for _, name := range slices.Sorted(maps.Keys(l.kept)) {
		list = append(list, l.kept[name])
	}
	content, err := json.MarshalIndent(list, "", "  ")
	if err == nil {
		err = l.cfg.WriteFile(l.cfg.Leases, content)
	}
	if err != nil {
		l.cfg.Logger.Warn("a lease is not kept over a restart", "file", l.cfg.Leases, "err", err)
	}
}

// put returns all that is wanted of the kernel: with the ports of bonds, and with what servers gave. What the document says itself goes before,
// and in the main table leases of management come last.
func (l *leases) put(w Wanted) Wanted {
	w = w.whole()
	w.Interfaces, w.Routes = slices.Clone(w.Interfaces), slices.Clone(w.Routes)
	for i, one := range w.Interfaces {
		lease, ok := l.kept[one.Name]
		if !ok || !one.DHCP.Address || lease.Left() <= 0 {
			continue
		}
		if !slices.Contains(one.Addresses, lease.Address) {
			w.Interfaces[i].Addresses = append(slices.Clone(one.Addresses), lease.Address)
		}
	}
	for _, management := range []bool{false, true} {
		for _, one := range w.Interfaces {
			if lease, ok := l.kept[one.Name]; ok && one.Management == management && one.DHCP.Address && one.DHCP.Gateway && !one.Disabled && lease.Left() > 0 {
				w.Routes = routed(w.Routes, lease.Routes, management)
			}
		}
	}
	return w
}

// routed adds the routes of a lease to those that are wanted already, which go before. Those of management have a table of their own, and are in the
// main one where nothing else has their destination.
func routed(wanted []Route, given []dhcp.Route, management bool) []Route {
	add := func(r Route) {
		if !slices.ContainsFunc(wanted, func(other Route) bool { return other.To == r.To && other.Management == r.Management }) {
			wanted = append(wanted, r)
		}
	}
	for _, r := range given {
		if management {
			add(Route{To: r.To, Via: r.Via, Management: true})
		}
		add(Route{To: r.To, Via: r.Via})
	}
	return wanted
}

// of tells which leases are in use, and which interfaces wait for one.
func (l *leases) of(w Wanted) (used []dhcp.Lease, waiting []string) {
	for _, i := range w.Interfaces {
		if !i.DHCP.Address || i.Disabled {
			continue
		}
		if lease, ok := l.kept[i.Name]; ok {
			used = append(used, lease)
		} else {
			waiting = append(waiting, i.Name)
		}
	}
	return used, waiting
}

// begin has clients run from now on.
func (l *leases) begin(ctx context.Context, o *Owner) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l.life = ctx
	l.follow(o)
}

// wait returns when no client runs any more; the context of begin has ended.
func (l *leases) wait() { l.ended.Wait() }

// follow starts and stops clients, so that those run that are wanted.
func (l *leases) follow(o *Owner) {
	if l.life == nil || l.life.Err() != nil || o.wanted == nil {
		return
	}
	wants := func(name string) bool {
		return slices.ContainsFunc(o.wanted.Interfaces, func(i Interface) bool { return i.Name == name && i.DHCP.Address && !i.Disabled })
	}
	for name, k := range l.running {
		if !wants(name) {
			k.stop()
			delete(l.running, name)
		}
	}
	for _, i := range o.wanted.Interfaces {
		if wants(i.Name) && l.running[i.Name] == nil {
			l.start(o, i.Name)
		}
	}
}

func (l *leases) start(o *Owner, name string) {
	k := &keeper{up: true}
	cfg := dhcp.Config{Interface: name, Logger: l.cfg.Logger, Changed: func(lease *dhcp.Lease) { o.leased(name, k, lease) }}
	if kept, ok := l.kept[name]; ok && kept.Left() > 0 {
		cfg.Kept = &kept
	}
	client, err := dhcp.New(cfg)
	if err != nil {
		l.cfg.Logger.Error("no DHCP", "interface", name, "err", err)
		return
	}
	ctx, stop := context.WithCancel(l.life)
	k.client, k.stop = client, stop
	l.running[name] = k
	l.ended.Go(func() { client.Run(ctx) })
}

// look has the clients whose link has come up again ask whether their lease is still good.
func (l *leases) look() {
	for name, k := range l.running {
		link, err := netlink.LinkByName(name)
		up := err == nil && link.Attrs().OperState != netlink.OperDown && link.Attrs().OperState != netlink.OperLowerLayerDown
		if up && !k.up {
			k.client.Verify()
		}
		k.up = up
	}
}

// leased takes up what a client says of its lease.
func (o *Owner) leased(name string, from *keeper, lease *dhcp.Lease) {
	if !o.takeUp(name, from, lease) || o.cfg.Leased == nil {
		return
	}
	o.cfg.Leased()
}

func (o *Owner) takeUp(name string, from *keeper, lease *dhcp.Lease) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.leases.running[name] != from {
		return false // the document does not want it any more
	}
	if lease == nil {
		delete(o.leases.kept, name)
	} else {
		o.leases.kept[name] = *lease
	}
	o.leases.save()
	_, failed, err := o.agreeLocked()
	if err := errors.Join(err, joined(failed)); err != nil {
		o.cfg.Logger.Log(context.Background(), slog.LevelWarn, "a lease is not in force", "interface", name, "err", err)
	}
	return true
}
