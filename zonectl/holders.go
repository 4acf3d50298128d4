package zonectl

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"meetzone/zonectl/wire"
)

// A meeting lives in the zone that made it. A controller that is asked for a number it does not know asks the other zones of its list which of them holds it,
// and names that one (wire.CodeElsewhere): the client looks the meeting up there, with the passcode, which no other zone gets to see. Whoever asks is answered only
// where its zone is on the list, too. Both ends show that they have the key of their zone, bound to the TLS connection between them, before a number is told: the
// certificates of zones are often nobody's but their own.

// Bounds of asking.
const (
	holdsWithin   = time.Second     // all zones together
	holdsAtOnce   = 8               // numbers that are asked for at the same time; of others it is not known who has them
	maxHolders    = 32              // controllers that are asked for one number
	holderKnown   = time.Minute     // how long it is remembered who holds a number
	holderUnknown = 2 * time.Second // how long it is that nobody does
	maxRemembered = 4096            // numbers
	maxHeldAnswer = 16 << 10        // bytes
)

// holders remembers who holds a number.
type holders struct {
	mu     sync.Mutex // guards what follows
	known  map[string]holder
	asking map[string]*asking
}

type holder struct {
	zone  string // id; "": nobody
	until time.Time
}

// asking is one number that is being asked for. All who want to know it wait for the same answer.
type asking struct {
	done chan struct{} // closed when there is an answer

	// ---- to be read when done is closed
	zone string
	sure bool
}

// holderOf returns which zone has a number, "" where none has it, and whether that is sure. It asks where it is not remembered, unless too many are asked for.
func (h *holders) holderOf(number string, ask func() (zone string, sure bool)) (zone string, sure bool) {
	h.mu.Lock()
	if one, ok := h.known[number]; ok && time.Now().Before(one.until) {
		h.mu.Unlock()
		return one.zone, true
	}
	if other := h.asking[number]; other != nil {
		h.mu.Unlock()
		<-other.done // after holdsWithin at the latest
		return other.zone, other.sure
	}
	if len(h.asking) >= holdsAtOnce {
		h.mu.Unlock()
		return "", false
	}
	if h.asking == nil {
		h.asking = map[string]*asking{}
	}
	own := &asking{done: make(chan struct{})}
	h.asking[number] = own
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.asking, number)
		if own.sure {
			h.learn(number, own.zone)
		}
		close(own.done)
	}()
	own.zone, own.sure = ask()
	return own.zone, own.sure
}

// learn remembers who holds a number. To be called with mu held.
func (h *holders) learn(number, zone string) {
	now := time.Now()
	if len(h.known) >= maxRemembered {
		for other, one := range h.known {
			if !now.Before(one.until) {
				delete(h.known, other)
			}
		}
	}
	if len(h.known) >= maxRemembered {
		return
	}
	if h.known == nil {
		h.known = map[string]holder{}
	}
	keep := holderKnown
	if zone == "" {
		keep = holderUnknown
	}
	h.known[number] = holder{zone, now.Add(keep)}
}

// forget drops what is remembered: the list of zones may be another one.
func (h *holders) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	clear(h.known)
}

// elsewhere returns the zone that holds a number of which this one knows nothing, and whether it is sure: where a zone did not answer, nil says nothing. For a
// number that is here and a wrong passcode it asks as well, so that the time an answer takes does not tell the two apart; for who may come in it does not.
func (c *Controller) elsewhere(ctx context.Context, source, number string, k knock) (holder *wire.Zone, sure bool) {
	zones := c.config().otherZones()
	if number == "" || len(zones) == 0 || c.guesses.blockedFor(source, number) > 0 || c.pepper.check(c.find(number).lock, k).enter {
		return nil, true
	}
	id, sure := c.others.holderOf(number, func() (string, bool) { return c.askZones(ctx, zones, number) })
	return zoneOf(zones, id), sure
}

// signer is the zone that signed a token, where it is another one.
func (c *Controller) signer(claims wire.Claims) *wire.Zone {
	return zoneOf(c.config().otherZones(), claims.Zone)
}

// zoneOf is the zone of a list that has an id.
func zoneOf(zones []Zone, id string) *wire.Zone {
	for _, z := range zones {
		if z.ID == id && len(z.Controllers) > 0 {
			return &wire.Zone{ID: z.ID, Name: z.Name, Controllers: z.Controllers}
		}
	}
	return nil
}

// otherZones are those of the list but this one.
func (c *Config) otherZones() []Zone {
	return slices.DeleteFunc(slices.Clone(c.Zones), func(z Zone) bool { return z.ID == c.Zone })
}

// askZones asks all zones at once, and returns the first that says yes. It is sure that none has the number when a controller of each has said so. Whoever wants to
// know may go away meanwhile: the answer is for others, too.
func (c *Controller) askZones(ctx context.Context, zones []Zone, number string) (zone string, sure bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), holdsWithin)
	defer context.AfterFunc(c.life, cancel)()
	type answer struct {
		zone     string
		held, no bool
	}
	answers := make(chan answer, maxHolders)
	var asking sync.WaitGroup
	defer asking.Wait() // soon: the context ends before
	defer cancel()
	asked, open := 0, map[string]bool{} // zones that have not said no
	for _, z := range zones {
		if len(z.Controllers) > 0 { // else nobody can be led there
			open[z.ID] = true
		}
		for _, base := range z.Controllers[:min(len(z.Controllers), maxHolders-asked)] {
			asked++
			asking.Go(func() {
				held, err := c.askHolds(ctx, z, base, number)
				if err != nil && ctx.Err() == nil {
					c.log.Info("another zone was asked for a meeting in vain", "zone", z.ID, "controller", base, "err", err)
				}
				answers <- answer{z.ID, held, err == nil && !held}
			})
		}
	}
	for range asked {
		select {
		case a := <-answers:
			if a.held {
				return a.zone, true
			}
			if a.no {
				delete(open, a.zone)
			}
		case <-ctx.Done():
			return "", false
		}
	}
	return "", len(open) == 0
}

// askHolds asks one controller.
func (c *Controller) askHolds(ctx context.Context, z Zone, base, number string) (bool, error) {
	at, err := url.Parse(base)
	if err != nil {
		return false, err
	}
	port := at.Port()
	if port == "" {
		port = "443"
	}
	raw, err := c.dial(ctx, "tcp", net.JoinHostPort(at.Hostname(), port))
	if err != nil {
		return false, err
	}
	defer raw.Close()
	stop := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	// Not the certificate is checked but the zone's key, before anything is said.
	conn := tls.Client(raw, &tls.Config{ServerName: at.Hostname(), InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"}})
	if err := conn.HandshakeContext(ctx); err != nil {
		return false, err
	}
	state := conn.ConnectionState()
	exported, err := state.ExportKeyingMaterial(wire.HoldsLabel, nil, 32)
	if err != nil {
		return false, err
	}
	own := c.config().Zone
	question := wire.Holds{Zone: own, Proof: wire.ProveZone(c.key, own, z.ID, exported)}
	reader := bufio.NewReader(conn)
	var answer wire.Held
	if err := exchange(conn, reader, at.Host, question, &answer); err != nil {
		return false, err
	}
	if err := wire.CheckZone(c.keyOf(z), z.ID, own, exported, answer.Proof); err != nil {
		return false, err
	}
	question.Meeting = number
	err = exchange(conn, reader, at.Host, question, &answer)
	return err == nil && answer.Held, err
}

// keyOf is the public key of a zone of the list.
func (c *Controller) keyOf(z Zone) ed25519.PublicKey {
	if len(z.Key) == 0 {
		return c.key.Public().(ed25519.PublicKey)
	}
	return z.Key
}

// exchange asks one question over a connection that goes on.
func exchange(conn net.Conn, reader *bufio.Reader, host string, question wire.Holds, answer *wire.Held) error {
	body, err := json.Marshal(question)
	if err != nil {
		return err
	}
	request, err := http.NewRequest(http.MethodPost, "https://"+host+wire.PathHolds, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	if err := request.Write(conn); err != nil {
		return err
	}
	response, err := http.ReadResponse(reader, request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxHeldAnswer))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the zone answers with status %d", response.StatusCode)
	}
	return json.Unmarshal(text, answer)
}

// serveHolds answers a controller of a zone that is trusted.
func (c *Controller) serveHolds(w http.ResponseWriter, r *http.Request) {
	var asked wire.Holds
	if err := readBody(w, r, &asked); err != nil {
		writeError(w, err)
		return
	}
	own, exported := c.config().Zone, []byte(nil)
	if r.TLS != nil {
		exported, _ = r.TLS.ExportKeyingMaterial(wire.HoldsLabel, nil, 32) // without it, no proof is good
	}
	zones := c.config().otherZones()
	i := slices.IndexFunc(zones, func(z Zone) bool { return z.ID == asked.Zone })
	if i < 0 || wire.CheckZone(c.keyOf(zones[i]), asked.Zone, own, exported, asked.Proof) != nil {
		writeError(w, errToken)
		return
	}
	f := c.find(wire.Number(asked.Meeting))
	writeJSON(w, http.StatusOK, wire.Held{Proof: wire.ProveZone(c.key, own, asked.Zone, exported), Held: f.lock != nil && !f.ended})
}

func errElsewhere(zone wire.Zone) *wire.Error {
	name := zone.Name
	if name == "" {
		name = zone.ID
	}
	return &wire.Error{Code: wire.CodeElsewhere, Text: fmt.Sprintf("The meeting is held in the zone %s.", name), Advice: "Open it at " + zone.Controllers[0] + ".", Zone: &zone}
}
