package admin

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"time"

	"meetzone/appliance/adminapi"
)

// Marks knows what is marked and what the kernel makes of it.
type Marks interface {
	Marks() (adminapi.Marks, error)
	MarkPaths() adminapi.MarkPaths
	Verify(ctx context.Context, v adminapi.Verify) (adminapi.Verified, error)
	// Capture is started by the first write. What is wrong with the request is said before it.
	Capture(ctx context.Context, spec adminapi.Capture, to io.Writer) (adminapi.Captured, error)
}

func (s *Server) showMarkPaths(*http.Request) (any, error) { return s.cfg.Marks.MarkPaths(), nil }

func (s *Server) showMarks(*http.Request) (any, error) { return s.cfg.Marks.Marks() }

func (s *Server) verifyMarks(r *http.Request) (any, error) {
	asked, err := body[adminapi.Verify](r)
	if err != nil {
		return nil, err
	}
	return s.cfg.Marks.Verify(r.Context(), asked)
}

// capture answers with a file that grows. Errors can be told as such until its first bytes, afterwards in a trailer.
func (s *Server) capture(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	spec, err := body[adminapi.Capture](r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // it takes longer than a request may
	note(r, "%s %s %s", spec.Interface, spec.Class, spec.Meeting)
	s.cfg.Logger.Info("capture", "interface", spec.Interface, "class", spec.Class, "meeting", spec.Meeting, "payload", spec.Payload, "who", whoAsks(r))
	file := &growing{w: w}
	done, err := s.cfg.Marks.Capture(r.Context(), spec, file)
	switch {
	case err != nil && !file.begun:
		s.fail(w, r, err)
		return
	case err != nil:
		w.Header().Set(adminapi.TrailerError, err.Error())
	}
	file.begin()
	w.Header().Set(adminapi.TrailerPackets, strconv.Itoa(done.Packets))
	w.Header().Set(adminapi.TrailerMissed, strconv.Itoa(done.Missed))
	w.Header().Set(adminapi.TrailerFull, strconv.FormatBool(done.Full))
}

// growing writes a file as the body of an answer, and lets each piece out at once.
type growing struct {
	w     http.ResponseWriter
	begun bool
}

func (g *growing) begin() {
	if g.begun {
		return
	}
	g.begun = true
	h := g.w.Header()
	h.Set("Content-Type", "application/x-pcapng")
	h.Set("Trailer", adminapi.TrailerPackets+", "+adminapi.TrailerMissed+", "+adminapi.TrailerFull+", "+adminapi.TrailerError)
	g.w.WriteHeader(http.StatusOK)
}

// Write implements io.Writer.
func (g *growing) Write(b []byte) (int, error) {
	g.begin()
	n, err := g.w.Write(b)
	if err == nil {
		err = http.NewResponseController(g.w).Flush()
	}
	return n, err
}
