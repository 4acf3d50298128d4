package adminapi

import "time"

// DefaultSocket is where the daemon listens unless it was told otherwise.
const DefaultSocket = "/run/meetzone/admin.sock"

// Paths of the API.
const (
	PathStatus    = "/admin/v1/status"           // GET → Status
	PathConfig    = "/admin/v1/config"           // GET ?path= &source= → Document
	PathCandidate = "/admin/v1/config/candidate" // PUT Document: replace; PATCH Change: one key; DELETE: drop
	PathDiff      = "/admin/v1/config/diff"      // GET → Diff
	PathCommit    = "/admin/v1/config/commit"    // POST Commit → Revision
	PathConfirm   = "/admin/v1/config/confirm"   // POST Confirm → Revision
	PathRollback  = "/admin/v1/config/rollback"  // POST Rollback → Revision
	PathHistory   = "/admin/v1/config/history"   // GET → History
	PathMeetings  = "/admin/v1/meetings"         // GET → Meetings; POST MeetingSpec → Meeting
	PathQuality   = "/history"                   // + behind a meeting's number: GET ?points= → MeetingHistory
	PathMeeting   = "/admin/v1/meetings/"        // + number: GET → Meeting; DELETE
	PathDrain     = "/admin/v1/drain"            // PUT Drain; GET → Draining
	PathCerts     = "/admin/v1/certificates"     // GET → Certificates; PUT InstallCertificate → Certificates
	PathCSR       = "/admin/v1/certificates/csr" // POST SigningRequest → Signable
	PathZones     = "/admin/v1/zones"            // GET ?for= → Zones
	PathPaths     = "/admin/v1/paths"            // GET → Paths
	PathPower     = "/admin/v1/power"            // POST Power
)

// Document is the configuration, or a part of it, as YAML.
type Document struct {
	YAML     string   `json:"yaml"`
	Revision uint64   `json:"revision,omitempty"` // that is running
	Edited   bool     `json:"edited,omitempty"`   // the candidate differs from it
	Tag      string   `json:"tag,omitempty"`      // of the candidate; sent back, it keeps two people from overwriting each other
	Warnings []string `json:"warnings,omitempty"`
}

// Sources of a Document.
const (
	SourceRunning   = "running"
	SourceCandidate = "candidate"
	SourceDefault   = "default"
)

// Change sets one key of the candidate. Value is YAML; Reset takes the default instead.
type Change struct {
	Path  string `json:"path"`
	Value string `json:"value,omitempty"`
	Reset bool   `json:"reset,omitempty"`
}

// Diff is how the candidate differs from what runs, one line for each key.
type Diff struct {
	Lines    []string `json:"lines"`
	Warnings []string `json:"warnings,omitempty"` // what is valid and yet unwise about the candidate
}

// Commit makes the candidate the running configuration.
type Commit struct {
	Comment string `json:"comment,omitempty"`
	// ConfirmS is how many seconds the revision waits for Confirm before the one before it comes back; 0: it stays. 10 to 86400.
	ConfirmS int64 `json:"confirm_s,omitempty"`
}

// Confirm says that the running revision, which waits for it, is good.
type Confirm struct{}

// Waiting is a revision that comes undone unless it is confirmed.
type Waiting struct {
	Revision uint64 `json:"revision"`
	Before   uint64 `json:"before"` // what comes back
	LeftS    int64  `json:"left_s"`
}

// Rollback commits an earlier revision again; 0 is the one before the running one.
type Rollback struct {
	Revision uint64 `json:"revision,omitempty"`
	Comment  string `json:"comment,omitempty"`
}

// Revision is one commit.
type Revision struct {
	Number  uint64    `json:"number"`
	Time    time.Time `json:"time"`
	Who     string    `json:"who"`
	Comment string    `json:"comment,omitempty"`
	Running bool      `json:"running,omitempty"`
	Changes []string  `json:"changes,omitempty"` // against the revision before
	// Warnings is what is valid and yet unwise about it; only the answers to Commit and Rollback have them.
	Warnings []string `json:"warnings,omitempty"`
}

// History is all revisions that are kept, newest first.
type History struct {
	Revisions []Revision `json:"revisions"`
}

// RoomAuto as MeetingSpec.Room asks for a room whose number the zone chooses.
const RoomAuto = "auto"

// MeetingSpec asks for a meeting.
type MeetingSpec struct {
	Title    string `json:"title,omitempty"`
	Passcode string `json:"passcode,omitempty"`
	// Room makes it a permanent room of that number, which stays when everybody has left; "auto" lets the zone choose the number.
	Room string `json:"room,omitempty"`
	// Locked meetings let nobody in until a host opens them.
	Locked bool `json:"locked,omitempty"`
}

// Meeting is a meeting as an administrator sees it.
type Meeting struct {
	Number       string        `json:"number"`
	Title        string        `json:"title,omitempty"`
	Link         string        `json:"link,omitempty"`
	Passcode     bool          `json:"passcode,omitempty"` // it has one
	HostKey      string        `json:"host_key,omitempty"` // only in the answer to create
	Room         bool          `json:"room,omitempty"`     // permanent
	Locked       bool          `json:"locked,omitempty"`
	Created      time.Time     `json:"created"`
	Started      time.Time     `json:"started,omitzero"` // when the first participant came
	Count        int           `json:"count"`            // participants
	Participants []Participant `json:"participants,omitempty"`
}

// Participant is one person of a meeting; only show gives them.
type Participant struct {
	ID     string            `json:"id"`
	Name   string            `json:"name"`
	Role   string            `json:"role"`
	From   string            `json:"from,omitempty"`  // address of the control channel
	Media  map[string]string `json:"media,omitempty"` // medium → rung it stands on
	Joined time.Time         `json:"joined"`
	// Quality is how good each flow was in the last seconds: those that carried something, from the second look on.
	Quality []FlowQuality `json:"quality,omitempty"`
	// Path is what the path to the participant carries, as the router estimates it; only show gives it.
	Path *PathEstimate `json:"path,omitempty"`
}

// PathEstimate is what the router knows of the path to a participant, all media together.
type PathEstimate struct {
	Available uint64  `json:"available"` // bit/s that it carries, 0 unknown
	Sending   uint64  `json:"sending"`   // bit/s
	Loss      float64 `json:"loss"`      // share of what was sent of late
	Feedback  bool    `json:"feedback"`  // the client gives transport-wide feedback
	Probes    uint64  `json:"probes"`
	Waiting   int     `json:"waiting"`   // packets whose turn has not come
	Abandoned uint64  `json:"abandoned"` // packets left out because they had waited too long
}

// MeetingHistory is what is kept of the quality of a number's meetings, oldest first: a day, also of those that have ended.
type MeetingHistory struct {
	Number string       `json:"number"`
	Runs   []MeetingRun `json:"runs"`
}

// MeetingRun is one meeting; a room has many.
type MeetingRun struct {
	Created time.Time       `json:"created"`
	People  []PersonHistory `json:"people"`
}

// PersonHistory is one participant's media.
type PersonHistory struct {
	ID    string        `json:"id"`
	Name  string        `json:"name"`
	Flows []FlowHistory `json:"flows"`
}

// FlowHistory is one medium in one direction, oldest first. Where several samples became one, figures are means and the score is the worst.
type FlowHistory struct {
	Medium    string          `json:"medium"`
	Direction string          `json:"direction"`
	Samples   []QualitySample `json:"samples"`
}

// QualitySample is the quality of the seconds before a time. A score that is absent means that there was nothing to judge.
type QualitySample struct {
	At        time.Time `json:"at"`
	Score     *float64  `json:"score,omitempty"`
	Loss      *float64  `json:"loss,omitempty"`
	JitterMS  float64   `json:"jitter_ms"`
	RTTMS     float64   `json:"rtt_ms"`
	Bitrate   float64   `json:"bitrate"`
	FPS       *float64  `json:"fps,omitempty"`
	Freezes   uint64    `json:"freezes,omitempty"`
	Frozen    *float64  `json:"frozen,omitempty"`
	Concealed *float64  `json:"concealed,omitempty"`
}

// Bounds of MeetingHistory: samples of a flow that may be asked for, and what comes without asking.
const (
	MaxPoints     = 1000
	DefaultPoints = 60
)

// FlowQuality is how good one medium was in one direction, as docs/quality.md judges it.
type FlowQuality struct {
	Medium    string   `json:"medium"`
	Direction string   `json:"direction"` // "up": from the participant; "down": to them
	Score     float64  `json:"score"`     // 0: nothing came of what should have; else 1 (bad) to 5
	Loss      *float64 `json:"loss,omitempty"`
	JitterMS  float64  `json:"jitter_ms"`
	RTTMS     float64  `json:"rtt_ms"` // 0: not measured
	Bitrate   float64  `json:"bitrate"`
	FPS       *float64 `json:"fps,omitempty"`
	Freezes   uint64   `json:"freezes,omitempty"`
	Frozen    *float64 `json:"frozen,omitempty"`    // share of the time
	Concealed *float64 `json:"concealed,omitempty"` // share of the sound
}

// Meetings is all meetings.
type Meetings struct {
	Meetings []Meeting `json:"meetings"`
}

// Zones is the zones that a client is told of, best first.
type Zones struct {
	For   string `json:"for,omitempty"` // the client's address
	Zones []Zone `json:"zones"`
}

// Zone is a zone as lookups name it.
type Zone struct {
	ID          string   `json:"id"`
	Name        string   `json:"name,omitempty"`
	Own         bool     `json:"own,omitempty"` // this box's
	Controllers []string `json:"controllers"`
	Key         string   `json:"key,omitempty"` // public; of this box's zone, for the others' lists
	Reason      string   `json:"reason"`        // why it stands where it does
}

// Certificate is a certificate of the box. Its key never leaves it.
type Certificate struct {
	Name        string    `json:"name"`
	State       string    `json:"state"`
	Subject     string    `json:"subject,omitempty"`
	Issuer      string    `json:"issuer,omitempty"`
	Names       []string  `json:"names,omitempty"` // hosts and addresses that it covers
	NotBefore   time.Time `json:"not_before,omitzero"`
	NotAfter    time.Time `json:"not_after,omitzero"`
	Fingerprint string    `json:"fingerprint,omitempty"` // SHA-256
	Warnings    []string  `json:"warnings,omitempty"`
}

// States of a certificate.
const (
	CertificateInUse     = "in use"
	CertificateInstalled = "installed"
	CertificateRequested = "requested" // a key waits for the certificate that somebody signs
	CertificateBroken    = "broken"
)

// Certificates is all certificates of the box.
type Certificates struct {
	Certificates []Certificate `json:"certificates"`
}

// SigningRequest asks for a key and a request that an authority can sign; without hosts, for those of zone.hosts.
type SigningRequest struct {
	Name  string   `json:"name"`
	Hosts []string `json:"hosts,omitempty"`
}

// Signable is a signing request, as PEM.
type Signable struct {
	Request string `json:"request"`
}

// InstallCertificate installs a chain, as PEM: the certificate first. Without a key, that of the request is taken.
type InstallCertificate struct {
	Name  string `json:"name"`
	Chain string `json:"chain"`
	Key   string `json:"key,omitempty"`
}

// Drain starts or ends draining: nobody new is let in, who is in stays.
type Drain struct {
	On     bool   `json:"on"`
	Reason string `json:"reason,omitempty"` // told to people who are turned away
	// DeadlineS is after how many seconds whoever is still in is told and sent away; 0: never. At most MaxDeadlineS.
	DeadlineS int64 `json:"deadline_s,omitempty"`
}

// MaxDeadlineS bounds the deadline of a drain: a week.
const MaxDeadlineS = 7 * 24 * 3600

// Draining is whether the box drains, and who is left.
type Draining struct {
	On     bool      `json:"on"`
	Reason string    `json:"reason,omitempty"`
	Since  time.Time `json:"since,omitzero"`
	Until  time.Time `json:"until,omitzero"`  // the deadline, where there is one
	Over   bool      `json:"over,omitempty"`  // it has passed: everybody was sent away, and still nobody is let in
	Alone  bool      `json:"alone,omitempty"` // no other member of the zone could take meetings over; not in Status
	Left   []Meeting `json:"left,omitempty"`  // with their participants; not in Status
}

// Power restarts the machine, switches it off, or restarts it as new. Meetings end; whoever is in one is told.
type Power struct {
	Action PowerAction `json:"action"`
	Reason string      `json:"reason,omitempty"` // for the log
}

// PowerAction is what Power asks for.
type PowerAction string

// The actions.
const (
	PowerReboot       PowerAction = "reboot"
	PowerOff          PowerAction = "off"
	PowerFactoryReset PowerAction = "factory-reset" // restarts, and deletes all state before
)

// Status is the whole of the box at a glance.
type Status struct {
	Version     string     `json:"version"`
	Hostname    string     `json:"hostname,omitempty"`
	Zone        string     `json:"zone,omitempty"`
	URL         string     `json:"url,omitempty"`
	Fingerprint string     `json:"fingerprint,omitempty"` // SHA-256 of the certificate
	Started     time.Time  `json:"started"`
	UptimeS     int64      `json:"uptime_s"`
	StartCause  StartCause `json:"start_cause"`
	Revision    uint64     `json:"revision"`
	Edited      bool       `json:"edited,omitempty"`  // a candidate waits for commit
	Waiting     *Waiting   `json:"waiting,omitempty"` // a revision that has to be confirmed
	Drain       *Draining  `json:"drain,omitempty"`
	Meetings    int        `json:"meetings"`
	Sessions    int        `json:"sessions"`
	Alarms      []Alarm    `json:"alarms"`
	Parts       []Part     `json:"parts"`
	Glance
}

// Alarm is something that a person should look at.
type Alarm struct {
	Code   string    `json:"code"`
	Text   string    `json:"text"`
	Advice string    `json:"advice"` // what to do
	Since  time.Time `json:"since"`
}

// Part is what one part of the box was asked for and what it is.
type Part struct {
	Name  string `json:"name"`
	Error string `json:"error,omitempty"`
	Facts []Fact `json:"facts"`
}

// Fact is one setting as wanted and as it is.
type Fact struct {
	Key    string `json:"key"`
	Wanted string `json:"wanted"`
	Actual string `json:"actual"`
	Agrees bool   `json:"agrees"`
	Note   string `json:"note,omitempty"`
}

// Error is what a person is told when something cannot be done.
type Error struct {
	Code     Code      `json:"code"`
	Text     string    `json:"text"`
	Advice   string    `json:"advice,omitempty"`
	Problems []Problem `json:"problems,omitempty"` // of a document
}

// Problem is one thing that is wrong with a document.
type Problem struct {
	Path string `json:"path"`
	Line int    `json:"line,omitempty"`
	Text string `json:"text"`
}

// Error returns the sentences.
func (e *Error) Error() string {
	if e.Advice == "" {
		return e.Text
	}
	return e.Text + " " + e.Advice
}

// Code is the machine-readable part of an Error.
type Code string

// The codes.
const (
	CodeBad      Code = "bad-request"
	CodeInvalid  Code = "invalid"  // the document has problems
	CodeUnknown  Code = "unknown"  // no such key, revision or meeting
	CodeNothing  Code = "nothing"  // nothing to commit
	CodeConflict Code = "conflict" // somebody else changed it meanwhile, or it exists
	CodeApply    Code = "apply"    // a part refused or failed; everything is as before
	CodeStore    Code = "store"    // the disk does not answer or is full
	CodeLimit    Code = "limit"
	CodeServer   Code = "server"

	CodeLogin     Code = "login"     // log in first, or again
	CodeWrong     Code = "wrong"     // name or password is wrong
	CodeForbidden Code = "forbidden" // the role does not permit it
	CodePassword  Code = "password"  // the password has to be changed first
)

// Paths tells on which rungs the media of each client network stand, those with most off UDP first.
type Paths struct {
	Networks []Network `json:"networks"`
}

// Network is an IPv4 /24 or an IPv6 /64 of clients.
type Network struct {
	Network string    `json:"network"` // empty: all those that are not remembered one by one
	Now     Rungs     `json:"now"`     // transports
	Came    Rungs     `json:"came"`    // transports that came onto a rung, since the start
	Fell    uint64    `json:"fell"`    // from a better rung to a worse one in mid-meeting
	Rose    uint64    `json:"rose"`
	Last    time.Time `json:"last"` // when something changed
}

// Rungs counts by rung.
type Rungs struct {
	UDP uint64 `json:"udp"`
	TCP uint64 `json:"tcp"`
	TLS uint64 `json:"tls"`
}
