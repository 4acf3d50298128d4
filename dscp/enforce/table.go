package enforce

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"meetzone/dscp"
)

// Table is the name of our nf_tables table, of the family inet.
const Table = "meetzone_marks"

// The way of a packet that leaves the box:
//
//	output ─ loopback? → accept
//	       ─ exception 1, 2 …: by its class → class chain of that exception
//	       ─ by its class → class chain: count by interface and class; set the code point unless it is right; set the priority
//	       ─ a fwmark of ours that the map did not know → accept, as the sender has marked it
//	       ─ no class of ours: ICMP and IGMP of the kernel → accept
//	                           a code point that others may use → accept
//	                           everything else → cleared: count, set to 0
//
// and of one that arrives:
//
//	input  ─ loopback? → accept
//	       ─ count by interface and code point
const (
	chainOut     = "output"
	chainIn      = "input"
	chainCleared = "cleared"

	setSent     = "sent"     // interface . fwmark → counter
	setCleared  = "cleared"  // interface . fwmark → counter; the fwmark is not ours
	setArrived4 = "arrived4" // interface . code point in its place of the header → counter
	setArrived6 = "arrived6"
)

// maxCounted bounds what a counting set holds: interfaces times classes or code points.
const maxCounted = 4096

// table is the wanted table as data: what is compared with the kernel.
type table struct {
	chains []chain
	sets   []set
}

type chain struct {
	name  string
	hook  *nftables.ChainHook // nil: reached from another chain
	rules [][]expr.Any
}

type set struct {
	name     string
	key      nftables.SetDatatype
	verdicts map[string]string // key → chain; nil: filled by packets, with a counter for each key
}

// newTable makes the table of a policy.
func newTable(w Wanted) table {
	out := chain{name: chainOut, hook: nftables.ChainHookOutput, rules: [][]expr.Any{
		append(overLoopback(expr.MetaKeyOIFTYPE), verdict(expr.VerdictAccept, ""))}}
	var t table
	for i, e := range w.Exceptions {
		prefix := fmt.Sprintf("e%d_", i+1)
		out.rules = append(out.rules, append(e.match(), byMark(prefix+"classes")...))
		t.addProfile(prefix, e.Profile)
	}
	t.addProfile("", w.Profile)
	out.rules = append(out.rules, byMark("classes"))
	out.rules = append(out.rules, oursUnmapped())
	for _, proto := range []byte{unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6, unix.IPPROTO_IGMP} {
		out.rules = append(out.rules, []expr.Any{meta(expr.MetaKeyL4PROTO), is([]byte{proto}), verdict(expr.VerdictAccept, "")})
	}
	for _, f := range []field{ipv4, ipv6} {
		for _, p := range w.points() {
			out.rules = append(out.rules, slices.Concat(family(f.proto), f.read(reg1), []expr.Any{is(f.value(p)), verdict(expr.VerdictAccept, "")}))
		}
	}
	out.rules = append(out.rules, []expr.Any{verdict(expr.VerdictGoto, chainCleared)})
	t.chains = append(t.chains, out, clearedChain(), arrivedChain())
	t.sets = append(t.sets,
		set{name: setSent, key: interfaceKey(nftables.TypeMark)},
		set{name: setCleared, key: interfaceKey(nftables.TypeMark)},
		set{name: setArrived4, key: interfaceKey(nftables.TypeDSCP)},
		set{name: setArrived6, key: interfaceKey(nftables.TypeInetService)})
	return t
}

// oursUnmapped lets a packet of ours go that has met the old rules and the new, or the old, elements of a map: the kernel switches both at once, but
// a packet may be between the two.
func oursUnmapped() []expr.Any {
	base := dscp.Class(0).Fwmark() &^ 0xffff
	return []expr.Any{meta(expr.MetaKeyMARK), mask(reg1, binaryutil.NativeEndian.PutUint32(0xffff_0000), make([]byte, 4)),
		is(binaryutil.NativeEndian.PutUint32(base)), verdict(expr.VerdictAccept, "")}
}

// match is what a packet must be for the exception.
func (e Exception) match() (exprs []expr.Any) {
	if e.Interface != "" {
		exprs = append(exprs, meta(expr.MetaKeyOIFNAME), is(ifname(e.Interface)))
	}
	if !e.Prefix.IsValid() {
		return exprs
	}
	f := ipv4
	if e.Prefix.Addr().Is6() {
		f = ipv6
	}
	return slices.Concat(exprs, family(f.proto), f.to(e.Prefix))
}

// addProfile adds the chains of a profile's classes and the verdict map that leads to them.
func (t *table) addProfile(prefix string, p dscp.Profile) {
	vmap := set{name: prefix + "classes", key: nftables.TypeMark, verdicts: map[string]string{}}
	slot := slots(p)
	for i, m := range p.Marks {
		class := dscp.Class(i)
		name := prefix + class.String()
		vmap.verdicts[string(binaryutil.NativeEndian.PutUint32(class.Fwmark()))] = name
		t.chains = append(t.chains, chain{name: name, rules: [][]expr.Any{
			countByInterface(setSent),
			correct(ipv4, m.CodePoint),
			correct(ipv6, m.CodePoint),
			setPriority(slot[class].priority()),
		}})
	}
	t.sets = append(t.sets, vmap)
}

// countByInterface books a packet under the interface that it leaves by and its fwmark.
func countByInterface(set string) []expr.Any {
	return []expr.Any{meta(expr.MetaKeyOIFNAME), &expr.Meta{Key: expr.MetaKeyMARK, Register: reg2}, count(set)}
}

// correct sets the code point of a packet that has another one.
func correct(f field, p dscp.CodePoint) []expr.Any {
	return slices.Concat(family(f.proto), f.read(reg1), []expr.Any{isNot(f.value(p))}, f.write(p))
}

func clearedChain() chain {
	return chain{name: chainCleared, rules: [][]expr.Any{
		countByInterface(setCleared), correct(ipv4, dscp.CS0), correct(ipv6, dscp.CS0),
	}}
}

func arrivedChain() chain {
	in := chain{name: chainIn, hook: nftables.ChainHookInput, rules: [][]expr.Any{
		append(overLoopback(expr.MetaKeyIIFTYPE), verdict(expr.VerdictAccept, ""))}}
	for _, f := range []struct {
		field
		set string
	}{{ipv4, setArrived4}, {ipv6, setArrived6}} {
		in.rules = append(in.rules, slices.Concat(family(f.proto), []expr.Any{meta(expr.MetaKeyIIFNAME)}, f.read(reg2), []expr.Any{count(f.set)}))
	}
	return in
}

// describe writes the table in a form in which the wanted and the kernel's are equal when nothing was changed: a line for each object.
func (t table) describe() []string {
	var lines []string
	for _, c := range t.chains {
		hook := "-"
		if c.hook != nil {
			hook = fmt.Sprint(*c.hook)
		}
		rules := make([]string, len(c.rules))
		for i, r := range c.rules {
			rules[i] = normal(r)
		}
		lines = append(lines, fmt.Sprintf("chain %s\x00hook %s\n%s", c.name, hook, strings.Join(rules, "\n")))
	}
	for _, s := range t.sets {
		lines = append(lines, "set "+s.name)
		for k, to := range s.verdicts {
			lines = append(lines, fmt.Sprintf("element %x of map %s\x00%s", k, s.name, to))
		}
	}
	slices.Sort(lines)
	return lines
}

// difference names the objects that only one of two descriptions has: what drift is reported as.
func difference(wanted, actual []string) []string {
	var out []string
	name := func(line string) string { n, _, _ := strings.Cut(line, "\x00"); return n }
	note := func(text string) {
		if !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	for _, line := range wanted {
		if _, found := slices.BinarySearch(actual, line); found {
			continue
		}
		if slices.ContainsFunc(actual, func(other string) bool { return name(other) == name(line) }) {
			note(name(line) + " was altered")
		} else {
			note(name(line) + " was missing")
		}
	}
	for _, line := range actual {
		if !slices.ContainsFunc(wanted, func(other string) bool { return name(other) == name(line) }) {
			note(name(line) + " was added")
		}
	}
	return out
}
