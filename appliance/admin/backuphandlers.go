package admin

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"

	"meetzone/appliance/adminapi"
	"meetzone/appliance/backup"
)

// Backups makes and restores them.
type Backups interface {
	Backups() (adminapi.Backups, error)
	// Make makes one; its name is empty where it is not kept.
	Make(ctx context.Context, asked adminapi.MakeBackup) (adminapi.BackupFile, error)
	// File returns one that is kept, or an error that wraps fs.ErrNotExist.
	File(name string) (adminapi.BackupFile, error)
	Remove(name string) error
	SetPassphrase(passphrase string) error
	Restore(ctx context.Context, asked adminapi.Restore, who string) (adminapi.Restored, error)
}

func (s *Server) listBackups(*http.Request) (any, error) { return s.cfg.Backups.Backups() }

func (s *Server) makeBackup(r *http.Request) (any, error) {
	asked, err := body[adminapi.MakeBackup](r)
	if err != nil {
		return nil, err
	}
	file, err := s.cfg.Backups.Make(r.Context(), asked)
	if err == nil {
		note(r, "%s", file.Name)
		s.cfg.Logger.Info("backup made", "name", file.Name, "bytes", len(file.Data), "who", whoAsks(r))
	}
	return file, err
}

func (s *Server) getBackup(r *http.Request) (any, error) {
	return s.cfg.Backups.File(r.PathValue("name"))
}

func (s *Server) removeBackup(r *http.Request) (any, error) {
	return nil, s.cfg.Backups.Remove(r.PathValue("name"))
}

func (s *Server) setPassphrase(r *http.Request) (any, error) {
	asked, err := body[adminapi.Passphrase](r)
	if err != nil {
		return nil, err
	}
	return nil, s.cfg.Backups.SetPassphrase(asked.Passphrase)
}

// Bounds of the time to confirm a restore: it begins with a restart.
const (
	leastRestoreS = 60
	mostRestoreS  = 86_400
)

func (s *Server) restore(r *http.Request) (any, error) {
	asked, err := body[adminapi.Restore](r)
	if err != nil {
		return nil, err
	}
	switch {
	case asked.ConfirmS < leastRestoreS || asked.ConfirmS > mostRestoreS:
		return nil, &adminapi.Error{Code: adminapi.CodeBad, Text: fmt.Sprintf("The time to confirm is %d s.", asked.ConfirmS),
			Advice: "Use 1 m to 24 h; ten minutes are a good choice."}
	case (asked.Name == "") == (len(asked.Data) == 0):
		return nil, &adminapi.Error{Code: adminapi.CodeBad, Text: "There is no backup to restore.", Advice: "Give the name of one that is on the box, or the file."}
	}
	done, err := s.cfg.Backups.Restore(r.Context(), asked, whoAsks(r))
	if err != nil {
		return nil, err
	}
	note(r, "revision %d, from a backup of %s", done.Revision.Number, done.Created.UTC().Format("2006-01-02 15:04"))
	s.cfg.Logger.Warn("a backup is restored; the daemon starts again", "revision", done.Revision.Number, "who", whoAsks(r))
	return done, nil
}

// maxLargeBody is what a backup takes as JSON.
var maxLargeBody = int64(base64.StdEncoding.EncodedLen(adminapi.MaxBackup)) + 4096

// tellBackup says what is wrong about backups.
func tellBackup(err error) *adminapi.Error {
	switch {
	case errors.Is(err, backup.ErrPassphrase):
		return &adminapi.Error{Code: adminapi.CodeBad, Text: "The passphrase is not that of the backup.", Advice: "Nothing was changed. Try again."}
	case errors.Is(err, backup.ErrWeak):
		return &adminapi.Error{Code: adminapi.CodeBad, Text: fmt.Sprintf("A passphrase has at least %d characters.", backup.MinPassphrase), Advice: "Choose a longer one, and keep it where the backup is not."}
	case errors.Is(err, backup.ErrFormat), errors.Is(err, backup.ErrNewer), errors.Is(err, backup.ErrLarge):
		return &adminapi.Error{Code: adminapi.CodeBad, Text: "The backup cannot be used: " + err.Error() + ".", Advice: "Nothing was changed. Take another copy of it, or an older one."}
	}
	return nil
}
