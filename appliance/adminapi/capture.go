package adminapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// Paths of captures.
const (
	PathCapture = "/admin/v1/capture"     // POST Capture → a pcapng file, while it grows; the trailers tell how it ended
	PathVerify  = "/admin/v1/dscp/verify" // POST Verify → Verified
)

// Capture asks for what passes an interface.
type Capture struct {
	Interface   string `json:"interface"`
	Class       string `json:"class,omitempty"`       // only this class
	Meeting     string `json:"meeting,omitempty"`     // only the media of this meeting
	Participant string `json:"participant,omitempty"` // only those of this participant of it
	TimeMS      int64  `json:"time_ms,omitempty"`     // default 30 s, at most 10 minutes
	Bytes       int64  `json:"bytes,omitempty"`       // of the file; default 32 MiB, at most 256 MiB
	Payload     bool   `json:"payload,omitempty"`     // whole packets
}

// Captured says how a capture ended.
type Captured struct {
	Packets int   `json:"packets"`
	Bytes   int64 `json:"bytes"`
	Missed  int   `json:"missed"` // packets, for want of buffer
	Full    bool  `json:"full"`   // it ended because of its size
}

// Trailers of the answer to a capture.
const (
	TrailerPackets = "Meetzone-Packets"
	TrailerMissed  = "Meetzone-Missed"
	TrailerFull    = "Meetzone-Full"
	TrailerError   = "Meetzone-Error"
)

// Verify asks for a look at the marks that really leave.
type Verify struct {
	To string `json:"to"` // address to send a few datagrams to; it need not answer
}

// Verified is what left of each class.
type Verified struct {
	Interface string         `json:"interface"`
	Enforced  bool           `json:"enforced"` // then even wrongly marked datagrams leave with the right mark
	Classes   []VerifiedMark `json:"classes"`
}

// VerifiedMark is one class.
type VerifiedMark struct {
	Class     string     `json:"class"`
	Wanted    CodePoint  `json:"wanted"`
	Left      *CodePoint `json:"left,omitempty"`      // as the sender marks it; absent: not seen
	Corrected *CodePoint `json:"corrected,omitempty"` // sent with the wrong mark on purpose
	OK        bool       `json:"ok"`
}

// Verify sends a few datagrams of each class and tells with what marks they left.
func (c *Client) Verify(ctx context.Context, v Verify) (Verified, error) {
	return call[Verified](ctx, c, http.MethodPost, PathVerify, v)
}

// Capture writes a pcapng file while it grows.
func (c *Client) Capture(ctx context.Context, spec Capture, to io.Writer) (done Captured, err error) {
	raw, err := json.Marshal(spec)
	if err != nil {
		return done, &Error{Code: CodeBad, Text: "The request cannot be written: " + err.Error() + "."}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://box"+PathCapture, bytes.NewReader(raw))
	if err != nil {
		return done, &Error{Code: CodeBad, Text: "The request cannot be made: " + err.Error() + "."}
	}
	request.Header.Set("Content-Type", "application/json")
	c.identify(request)
	answer, err := c.http.Do(request)
	if err != nil {
		return done, c.unreachable(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode >= 300 {
		said, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
		if err != nil {
			return done, c.unreachable(err)
		}
		return done, refused(answer.StatusCode, said)
	}
	if done.Bytes, err = io.Copy(to, answer.Body); err != nil {
		return done, c.unreachable(err)
	}
	if told := answer.Trailer.Get(TrailerError); told != "" {
		return done, &Error{Code: CodeServer, Text: fmt.Sprintf("The capture ended: %s.", told)}
	}
	done.Packets, _ = strconv.Atoi(answer.Trailer.Get(TrailerPackets))
	done.Missed, _ = strconv.Atoi(answer.Trailer.Get(TrailerMissed))
	done.Full = answer.Trailer.Get(TrailerFull) == "true"
	return done, nil
}
