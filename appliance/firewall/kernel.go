package firewall

import (
	"errors"
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	mdnetlink "github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// socketBuffer holds the answers to the largest table.
const socketBuffer = 4 << 20

// tables is the kernel's nf_tables, opened when they are first asked for. The Owner's lock guards it.
type tables struct{ conn *nftables.Conn }

func (k *tables) open() error {
	if k.conn != nil {
		return nil
	}
	conn, err := nftables.New(nftables.AsLasting(), nftables.WithSockOptions(func(c *mdnetlink.Conn) error {
		return errors.Join(c.SetReadBuffer(socketBuffer), c.SetWriteBuffer(socketBuffer))
	}))
	if err != nil {
		return fmt.Errorf("nf_tables: %w", err)
	}
	k.conn = conn
	return nil
}

func (k *tables) close() error {
	if k.conn == nil {
		return nil
	}
	return k.conn.CloseLasting()
}

// forget has the next read open the tables anew: after an error, answers may be left that would be taken for those to the next question.
func (k *tables) forget(err *error) {
	if *err != nil && k.conn != nil {
		_ = k.conn.CloseLasting()
		k.conn = nil
	}
}

// absent says that the error is of a kernel which has no nf_tables.
func absent(err error) bool {
	return errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT)
}

func ours() *nftables.Table { return &nftables.Table{Name: Table, Family: nftables.TableFamilyINet} }

func (k *tables) exists() (bool, error) {
	list, err := k.conn.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return false, fmt.Errorf("listing nf_tables: %w", err)
	}
	return slices.ContainsFunc(list, func(t *nftables.Table) bool { return t.Name == Table }), nil
}

// read returns what the kernel has; nil where there is no table of ours.
func (k *tables) read() (chains []chain, err error) {
	if err := k.open(); err != nil {
		return nil, err
	}
	defer k.forget(&err)
	if found, err := k.exists(); err != nil || !found {
		return nil, err
	}
	list, err := k.conn.ListChainsOfTableFamily(nftables.TableFamilyINet)
	if err != nil {
		return nil, fmt.Errorf("listing chains: %w", err)
	}
	for _, c := range list {
		if c.Table.Name != Table {
			continue
		}
		rules, err := k.conn.GetRules(ours(), c)
		if err != nil {
			return nil, fmt.Errorf("reading chain %s: %w", c.Name, err)
		}
		one := chain{name: c.Name, hook: c.Hooknum, drop: c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop}
		if c.Priority != nil {
			one.priority = *c.Priority
		}
		for _, r := range rules {
			name, _ := userdata.GetString(r.UserData, userdata.TypeComment)
			one.rules = append(one.rules, rule{name, r.Exprs})
		}
		chains = append(chains, one)
	}
	return chains, nil
}

// replace puts the wanted table in place of whatever is called like it, in one transaction; no chains: no table.
func (k *tables) replace(chains []chain) (err error) {
	if err := k.open(); err != nil {
		return err
	}
	defer k.forget(&err)
	ref := ours()
	k.conn.AddTable(ref) // or deleting would fail where there is none
	k.conn.DelTable(ref)
	if len(chains) > 0 {
		k.conn.AddTable(ref)
	}
	for _, c := range chains {
		kc := &nftables.Chain{Name: c.name, Table: ref}
		if c.hook != nil {
			policy := nftables.ChainPolicyAccept
			if c.drop {
				policy = nftables.ChainPolicyDrop
			}
			kc.Hooknum, kc.Priority, kc.Type, kc.Policy = c.hook, nftables.ChainPriorityRef(c.priority), nftables.ChainTypeFilter, &policy
		}
		k.conn.AddChain(kc)
	}
	for _, c := range chains {
		for _, r := range c.rules {
			out := &nftables.Rule{Table: ref, Chain: &nftables.Chain{Name: c.name, Table: ref}, Exprs: r.exprs}
			if r.name != "" {
				out.UserData = userdata.AppendString(nil, userdata.TypeComment, r.name)
			}
			k.conn.AddRule(out)
		}
	}
	err = k.conn.Flush()
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("writing table %s: this kernel lacks a part of nf_tables: %w", Table, err)
	}
	if err != nil {
		return fmt.Errorf("writing table %s: %w", Table, err)
	}
	return nil
}

// Count is what went by, super-packets as one packet each.
type Count struct{ Packets, Bytes uint64 }

// counts sums the counters of rules by name.
func counts(chains []chain) map[string]Count {
	sums := map[string]Count{}
	for _, c := range chains {
		for _, r := range c.rules {
			for _, e := range r.exprs {
				if n, ok := e.(*expr.Counter); ok && r.name != "" {
					sum := sums[r.name]
					sums[r.name] = Count{sum.Packets + n.Packets, sum.Bytes + n.Bytes}
				}
			}
		}
	}
	return sums
}
