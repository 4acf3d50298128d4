package enforce

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	mdnetlink "github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"meetzone/dscp"
)

// mangle is the priority of our base chains: after connection tracking, before filters.
const mangle = nftables.ChainPriority(-150)

// socketBuffer holds the answers to the largest table: 17 profiles of 7 classes.
const socketBuffer = 4 << 20

// tables is the kernel's nf_tables.
type tables struct{ conn *nftables.Conn }

func openTables() (tables, error) {
	conn, err := nftables.New(nftables.AsLasting(), nftables.WithSockOptions(func(c *mdnetlink.Conn) error {
		// The kernel answers every object of a transaction at once: what does not fit is an error for the whole.
		return errors.Join(c.SetReadBuffer(socketBuffer), c.SetWriteBuffer(socketBuffer))
	}))
	return tables{conn}, err
}

func ours() *nftables.Table { return &nftables.Table{Name: Table, Family: nftables.TableFamilyINet} }

// exists tells whether our table is there.
func (k tables) exists() (bool, error) {
	list, err := k.conn.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return false, fmt.Errorf("listing nf_tables: %w", err)
	}
	return slices.ContainsFunc(list, func(t *nftables.Table) bool { return t.Name == Table }), nil
}

// remove deletes our table where there is one.
func (k tables) remove() error {
	found, err := k.exists()
	if err != nil || !found {
		return err
	}
	k.conn.DelTable(ours())
	if err := k.conn.Flush(); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("removing table %s: %w", Table, err)
	}
	return nil
}

// replace puts the wanted table in place of whatever is called like it, in one transaction.
func (k tables) replace(t table) error {
	ref := ours()
	k.conn.AddTable(ref) // or deleting would fail where there is none
	k.conn.DelTable(ref)
	k.conn.AddTable(ref)
	for _, c := range t.chains {
		kc := &nftables.Chain{Name: c.name, Table: ref}
		if c.hook != nil {
			kc.Hooknum, kc.Priority, kc.Type = c.hook, nftables.ChainPriorityRef(mangle), nftables.ChainTypeFilter
		}
		k.conn.AddChain(kc)
	}
	ids := map[string]uint32{}
	for _, s := range t.sets {
		id, err := k.addSet(ref, s)
		if err != nil {
			return fmt.Errorf("set %s: %w", s.name, err)
		}
		ids[s.name] = id
	}
	for _, c := range t.chains {
		for _, r := range c.rules {
			k.conn.AddRule(&nftables.Rule{Table: ref, Chain: &nftables.Chain{Name: c.name, Table: ref}, Exprs: withIDs(r, ids)})
		}
	}
	if err := k.conn.Flush(); err != nil {
		return fmt.Errorf("writing table %s: %w", Table, err)
	}
	return nil
}

func (k tables) addSet(ref *nftables.Table, s set) (uint32, error) {
	ks := &nftables.Set{Table: ref, Name: s.name, KeyType: s.key}
	if s.verdicts == nil {
		ks.Dynamic, ks.Concatenation, ks.Size = true, true, maxCounted
		err := k.conn.AddSet(ks, nil)
		return ks.ID, err
	}
	ks.IsMap, ks.DataType, ks.KeyByteOrder = true, nftables.TypeVerdict, binaryutil.NativeEndian
	var elements []nftables.SetElement
	for _, key := range slices.Sorted(maps.Keys(s.verdicts)) {
		elements = append(elements, nftables.SetElement{Key: []byte(key), VerdictData: &expr.Verdict{Kind: expr.VerdictGoto, Chain: s.verdicts[key]}})
	}
	err := k.conn.AddSet(ks, elements)
	return ks.ID, err
}

// withIDs returns a copy of a rule whose sets are also named by the numbers that they have within the transaction.
func withIDs(rule []expr.Any, ids map[string]uint32) []expr.Any {
	out := slices.Clone(rule)
	for i, e := range out {
		switch e := e.(type) {
		case *expr.Lookup:
			with := *e
			with.SetID = ids[e.SetName]
			out[i] = &with
		case *expr.Dynset:
			with := *e
			with.SetID = ids[e.SetName]
			out[i] = &with
		}
	}
	return out
}

// describe reads what the kernel has; nil where there is no table of ours.
func (k tables) describe() ([]string, error) {
	found, err := k.exists()
	if err != nil || !found {
		return nil, err
	}
	var t table
	chains, err := k.conn.ListChainsOfTableFamily(nftables.TableFamilyINet)
	if err != nil {
		return nil, fmt.Errorf("listing chains: %w", err)
	}
	for _, c := range chains {
		if c.Table.Name != Table {
			continue
		}
		rules, err := k.conn.GetRules(ours(), c)
		if err != nil {
			return nil, fmt.Errorf("reading chain %s: %w", c.Name, err)
		}
		one := chain{name: c.Name, hook: c.Hooknum}
		for _, r := range rules {
			one.rules = append(one.rules, r.Exprs)
		}
		t.chains = append(t.chains, one)
	}
	sets, err := k.conn.GetSets(ours())
	if err != nil {
		return nil, fmt.Errorf("listing sets: %w", err)
	}
	lines := t.describe()
	for _, s := range sets {
		lines = append(lines, "set "+s.Name)
		if s.Dynamic {
			continue
		}
		elements, err := k.conn.GetSetElements(s)
		if err != nil {
			return nil, fmt.Errorf("reading set %s: %w", s.Name, err)
		}
		for _, e := range elements {
			lines = append(lines, describeElement(s, e))
		}
	}
	slices.Sort(lines)
	return lines, nil
}

func describeElement(s *nftables.Set, e nftables.SetElement) string {
	if !s.IsMap {
		return fmt.Sprintf("element %x of set %s", e.Key, s.Name)
	}
	return fmt.Sprintf("element %x of map %s\x00%s", e.Key, s.Name, chainOf(e.Val))
}

// chainOf reads the chain of a verdict, as the kernel writes it: NFTA_VERDICT_CODE, NFTA_VERDICT_CHAIN.
func chainOf(verdict []byte) string {
	ad, err := mdnetlink.NewAttributeDecoder(verdict)
	if err != nil {
		return ""
	}
	for ad.Next() {
		if ad.Type() == unix.NFTA_VERDICT_CHAIN {
			return ad.String()
		}
	}
	return ""
}

// Count is what went by.
type Count struct{ Packets, Bytes uint64 }

func (c Count) plus(o Count) Count { return Count{c.Packets + o.Packets, c.Bytes + o.Bytes} }

// Counters are what the table has counted since the Enforcer was made: super-packets as one packet each. The keys are interfaces.
type Counters struct {
	Sent    map[string][dscp.NumClasses]Count // by class
	Cleared map[string]Count                  // packets of no class that had a code point which others may not use
	Arrived map[string][64]Count              // by code point
}

func newCounters() Counters {
	return Counters{Sent: map[string][dscp.NumClasses]Count{}, Cleared: map[string]Count{}, Arrived: map[string][64]Count{}}
}

// plus adds two counts of different times.
func (c Counters) plus(o Counters) Counters {
	sum := newCounters()
	for _, from := range []Counters{c, o} {
		for name, counts := range from.Sent {
			all := sum.Sent[name]
			for class, n := range counts {
				all[class] = all[class].plus(n)
			}
			sum.Sent[name] = all
		}
		for name, n := range from.Cleared {
			sum.Cleared[name] = sum.Cleared[name].plus(n)
		}
		for name, counts := range from.Arrived {
			all := sum.Arrived[name]
			for point, n := range counts {
				all[point] = all[point].plus(n)
			}
			sum.Arrived[name] = all
		}
	}
	return sum
}

// counters reads what the table in the kernel has counted; sets that are not there have counted nothing.
func (k tables) counters() Counters {
	c := newCounters()
	k.eachCount(setSent, func(name string, key []byte, n Count) {
		class := binaryutil.NativeEndian.Uint32(key) - dscp.Class(0).Fwmark()
		if class < uint32(dscp.NumClasses) {
			all := c.Sent[name]
			all[class] = n
			c.Sent[name] = all
		}
	})
	k.eachCount(setCleared, func(name string, _ []byte, n Count) { c.Cleared[name] = c.Cleared[name].plus(n) })
	for _, f := range []struct {
		field
		set string
	}{{ipv4, setArrived4}, {ipv6, setArrived6}} {
		k.eachCount(f.set, func(name string, key []byte, n Count) {
			all, point := c.Arrived[name], f.point(key)&dscp.MaxCode
			all[point] = all[point].plus(n)
			c.Arrived[name] = all
		})
	}
	return c
}

// eachCount reads a counting set. The rest of each key has four bytes.
func (k tables) eachCount(name string, note func(iface string, key []byte, n Count)) {
	elements, err := k.conn.GetSetElements(&nftables.Set{Table: ours(), Name: name})
	if err != nil {
		return
	}
	for _, e := range elements {
		if e.Counter == nil || len(e.Key) < unix.IFNAMSIZ+4 {
			continue
		}
		note(nameOf(e.Key[:unix.IFNAMSIZ]), e.Key[unix.IFNAMSIZ:], Count{e.Counter.Packets, e.Counter.Bytes})
	}
}
