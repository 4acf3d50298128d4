package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Validate names everything that is wrong with the document. The error is Problems.
func (d Document) Validate() error { return d.problems().asError() }

// ProblemsAt is Validate for what is at and below a path.
func (d Document) ProblemsAt(path string) error {
	elsewhere := func(p Problem) bool {
		rest, below := strings.CutPrefix(p.Path, path)
		return !below || rest != "" && rest[0] != '.' && rest[0] != '['
	}
	return slices.DeleteFunc(d.problems(), elsewhere).asError()
}

// Warnings names what is valid and yet unwise, or not understood by this version.
func (d Document) Warnings() []string {
	var out []string
	if d.Version > Version {
		out = append(out, fmt.Sprintf("the document is of version %d, and this software writes version %d", d.Version, Version))
	}
	for _, u := range d.unknown {
		out = append(out, u.path+" is unknown to this version; it is kept as it is")
	}
	if policy, err := d.DSCP.Policy(); err == nil {
		out = append(out, policy.Warnings()...)
	}
	if n := len(d.DSCP.Exceptions); n > 0 && !d.DSCP.Enforce {
		out = append(out, "dscp.exceptions has no effect while dscp.enforce is false: the kernel applies them")
	}
	return append(out, d.Network.warnings()...)
}

// checker collects problems.
type checker struct{ problems Problems }

func (c *checker) that(ok bool, path, format string, args ...any) {
	if !ok {
		c.problems = append(c.problems, Problem{Path: path, Text: fmt.Sprintf(format, args...)})
	}
}

// between wants a number within bounds that the message names.
func (c *checker) between(path string, value, least, most int) {
	c.that(value >= least && value <= most, path, "%d is not between %d and %d", value, least, most)
}

func (c *checker) span(path string, value Duration, least, most time.Duration) {
	v := value.Std()
	c.that(v >= least && v <= most, path, "%v is not between %v and %v", v, least, most)
}

func (c *checker) oneOf(path, value string, names ...string) {
	c.that(slices.Contains(names, value), path, "%q is not one of %s", value, strings.Join(names, ", "))
}

// line wants a short text for people, without control characters.
func (c *checker) line(path, value string, most int) {
	c.that(utf8.ValidString(value) && !strings.ContainsFunc(value, unicode.IsControl), path, "the text has characters that cannot be shown")
	c.that(len(value) <= most, path, "the text is longer than %d bytes", most)
}

func (d Document) problems() Problems {
	var c checker
	c.that(d.Version >= 1, "version", "%d is no version; this is version %d", d.Version, Version)
	d.Zone.check(&c)
	d.checkPlaces(&c)
	d.Box.check(&c)
	d.Network.check(&c)
	d.DSCP.check(&c)
	d.Log.check(&c)
	d.Backup.check(&c)
	d.Certificate.check(&c, d.Zone.Hosts)
	d.Update.check(&c)
	name := d.Certificate.Name
	c.that(name != "" && strings.Trim(name, nameLetters) == "" && len(name) <= 63, "certificate.name",
		"%q is no name of a certificate: use letters, digits and hyphens, or %s", name, SelfSigned)
	return c.problems
}

func (cert Certificate) check(c *checker, hosts []string) {
	a := cert.ACME
	if a.Directory != "" {
		u, err := url.Parse(a.Directory)
		c.that(err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil, "certificate.acme.directory", "%q is no https:// address", a.Directory)
	}
	c.that(a.CA == "" || filepath.IsAbs(a.CA), "certificate.acme.ca", "%q does not begin with /", a.CA)
	c.that(a.Email == "" || strings.Count(a.Email, "@") == 1 && !strings.ContainsAny(a.Email, " ,:?"), "certificate.acme.email", "%q is no mail address", a.Email)
	if cert.Name == ACME {
		c.that(a.Directory != "", "certificate.acme.directory", "the certificate %s needs the address of its authority", ACME)
		c.that(len(hosts) > 0, "zone.hosts", "the certificate %s is for these, and there are none", ACME)
	}
}

func (u Update) check(c *checker) {
	if u.Source != "" {
		address, err := url.Parse(u.Source)
		c.that(err == nil && (address.Scheme == "https" || address.Scheme == "http") && address.Host != "" && len(u.Source) <= 2000, "update.source",
			"%q is no http:// or https:// address", withoutUser(u.Source))
		c.that(err != nil || address.User == nil, "update.source", "the address holds a name or a password, which everybody who reads the configuration would see; leave out what is before the @")
	}
}

// withoutUser cuts what may be a password out of an address, whether it can be parsed or not.
func withoutUser(address string) string {
	if i := strings.LastIndexByte(address, '@'); i >= 0 {
		return "…" + address[i:]
	}
	return address
}

const nameLetters = "abcdefghijklmnopqrstuvwxyz0123456789-"

func (z Zone) check(c *checker) {
	c.that(strings.Trim(z.ID, nameLetters) == "" && len(z.ID) <= 63, "zone.id", "%q: use small letters, digits and hyphens, at most 63", z.ID)
	c.that(z.Name != "", "zone.name", "the zone needs a name that people recognise")
	c.line("zone.name", z.Name, 120)
	c.hosts("zone.hosts", z.Hosts, false)
	c.hosts("zone.lookup_hosts", z.LookupHosts, true)
	c.oneOf("zone.policy.start_meetings", z.Policy.StartMeetings, StartAnyone, StartAPI)
	c.between("zone.limits.meetings", z.Limits.Meetings, 1, 100_000)
	c.between("zone.limits.participants", z.Limits.Participants, 2, 10_000)
	c.between("zone.limits.sessions", z.Limits.Sessions, 2, 100_000)
	c.between("zone.limits.watchers", z.Limits.Watchers, 1, 100_000)
	c.between("zone.limits.video_slots", z.Limits.VideoSlots, 0, 49)
	c.span("zone.limits.empty_after", z.Limits.EmptyAfter, 10*time.Second, 7*24*time.Hour)
	c.span("zone.limits.token_life", z.Limits.TokenLife, 10*time.Second, time.Hour)
	c.span("zone.limits.resume_within", z.Limits.ResumeWithin, 5*time.Second, time.Hour)
	c.between("zone.guess.attempts", z.Guess.Attempts, 1, 1000)
	c.span("zone.guess.within", z.Guess.Within, time.Second, 24*time.Hour)
	c.span("zone.guess.block", z.Guess.Block, time.Second, 24*time.Hour)
	for i, name := range z.Media.Codecs {
		path := fmt.Sprintf("zone.media.codecs[%d]", i)
		c.oneOf(path, name, "vp8", "vp9", "h264", "av1")
		c.that(!slices.Contains(z.Media.Codecs[:i], name), path, "%s is named twice", name)
	}
}

func (b Box) check(c *checker) {
	if b.Hostname != "" {
		c.that(isHostName(b.Hostname), "box.hostname", "%q is no host name: use letters, digits, hyphens and dots", b.Hostname)
	}
	b.Listen.check(c)
	for i, text := range b.Advertise {
		_, err := netip.ParseAddr(text)
		c.that(err == nil, fmt.Sprintf("box.advertise[%d]", i), "%q is no IP address", text)
	}
	for i, text := range b.TrustedProxies {
		c.subnet(fmt.Sprintf("box.trusted_proxies[%d]", i), text)
	}
	c.between("box.workers", b.Workers, 0, 256)
	c.that(b.ReceiveBuffer >= 64<<10 && b.ReceiveBuffer <= 1<<30, "box.receive_buffer", "the buffer must be between 64KiB and 1GiB")
	c.oneOf("box.log_level", b.LogLevel, "debug", "info", "warn", "error")
	b.checkLinks(c)
}

func (l Listen) check(c *checker) {
	https := c.listen("box.listen.https", l.HTTPS)
	if l.Metrics != "" {
		metrics := c.listen("box.listen.metrics", l.Metrics)
		c.that(!clash(https, metrics), "box.listen.metrics", "%s is the address of HTTPS already", l.Metrics)
	}
	c.that(len(l.Media) > 0, "box.listen.media", "at least one address is needed, such as :8801")
	var seen []netip.AddrPort
	for i, text := range l.Media {
		path := fmt.Sprintf("box.listen.media[%d]", i)
		media := c.listen(path, text)
		c.that(!clash(https, media), path, "%s is the address of HTTPS already", text)
		for j, other := range seen {
			c.that(!covers(other, media), path, "%s and %s cover each other", l.Media[j], text)
			c.that(other.Port() == media.Port() || !other.IsValid() || !media.IsValid(), path, "%s and %s have different ports", l.Media[j], text)
		}
		seen = append(seen, media)
	}
	c.that(filepath.IsAbs(l.Admin) && len(l.Admin) <= 100 && filepath.Clean(l.Admin) == l.Admin, "box.listen.admin",
		"%q is no socket's path: it begins with / and is at most 100 bytes long", l.Admin)
}

// listen wants an address with port. The result is invalid where that is wrong; ":443" is [::]:443.
func (c *checker) listen(path, text string) netip.AddrPort {
	a, err := ParseListen(text)
	c.that(err == nil, path, "%q is no address to listen at: write it like :443, 192.0.2.7:443 or [2001:db8::7]:443", text)
	return a
}

// ParseListen reads an address to listen at. Without a host it is [::], which stands for IPv6 and IPv4.
func ParseListen(text string) (netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return netip.AddrPort{}, err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("port %q is not between 0 and 65535", port)
	}
	addr := netip.IPv6Unspecified()
	if host != "" {
		if addr, err = netip.ParseAddr(host); err != nil {
			return netip.AddrPort{}, err
		}
	}
	if addr.IsMulticast() {
		return netip.AddrPort{}, fmt.Errorf("%s is a multicast address", addr)
	}
	return netip.AddrPortFrom(addr, uint16(n)), nil
}

// clash says that two listeners cannot be together; port 0 is chosen by the kernel and clashes with nothing.
func clash(a, b netip.AddrPort) bool {
	if !a.IsValid() || !b.IsValid() || a.Port() != b.Port() || a.Port() == 0 {
		return false
	}
	x, y := a.Addr().Unmap(), b.Addr().Unmap()
	dual := x == netip.IPv6Unspecified() || y == netip.IPv6Unspecified()
	return x == y || dual || x.Is4() == y.Is4() && (x.IsUnspecified() || y.IsUnspecified())
}

// covers says that two addresses of the media port take the same datagrams. [::] leaves IPv4 to an IPv4 address of the list.
func covers(a, b netip.AddrPort) bool {
	if !a.IsValid() || !b.IsValid() {
		return false
	}
	x, y := a.Addr().Unmap(), b.Addr().Unmap()
	return x == y || x.Is4() == y.Is4() && (x.IsUnspecified() || y.IsUnspecified())
}

// hosts wants names or addresses, where asked with an optional port.
func (c *checker) hosts(path string, list []string, port bool) {
	for i, text := range list {
		host, at := text, fmt.Sprintf("%s[%d]", path, i)
		if h, p, err := net.SplitHostPort(text); err == nil && port {
			n, err := strconv.ParseUint(p, 10, 16)
			c.that(err == nil && n > 0, at, "%q has no usable port", text)
			host = h
		}
		_, err := netip.ParseAddr(host)
		c.that(err == nil || isHostName(host), at, "%q is neither a host name nor an IP address", text)
		c.that(!slices.Contains(list[:i], text), at, "%q is there twice", text)
	}
}

// isHostName follows RFC 1123, section 2.1.
func isHostName(s string) bool {
	if len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		ok := label != "" && len(label) <= 63 && label[0] != '-' && label[len(label)-1] != '-'
		if !ok || strings.Trim(strings.ToLower(label), nameLetters) != "" {
			return false
		}
	}
	last := s[strings.LastIndexByte(s, '.')+1:]
	return strings.Trim(last, "0123456789") != "" // or it would be read as an address
}
