package wire

// The HTTP half of the protocol: what is asked before the control channel exists. All bodies are JSON; every answer that is not a success is an
// Error. docs/protocol.md has the whole of it, zonectl/openapi.yaml the machine-readable form.

// Paths of the HTTP half.
const (
	PathLookup  = "/v1/lookup"   // POST LookupRequest → Lookup
	PathZones   = "/v1/zones"    // GET → Zones: of a lookup, what is no meeting's secret
	PathProbe   = "/v1/probe"    // GET → Probe
	PathRoute   = "/v1/route"    // POST RouteRequest → Route
	PathControl = "/v1/control"  // GET, WebSocket, subprotocol Subprotocol
	PathStart   = "/v1/meetings" // POST StartRequest → Started: anyone on the network, where the policy permits it
	PathAPI     = "/api/v1"      // for integrators, bearer token
	PathWHIP    = "/whip/"       // + meeting number: POST, RFC 9725
	PathWHEP    = "/whep/"       // + meeting number: POST, draft-ietf-wish-whep
	PathJoin    = "/j/"          // + meeting number: the web client
)

// Names in the query of a link: what to try when the link's host does not answer. Both are lists with commas.
const (
	LinkHosts   = "hosts"   // further hosts that answer lookups, host[:port]
	LinkTunnels = "tunnels" // base URLs of tunnels
)

// LookupRequest asks for a meeting by number (stage 1).
type LookupRequest struct {
	Meeting  string `json:"meeting"`            // digits; spaces and hyphens are ignored
	Passcode string `json:"passcode,omitempty"` // of the meeting, or none
	HostKey  string `json:"host_key,omitempty"` // makes the token one of role host
	Role     Role   `json:"role,omitempty"`     // what is asked for; default participant
}

// Lookup is the package a client needs to go on: the meeting, where it can be held, and the right to join it.
type Lookup struct {
	Meeting Meeting  `json:"meeting"`
	Zones   []Zone   `json:"zones"`             // best first
	Tunnels []string `json:"tunnels,omitempty"` // base URLs
	Zone    string   `json:"zone,omitempty"`    // id of the one that answers, and holds the meeting
	Token   string   `json:"token"`             // join token, any router verifies it alone
	Expires int64    `json:"expires"`           // of the token, Unix seconds
	Client  string   `json:"client"`            // the address the request came from, for finding proxies
	// Fingerprint is the SHA-256 of the certificate that the box shows, in the usual notation. A client that sees another one talks to somebody in between.
	Fingerprint string `json:"fingerprint,omitempty"`
}

// Meeting is what every participant may know of a meeting.
type Meeting struct {
	Number  string `json:"number"`
	Title   string `json:"title"`
	Locked  bool   `json:"locked"`
	Started int64  `json:"started,omitempty"` // Unix seconds, 0 while nobody has joined
}

// Zone is one place that could hold the session.
type Zone struct {
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	Controllers []string `json:"controllers"` // base URLs
}

// Zones is what a lookup says of the zone's network: for testing it before there is a meeting.
type Zones struct {
	Zones   []Zone   `json:"zones"` // best first
	Tunnels []string `json:"tunnels,omitempty"`
	Client  string   `json:"client"`
}

// Probe is the answer of the network test (stage 2).
type Probe struct {
	Zone       string      `json:"zone"`
	Controller string      `json:"controller"`
	Media      string      `json:"media"`                // host:port of UDP and TCP media
	Client     string      `json:"client"`               // the address the request came from
	Load       int         `json:"load,omitempty"`       // of its best router against its capacity, in percent
	Draining   bool        `json:"draining,omitempty"`   // takes nobody new
	DSCP       *int        `json:"dscp,omitempty"`       // with which the handshake of the request's connection arrived
	Signalling *int        `json:"signalling,omitempty"` // code point that the answer is sent with
	Check      *ProbeCheck `json:"check,omitempty"`
}

// ProbeCheck lets a client test whether media would get through: STUN Binding requests with these credentials are answered at the candidates, over UDP,
// and over TCP with RFC 4571 framing. The answer's attribute ProbeTOSEcho tells with which TOS octet the request arrived.
type ProbeCheck struct {
	Ufrag      string   `json:"ufrag"`
	Password   string   `json:"password"`
	Candidates []string `json:"candidates"` // address:port
	// Relay leads to the candidates through the HTTPS port, for those who ask with the query relay=CLASS: the box marks the connection as that class. What
	// goes through is a Binding request as elsewhere.
	Relay *Relay `json:"relay,omitempty"`
}

// RelayOfProbe is the query of a probe that names the class of a relay.
const RelayOfProbe = "relay"

// STUN attributes of probes, of four bytes each.
const (
	ProbeTOSEcho = 0xc0d5 // of an answer: TOS octet with which it was sent (third byte), TOS octet with which the request arrived (last byte)
	ProbeClass   = 0xc0d6 // of a request: traffic class that the answer is to have (last byte; 0 signalling, 1 audio, 2 video, 3 content, 4 cluster, 5 management, 6 bulk)
)

// RouteRequest asks the chosen controller for a router (stage 3).
type RouteRequest struct {
	Token string `json:"token"`
}

// Route names the router and its control channel.
type Route struct {
	Router  string `json:"router"`  // member id
	Control string `json:"control"` // wss URL
}

// StartRequest starts a meeting from the web page or the client.
type StartRequest struct {
	Title    string `json:"title,omitempty"`
	Passcode string `json:"passcode,omitempty"`
}

// Started is a new meeting and the key that makes its holder a host.
type Started struct {
	Meeting Meeting `json:"meeting"`
	Link    string  `json:"link"`
	HostKey string  `json:"host_key"`
}
