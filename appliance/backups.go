package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"meetzone/appliance/admin"
	"meetzone/appliance/adminapi"
	"meetzone/appliance/backup"
	"meetzone/appliance/config"
	"meetzone/storage"
)

// backups makes backups, keeps those of the box's own accord in a folder, and restores them (restore.go).
type backups struct {
	d       *daemon
	store   *admin.RevisionStore
	restart chan<- string // why the daemon is to start again

	making sync.Mutex // held while a backup is made or read: its passphrase takes memory

	mu      sync.Mutex // guards problem
	problem string     // why the last backup of the box's own accord failed
}

var _ admin.Backups = (*backups)(nil)

// What a backup carries of the store, with string keys. Users are carried apart.
var backupTables = []string{"rooms", "api-tokens", "meetings"}

const tableUsers = "users"

// Names of files in the state folder.
const (
	backupFolder   = "backups"
	passphraseFile = "backup.passphrase" // of those that the box makes by itself
)

// backupName are the names of backups in the folder.
var backupName = regexp.MustCompile(`^meetzone-[0-9]{8}T[0-9]{6}Z\.age$`)

func (b *backups) folder() string { return filepath.Join(b.d.flags.state, backupFolder) }

func (b *backups) passphrase() (string, error) {
	text, err := os.ReadFile(filepath.Join(b.d.flags.state, passphraseFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return string(text), err
}

// SetPassphrase implements admin.Backups.
func (b *backups) SetPassphrase(passphrase string) error {
	path := filepath.Join(b.d.flags.state, passphraseFile)
	if passphrase == "" {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	if len(passphrase) < backup.MinPassphrase {
		return backup.ErrWeak
	}
	return writeFile(path, []byte(passphrase))
}

// Make implements admin.Backups.
func (b *backups) Make(_ context.Context, asked adminapi.MakeBackup) (file adminapi.BackupFile, err error) {
	b.making.Lock()
	defer b.making.Unlock()
	if asked.Passphrase == "" {
		if asked.Passphrase, err = b.passphrase(); err != nil {
			return file, err
		}
		if asked.Passphrase == "" {
			return file, &adminapi.Error{Code: adminapi.CodeConflict, Text: "The box has no passphrase for backups.", Advice: "Give one, or set it: `appliance backup passphrase`."}
		}
	}
	contents, err := b.collect()
	if err != nil {
		return file, err
	}
	out := new(bytes.Buffer)
	if err := backup.Write(out, asked.Passphrase, contents); err != nil {
		return file, err
	}
	file.Data = out.Bytes()
	if !asked.Keep {
		return file, nil
	}
	file.Name = "meetzone-" + contents.Created.Format("20060102T150405Z") + ".age"
	if err := os.MkdirAll(b.folder(), 0o700); err != nil {
		return file, err
	}
	return file, writeFile(filepath.Join(b.folder(), file.Name), file.Data)
}

// collect gathers what a box is.
func (b *backups) collect() (backup.Contents, error) {
	running := b.d.revisions.Running().Document
	text, err := running.Marshal()
	if err != nil {
		return backup.Contents{}, err
	}
	c, err := collectState(b.d.flags.state, b.d.store)
	c.Document, c.Created, c.Software = string(text), time.Now().UTC(), softwareVersion()
	c.Host, c.Box, c.Zone = hostname(running), b.d.identity.boxID(), running.Zone.ID
	return c, err
}

// collectState gathers what lies in the state folder and in the store, without the document.
func collectState(state string, store *storage.Store) (c backup.Contents, err error) {
	if c.ZoneKey, err = os.ReadFile(filepath.Join(state, "zone.key")); err != nil {
		return c, err
	}
	if c.Certificates, err = readCertificates(state); err != nil {
		return c, err
	}
	c.Tables = map[string]map[string]rawRecord{}
	for _, table := range backupTables {
		if c.Tables[table], err = store.Export(table); err != nil {
			return c, err
		}
	}
	c.Users, err = store.Export(tableUsers)
	return c, err
}

// certificateFile are the files of installed certificates. The self-signed one belongs to the box, which makes another by itself.
var certificateFile = regexp.MustCompile(`^[a-z0-9-]{1,63}(\.next)?\.(pem|crt|key)$`)

func isCertificateFile(name string) bool {
	return certificateFile.MatchString(name) && !strings.HasPrefix(name, config.SelfSigned+".")
}

func readCertificates(state string) (map[string][]byte, error) {
	folder := filepath.Join(state, "tls")
	list, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	files := map[string][]byte{}
	for _, entry := range list {
		if !entry.Type().IsRegular() || !isCertificateFile(entry.Name()) {
			continue
		}
		if files[entry.Name()], err = os.ReadFile(filepath.Join(folder, entry.Name())); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// Backups implements admin.Backups.
func (b *backups) Backups() (out adminapi.Backups, err error) {
	out.Backups = []adminapi.Backup{}
	list, err := os.ReadDir(b.folder())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return out, err
	}
	for _, entry := range list {
		at, bad := time.Parse("meetzone-20060102T150405Z.age", entry.Name())
		info, gone := entry.Info()
		if bad != nil || gone != nil {
			continue
		}
		out.Backups = append(out.Backups, adminapi.Backup{Name: entry.Name(), Created: at, Bytes: info.Size()})
	}
	slices.SortFunc(out.Backups, func(x, y adminapi.Backup) int { return y.Created.Compare(x.Created) })
	passphrase, err := b.passphrase()
	out.Passphrase = passphrase != ""
	b.mu.Lock()
	out.Problem = b.problem
	b.mu.Unlock()
	return out, err
}

// File implements admin.Backups.
func (b *backups) File(name string) (adminapi.BackupFile, error) {
	if !backupName.MatchString(name) {
		return adminapi.BackupFile{}, errNoBackup
	}
	data, err := os.ReadFile(filepath.Join(b.folder(), name))
	if errors.Is(err, fs.ErrNotExist) {
		err = errNoBackup
	}
	return adminapi.BackupFile{Name: name, Data: data}, err
}

var errNoBackup = &adminapi.Error{Code: adminapi.CodeUnknown, Text: "There is no such backup.", Advice: "`appliance backup list` lists them."}

// Remove implements admin.Backups.
func (b *backups) Remove(name string) error {
	if !backupName.MatchString(name) {
		return errNoBackup
	}
	err := os.Remove(filepath.Join(b.folder(), name))
	if errors.Is(err, fs.ErrNotExist) {
		return errNoBackup
	}
	return err
}

// lookEvery is how often it is looked whether a backup is due.
const lookEvery = time.Minute

// runBackups makes backups of the box's own accord when they are due, until ctx ends.
func (b *backups) runBackups(ctx context.Context) error {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		b.due(ctx, time.Now())
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// due makes a backup where the newest is too old, and removes the oldest ones.
func (b *backups) due(ctx context.Context, now time.Time) {
	wanted := b.d.revisions.Running().Document.Backup
	problem := ""
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.problem = problem
	}()
	if wanted.Every == 0 {
		return
	}
	have, err := b.Backups()
	made, ahead := splitAhead(have.Backups, now)
	if err == nil && len(made) > 0 && now.Sub(made[0].Created) < wanted.Every.Std() {
		return
	}
	file, err := b.Make(ctx, adminapi.MakeBackup{Keep: true})
	if err != nil {
		problem = "The backup that was due could not be made: " + err.Error()
		return
	}
	b.d.log.Info("backup made", "name", file.Name, "bytes", len(file.Data))
	kept := append(made, ahead...)
	for _, old := range kept[min(len(kept), wanted.Keep-1):] {
		if err := b.Remove(old.Name); err != nil {
			b.d.log.Warn("an old backup could not be removed", "name", old.Name, "err", err)
		}
	}
}

// splitAhead takes backups, newest first, and parts those that a clock that ran ahead has left: their time is still to come. They say nothing of how
// old the newest is, and are the first to be removed.
func splitAhead(list []adminapi.Backup, now time.Time) (made, ahead []adminapi.Backup) {
	for _, one := range list {
		if one.Created.After(now) {
			ahead = append(ahead, one)
		} else {
			made = append(made, one)
		}
	}
	return made, ahead
}

// alarms says whether backups fail.
func (b *backups) alarms() []adminapi.Alarm {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.problem == "" {
		return nil
	}
	return []adminapi.Alarm{{Code: "backup", Text: fmt.Sprintf("%s.", strings.TrimSuffix(b.problem, "."))}}
}
