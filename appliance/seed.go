package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"meetzone/appliance/adminapi"
	"meetzone/appliance/config"
)

// seed is what a box is configured as that nobody has configured yet. It comes from a file beside the system (--seed), which counts only while there is no
// revision: a file that somebody leaves there never changes a configured box.
type seed struct {
	document config.Document
	refused  string // why a file that was there was not taken
}

// readSeed returns the defaults where no file is, or one that cannot be used: then the box starts with them and says why.
func readSeed(file, zoneID string) seed {
	s := seed{document: config.Default()}
	text, err := os.ReadFile(file)
	switch {
	case file == "" || errors.Is(err, fs.ErrNotExist):
	case err != nil:
		s.refused = err.Error()
	case len(strings.TrimSpace(string(text))) == 0: // systemd makes an empty credential of a missing file
	default:
		if d, err := config.Parse(text); err != nil {
			s.refused = err.Error()
		} else {
			s.document = d
		}
	}
	if s.document.Zone.ID == "" {
		s.document.Zone.ID = zoneID
	}
	return s
}

// alarms tells of a seed that was not taken, as long as the daemon runs that refused it.
func (s seed) alarms() []adminapi.Alarm {
	if s.refused == "" {
		return nil
	}
	return []adminapi.Alarm{{Code: "seed-refused", Text: fmt.Sprintf("The first configuration that lies beside the system was not taken: %s.", s.refused)}}
}
