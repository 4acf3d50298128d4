package zonectl

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"meetzone/mmr"
	"meetzone/zonectl/wire"
)

// WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep): the way into a meeting for gear that nobody here wrote. What comes to a session's URL, in
// the order of its life: serveGearOffer, then servePatch any number of times, then serveGearEnd. What a session is stands in gear.go.

// The media types of the two protocols.
const (
	typeSDP      = "application/sdp"
	typeFragment = "application/trickle-ice-sdpfrag"
)

// maxOffer bounds what gear may send at once.
const maxOffer = 64 << 10

// refusal is an error with the status that WHIP and WHEP ask for.
type refusal struct {
	status   int
	told     *wire.Error
	location string // where to ask instead; "": nowhere
}

func (r *refusal) Error() string { return r.told.Error() }

// Unwrap returns what a person is told.
func (r *refusal) Unwrap() error { return r.told }

func refuse(status int, code wire.Code, text, advice string) *refusal {
	return &refusal{status: status, told: &wire.Error{Code: code, Text: text, Advice: advice}}
}

// What gear is told beside the errors of everybody.
var (
	errBearer = refuse(http.StatusUnauthorized, wire.CodeToken, "The meeting's passcode or a join token is needed.",
		"Send it as Authorization: Bearer. Pages of other origins always need a token.")
	errGearRole   = refuse(http.StatusForbidden, wire.CodeRole, "The token does not permit this.", "Ask for one of a publisher to publish, of a viewer to watch.")
	errNotSDP     = refuse(http.StatusUnsupportedMediaType, wire.CodeBad, "The body is not of the right type.", "Send an offer as application/sdp.")
	errNoFragment = refuse(http.StatusUnsupportedMediaType, wire.CodeBad, "The body is not of the right type.",
		"Send candidates and ICE restarts as application/trickle-ice-sdpfrag.")
	errAccept   = refuse(http.StatusNotAcceptable, wire.CodeBad, "The answer would be application/sdp.", "Accept that type.")
	errTooLong  = refuse(http.StatusRequestEntityTooLarge, wire.CodeBad, "The description is too long.", "Send at most 64 KiB, one section for each medium.")
	errMethod   = refuse(http.StatusMethodNotAllowed, wire.CodeBad, "The method is not one of this address.", "See the header Allow.")
	errNoMatch  = refuse(http.StatusPreconditionRequired, wire.CodeBad, "The ICE session is not named.", "Send its entity-tag, or * to restart ICE, as If-Match.")
	errMismatch = refuse(http.StatusPreconditionFailed, wire.CodeBad, "That ICE session is over.", "Use the entity-tag of the latest restart.")
	errOver     = refuse(http.StatusConflict, wire.CodeSession, "The connection has ended and cannot be restarted.", "Delete the session and POST a new offer.")
	errNotYet   = &refusal{status: http.StatusConflict, told: errNobodyThere}
)

// gearKind is one of the two protocols.
type gearKind struct {
	path      string
	publishes bool
}

// handleGear adds the paths of both protocols.
func (c *Controller) handleGear(mux *http.ServeMux) {
	for _, k := range []gearKind{{wire.PathWHIP, true}, {wire.PathWHEP, false}} {
		handle := func(path, allow, accepts string, methods map[string]http.HandlerFunc) {
			methods[http.MethodOptions] = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }
			mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
				permitPages(w.Header(), allow)
				name, kind, _ := strings.Cut(accepts, " ")
				w.Header().Set(name, kind)
				serve := methods[r.Method]
				if serve == nil {
					w.Header().Set("Allow", allow)
					writeProblem(w, errMethod)
					return
				}
				serve(w, r)
			})
		}
		handle(k.path+"{number}", "POST, GET, HEAD, OPTIONS", "Accept-Post "+typeSDP, map[string]http.HandlerFunc{
			http.MethodPost: func(w http.ResponseWriter, r *http.Request) { c.serveGearOffer(w, r, k) },
			http.MethodGet:  serveNothing, http.MethodHead: serveEndpointHead,
		})
		handle(k.path+"{number}/{session}", "PATCH, DELETE, GET, HEAD, OPTIONS", "Accept-Patch "+typeFragment, map[string]http.HandlerFunc{
			http.MethodPatch:  c.ofGear(k, c.servePatch),
			http.MethodDelete: c.ofGear(k, c.serveGearEnd),
			http.MethodGet:    c.ofGear(k, serveGearNothing), http.MethodHead: c.ofGear(k, serveGearNothing),
		})
	}
}

// permitPages lets pages of all origins use the two protocols: what they need to know comes in headers that they have to set themselves,
// never in cookies. https://fetch.spec.whatwg.org, section 3.3.
func permitPages(h http.Header, methods string) {
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Allow-Methods", methods)
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, If-Match, "+headerName)
	h.Set("Access-Control-Expose-Headers", "Location, ETag, Link, Accept-Post, Accept-Patch, Retry-After")
	h.Set("Access-Control-Max-Age", "600")
	h.Set("Cache-Control", "no-store")
}

func serveNothing(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }

func serveGearNothing(w http.ResponseWriter, r *http.Request, _ *session) { serveNothing(w, r) }

// serveEndpointHead shows players what they have found. draft-ietf-wish-whep, section 4.2.
func serveEndpointHead(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", typeSDP)
	w.WriteHeader(http.StatusOK)
}

// ---- the offer

// serveGearOffer lets gear in.
func (c *Controller) serveGearOffer(w http.ResponseWriter, r *http.Request, k gearKind) {
	s, answer, err := c.takeGear(w, r, k)
	if err != nil {
		c.countRefused(err)
		c.log.Info("gear refused", "path", k.path, "source", c.seen(r), "error", err)
		writeProblem(w, err)
		return
	}
	h := w.Header()
	h.Set("Location", own(r)+k.path+r.PathValue("number")+"/"+s.id)
	h.Set("ETag", s.gear.entityTag())
	h.Set("Accept-Patch", typeFragment)
	h.Set("Content-Type", typeSDP)
	for _, link := range c.iceLinks(r.Host, s) {
		h.Add("Link", link)
	}
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, answer) // who is gone needs no answer
}

// iceLinks names the ways through the HTTPS port, for gear that reaches 8801 neither over UDP nor over TCP. Its media are bundled, so it
// gets the credentials that are good for any. RFC 9725, section 4.6.
func (c *Controller) iceLinks(host string, s *session) (links []string) {
	for _, relay := range c.relays(host, s.participant) {
		if relay.Medium != "" {
			continue
		}
		for _, u := range relay.URLs {
			links = append(links, fmt.Sprintf(`<%s>; rel="ice-server"; username="%s"; credential="%s"; credential-type="password"`, u, relay.Username, relay.Credential))
		}
	}
	return links
}

// takeGear looks at the request first, then at who sends it, then at the offer, and only then at the meeting.
func (c *Controller) takeGear(w http.ResponseWriter, r *http.Request, k gearKind) (*session, string, error) {
	text, err := readText(w, r, typeSDP, errNotSDP)
	if err != nil {
		return nil, "", err
	}
	if !acceptsSDP(r.Header.Values("Accept")) {
		return nil, "", errAccept
	}
	number := wire.Number(r.PathValue("number"))
	claims, holder, err := c.admitBearer(r, number, k)
	if holder != nil {
		err = sentOn(*holder, r, k, number)
	}
	if err != nil {
		return nil, "", err
	}
	offer, err := mmr.ReadOffer(text, k.publishes)
	if err != nil {
		return nil, "", refusedOffer(err)
	}
	reply := make(chan admitted, 1)
	s, err := c.joinGear(r.Context(), number, joinGear{offer: offer, publishes: k.publishes, claims: claims, name: gearName(r), content: r.URL.Query().Get("content") == "1",
		client: wire.CleanLine(r.UserAgent(), wire.MaxName), source: c.seen(r), reply: reply})
	if err != nil {
		return nil, "", err
	}
	ctx, cancel := context.WithTimeout(r.Context(), mediaWithin)
	defer cancel()
	answer, err := s.endpoint.Accept(ctx, offer)
	if err != nil {
		_ = s.gear.meeting.send(context.WithoutCancel(ctx), gearLeaves{s}) // a meeting that has ended has no gear
		return nil, "", fmt.Errorf("%w: %w", errMedia, err)
	}
	return s, answer, nil
}

// joinGear finds the meeting and asks it for a session. Publishers open a room's meeting, watchers wait for one.
func (c *Controller) joinGear(ctx context.Context, number string, j joinGear) (*session, error) {
	for {
		if why := c.drained(); why != nil {
			return nil, why
		}
		m := c.inProgress(number)
		if m == nil && !j.publishes {
			return nil, errNotYet
		}
		if m == nil {
			var err error
			if m, err = c.open(number); err != nil {
				return nil, err
			}
		}
		answer, err := ask(ctx, m, j.reply, j) // one that nobody waits for any more never connects, and is taken out
		if errors.Is(err, errEnded) && m.room && ctx.Err() == nil {
			continue // the room has just emptied; it opens again
		}
		if err = errors.Join(err, answer.err); errors.Is(err, errNobodyThere) {
			err = errNotYet
		}
		return answer.session, err
	}
}

// sentOn sends gear to the zone that holds the meeting. RFC 9725, section 4.5: the same POST there. Most HTTP clients do not show another host what they showed this one;
// where the meeting wants a passcode, that zone asks for it.
func sentOn(holder wire.Zone, r *http.Request, k gearKind, number string) error {
	to := &refusal{status: http.StatusTemporaryRedirect, told: errElsewhere(holder), location: holder.Controllers[0] + k.path + number}
	if r.URL.RawQuery != "" {
		to.location += "?" + r.URL.RawQuery
	}
	return to
}

// refusedOffer tells what is wrong with an offer.
func refusedOffer(err error) error {
	status, text := http.StatusBadRequest, "The offer cannot be read."
	if errors.Is(err, mmr.ErrUnacceptable) {
		status, text = http.StatusUnprocessableEntity, "The box does not do what the offer asks for."
	}
	reason := err.Error()
	for _, prefix := range []error{mmr.ErrOffer, mmr.ErrUnacceptable} {
		reason = strings.TrimPrefix(reason, prefix.Error()+": ")
	}
	return refuse(status, wire.CodeMedia, text, wire.CleanLine(reason, 300))
}

// headerName is where gear may say what people see it as; a parameter "name" of the URL does as well.
const headerName = "Meetzone-Name"

func gearName(r *http.Request) string {
	for _, name := range []string{r.URL.Query().Get("name"), r.Header.Get(headerName)} {
		if name = wire.CleanLine(name, wire.MaxName); name != "" {
			return name
		}
	}
	return "Publisher"
}

// admitBearer checks the token or the passcode that gear shows. Passcodes are checked, counted and refused like those of a lookup. A holder is the other zone that has the meeting.
func (c *Controller) admitBearer(r *http.Request, number string, k gearKind) (claims wire.Claims, holder *wire.Zone, err error) {
	scheme, bearer, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if bearer = strings.TrimSpace(bearer); !strings.EqualFold(scheme, "Bearer") {
		bearer = ""
	}
	if isToken(bearer) {
		claims, err = c.admitToken(bearer, number, k)
		if err == nil && c.find(number).lock == nil {
			holder = c.signer(claims)
		}
		return claims, holder, err
	}
	if c.foreign(r) {
		return claims, nil, errBearer // who stands outside may not make somebody's browser guess, nor use up its attempts
	}
	claims, holder, err = c.admitPasscode(r, number, bearer, k)
	if bearer == "" && (errors.Is(err, errRefused) || errors.Is(err, errUnsure)) {
		err = errBearer
	}
	return claims, holder, err
}

func (c *Controller) admitPasscode(r *http.Request, number, passcode string, k gearKind) (claims wire.Claims, holder *wire.Zone, err error) {
	found := c.find(number)
	source := c.sourceOfRequest(r)
	shown := knock{number: number, passcode: passcode}
	holder, sure := c.elsewhere(r.Context(), source, number, shown)
	if holder != nil && found.lock == nil {
		return claims, holder, nil
	}
	enter := c.admit
	if !sure {
		enter = c.admitUnsure
	}
	if _, err := enter(source, found.lock, shown); err != nil {
		return claims, nil, err
	}
	switch why := c.drained(); {
	case why != nil:
		return claims, nil, why
	case found.ended:
		return claims, nil, errEnded
	}
	role := wire.RoleViewer
	if k.publishes {
		role = wire.RolePublisher
	}
	return wire.Claims{ID: c.gearID(source, number), Zone: c.config().Zone, Meeting: number, Role: role, Expires: time.Now().Add(c.config().Limits.TokenLife)}, nil, nil
}

// gearID is the id of what stands for a token of gear with a passcode or none: the same each time, so that gear that was removed stays out.
func (c *Controller) gearID(source, number string) string {
	return "gear-" + base64.RawURLEncoding.EncodeToString(c.pepper.digest(ofGearSource, number, source)[:15])
}

// isToken tells a join token from a passcode: the JSON of its header begins with a brace.
func isToken(bearer string) bool {
	return strings.HasPrefix(bearer, "eyJ") && strings.Count(bearer, ".") == 2
}

func (c *Controller) admitToken(token, number string, k gearKind) (wire.Claims, error) {
	claims, err := c.verify(token)
	switch {
	case err != nil:
		return claims, err
	case claims.Meeting != number:
		return claims, errToken
	case k.publishes && claims.Role == wire.RoleViewer, !k.publishes && claims.Role == wire.RolePublisher:
		return claims, errGearRole
	}
	return claims, nil
}

// foreign tells whether the request comes from a page of another origin than the zone's own.
func (c *Controller) foreign(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || origin == own(r) {
		return false
	}
	parsed, err := url.Parse(origin)
	return err != nil || parsed.Scheme != "https" || !slices.Contains(originsOf(c.config().URLs), parsed.Host)
}

// ---- what comes later

// ofGear finds the session of a URL.
func (c *Controller) ofGear(k gearKind, serve func(http.ResponseWriter, *http.Request, *session)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		s := c.gear[r.PathValue("session")]
		c.mu.Unlock()
		if s == nil || s.gear.publishes != k.publishes || s.claims.Meeting != wire.Number(r.PathValue("number")) {
			writeProblem(w, errSession)
			return
		}
		serve(w, r, s)
	}
}

// servePatch takes candidates, which the box does not need, and ICE restarts. RFC 9725, section 4.3.
func (c *Controller) servePatch(w http.ResponseWriter, r *http.Request, s *session) {
	if !s.gear.patches.Allow() {
		writeProblem(w, errRate)
		return
	}
	text, err := readText(w, r, typeFragment, errNoFragment)
	if err != nil {
		writeProblem(w, err)
		return
	}
	ice, err := mmr.ReadFragment(text)
	if err != nil {
		writeProblem(w, refusedOffer(err))
		return
	}
	fragment, err := s.patch(r.Context(), ice, r.Header.Values("If-Match"))
	switch {
	case err != nil:
		writeProblem(w, err)
	case fragment == "":
		w.WriteHeader(http.StatusNoContent)
	default:
		c.log.Info("gear restarts ICE", "participant", s.participant, "source", c.seen(r))
		w.Header().Set("ETag", s.gear.entityTag())
		w.Header().Set("Content-Type", typeFragment)
		_, _ = io.WriteString(w, fragment) // who is gone needs no answer
	}
}

// patch restarts ICE if the fragment says so, and returns the answer; none for further candidates.
func (s *session) patch(ctx context.Context, ice mmr.ICE, match []string) (fragment string, err error) {
	g := s.gear
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case len(match) == 0:
		return "", errNoMatch
	case !matches(match, g.tagLocked()):
		return "", errMismatch
	case ice == g.ice:
		return "", nil
	}
	ctx, cancel := context.WithTimeout(ctx, mediaWithin)
	defer cancel()
	fragment, err = s.endpoint.Restart(ctx)
	if errors.Is(err, mmr.ErrNeedsFresh) {
		return "", errOver
	}
	if err != nil {
		return "", fmt.Errorf("%w: %w", errMedia, err)
	}
	g.ice = ice
	g.tag++
	return fragment, nil
}

// matches compares If-Match strongly. RFC 9110, section 13.1.1.
func matches(fields []string, tag string) bool {
	for _, field := range fields {
		for _, one := range strings.Split(field, ",") {
			if one = strings.TrimSpace(one); one == "*" || one == tag {
				return true
			}
		}
	}
	return false
}

func (g *gear) entityTag() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.tagLocked()
}

func (g *gear) tagLocked() string { return `"` + strconv.FormatUint(g.tag, 10) + `"` }

// serveGearEnd ends the session.
func (c *Controller) serveGearEnd(w http.ResponseWriter, r *http.Request, s *session) {
	_ = s.gear.meeting.send(r.Context(), gearLeaves{s}) // a meeting that has ended has no gear
	w.WriteHeader(http.StatusOK)
}

// ---- reading and writing

// readText reads a body of a type.
func readText(w http.ResponseWriter, r *http.Request, want string, wrong error) (string, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != want {
		return "", wrong
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxOffer))
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooLong):
		return "", errTooLong
	case err != nil:
		return "", errors.Join(errBody, err)
	}
	return string(body), nil
}

// acceptsSDP reads Accept: what is not there permits everything. RFC 9110, section 12.5.1; weights are not looked at.
func acceptsSDP(fields []string) bool {
	if len(fields) == 0 {
		return true
	}
	for _, one := range strings.Split(strings.Join(fields, ","), ",") {
		kind, _, _ := strings.Cut(one, ";")
		switch strings.ToLower(strings.TrimSpace(kind)) {
		case typeSDP, "application/*", "*/*", "":
			return true
		}
	}
	return false
}

// problem is the body of a refusal. RFC 9457.
type problem struct {
	Title  string     `json:"title"`
	Detail string     `json:"detail,omitempty"`
	Status int        `json:"status"`
	Code   wire.Code  `json:"code"`
	Zone   *wire.Zone `json:"zone,omitempty"` // that has the meeting
}

// busyRetry is how many seconds gear waits that was sent away for want of room, unless something better is known.
const busyRetry = 30

func writeProblem(w http.ResponseWriter, err error) {
	told := tell(err)
	status := statuses[told.Code]
	var r *refusal
	h := w.Header()
	if errors.As(err, &r) {
		status = r.status
		if r.location != "" {
			h.Set("Location", r.location)
		}
	}
	retry := told.Retry
	if retry == 0 && status == http.StatusServiceUnavailable {
		retry = busyRetry
	}
	if retry > 0 {
		h.Set("Retry-After", strconv.Itoa(retry))
	}
	if status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="meetzone"`)
	}
	h.Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(problem{told.Text, told.Advice, status, told.Code, told.Zone}) // who is gone needs no answer
}
