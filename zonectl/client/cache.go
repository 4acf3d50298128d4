package client

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"meetzone/zonectl/wire"
)

// The cache keeps, for each host that was asked for meetings, what its last package said of zones and tunnels, and which controller was picked on which
// network. A session that finds the host silent has further doors by it, and one on the same network need not measure again. It holds no secret.

// remembered is a file of the cache.
type remembered struct {
	Version    int         `json:"version"`
	Saved      time.Time   `json:"saved"`
	Zone       string      `json:"zone,omitempty"` // that the host is one of
	Zones      []wire.Zone `json:"zones"`
	Tunnels    []string    `json:"tunnels,omitempty"`
	Network    string      `json:"network,omitempty"`    // on which was measured
	Controller string      `json:"controller,omitempty"` // that was picked
	Measured   time.Time   `json:"measured,omitzero"`
}

const (
	cacheVersion = 1
	maxCached    = 64 << 10
	// measuredFor is how long a measurement is good on the same network.
	measuredFor = 2 * time.Hour
	// rememberedFor is how long further doors are tried.
	rememberedFor = 90 * 24 * time.Hour
)

// cacheFile is where a host's file is; "" where nothing is kept.
func cacheFile(folder, base string) string {
	if folder == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(base))
	return filepath.Join(folder, hex.EncodeToString(sum[:12])+".json")
}

// recall reads a host's file. Whatever is wrong with it, nothing is remembered then; the error says what. That there is none is no error.
func recall(folder, base string, now time.Time) (remembered, error) {
	path := cacheFile(folder, base)
	if path == "" {
		return remembered{}, nil
	}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return remembered{}, nil
	}
	if err != nil {
		return remembered{}, fmt.Errorf("cache: %w", err)
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxCached+1))
	if err != nil {
		return remembered{}, fmt.Errorf("cache: %w", err)
	}
	r, err := parseRemembered(content, now)
	if err != nil {
		return remembered{}, fmt.Errorf("cache %s: %w", path, err)
	}
	return r, nil
}

// parseRemembered reads the content of a file. What is too old is nothing, which is no error; addresses that are none are left out.
func parseRemembered(content []byte, now time.Time) (r remembered, err error) {
	if len(content) > maxCached {
		return remembered{}, fmt.Errorf("more than %d bytes", maxCached)
	}
	if err := json.Unmarshal(content, &r); err != nil {
		return remembered{}, err
	}
	if r.Version != cacheVersion || r.Saved.After(now) || now.Sub(r.Saved) > rememberedFor {
		return remembered{}, nil
	}
	r.Tunnels = bases(r.Tunnels)
	r.Zones = r.Zones[:min(len(r.Zones), maxProbed)]
	for i := range r.Zones {
		r.Zones[i].Controllers = bases(r.Zones[i].Controllers)
	}
	if r.Measured.After(now) || now.Sub(r.Measured) > measuredFor || !isBase(r.Controller) {
		r.Network, r.Controller, r.Measured = "", "", time.Time{}
	}
	return r, nil
}

// bases leaves out what is no base URL, and what is too much.
func bases(list []string) []string {
	list = slices.DeleteFunc(list, func(u string) bool { return !isBase(u) })
	return list[:min(len(list), maxDoors)]
}

// isBase says that a text is the base URL of a host.
func isBase(text string) bool {
	rest, found := strings.CutPrefix(text, "https://")
	if !found || strings.ContainsAny(rest, "/?#@ ") {
		return false
	}
	parsed, err := url.Parse(text)
	return err == nil && parsed.Host == rest && parsed.Hostname() != ""
}

// keep writes a host's file. That it cannot be written is no matter to the session.
func keep(folder, base string, r remembered) error {
	path := cacheFile(folder, base)
	if path == "" {
		return nil
	}
	r.Version = cacheVersion
	content, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("cache: %w", err)
	}
	file, err := os.CreateTemp(folder, ".new-*")
	if err != nil {
		return fmt.Errorf("cache: %w", err)
	}
	_, err = file.Write(content)
	if closing := file.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name())
		return fmt.Errorf("cache: %w", err)
	}
	return nil
}

// network names the network that the computer is on by its own addresses: whoever gets others has moved.
func network() string {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return ""
	}
	var own []string
	for _, one := range list {
		if prefix, ok := one.(*net.IPNet); ok && prefix.IP.IsGlobalUnicast() {
			own = append(own, prefix.String())
		}
	}
	slices.Sort(own)
	sum := sha256.Sum256([]byte(strings.Join(own, " ")))
	return hex.EncodeToString(sum[:12])
}
