package adminapi

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Paths of backups.
const (
	PathBackups    = "/admin/v1/backups"            // GET → Backups; POST MakeBackup → BackupFile
	PathBackup     = "/admin/v1/backups/"           // + name: GET → BackupFile; DELETE
	PathPassphrase = "/admin/v1/backups/passphrase" // PUT Passphrase: of the backups that the box makes by itself
	PathRestore    = "/admin/v1/restore"            // POST Restore → Restored
)

// MaxBackup bounds a backup, in bytes.
const MaxBackup = 8 << 20

// Backups are those that are kept on the box, newest first.
type Backups struct {
	Backups    []Backup `json:"backups"`
	Passphrase bool     `json:"passphrase"` // one is set for those that the box makes by itself
	Problem    string   `json:"problem,omitempty"`
}

// Backup is one of them.
type Backup struct {
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
	Bytes   int64     `json:"bytes"`
}

// MakeBackup has the box make one. Without a passphrase it is that of the backups that the box makes by itself.
type MakeBackup struct {
	Passphrase string `json:"passphrase,omitempty"`
	Keep       bool   `json:"keep,omitempty"` // on the box; otherwise it is only in the answer
}

// BackupFile is a backup.
type BackupFile struct {
	Name string `json:"name"`
	Data []byte `json:"data"`
}

// Passphrase is that of the backups that the box makes by itself; empty: it makes none.
type Passphrase struct {
	Passphrase string `json:"passphrase"`
}

// Restore makes the box what it was, or what another box was. It starts again for it.
type Restore struct {
	Name       string `json:"name,omitempty"` // of a backup on the box
	Data       []byte `json:"data,omitempty"` // or the backup itself
	Passphrase string `json:"passphrase"`
	ZoneOnly   bool   `json:"zone_only,omitempty"` // the keys of scope box stay as they are
	// Users adds those of the backup that the box has not, with the passwords of then. A box where nobody is but who asks gets them without it.
	Users bool `json:"users,omitempty"`
	// ConfirmS is how many seconds the box waits for Confirm before everything is again as it was. 60 to 86400.
	ConfirmS int64 `json:"confirm_s"`
}

// Restored tells what comes.
type Restored struct {
	Revision Revision  `json:"revision"`
	Created  time.Time `json:"created"` // the backup
	SameBox  bool      `json:"same_box"`
	Users    []string  `json:"users,omitempty"`    // those who are added
	LeftOut  []string  `json:"left_out,omitempty"` // users of the backup who are not added
	Lost     []string  `json:"lost,omitempty"`     // what the box has now and the backup has not, one sentence each
}

// Backups lists the backups on the box.
func (c *Client) Backups(ctx context.Context) (Backups, error) {
	return call[Backups](ctx, c, http.MethodGet, PathBackups, nil)
}

// MakeBackup makes one.
func (c *Client) MakeBackup(ctx context.Context, make MakeBackup) (BackupFile, error) {
	return call[BackupFile](ctx, c, http.MethodPost, PathBackups, make)
}

// Backup returns one that is on the box.
func (c *Client) Backup(ctx context.Context, name string) (BackupFile, error) {
	return call[BackupFile](ctx, c, http.MethodGet, PathBackup+url.PathEscape(name), nil)
}

// RemoveBackup removes one from the box.
func (c *Client) RemoveBackup(ctx context.Context, name string) error {
	_, err := call[struct{}](ctx, c, http.MethodDelete, PathBackup+url.PathEscape(name), nil)
	return err
}

// SetPassphrase sets that of the backups that the box makes by itself.
func (c *Client) SetPassphrase(ctx context.Context, p Passphrase) error {
	_, err := call[struct{}](ctx, c, http.MethodPut, PathPassphrase, p)
	return err
}

// Restore restores a backup. The daemon starts again next.
func (c *Client) Restore(ctx context.Context, r Restore) (Restored, error) {
	return call[Restored](ctx, c, http.MethodPost, PathRestore, r)
}
