package zonectl

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"meetzone/dscp"
	"meetzone/zonectl/wire"
)

// The way into a meeting over HTTP, stage by stage: serveLookup, serveProbe, serveRoute; then control.go. Before them serveStart, for
// meetings that do not exist yet.

// serveStart starts a meeting for anybody on the network, where the policy permits it.
func (c *Controller) serveStart(w http.ResponseWriter, r *http.Request) {
	var asked wire.StartRequest
	if err := readBody(w, r, &asked); err != nil {
		writeError(w, err)
		return
	}
	if c.config().Start != StartAnyone {
		writeError(w, errPolicy)
		return
	}
	if wait := c.starts.take(c.sourceOfRequest(r)); wait > 0 {
		told := *errStarts
		told.Retry = seconds(wait)
		writeError(w, &told)
		return
	}
	created, err := c.CreateMeeting(MeetingSpec{Title: asked.Title, Passcode: asked.Passcode})
	if err != nil {
		writeError(w, err)
		return
	}
	writeJSON(w, http.StatusCreated, wire.Started{Meeting: wire.Meeting{Number: created.Number, Title: created.Title},
		Link: c.link(r, created.Number), HostKey: created.HostKey})
}

// serveLookup is stage 1. Pages of the zones that are trusted may ask too, for meetings that their own zone does not hold.
func (c *Controller) serveLookup(w http.ResponseWriter, r *http.Request) {
	if c.allowPages(w, r) {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	var asked wire.LookupRequest
	if err := readBody(w, r, &asked); err != nil {
		writeError(w, err)
		return
	}
	c.counters.lookups.Add(1)
	answer, err := c.lookup(r.Context(), asked, c.sourceOfRequest(r))
	if err != nil {
		c.countRefused(err)
		c.log.Info("lookup refused", "source", c.seen(r), "code", tell(err).Code)
		writeError(w, err)
		return
	}
	answer.Zones = c.named(r)
	answer.Tunnels = c.config().Tunnels
	answer.Client = c.seen(r)
	if c.shown != nil && !c.proxied(r) {
		answer.Fingerprint = c.shown()
	}
	writeJSON(w, http.StatusOK, answer)
}

// countRefused counts a lookup that is refused: as one of too many, or as refused.
func (c *Controller) countRefused(err error) {
	if tell(err).Code == wire.CodeGuess {
		c.counters.blocked.Add(1)
		return
	}
	c.counters.refused.Add(1)
}

// lookup finds the meeting and signs a token. Whoever has not shown the right passcode learns nothing, not even that there is such a number.
func (c *Controller) lookup(ctx context.Context, asked wire.LookupRequest, source string) (answer wire.Lookup, err error) {
	if asked.Role == "" {
		asked.Role = wire.RoleParticipant
	}
	if !asked.Role.Valid() {
		return answer, errRoleName
	}
	if asked.Role == wire.RoleHost && asked.HostKey == "" {
		return answer, errNoHost
	}
	number := wire.Number(asked.Meeting)
	found := c.find(number)
	shown := knock{number, asked.Passcode, asked.HostKey}
	holder, sure := c.elsewhere(ctx, source, number, shown)
	if holder != nil && found.lock == nil {
		return answer, errElsewhere(*holder)
	}
	enter := c.admit
	if !sure {
		enter = c.admitUnsure
	}
	host, err := enter(source, found.lock, shown)
	if err != nil {
		return answer, err
	}
	role := asked.Role
	if host && (role == wire.RoleParticipant || role == wire.RoleHost) {
		role = wire.RoleHost
	}
	switch why := c.drained(); {
	case why != nil:
		return answer, why
	case found.ended:
		return answer, errEnded
	case found.meeting.Locked && role != wire.RoleHost:
		return answer, errLocked
	}
	cfg := c.config()
	expires := time.Now().Add(cfg.Limits.TokenLife).Truncate(time.Second)
	token, err := wire.SignToken(c.key, wire.Claims{ID: wire.NewTokenID(), Zone: cfg.Zone, Meeting: number, Role: role, Expires: expires})
	if err != nil {
		return answer, err
	}
	return wire.Lookup{Meeting: found.meeting, Zone: cfg.Zone, Token: token, Expires: expires.Unix()}, nil
}

// found is what there is of a number.
type found struct {
	lock    *lock // nil: nothing
	meeting wire.Meeting
	ended   bool
}

func (c *Controller) find(number string) found {
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := c.meetings[number]; m != nil {
		return found{lock: &m.lock, meeting: *m.public.Load()}
	}
	if room, ok := c.rooms[number]; ok {
		return found{lock: &lock{room.Passcode, room.HostKey}, meeting: wire.Meeting{Number: number, Title: room.Title}}
	}
	if e, ok := c.ended[number]; ok {
		return found{lock: &e.lock, ended: true}
	}
	return found{}
}

// admit checks what somebody shows, and limits attempts. A nil lock is that of a number that does not exist; it is answered with the
// same error after the same work.
func (c *Controller) admit(source string, l *lock, k knock) (host bool, err error) {
	if wait := c.guesses.blockedFor(source, k.number); wait > 0 {
		return false, guessed(wait)
	}
	result := c.pepper.check(l, k)
	if !result.enter {
		c.guesses.wrong(source, k.number)
		return false, errRefused
	}
	return result.host, nil
}

// admitUnsure is admit while it is not known whether another zone has the number. Whoever shows the right thing comes in; others may be right elsewhere, and are told to
// try again. Such an attempt counts less, and nothing against a number that is not here.
func (c *Controller) admitUnsure(source string, l *lock, k knock) (host bool, err error) {
	if wait := c.guesses.blockedFor(source, k.number); wait > 0 {
		return false, guessed(wait)
	}
	result := c.pepper.check(l, k)
	if !result.enter {
		c.guesses.unsure(source, k.number, l != nil)
		return false, errUnsure
	}
	return result.host, nil
}

// verify returns what a join token says, as far as it is good here.
func (c *Controller) verify(token string) (wire.Claims, error) {
	zone, key := c.issuer(token)
	claims, err := wire.VerifyToken(key, zone, token)
	if err != nil {
		return claims, fmt.Errorf("%w: %w", errToken, err)
	}
	if claims.Zone == c.config().Zone {
		return claims, nil
	}
	// Another zone has checked its own passcode and host key of the number, which say nothing of the ones here.
	if l := c.find(claims.Meeting).lock; l != nil && len(l.passcode) > 0 {
		return claims, fmt.Errorf("%w: of zone %s for a meeting with a passcode", errToken, claims.Zone)
	}
	if claims.Role == wire.RoleHost {
		claims.Role = wire.RoleParticipant
	}
	return claims, nil
}

// issuer finds the zone that a token says it is from, if this one trusts it, and its key. A token for a meeting that is not here is answered with the zone that
// signed it: that one holds it.
func (c *Controller) issuer(token string) (zone string, key ed25519.PublicKey) {
	cfg := c.config()
	own := c.key.Public().(ed25519.PublicKey)
	from := wire.TokenZone(token)
	for _, z := range cfg.Zones {
		if z.ID != from || z.ID == cfg.Zone {
			continue
		}
		if len(z.Key) == 0 {
			return z.ID, own
		}
		return z.ID, z.Key
	}
	return cfg.Zone, own
}

// serveProbe is the network test of stage 2. Pages of the zones that are trusted may ask too.
func (c *Controller) serveProbe(w http.ResponseWriter, r *http.Request) {
	cfg := c.config()
	c.allowPages(w, r)
	check := c.probeCheck()
	if name := r.URL.Query().Get(wire.RelayOfProbe); name != "" && check != nil {
		class, err := dscp.ParseClass(name)
		if err != nil {
			writeError(w, errProbeClass)
			return
		}
		check.Relay = c.probeRelay(r.Host, class)
	}
	_, draining := c.Draining()
	writeJSON(w, http.StatusOK, wire.Probe{Zone: cfg.Zone, Controller: own(r), Media: c.mediaAddress(r), Client: c.seen(r), Draining: draining, Load: c.bestLoad(), DSCP: c.arrivedMark(r), Signalling: c.signallingMark(),
		Check: check})
}

// probeCheck makes credentials with which the client tests the way to the media.
func (c *Controller) probeCheck() *wire.ProbeCheck {
	if c.probe == nil {
		return nil
	}
	given := c.probe()
	check := &wire.ProbeCheck{Ufrag: given.Ufrag, Password: given.Password, Candidates: []string{}}
	for _, candidate := range given.Candidates {
		check.Candidates = append(check.Candidates, candidate.String())
	}
	return check
}

// serveZones says what a lookup says of the network. It is no secret of a meeting: whoever can ask is on the network, which pages from outside
// are not.
func (c *Controller) serveZones(w http.ResponseWriter, r *http.Request) {
	c.allowPages(w, r)
	writeJSON(w, http.StatusOK, wire.Zones{Zones: c.named(r), Tunnels: c.config().Tunnels, Client: c.seen(r)})
}

// allowPages lets pages of the zones that are trusted ask about the network, and for a router, here. It says whether that was all that was asked.
func (c *Controller) allowPages(w http.ResponseWriter, r *http.Request) (preflight bool) {
	w.Header().Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	if origin != "" && slices.Contains(c.config().pages(), origin) {
		w.Header().Set("Timing-Allow-Origin", origin)
		w.Header().Set("Access-Control-Allow-Origin", origin)
		w.Header().Set("Access-Control-Allow-Headers", "Content-Type")
	}
	return r.Method == http.MethodOptions
}

// serveRoute is stage 3.
func (c *Controller) serveRoute(w http.ResponseWriter, r *http.Request) {
	if c.allowPages(w, r) {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	var asked wire.RouteRequest
	if err := readBody(w, r, &asked); err != nil {
		writeError(w, err)
		return
	}
	claims, err := c.verify(asked.Token)
	if err == nil {
		err = c.canRoute(claims)
	}
	if errors.Is(err, errEnded) {
		if holder := c.signer(claims); holder != nil {
			err = errElsewhere(*holder)
		}
	}
	if err != nil {
		writeError(w, err)
		return
	}
	router, err := c.placeIn(claims.Meeting)
	if err != nil {
		writeError(w, err)
		return
	}
	base := router.Base
	if base == "" {
		base = own(r)
	}
	writeJSON(w, http.StatusOK, wire.Route{Router: router.ID, Control: "wss" + strings.TrimPrefix(base, "https") + wire.PathControl})
}

func (c *Controller) canRoute(claims wire.Claims) error {
	if why := c.drained(); why != nil {
		return why
	}
	if f := c.find(claims.Meeting); f.lock == nil || f.ended {
		return errEnded
	}
	if c.sessionCount() >= c.config().Limits.Sessions {
		return errBusy
	}
	return nil
}

// tryHostKey is how a session becomes a host's.
func (c *Controller) tryHostKey(source string, m *meeting, key string) error {
	host, err := c.admit(source, &m.lock, knock{number: m.number, hostKey: key})
	if err == nil && !host {
		err = errRefused
	}
	if errors.Is(err, errRefused) {
		told := *errRefused
		told.Text, told.Advice = "The host key is not right.", "Check it, or ask whoever started the meeting."
		return &told
	}
	return err
}
