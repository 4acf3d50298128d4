package wire

// Error is what a person or a program is told when something cannot be done. The log gets another, fuller one.
type Error struct {
	Code   Code   `json:"code"`
	Text   string `json:"text"`             // one sentence for the person
	Advice string `json:"advice,omitempty"` // one sentence: what to do
	Retry  int    `json:"retry,omitempty"`  // seconds after which it makes sense to try again
	Zone   *Zone  `json:"zone,omitempty"`   // with CodeElsewhere: the one that holds the meeting
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

// Lookup and admission.
const (
	CodeRefused Code = "refused" // unknown number or wrong passcode: the two are not told apart
	CodeGuess   Code = "guess"   // too many wrong attempts
	CodeLocked  Code = "locked"
	CodeFull    Code = "full"
	CodeEnded   Code = "ended"
	CodeRemoved Code = "removed"
	CodePolicy  Code = "policy" // the zone's policy does not permit it
	CodeDrain   Code = "drain"  // the box takes nobody new
	// CodeElsewhere says that another zone holds the meeting. A client follows it once.
	CodeElsewhere Code = "elsewhere"
)

// Tokens, sessions and messages.
const (
	CodeToken   Code = "token"   // forged, expired, or for another zone
	CodeSession Code = "session" // unknown or expired session
	CodeVersion Code = "version"
	CodeBad     Code = "bad-message"
	CodeRole    Code = "role" // needs another role
	CodeRate    Code = "rate"
	CodeMedia   Code = "media" // the description of the media cannot be used
	CodeServer  Code = "server"
	CodeUnknown Code = "unknown" // no such path, meeting or room, for those who may know
)
