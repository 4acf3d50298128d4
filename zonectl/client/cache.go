package client

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
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

// recall reads a host's file. Whatever is wrong with it, nothing is remembered then.
func recall(folder, base string, now time.Time) (r remembered) {
	path := cacheFile(folder, base)
	if path == "" {
		return remembered{}
	}
	file, err := os.Open(path)
	if err != nil {
		return remembered{}
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxCached))
	if err != nil {
		return remembered{}
	}
	return parseRemembered(content, now)
}

// parseRemembered reads the content of a file.
func parseRemembered(content []byte, now time.Time) (r remembered) {
	if json.Unmarshal(content, &r) != nil || r.Version != cacheVersion || r.Saved.After(now) || now.Sub(r.Saved) > rememberedFor {
		return remembered{}
	}
	r.Tunnels = slices.DeleteFunc(r.Tunnels, func(u string) bool { return !isBase(u) })
	r.Tunnels = r.Tunnels[:min(len(r.Tunnels), maxDoors)]
	r.Zones = r.Zones[:min(len(r.Zones), maxProbed)]
	for i := range r.Zones {
		r.Zones[i].Controllers = slices.DeleteFunc(r.Zones[i].Controllers, func(u string) bool { return !isBase(u) })
	}
	if r.Measured.After(now) || now.Sub(r.Measured) > measuredFor || !isBase(r.Controller) {
		r.Controller = ""
	}
	return r
}

// isBase says that a text is the base URL of a host.
func isBase(text string) bool {
	rest, found := strings.CutPrefix(text, "https://")
	return found && rest != "" && !strings.ContainsAny(rest, "/?#@ ")
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
