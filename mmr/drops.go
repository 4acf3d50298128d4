package mmr

// Drop is a reason for which something that arrived was dropped. Nothing that is dropped is answered.
type Drop uint8

// The reasons.
const (
	DropMalformed   Drop = iota // neither STUN, DTLS, RTP nor RTCP, or cut short
	DropUnknownPath             // DTLS or SRTP from an address that no check has authenticated
	DropUnknownPeer             // a check for a transport that is not there, or made up
	DropUnwanted                // STUN other than a Binding request, DTLS out of season
	DropIntegrity               // a check that does not authenticate
	DropConflict                // an authentic check from an address that a living transport uses
	DropReply                   // a check whose answer would be larger than the check itself
	DropHandOver                // the other worker's ring was full
	DropSRTP                    // does not authenticate, or was seen before
	DropNoKeys                  // SRTP before DTLS is done
	DropFull                    // DTLS inbox or number of handshakes exhausted
	DropProbe                   // a probe that has expired, or one too many
	NumDrops        int  = iota
)

var dropNames = [NumDrops]string{
	"malformed", "unknown_path", "unknown_peer", "unwanted", "integrity", "conflict", "reply", "hand_over", "srtp", "no_keys", "full", "probe",
}

// String returns the name that the metrics use.
func (d Drop) String() string {
	if int(d) < len(dropNames) {
		return dropNames[d]
	}
	return "unknown"
}
