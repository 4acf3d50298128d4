package client

import (
	"context"
	"net"
	"net/netip"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/dop251/goja"
)

// pacFunctions are what a PAC file may call: those of the file format's first description by Netscape, which all browsers have. Names are resolved as IPv4, as those
// functions were made for it.
type pacFunctions struct {
	ctx    context.Context
	engine *goja.Runtime
	target string // host:port, for which address of this computer is asked
	now    func() time.Time
}

func (p pacFunctions) register() error {
	for name, function := range map[string]any{
		"isPlainHostName": func(host string) bool { return !strings.Contains(host, ".") },
		"dnsDomainIs": func(host, domain string) bool {
			return strings.HasSuffix(strings.ToLower(host), strings.ToLower(domain))
		},
		"localHostOrDomainIs": localHostOrDomainIs,
		"isResolvable":        func(host string) bool { return p.resolve(host).IsValid() },
		"dnsResolve":          func(host string) any { return orNull(p.resolve(host)) },
		"myIpAddress":         func() string { return p.myAddress().String() },
		"isInNet":             p.isInNet,
		"dnsDomainLevels":     func(host string) int { return strings.Count(host, ".") },
		"convert_addr":        convertAddress,
		"shExpMatch":          shellMatch,
		"weekdayRange":        func(args ...any) bool { return p.inRange(args, weekday) },
		"timeRange":           func(args ...any) bool { return p.inRange(args, timeOfDay) },
		"dateRange":           func(args ...any) bool { return p.inRange(args, date) },
		"alert":               func(string) {},
	} {
		if err := p.engine.Set(name, function); err != nil {
			return err
		}
	}
	return nil
}

func localHostOrDomainIs(host, full string) bool {
	name, _, _ := strings.Cut(full, ".")
	return strings.EqualFold(host, full) || strings.EqualFold(host, name)
}

func orNull(a netip.Addr) any {
	if !a.IsValid() {
		return nil
	}
	return a.String()
}

// resolve returns the IPv4 address of a name or of an address; invalid: none.
func (p pacFunctions) resolve(host string) (none netip.Addr) {
	if a, err := netip.ParseAddr(host); err == nil {
		if a = a.Unmap(); a.Is4() {
			return a
		}
		return none
	}
	found, err := net.DefaultResolver.LookupNetIP(p.ctx, "ip4", host)
	if err != nil || len(found) == 0 {
		return none
	}
	return found[0].Unmap()
}

// myAddress is this computer's address on the way to the zone.
func (p pacFunctions) myAddress() netip.Addr {
	conn, err := (&net.Dialer{}).DialContext(p.ctx, "udp", p.target+":443") // sends nothing
	if err != nil {
		conn, err = (&net.Dialer{}).DialContext(p.ctx, "udp", p.target)
	}
	if err == nil {
		defer conn.Close()
		if local, ok := conn.LocalAddr().(*net.UDPAddr); ok {
			return local.AddrPort().Addr().Unmap()
		}
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1})
}

func (p pacFunctions) isInNet(host, network, mask string) bool {
	address := p.resolve(host)
	n, err := netip.ParseAddr(network)
	m, maskErr := netip.ParseAddr(mask)
	if !address.IsValid() || err != nil || maskErr != nil || !n.Is4() || !m.Is4() {
		return false
	}
	a, b, bits := address.As4(), n.As4(), m.As4()
	for i := range a {
		if a[i]&bits[i] != b[i]&bits[i] {
			return false
		}
	}
	return true
}

// convertAddress is the number of an IPv4 address.
func convertAddress(text string) uint32 {
	a, err := netip.ParseAddr(text)
	if err != nil || !a.Is4() {
		return 0
	}
	b := a.As4()
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

// shellMatch knows * and ?, and a slash is a character like others.
func shellMatch(text, pattern string) bool {
	hide := strings.NewReplacer("/", "\x00", "[", `\[`, `\`, `\\`)
	ok, err := path.Match(hide.Replace(pattern), strings.ReplaceAll(text, "/", "\x00"))
	return ok && err == nil
}

// moment places a point in time, or the part of one that some arguments name, on a line. parts are how many arguments one point has.
type moment func(args []any, now time.Time) (from, to, at int, ok bool)

// inRange does the three functions of time. Without "GMT" as the last argument they mean local time. A range that ends before it begins goes over the end of the day, week or year.
func (p pacFunctions) inRange(args []any, place moment) bool {
	now := p.now().Local()
	if last, ok := last(args).(string); ok && last == "GMT" {
		now, args = now.UTC(), args[:len(args)-1]
	}
	from, to, at, ok := place(args, now)
	switch {
	case !ok:
		return false
	case from <= to:
		return from <= at && at <= to
	}
	return at >= from || at <= to
}

func last(args []any) any {
	if len(args) == 0 {
		return nil
	}
	return args[len(args)-1]
}

var (
	weekdays = []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}
	months   = []string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}
)

func weekday(args []any, now time.Time) (from, to, at int, ok bool) {
	if len(args) == 0 || len(args) > 2 {
		return 0, 0, 0, false
	}
	first, _ := args[0].(string)
	second, _ := last(args).(string)
	from, to = slices.Index(weekdays, first), slices.Index(weekdays, second)
	return from, to, int(now.Weekday()), from >= 0 && to >= 0
}

// timeOfDay takes an hour, two, or twice an hour with minutes, or with minutes and seconds.
func timeOfDay(args []any, now time.Time) (from, to, at int, ok bool) {
	numbers := make([]int, len(args))
	for i, one := range args {
		n, isNumber := one.(int64)
		if !isNumber || n < 0 || n > 60 {
			return 0, 0, 0, false
		}
		numbers[i] = int(n)
	}
	second := func(h, m, s int) int { return (h*60+m)*60 + s }
	at = second(now.Hour(), now.Minute(), now.Second())
	switch n := numbers; len(n) {
	case 1:
		return second(n[0], 0, 0), second(n[0], 59, 59), at, true
	case 2:
		return second(n[0], 0, 0), second(n[1], 59, 59), at, true
	case 4:
		return second(n[0], n[1], 0), second(n[2], n[3], 59), at, true
	case 6:
		return second(n[0], n[1], n[2]), second(n[3], n[4], n[5]), at, true
	}
	return 0, 0, 0, false
}

// date takes a day of the month, a month, a year, or two of these, or twice several of them.
func date(args []any, now time.Time) (from, to, at int, ok bool) {
	if n := len(args); n == 0 || n > 6 || n > 1 && n%2 != 0 {
		return 0, 0, 0, false
	}
	half := max(1, len(args)/2)
	from, at, ok = day(args[:half], now)
	to, _, also := day(args[len(args)-half:], now)
	return from, to, at, ok && also
}

// day is the number of a day, and that of now, as far as the arguments name one: its year, month and day.
func day(args []any, now time.Time) (named, at int, ok bool) {
	for _, one := range args {
		switch one := one.(type) {
		case string:
			m := slices.Index(months, one)
			if m < 0 {
				return 0, 0, false
			}
			named, at = named+100*(m+1), at+100*int(now.Month())
		case int64:
			if one < 1 || one > 9999 {
				return 0, 0, false
			}
			if one <= 31 {
				named, at = named+int(one), at+now.Day()
			} else {
				named, at = named+10000*int(one), at+10000*now.Year()
			}
		default:
			return 0, 0, false
		}
	}
	return named, at, true
}
