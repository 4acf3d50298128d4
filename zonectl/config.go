package zonectl

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"meetzone/dscp"
	"meetzone/zonectl/wire"
)

// StartPolicy says who may start meetings.
type StartPolicy string

// The policies.
const (
	StartAnyone StartPolicy = "anyone" // everybody on the network, from the web page
	StartAPI    StartPolicy = "api"    // holders of an API token and administrators
)

// Config is what the zone is asked to be. Zero values mean the documented default.
type Config struct {
	Zone   string // identifies the zone in tokens; default "zone"
	Name   string // what people see; default "Meetzone"
	Member string // identifies this box in the zone; default "box"
	// URLs are the addresses at which people reach this box, like https://meet.example, best first. Links name the first one, or without
	// any, the address that the client used. Pages of all of them may open control channels.
	URLs           []string
	Zones          []Zone         // that lookups name, in order; this one comes first where it is not among them
	Sites          []Site         // which zone is best for clients of a subnet
	GeoIP          GeoIP          // where clients of no site are
	TrustedProxies []netip.Prefix // whose word on a client's address is taken
	LookupHosts    []string       // further hosts that answer lookups, for links
	Tunnels        []string       // base URLs of tunnels
	Media          string         // host:port of UDP and TCP media; without host, the host that the client used; default ":8801"
	Start          StartPolicy    // default StartAnyone
	Codecs         []string       // of pictures, best first; default mmr.DefaultCodecs. For meetings that begin from now on
	Marks          dscp.Marks     // what the box sends with
	Limits         Limits
	Guess          GuessLimits
}

// Limits bounds what the zone takes on.
type Limits struct {
	Meetings     int           // at once, started or not; default 200
	Rooms        int           // permanent ones; default 10000
	Participants int           // of one meeting; default 300, at most wire.MaxParticipants
	Sessions     int           // of all meetings; default 1000
	Watchers     int           // gear that only watches, of all meetings; default 200
	VideoSlots   int           // of one participant; default 49. Set NoVideo for none
	NoVideo      bool          // nobody receives video
	Chat         int           // texts that newcomers see; default 100
	Starts       int           // meetings that one source may start within an hour; default 30
	EmptyAfter   time.Duration // after which a meeting ends that everybody has left; default 10 minutes
	UnusedAfter  time.Duration // after which a meeting ends that nobody came to; default 24 hours
	TokenLife    time.Duration // of join tokens; default 5 minutes
	ResumeWithin time.Duration // how long a session waits for its participant to come back; default 30 s
}

// GuessLimits bounds wrong attempts, per source and per meeting.
type GuessLimits struct {
	Attempts int           // let through; default 20
	Within   time.Duration // in which they are counted; default 10 minutes
	Block    time.Duration // how long further attempts are refused; default 10 minutes
}

// Bounds that are not for anybody to choose.
const (
	maxBody      = 16 << 10 // of a request, in bytes
	maxHeader    = 16 << 10
	maxListed    = 16 // addresses in Config
	maxZones     = 32
	maxSites     = 1024
	helloWithin  = 10 * time.Second
	writeWithin  = 10 * time.Second
	pulseEvery   = 15 * time.Second
	pulseWithin  = 10 * time.Second
	mediaWithin  = 5 * time.Second // for one exchange with the router
	housekeeping = time.Second
)

func or[T comparable](value *T, def T) {
	var zero T
	if *value == zero {
		*value = def
	}
}

func (c Config) withDefaults() Config {
	c.URLs, c.Tunnels, c.LookupHosts = slices.Clone(c.URLs), slices.Clone(c.Tunnels), slices.Clone(c.LookupHosts)
	c.Zones, c.Sites, c.TrustedProxies = slices.Clone(c.Zones), slices.Clone(c.Sites), slices.Clone(c.TrustedProxies)
	or(&c.Zone, "zone")
	or(&c.Name, "Meetzone")
	or(&c.Member, "box")
	or(&c.Media, ":8801")
	or(&c.Start, StartAnyone)
	or(&c.Limits.Meetings, 200)
	or(&c.Limits.Rooms, 10_000)
	or(&c.Limits.Participants, 300)
	or(&c.Limits.Sessions, 1000)
	or(&c.Limits.Watchers, 200)
	or(&c.Limits.VideoSlots, wire.MaxVideoSlots)
	if c.Limits.NoVideo {
		c.Limits.VideoSlots = 0
	}
	or(&c.Limits.Chat, 100)
	or(&c.Limits.Starts, 30)
	or(&c.Limits.EmptyAfter, 10*time.Minute)
	or(&c.Limits.UnusedAfter, 24*time.Hour)
	or(&c.Limits.TokenLife, 5*time.Minute)
	or(&c.Limits.ResumeWithin, 30*time.Second)
	or(&c.Guess.Attempts, 20)
	or(&c.Guess.Within, 10*time.Minute)
	or(&c.Guess.Block, 10*time.Minute)
	return c
}

// Validate names everything that is wrong with the configuration.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	that := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	that(len(c.Zone) <= wire.MaxID && len(c.Member) <= wire.MaxID, "zone, member: more than %d bytes", wire.MaxID)
	that(c.Start == StartAnyone || c.Start == StartAPI, "start: %q is neither %q nor %q", c.Start, StartAnyone, StartAPI)
	that(len(c.URLs) <= maxListed && len(c.Tunnels) <= maxListed, "urls, tunnels: more than %d", maxListed)
	for _, u := range slices.Concat(c.URLs, c.Tunnels) {
		that(isBase(u), "url %q: must be https://host or https://host:port", u)
	}
	c.checkPlaces(that)
	_, _, err := net.SplitHostPort(c.Media)
	that(err == nil, "media %q: must be host:port", c.Media)
	between := func(name string, n, min, max int) {
		that(n >= min && n <= max, "%s: %d is not between %d and %d", name, n, min, max)
	}
	between("meetings", c.Limits.Meetings, 1, 100_000)
	between("rooms", c.Limits.Rooms, 1, 100_000)
	between("participants", c.Limits.Participants, 2, wire.MaxParticipants)
	between("sessions", c.Limits.Sessions, 2, 100_000)
	between("watchers", c.Limits.Watchers, 1, 100_000)
	between("video slots", c.Limits.VideoSlots, 0, wire.MaxVideoSlots)
	between("chat", c.Limits.Chat, 1, 1000)
	between("starts", c.Limits.Starts, 1, 1_000_000)
	between("guess attempts", c.Guess.Attempts, 1, 1000)
	for name, d := range map[string]time.Duration{"empty after": c.Limits.EmptyAfter, "unused after": c.Limits.UnusedAfter,
		"token life": c.Limits.TokenLife, "resume within": c.Limits.ResumeWithin, "guess within": c.Guess.Within, "guess block": c.Guess.Block} {
		that(d > 0 && d <= 30*24*time.Hour, "%s: %v is not between 0 and 30 days", name, d)
	}
	return errors.Join(errs...)
}

// Check says whether the configuration can be applied, and touches nothing.
func Check(cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return fmt.Errorf("zonectl: configuration: %w", err)
	}
	return nil
}

// Actual is what became of a Config: every default is filled in, and it is what the controller uses from now on.
type Actual struct{ Config }
