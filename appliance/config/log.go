package config

import (
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
)

// Log says where else the audit log, alarms and the daemon's log go.
type Log struct {
	Targets []LogTarget `yaml:"targets" help:"syslog servers (RFC 5424) that get the audit log and alarms; at most 4"`
}

// LogTarget is a syslog server.
type LogTarget struct {
	URL string `yaml:"url" help:"tls://log.example:6514, or tcp://192.0.2.1:601 without encryption"`
	CA  string `yaml:"ca" help:"PEM file with the authority that issued the server's certificate; empty: those that this machine trusts"`
	Log bool   `yaml:"log" help:"the daemon's own log goes there too"`
}

// maxLogTargets bounds the connections that they take.
const maxLogTargets = 4

// Server returns host and port, and whether the connection is encrypted.
func (t LogTarget) Server() (address string, secured bool, err error) {
	scheme, address, _ := strings.Cut(t.URL, "://")
	if scheme != "tls" && scheme != "tcp" {
		return "", false, fmt.Errorf("%q is no syslog server: write it like tls://log.example:6514 or tcp://192.0.2.1:601", t.URL)
	}
	host, port, err := net.SplitHostPort(address)
	n, portErr := strconv.ParseUint(port, 10, 16)
	if err != nil || portErr != nil || n == 0 || host == "" {
		return "", false, fmt.Errorf("%q has no host with a port: write it like tls://log.example:6514", t.URL)
	}
	return address, scheme == "tls", nil
}

func (l Log) check(c *checker) {
	c.that(len(l.Targets) <= maxLogTargets, "log.targets", "there are %d; at most %d are fed", len(l.Targets), maxLogTargets)
	for i, t := range l.Targets {
		at := fmt.Sprintf("log.targets[%d]", i)
		_, secured, err := t.Server()
		c.that(err == nil, at+".url", "%v", err)
		c.that(t.CA == "" || filepath.IsAbs(t.CA), at+".ca", "%q is no path: it begins with /", t.CA)
		c.that(t.CA == "" || secured || err != nil, at+".ca", "there is nothing to check without encryption; write the url with tls://")
		for _, other := range l.Targets[:i] {
			c.that(other.URL != t.URL, at+".url", "%q is there twice", t.URL)
		}
	}
}
