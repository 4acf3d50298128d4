package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"meetzone/appliance/admin"
	"meetzone/appliance/adminapi"
	"meetzone/appliance/backup"
	"meetzone/appliance/config"
	"meetzone/storage"
)

// A restore's journey. Restore reads the backup, has every part check its document, and stores in one transaction: the document as a revision that
// waits to be confirmed, and the contents of the backup in the table "restore". The daemon then starts again. That start, before it opens anything,
// puts the contents in place (settleRestore): the tables in one transaction, together with what was there before, then the files, which are written
// again by the next start where this one dies. What confirms the revision also forgets what was there before, in one transaction, so that what is
// committed next takes nothing back. Where the revision is taken back instead, for whatever reason, the next start puts everything back. What decides
// is always the store: which revision is the newest, and which waits.
//
// Users are an exception: those that the box has keep their passwords, so that no old one is revived and nobody is locked out; those of the backup
// that it has not are added only where nobody is but who restores, or where that is asked for: they may have been removed since. The identity of the box is in no backup, and stays.

type rawRecord = json.RawMessage

// restoreRecord is a restore that is not settled yet.
type restoreRecord struct {
	Revision uint64   `json:"revision"`
	Wanted   []byte   `json:"wanted"`           // backup.Pack of the contents
	Before   []byte   `json:"before,omitempty"` // the same of what was there; set when the tables are in place
	AddUsers bool     `json:"add_users,omitempty"`
	Added    []string `json:"added,omitempty"` // users
	Back     bool     `json:"back,omitempty"`  // the tables are as before again; the files may not be yet
	// Confirmed before anything was put in place: whatever is committed next, the restore stands.
	Confirmed bool `json:"confirmed,omitempty"`
}

// The table of restores and its one record.
const (
	tableRestore  = "restore"
	recordRestore = "restore"
)

// Restore implements admin.Backups.
func (b *backups) Restore(ctx context.Context, asked adminapi.Restore, who string) (out adminapi.Restored, err error) {
	b.making.Lock()
	defer b.making.Unlock()
	data := asked.Data
	if asked.Name != "" {
		file, err := b.File(asked.Name)
		if err != nil {
			return out, err
		}
		data = file.Data
	}
	contents, err := backup.Read(bytes.NewReader(data), asked.Passphrase)
	if err != nil {
		return out, err
	}
	before := b.d.revisions.Running().Document
	document, err := documentOf(contents, before, asked.ZoneOnly)
	if err != nil {
		return out, err
	}
	if err := checkContents(contents); err != nil {
		return out, fmt.Errorf("%w: %w", backup.ErrFormat, err)
	}
	packed, err := backup.Pack(contents)
	if err != nil {
		return out, err
	}
	if len(packed) > storage.MaxRecord/2 {
		return out, backup.ErrLarge
	}
	out.Created, out.SameBox = contents.Created, contents.Box == b.d.identity.boxID()
	adds, err := b.missing(contents, asked.Users, who, &out)
	if err != nil {
		return out, err
	}
	options := admin.CommitOptions{Who: who, Comment: "restored from a backup of " + contents.Host + " of " + contents.Created.UTC().Format("2006-01-02 15:04"), Confirm: time.Duration(asked.ConfirmS) * time.Second}
	revision, err := b.d.revisions.Adopt(ctx, document, options, func(ctx context.Context, next config.Revision) error {
		record := restoreRecord{Revision: next.Number, Wanted: packed, AddUsers: adds}
		return b.store.AppendForRestart(ctx, next, func(tx *storage.Tx) error { return noteRestore(b.d.restores.In(tx), record) })
	})
	if err != nil {
		return out, err
	}
	out.Revision = adminapi.Revision{Number: revision.Number, Time: revision.Time, Who: revision.Who, Comment: revision.Comment, Changes: config.Diff(before, document)}
	time.AfterFunc(time.Second, func() { b.restart <- "a backup is restored" }) // after the answer
	return out, nil
}

// noteRestore stores a restore, unless there is one that has to be taken back first.
func noteRestore(table storage.Records[string, restoreRecord], r restoreRecord) error {
	switch _, found, err := table.Get(recordRestore); {
	case err != nil:
		return err
	case found:
		return errUnsettled
	}
	return table.Put(recordRestore, r)
}

var errUnsettled = &adminapi.Error{Code: adminapi.CodeConflict, Text: "The restore before this one is still being settled.", Advice: "Try again in a minute."}

// confirmRestore is what a confirmation writes beside its own: a restore that is in place is settled by it.
func confirmRestore(restores *storage.Table[string, restoreRecord]) func(*storage.Tx, uint64) error {
	return func(tx *storage.Tx, number uint64) error {
		table := restores.In(tx)
		r, found, err := table.Get(recordRestore)
		if err != nil || !found || r.Revision != number {
			return err
		}
		if r.Before != nil {
			return table.Delete(recordRestore)
		}
		r.Confirmed = true
		return table.Put(recordRestore, r)
	}
}

// documentOf is the document that a restore commits.
func documentOf(c backup.Contents, now config.Document, zoneOnly bool) (config.Document, error) {
	restored, err := config.ParseStored([]byte(c.Document))
	if err != nil {
		return restored, fmt.Errorf("%w: its document: %w", backup.ErrFormat, err)
	}
	if !zoneOnly {
		return restored, nil
	}
	next := now.Clone()
	next.Zone, next.Zones, next.Sites, next.Tunnels, next.DSCP = restored.Zone, restored.Zones, restored.Sites, restored.Tunnels, restored.DSCP
	return next, nil
}

// checkContents refuses what could not be put in place.
func checkContents(c backup.Contents) error {
	for name := range c.Certificates {
		if !isCertificateFile(name) {
			return fmt.Errorf("%q is no file of a certificate", name)
		}
	}
	for table := range c.Tables {
		if !slices.Contains(backupTables, table) {
			return fmt.Errorf("%q is no table", table)
		}
	}
	_, err := pemKey(c.ZoneKey)
	return err
}

// addsUsers says whether a restore adds users: where that is asked for, and where the box has nobody but who asks.
func addsUsers(now map[string]rawRecord, asked bool, who string) bool {
	others := len(now)
	if _, has := now[who]; has {
		others--
	}
	return asked || others == 0
}

// missing says what box and backup do not both have: who is added or left out, and what is lost. It returns whether users are added.
func (b *backups) missing(c backup.Contents, users bool, who string, out *adminapi.Restored) (adds bool, err error) {
	now, err := collectState(b.d.flags.state, b.d.store)
	if err != nil {
		return false, fmt.Errorf("what the box has now: %w", err)
	}
	adds = addsUsers(now.Users, users, who)
	for _, name := range slices.Sorted(maps.Keys(c.Users)) {
		switch _, has := now.Users[name]; {
		case has:
		case adds:
			out.Users = append(out.Users, name)
		default:
			out.LeftOut = append(out.LeftOut, name)
		}
	}
	for _, table := range backupTables {
		gone := 0
		for key := range now.Tables[table] {
			if _, has := c.Tables[table][key]; !has {
				gone++
			}
		}
		if gone > 0 {
			out.Lost = append(out.Lost, fmt.Sprintf("%d entries of %s that are newer than the backup.", gone, table))
		}
	}
	if !bytes.Equal(now.ZoneKey, c.ZoneKey) {
		out.Lost = append(out.Lost, "The identity of this zone: links and tokens that it has signed are not good any more.")
	}
	return adds, nil
}

// settleRestore brings a restore to where it should be, before anything is opened.
func settleRestore(ctx context.Context, state string, store *storage.Store, revisions *admin.RevisionStore, table *storage.Table[string, restoreRecord], log *slog.Logger) error {
	r, found, err := table.Get(recordRestore)
	if err != nil || !found {
		return err
	}
	stays, waits, err := restoreStands(revisions, r)
	if err != nil {
		return err
	}
	switch {
	case stays && r.Before == nil:
		if err := placeTables(ctx, state, store, table, &r); err != nil {
			return fmt.Errorf("restoring a backup: %w", err)
		}
		log.Warn("a backup is put in place", "revision", r.Revision)
	case !stays && r.Before == nil: // taken back before anything was touched
		return table.Delete(ctx, recordRestore)
	case !stays:
		if err := takeTablesBack(ctx, store, table, &r); err != nil {
			return fmt.Errorf("taking a restore back: %w", err)
		}
		log.Warn("a restore is taken back", "revision", r.Revision)
	}
	files, replaced := r.Wanted, r.Before
	if r.Back {
		files, replaced = r.Before, r.Wanted
	}
	if err := placeFiles(state, files, replaced); err != nil {
		return fmt.Errorf("restoring a backup: %w", err)
	}
	if r.Back || !waits {
		return table.Delete(ctx, recordRestore)
	}
	return nil
}

// restoreStands says whether the revision of a restore is the newest, or was confirmed, and whether it still waits to be confirmed.
func restoreStands(revisions *admin.RevisionStore, r restoreRecord) (stays, waits bool, err error) {
	if r.Confirmed {
		return true, false, nil
	}
	latest, err := revisions.Latest()
	if err != nil {
		return false, false, err
	}
	u, found, err := revisions.Unconfirmed()
	return latest.Number == r.Revision, found && u.Number == r.Revision, err
}

// placeTables puts the tables of a backup in place, and keeps what was there.
func placeTables(ctx context.Context, state string, store *storage.Store, table *storage.Table[string, restoreRecord], r *restoreRecord) error {
	wanted, err := backup.Unpack(r.Wanted)
	if err != nil {
		return err
	}
	before, err := collectState(state, store)
	if err != nil {
		return err
	}
	users := maps.Clone(before.Users)
	r.Added = nil
	for _, name := range slices.Sorted(maps.Keys(wanted.Users)) {
		if _, has := users[name]; !has && r.AddUsers {
			users[name], r.Added = wanted.Users[name], append(r.Added, name)
		}
	}
	before.Document = "-" // the revision before has it
	if r.Before, err = backup.Pack(before); err != nil {
		return err
	}
	return store.Update(ctx, func(tx *storage.Tx) error {
		for _, name := range backupTables {
			if err := store.Import(tx, name, wanted.Tables[name]); err != nil {
				return err
			}
		}
		return errors.Join(store.Import(tx, tableUsers, users), table.In(tx).Put(recordRestore, *r))
	})
}

// takeTablesBack puts the tables that were there in place again, and takes out the users that were added.
func takeTablesBack(ctx context.Context, store *storage.Store, table *storage.Table[string, restoreRecord], r *restoreRecord) error {
	before, err := backup.Unpack(r.Before)
	if err != nil {
		return err
	}
	users, err := store.Export(tableUsers)
	if err != nil {
		return err
	}
	for _, name := range r.Added {
		delete(users, name)
	}
	r.Back = true
	return store.Update(ctx, func(tx *storage.Tx) error {
		for _, name := range backupTables {
			if err := store.Import(tx, name, before.Tables[name]); err != nil {
				return err
			}
		}
		return errors.Join(store.Import(tx, tableUsers, users), table.In(tx).Put(recordRestore, *r))
	})
}

// placeFiles writes keys and certificates, and removes those of what they replace. Doing it twice is as good as once.
func placeFiles(state string, files, replaced []byte) error {
	wanted, err := backup.Unpack(files)
	if err != nil {
		return err
	}
	gone, err := backup.Unpack(replaced)
	if err != nil {
		return err
	}
	folder := filepath.Join(state, "tls")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(wanted.Certificates)) {
		if err := writeFile(filepath.Join(folder, name), wanted.Certificates[name]); err != nil {
			return err
		}
	}
	for name := range gone.Certificates {
		if _, stays := wanted.Certificates[name]; stays || !isCertificateFile(name) {
			continue
		}
		if err := os.Remove(filepath.Join(folder, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return writeFile(filepath.Join(state, "zone.key"), wanted.ZoneKey)
}

// runRestore has the daemon start again once a restore is taken back, to put in place what was there before.
func (b *backups) runRestore(ctx context.Context) error {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if b.takenBack() {
			b.restart <- "a restore is taken back"
			return nil
		}
	}
}

// takenBack says that a restore is in place whose revision is taken back.
func (b *backups) takenBack() bool {
	r, found, err := b.d.restores.Get(recordRestore)
	if err != nil || !found || r.Before == nil {
		return false
	}
	if stays, _, err := restoreStands(b.store, r); err != nil || stays {
		return false
	}
	_, found, err = b.d.restores.Get(recordRestore) // it may have been confirmed meanwhile, and something else committed
	return err == nil && found
}
