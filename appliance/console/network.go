package console

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	tea "charm.land/bubbletea/v2"

	"meetzone/appliance/adminapi"
)

// networkNow is the network as configured and as it is.
type networkNow struct {
	box    adminapi.BoxNetwork
	kernel adminapi.KernelNetwork
}

func fetchNetwork(client *adminapi.Client) func(ctx context.Context) (networkNow, error) {
	return func(ctx context.Context) (n networkNow, err error) {
		if n.box, err = client.BoxNetwork(ctx); err != nil {
			return n, err
		}
		n.kernel, err = client.Kernel(ctx)
		return n, err
	}
}

func openNetwork(a *app) tea.Cmd {
	var now networkNow
	t := &table{name: "Network", head: []string{"INTERFACE", "STATE", "ROLE", "ADDRESSES", "MTU", ""}, empty: "This machine has no interfaces."}
	t.intro = func(_ *app, width int) (out []line) {
		switch {
		case !t.loaded:
			return nil
		case !now.box.OwnHost:
			return plainLines(wrap("This machine's network is not the appliance's own (--own-host): it is only shown.", width))
		case !now.box.Agrees && len(now.box.Interfaces) > 0:
			return []line{styled(bold, "NOT as configured: "+strings.Join(now.box.Differs, "; "))}
		}
		return []line{plainf("As configured. Changed by somebody else since the start: %d.", now.box.Drifted)}
	}
	t.fetch = func(a *app) tea.Cmd {
		return ask(a, t, fetchNetwork(a.client), func(n networkNow) tea.Cmd {
			now = n
			t.set(interfaceRows(n))
			return nil
		})
	}
	t.open = func(a *app, row int) tea.Cmd {
		if !now.box.OwnHost {
			a.say("The network of this machine is changed by its own means.")
			return nil
		}
		return a.push(networkForm(now, t.rows[row][0]))
	}
	t.actions = []action{
		{"r", "routes and rules", openRoutes},
		{"v", "add a VLAN", func(a *app) tea.Cmd {
			if !now.box.OwnHost {
				return nil
			}
			return a.push(networkForm(now, ""))
		}},
	}
	return a.push(t)
}

// interfaceRows lists what the machine has, and what is configured and missing.
func interfaceRows(n networkNow) (rows [][]string) {
	configured := func(name string) *adminapi.NetworkInterface {
		for i := range n.box.Interfaces {
			if n.box.Interfaces[i].Name == name {
				return &n.box.Interfaces[i]
			}
		}
		return nil
	}
	for _, l := range n.kernel.Links {
		if l.Name == "lo" {
			continue
		}
		state, role, note := "off", "", "not the box's to set"
		if l.Up {
			state = "no link"
		}
		if l.Up && l.Carrier {
			state = "up"
		}
		if c := configured(l.Name); c != nil {
			note, role = "", c.Role
			if role == "" {
				role = "all"
			}
			if len(c.DHCP) > 0 {
				note = "DHCP"
			}
			if c.Parent != "" {
				note = fmt.Sprintf("VLAN %d on %s", c.VLAN, c.Parent)
			}
		}
		rows = append(rows, []string{l.Name, state, role, strings.Join(withoutLocal(l.Addresses), " "), fmt.Sprint(l.MTU), note})
	}
	for _, c := range n.box.Interfaces {
		if !slices.ContainsFunc(n.kernel.Links, func(l adminapi.KernelLink) bool { return l.Name == c.Name }) {
			rows = append(rows, []string{c.Name, "MISSING", c.Role, strings.Join(c.Addresses, " "), fmt.Sprint(c.MTU), "configured"})
		}
	}
	return rows
}

// withoutLocal leaves out the addresses that every link gives itself.
func withoutLocal(list []string) (out []string) {
	for _, text := range list {
		if p, err := netip.ParsePrefix(text); err == nil && !p.Addr().IsLinkLocalUnicast() {
			out = append(out, text)
		}
	}
	return out
}

func openRoutes(a *app) tea.Cmd {
	var now networkNow
	p := &page{name: "Routes and rules"}
	p.fetch = func(a *app) tea.Cmd {
		return ask(a, p, fetchNetwork(a.client), func(n networkNow) tea.Cmd { now = n; return nil })
	}
	p.lines = func(_ *app, width int) (out []line) {
		out = append(out, styled(bold, "Routes"))
		for _, r := range now.kernel.Routes {
			out = append(out, plain("  "+r))
		}
		out = append(out, nil, styled(bold, "Rules"))
		for _, r := range now.kernel.Rules {
			out = append(out, plain("  "+r))
		}
		out = append(out, nil, styled(bold, "Changed by somebody else"))
		for _, e := range now.box.Events {
			state := "NOT HEALED: " + e.Error
			if e.Healed {
				state = fmt.Sprintf("back after %.0f ms", e.TookMS)
			}
			out = append(out, plain("  "+since(e.Time)+"  "+e.Object+"  "+state))
		}
		return out
	}
	return a.push(p)
}

// The labels of the wizard's fields.
const (
	labelInterface = "Interface"
	labelVLANName  = "Name"
	labelParent    = "On interface"
	labelVLAN      = "VLAN id"
	labelRole      = "Role"
	labelAddresses = "Addresses"
	labelGateway   = "Gateway"
	labelMTU       = "MTU"
	labelState     = "State"
	labelMethod    = "Method"
	labelRA        = "IPv6 routers"
)

// networkForm is the wizard for one interface; with no name, for a new VLAN.
func networkForm(now networkNow, name string) *form {
	one := interfaceNow(now, name)
	f := &form{name: "Network: " + name, verb: "review", intro: "Interface " + name + "."}
	if name == "" {
		f.name, f.intro = "Network: add a VLAN", ""
		f.fields = append(f.fields, textField(labelVLANName, "", "Any name of at most 15 letters and digits, such as voice."),
			choice(labelParent, linkNames(now.kernel), "", "The interface whose cable the VLAN is on."))
	}
	if name == "" || one.Parent != "" {
		f.fields = append(f.fields, textField(labelVLAN, number(one.VLAN), "1 to 4094, as the switch has it."))
	}
	role := one.Role
	if role == "" {
		role = "all"
	}
	state := "on"
	if one.Disabled {
		state = "off"
	}
	method := methodStatic
	if len(one.DHCP) > 0 {
		method = methodDHCP
	}
	addresses, via := textField(labelAddresses, strings.Join(one.Addresses, " "), "With prefix length, such as 192.0.2.7/24. Several are separated by spaces; IPv6 too. All others are taken away."),
		textField(labelGateway, gateway(now), "The router that leads out of the subnet, such as 192.0.2.1; two are separated by a space, IPv4 and IPv6. Empty: none.")
	static := func(f *form) bool { return f.text(labelMethod) == methodStatic }
	addresses.shown, via.shown = static, static
	f.fields = append(f.fields,
		choice(labelMethod, []string{methodStatic, methodDHCP}, method, "static: you give the addresses; DHCP: a server in your network gives address, gateway, name servers and time servers."),
		addresses, via,
		choice(labelRA, routerChoices, routerChoice(one.RA), "What IPv6 routers may say here: addresses and gateway, one of them, or nothing."),
		choice(labelRole, []string{"all", "service", "management", "cluster"}, role, "service: people's media and web; management: this box's administration; cluster: other boxes of the zone."),
		textField(labelMTU, number(one.MTU), "Bytes; empty: as it is. Less than 1500 where a tunnel or VPN is on the way."),
		choice(labelState, []string{"on", "off"}, state, "off: the interface is switched off."))
	f.done = func(a *app, f *form) tea.Cmd { return changeInterface(a, f, f, now, name, nil) }
	return f
}

// How an interface gets its addresses.
const (
	methodStatic = "static"
	methodDHCP   = "DHCP"
)

var routerChoices = []string{"as the system is set", "all", "address", "gateway", "off"}

func routerChoice(ra string) string {
	if ra == "" {
		return routerChoices[0]
	}
	return ra
}

// interfaceNow is an interface as configured, or before it is as the kernel has it.
func interfaceNow(now networkNow, name string) adminapi.NetworkInterface {
	for _, i := range now.box.Interfaces {
		if i.Name == name {
			return i
		}
	}
	return adoptedLink(now.kernel, name)
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// linkNames is the interfaces that a person may set.
func linkNames(k adminapi.KernelNetwork) (names []string) {
	for _, l := range k.Links {
		if l.Name != "lo" && l.Kind != "vlan" {
			names = append(names, l.Name)
		}
	}
	if names == nil {
		names = []string{""}
	}
	return names
}

// gateway is the configured routes out, or before there are any those of the kernel.
func gateway(now networkNow) string {
	var list []string
	for _, r := range now.box.Routes {
		if r.To == "default" && r.For == "" {
			list = append(list, r.Via)
		}
	}
	if len(now.box.Routes) == 0 && len(now.box.Interfaces) == 0 {
		for _, r := range now.kernel.Routes {
			if w := strings.Fields(r); len(w) > 2 && w[0] == "default" && w[1] == "via" && !strings.HasPrefix(w[2], "fe80") {
				list = append(list, w[2])
			}
		}
	}
	return strings.Join(list, " ")
}

// changeInterface reviews what was typed, together with more. done comes after the change is kept.
func changeInterface(a *app, f *form, of screen, now networkNow, name string, done func(a *app) tea.Cmd, more ...set) tea.Cmd {
	one, err := typedInterface(f, interfaceNow(now, name))
	if err != nil {
		a.fail(err)
		return nil
	}
	sets := append(more, set{"network.interfaces", yamlText(withInterface(now, name, one))}, set{"network.routes", yamlText(withGateways(f, now, name))})
	return change(a, of, cuts(a.status, now.kernel, one), done, sets...)
}

// typedInterface is an interface as a form wants it.
func typedInterface(f *form, one adminapi.NetworkInterface) (_ adminapi.NetworkInterface, err error) {
	if name := f.text(labelVLANName); name != "" {
		one.Name, one.Parent = name, f.text(labelParent)
	}
	for label, to := range map[string]*int{labelVLAN: &one.VLAN, labelMTU: &one.MTU} {
		*to = 0
		if text := f.text(label); text != "" {
			if *to, err = strconv.Atoi(text); err != nil {
				return one, fmt.Errorf("%s: %q is no number", label, text)
			}
		}
	}
	one.Addresses, one.Disabled = words(f.text(labelAddresses)), f.text(labelState) == "off"
	switch {
	case f.text(labelMethod) != methodDHCP:
		one.DHCP = nil
	case len(one.DHCP) == 0:
		one.DHCP = []string{"address", "gateway", "dns", "ntp"}
		fallthrough
	default:
		one.Addresses = nil
	}
	if one.RA = f.text(labelRA); one.RA == routerChoices[0] {
		one.RA = ""
	}
	if one.Role = f.text(labelRole); one.Role == "all" {
		one.Role = ""
	}
	return one, nil
}

// withInterface is the document's interfaces with one changed, or added together with the one that it is on.
func withInterface(now networkNow, name string, one adminapi.NetworkInterface) []adminapi.NetworkInterface {
	list := slices.Clone(now.box.Interfaces)
	named := func(name string) int {
		return slices.IndexFunc(list, func(i adminapi.NetworkInterface) bool { return i.Name == name })
	}
	if i := named(name); i >= 0 {
		list[i] = one
		return list
	}
	if one.Parent != "" && named(one.Parent) < 0 {
		list = append(list, adoptedLink(now.kernel, one.Parent))
	}
	return append(list, one)
}

// withGateways is the document's routes with other ways out. A server that gives an interface its address gives its gateway as well.
func withGateways(f *form, now networkNow, name string) []adminapi.NetworkRoute {
	routes := []adminapi.NetworkRoute{}
	asks := f.text(labelMethod) == methodDHCP
	for _, r := range now.box.Routes {
		if isWayOut := r.To == "default" && r.For == ""; !isWayOut || asks && !within(r.Via, interfaceNow(now, name).Addresses) {
			routes = append(routes, r)
		}
	}
	if asks {
		return routes
	}
	for _, via := range words(f.text(labelGateway)) {
		routes = append(routes, adminapi.NetworkRoute{To: "default", Via: via})
	}
	return routes
}

// within says whether an address is in the subnet of one of some others.
func within(address string, prefixes []string) bool {
	a, err := netip.ParseAddr(address)
	return err == nil && slices.ContainsFunc(prefixes, func(text string) bool {
		p, err := netip.ParsePrefix(text)
		return err == nil && p.Contains(a)
	})
}

// adoptedLink is an interface as it is, so that a VLAN can be on it.
func adoptedLink(k adminapi.KernelNetwork, name string) adminapi.NetworkInterface {
	for _, l := range k.Links {
		if l.Name == name {
			return adminapi.NetworkInterface{Name: name, Addresses: withoutLocal(l.Addresses)}
		}
	}
	return adminapi.NetworkInterface{Name: name}
}

// cuts says which addresses go, and who would notice.
func cuts(s adminapi.Status, k adminapi.KernelNetwork, one adminapi.NetworkInterface) string {
	var gone []string
	for _, l := range k.Links {
		if l.Name != one.Name {
			continue
		}
		for _, had := range withoutLocal(l.Addresses) {
			if one.Disabled || !slices.Contains(one.Addresses, had) {
				gone = append(gone, had)
			}
		}
	}
	if len(gone) == 0 {
		return ""
	}
	return fmt.Sprintf("%s loses %s. Whoever came by it is cut, also you if you did. %s", one.Name, strings.Join(gone, ", "), people(s))
}
