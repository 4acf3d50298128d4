package config

import (
	"reflect"
	"slices"
	"time"

	"meetzone/dscp"
)

// Version is the version of the document that this code writes.
const Version = 1

// Scope says which boxes a key is for.
type Scope string

// The scopes.
const (
	ScopeZone Scope = "zone" // the same on every box of the zone
	ScopeBox  Scope = "box"  // this box's own
)

// Document is the whole configuration. Every key carries its scope, or inherits that of its section.
type Document struct {
	Version     int         `yaml:"version" scope:"box" help:"version of this document"`
	Zone        Zone        `yaml:"zone" scope:"zone" help:"the meeting zone"`
	Zones       []Place     `yaml:"zones" scope:"zone" help:"the zones that lookups name, best first; this box's own may be among them, and comes first otherwise"`
	Sites       []Site      `yaml:"sites" scope:"zone" help:"which zone is best for clients of a subnet"`
	Tunnels     []Tunnel    `yaml:"tunnels" scope:"zone" help:"HTTP tunnels that clients may use when nothing else answers"`
	GeoIP       GeoIP       `yaml:"geoip" scope:"box" help:"where client addresses are, for clients of no site"`
	Box         Box         `yaml:"box" scope:"box" help:"this appliance"`
	Network     Network     `yaml:"network" scope:"box" help:"this appliance's own network; needs --own-host"`
	DSCP        DSCP        `yaml:"dscp" scope:"zone" help:"how packets are marked"`
	Certificate Certificate `yaml:"certificate" scope:"box" help:"the certificate of HTTPS and TURN"`
	Metrics     Metrics     `yaml:"metrics" scope:"box" help:"the metrics listener"`
	Log         Log         `yaml:"log" scope:"box" help:"where else audit log and alarms go"`
	Update      Update      `yaml:"update" scope:"box" help:"where new versions of the software come from"`
	Backup      Backup      `yaml:"backup" scope:"box" help:"backups that the box makes by itself"`

	unknown []unknownKey // what a newer version wrote
}

// Zone is what people and other boxes see.
type Zone struct {
	ID          string   `yaml:"id" help:"identifies the zone; empty until the first start has made one"`
	Name        string   `yaml:"name" help:"shown to people"`
	Hosts       []string `yaml:"hosts" help:"names and addresses people use, for certificate and links; the first is the one in links"`
	LookupHosts []string `yaml:"lookup_hosts" help:"further hosts that answer lookups, put into links"`
	Policy      Policy   `yaml:"policy" help:"who may do what"`
	Limits      Limits   `yaml:"limits" help:"how much the zone takes"`
	Guess       Guess    `yaml:"guess" help:"when guessing numbers and passcodes is blocked"`
	Media       Media    `yaml:"media" help:"how sound and pictures are sent"`
}

// Media is how sound and pictures are sent.
type Media struct {
	Codecs []string `yaml:"codecs" values:"vp8|vp9|h264|av1" help:"codecs of pictures, best first: vp8, vp9, h264, av1; people send the first that everybody in the meeting decodes, vp8 always may be; takes effect with the next meeting"`
}

// Policy is who may do what.
type Policy struct {
	StartMeetings string `yaml:"start_meetings" values:"anyone|api" help:"anyone: everybody on the network, from the web page; api: only holders of an API token and administrators"`
}

// The values of Policy.StartMeetings.
const (
	StartAnyone = "anyone"
	StartAPI    = "api"
)

// Limits bounds what the zone takes on.
type Limits struct {
	Meetings     int      `yaml:"meetings" help:"meetings at once"`
	Participants int      `yaml:"participants" help:"participants of one meeting"`
	Sessions     int      `yaml:"sessions" help:"sessions of all meetings together"`
	Watchers     int      `yaml:"watchers" help:"equipment that only watches (WHEP), in all meetings together"`
	VideoSlots   int      `yaml:"video_slots" help:"pictures one participant may receive at once, 0 to 49"`
	EmptyAfter   Duration `yaml:"empty_after" help:"a meeting that nobody is in ends after this time; permanent rooms stay"`
	TokenLife    Duration `yaml:"token_life" help:"how long a join token is good for"`
	ResumeWithin Duration `yaml:"resume_within" help:"how long a session that lost its control channel may come back"`
}

// Guess limits wrong attempts, per source address and per meeting.
type Guess struct {
	Attempts int      `yaml:"attempts" help:"wrong attempts that are let through"`
	Within   Duration `yaml:"within" help:"time in which they are counted"`
	Block    Duration `yaml:"block" help:"how long further attempts are refused"`
}

// Box is this appliance.
type Box struct {
	Hostname       string   `yaml:"hostname" help:"empty: what the system is called"`
	Listen         Listen   `yaml:"listen" help:"where the box listens; takes effect at the next start"`
	TrustedProxies []string `yaml:"trusted_proxies" help:"subnets of reverse proxies and tunnels whose word on a client's address is taken"`
	Advertise      []string `yaml:"advertise" help:"addresses given to clients instead of the box's own, where 1:1 NAT is on the way"`
	Workers        int      `yaml:"workers" help:"threads that carry media; 0: one for each processor"`
	ReceiveBuffer  Size     `yaml:"receive_buffer" help:"kernel buffer of each worker's socket"`
	LogLevel       string   `yaml:"log_level" values:"debug|info|warn|error" help:"debug, info, warn or error"`
	Links          []Link   `yaml:"links" help:"interfaces whose queues are the box's; needs --own-host"`
}

// Listen is where the box listens.
type Listen struct {
	HTTPS   string   `yaml:"https" help:"HTTPS, control channels and TURN over TLS"`
	Media   []string `yaml:"media" help:"UDP and TCP media"`
	Metrics string   `yaml:"metrics" help:"metrics and health; empty: none"`
	Admin   string   `yaml:"admin" help:"socket of the admin API"`
}

// Certificate names a certificate; the key itself is no part of the document.
type Certificate struct {
	Name string       `yaml:"name" help:"self-signed, acme, or the name of an installed certificate"`
	ACME ACMESettings `yaml:"acme" help:"where the certificate acme comes from, for all of zone.hosts"`
}

// ACMESettings names an authority that speaks ACME.
type ACMESettings struct {
	Directory string `yaml:"directory" help:"URL of its directory, such as https://ca.example/acme/directory"`
	Email     string `yaml:"email" help:"whom it may write to"`
	CA        string `yaml:"ca" help:"PEM file with the certificate by which its own HTTPS is trusted; empty: the system's"`
}

// Names of certificates that are the box's own.
const (
	SelfSigned = "self-signed" // the box makes it for itself
	ACME       = "acme"        // obtained from an authority, and renewed by itself
)

// Metrics says how the metrics listener behaves.
type Metrics struct {
	Enabled bool `yaml:"enabled" help:"whether /metrics is served; /healthz always is"`
}

// Update says where new versions of the software come from.
type Update struct {
	Source string `yaml:"source" help:"URL (http or https) of a bundle; what it holds may change with each release. Empty: none. Whoever serves it is not trusted, the bundle's signatures are"`
}

// Default returns the document of a box that nobody has configured.
func Default() Document {
	return Document{
		Version: Version,
		Zone: Zone{
			Name:   "Meetzone",
			Policy: Policy{StartMeetings: StartAnyone},
			Limits: Limits{
				Meetings: 200, Participants: 300, Sessions: 1000, Watchers: 200, VideoSlots: 49,
				EmptyAfter: Duration(10 * time.Minute), TokenLife: Duration(2 * time.Minute), ResumeWithin: Duration(time.Minute),
			},
			Guess: Guess{Attempts: 20, Within: Duration(10 * time.Minute), Block: Duration(10 * time.Minute)},
			Media: Media{Codecs: []string{"vp8", "vp9", "h264", "av1"}},
		},
		Box: Box{
			Listen:        Listen{HTTPS: ":443", Media: []string{":8801"}, Metrics: "127.0.0.1:9801", Admin: "/run/meetzone/admin.sock"},
			ReceiveBuffer: 8 << 20,
			LogLevel:      "info",
		},
		Network:     Network{Firewall: Firewall{Enabled: true}},
		DSCP:        DSCP{Profile: dscp.ProfileRFC4594, Enforce: true},
		GeoIP:       GeoIP{StaleAfter: Duration(60 * 24 * time.Hour)},
		Certificate: Certificate{Name: SelfSigned},
		Metrics:     Metrics{Enabled: true},
		Backup:      Backup{Keep: 7},
	}
}

// Clone returns a copy that shares nothing.
func (d Document) Clone() Document {
	unshare(reflect.ValueOf(&d).Elem())
	d.unknown = slices.Clone(d.unknown)
	return d
}

// unshare copies the lists in v, and those in their entries.
func unshare(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for k := range keysOf(v.Type()) {
			unshare(v.Field(k.index))
		}
	case reflect.Slice:
		if v.IsNil() {
			return
		}
		list := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		reflect.Copy(list, v)
		v.Set(list)
		for i := range v.Len() {
			unshare(v.Index(i))
		}
	}
}
