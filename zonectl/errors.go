package zonectl

import (
	"errors"
	"math"
	"net/http"
	"time"

	"meetzone/zonectl/wire"
)

// What people are told. These are *wire.Error, so that they can travel as they are; the log gets the error that wraps them.
var (
	// Lookup and admission.
	errRefused = &wire.Error{Code: wire.CodeRefused, Text: "There is no such meeting, or the passcode is not right.",
		Advice: "Check the number and the passcode in the invitation."}
	errUnsure = &wire.Error{Code: wire.CodeRefused, Text: "This zone has no such meeting, or the passcode is not right; not all other zones could be asked.",
		Advice: "Check the number and the passcode, and try again in a few seconds.", Retry: 5}
	errLocked = &wire.Error{Code: wire.CodeLocked, Text: "The meeting is locked.", Advice: "Ask the host to unlock it."}
	errFull   = &wire.Error{Code: wire.CodeFull, Text: "The meeting is full.", Advice: "Try again when somebody has left."}
	errBusy   = &wire.Error{Code: wire.CodeFull, Text: "This zone cannot take more at present.", Advice: "Try again in a minute, or tell the administrator.",
		Retry: 60}
	errEnded    = &wire.Error{Code: wire.CodeEnded, Text: "The meeting has ended.", Advice: "Ask the host for a new one."}
	errRemoved  = &wire.Error{Code: wire.CodeRemoved, Text: "A host has removed you from the meeting.", Advice: "Ask the host if this was a mistake."}
	errPolicy   = &wire.Error{Code: wire.CodePolicy, Text: "Meetings cannot be started from here.", Advice: "Ask the administrator for a meeting."}
	errStarts   = &wire.Error{Code: wire.CodeRate, Text: "Too many meetings have been started from here.", Advice: "Try again later."}
	errNoHost   = &wire.Error{Code: wire.CodeRole, Text: "A host's token needs the host key.", Advice: "Send the host key, or join as a participant."}
	errNoHostOK = &wire.Error{Code: wire.CodeRole, Text: "This needs a host.", Advice: "Ask a host, or become one with the host key."}

	errNobodyThere = &wire.Error{Code: wire.CodeEnded, Text: "Nobody is in the meeting at present.", Advice: "Try again when it has begun.", Retry: 10}

	// Tokens, sessions, messages.
	errToken      = &wire.Error{Code: wire.CodeToken, Text: "The permission to join has expired or is not for this zone.", Advice: "Join again."}
	errSession    = &wire.Error{Code: wire.CodeSession, Text: "The session has expired.", Advice: "Join again."}
	errVersion    = &wire.Error{Code: wire.CodeVersion, Text: "This client and this zone speak no common version.", Advice: "Update the client."}
	errHello      = &wire.Error{Code: wire.CodeBad, Text: "The first message must be a hello.", Advice: "Say hello within ten seconds."}
	errBinary     = &wire.Error{Code: wire.CodeBad, Text: "Only text frames are taken.", Advice: "Send JSON in text frames."}
	errMessage    = &wire.Error{Code: wire.CodeBad, Text: "The message cannot be understood.", Advice: "See the protocol's description."}
	errGeneration = &wire.Error{Code: wire.CodeBad, Text: "No offer of that generation was made.", Advice: "Answer the latest offer."}
	errSlot       = &wire.Error{Code: wire.CodeBad, Text: "There is no such slot.", Advice: "Use the slots that the offer has."}
	errNobody     = &wire.Error{Code: wire.CodeBad, Text: "That participant is not in the meeting.", Advice: "They may have left."}
	errSelf       = &wire.Error{Code: wire.CodeBad, Text: "You cannot remove yourself.", Advice: "Leave the meeting instead."}
	errNotSending = &wire.Error{Code: wire.CodeBad, Text: "This session cannot send that medium.", Advice: "Join again with it."}
	errHostMuted  = &wire.Error{Code: wire.CodeRole, Text: "A host has muted you.", Advice: "Ask the host to unmute you."}
	errSharing    = &wire.Error{Code: wire.CodePolicy, Text: "Somebody else is sharing.", Advice: "Ask them to stop first."}
	errSilent     = &wire.Error{Code: wire.CodeRole, Text: "Those who only watch or publish cannot chat.", Advice: "Join as a participant."}
	errRate       = &wire.Error{Code: wire.CodeRate, Text: "That was too much at once.", Advice: "Wait a moment.", Retry: 1}
	errFlood      = &wire.Error{Code: wire.CodeRate, Text: "The client sends too much.", Advice: "Join again, with another client if need be.", Retry: 10}
	errMedia      = &wire.Error{Code: wire.CodeMedia, Text: "Sound and picture could not be set up.", Advice: "Ask for a new offer, or join again."}
	errBody       = &wire.Error{Code: wire.CodeBad, Text: "The request cannot be read.", Advice: "Send one JSON object as the documentation describes it."}
	errTaken      = &wire.Error{Code: wire.CodeBad, Text: "That number is in use.", Advice: "Choose another one."}
	errProbeClass = &wire.Error{Code: wire.CodeBad, Text: "There is no such traffic class.", Advice: "Use signalling, audio, video, content, cluster, management or bulk."}
	errNumber     = &wire.Error{Code: wire.CodeBad, Text: "That is no meeting number.", Advice: "Use 4 to 16 digits."}
	errRoleName   = &wire.Error{Code: wire.CodeBad, Text: "There is no such role.", Advice: "Use host, participant, viewer or publisher."}
	errPasscode   = &wire.Error{Code: wire.CodeBad, Text: "The passcode is too long.", Advice: "Use at most 64 bytes."}
	errUnknown    = &wire.Error{Code: wire.CodeUnknown, Text: "There is nothing of that name here.", Advice: "Check the address."}
	errScope      = &wire.Error{Code: wire.CodeToken, Text: "The API token does not permit this.", Advice: "Ask the administrator for a token with the right scope."}
	errStore      = &wire.Error{Code: wire.CodeServer, Text: "The change could not be stored.", Advice: "Tell the administrator: the box shows an alarm.", Retry: 60}
	errServer     = &wire.Error{Code: wire.CodeServer, Text: "Something went wrong in the zone.", Advice: "Try again; if it stays, tell the administrator."}
)

// guessed says how long attempts are refused.
func guessed(wait time.Duration) *wire.Error {
	return &wire.Error{Code: wire.CodeGuess, Text: "There were too many wrong attempts.", Advice: "Wait a few minutes, then try again.", Retry: seconds(wait)}
}

// drained passes the administrator's reason on.
func drained(reason string) *wire.Error {
	text := "The zone is going out of service."
	if reason != "" {
		text = "The zone is going out of service: " + reason
	}
	return &wire.Error{Code: wire.CodeDrain, Text: text, Advice: "Try again later."}
}

func seconds(d time.Duration) int { return max(1, int(math.Ceil(d.Seconds()))) }

// tell returns what a person is told of an error: what it wraps, or that something went wrong.
func tell(err error) *wire.Error {
	var told *wire.Error
	if errors.As(err, &told) {
		return told
	}
	return errServer
}

// statuses has the HTTP status of each code.
var statuses = map[wire.Code]int{
	wire.CodeRefused: http.StatusForbidden, wire.CodeGuess: http.StatusTooManyRequests, wire.CodeLocked: http.StatusForbidden,
	wire.CodeFull: http.StatusServiceUnavailable, wire.CodeEnded: http.StatusGone, wire.CodeRemoved: http.StatusForbidden,
	wire.CodePolicy: http.StatusForbidden, wire.CodeDrain: http.StatusServiceUnavailable, wire.CodeToken: http.StatusUnauthorized,
	wire.CodeSession: http.StatusNotFound, wire.CodeVersion: http.StatusBadRequest, wire.CodeBad: http.StatusBadRequest,
	wire.CodeRole: http.StatusForbidden, wire.CodeRate: http.StatusTooManyRequests, wire.CodeMedia: http.StatusBadGateway,
	wire.CodeElsewhere: http.StatusConflict, wire.CodeServer: http.StatusInternalServerError, wire.CodeUnknown: http.StatusNotFound,
}
