package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"meetzone/appliance/admin"
	"meetzone/appliance/adminapi"
	"meetzone/appliance/audit"
	"meetzone/appliance/people"
	"meetzone/storage"
)

// What the rescue does with the file of the store, and with the copy. A file that it takes out of its place is kept under another name, and none is ever written over.

func (r *rescue) file() string { return filepath.Join(r.state, storeFile) }

func (r *rescue) copy() string { return filepath.Join(r.state, copyFolder, copyFile) }

// open looks at the store, and opens it where it is whole. To be called with mu held, or before anybody else is there.
func (r *rescue) open() {
	r.damage, r.trouble = "", ""
	if info, err := os.Stat(r.file()); errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		r.damage = "It is missing."
		return
	}
	err := storage.CheckFile(r.file())
	if err == nil {
		r.store, err = storage.Open(storage.Config{Path: r.file(), Logger: r.log})
	}
	if err == nil {
		if r.revisions, err = admin.NewRevisionStore(r.store); err != nil {
			err = errors.Join(err, r.close())
		}
	}
	switch {
	case err == nil:
		if r.audit, err = audit.Open(audit.Config{Store: r.store}); err != nil {
			r.audit = nil
			r.log.Error("the audit log cannot be read, nor written", "err", err)
		}
	case errors.Is(err, storage.ErrCorrupt), errors.Is(err, storage.ErrKey):
		r.damage = err.Error()
	default: // it is in use, of a newer version, or the system does not give it out: that may pass
		r.trouble = err.Error()
	}
}

// lookAgain tries once more what may have passed. To be called with mu held.
func (r *rescue) lookAgain() {
	if r.trouble != "" && r.store == nil {
		r.open()
	}
}

// close lets go of the store.
func (r *rescue) close() error {
	if r.store == nil {
		return nil
	}
	err := r.store.Close()
	r.store, r.revisions, r.audit = nil, nil, nil
	return err
}

// noRevisions says why there are none.
func (r *rescue) noRevisions() error {
	if r.trouble != "" {
		return r.inTrouble()
	}
	return &adminapi.Error{Code: adminapi.CodeConflict, Text: "The store is damaged, so there are no revisions.", Advice: "Put the last good copy in place first."}
}

// inTrouble refuses what takes a store out of its place that nothing is known to be wrong with.
func (r *rescue) inTrouble() error {
	return &adminapi.Error{Code: adminapi.CodeConflict, Text: "The store cannot be opened, but may be whole: " + r.trouble + ".",
		Advice: "Put that right, or restart the machine; `appliance rescue show` looks again."}
}

// people are those of the store, or of its last good copy. Where store and copy are damaged or missing, everybody at the socket may do everything: the box is as
// much in the hands of who stands before it as one from the carton. Where they only cannot be read, root may, and the daemon's own user: there always is a rescue.
func (r *rescue) people() (users *people.Users, everybody bool, err error) {
	lost := r.store == nil && r.trouble == ""
	if r.store != nil {
		if users, err := people.New(people.Config{Store: r.store}); err == nil {
			return users, users.None(), nil
		} else {
			r.log.Error("the users of the store cannot be read", "err", err)
		}
	}
	folder, err := r.scratch()
	if err != nil {
		return nil, false, err
	}
	users, err = r.peopleOfCopy(filepath.Join(folder, "copy.db"))
	if err == nil {
		return users, lost && users.None(), nil
	}
	r.log.Warn("the users of the last good copy cannot be read", "err", err)
	lost = lost && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, storage.ErrCorrupt))
	users, err = r.peopleOf(filepath.Join(folder, "empty.db"))
	return users, lost, err
}

// scratch makes a folder that is gone after the rescue, on whichever disk takes one.
func (r *rescue) scratch() (folder string, err error) {
	for _, where := range []string{"", "/dev/shm", r.state} {
		one, bad := os.MkdirTemp(where, "meetzone-rescue-")
		if bad == nil {
			r.remove = append(r.remove, func() { _ = os.RemoveAll(one) })
			return one, nil
		}
		err = errors.Join(err, bad)
	}
	return "", err
}

func (r *rescue) peopleOfCopy(path string) (*people.Users, error) {
	text, err := os.ReadFile(r.copy())
	if err == nil {
		err = writeFile(path, text)
	}
	if err != nil {
		return nil, err
	}
	return r.peopleOf(path)
}

// peopleOf are those of a store, which stays open as long as the rescue.
func (r *rescue) peopleOf(path string) (*people.Users, error) {
	store, err := storage.Open(storage.Config{Path: path, Logger: r.log})
	if err != nil {
		return nil, err
	}
	users, err := people.New(people.Config{Store: store})
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	r.remove = append([]func(){func() { _ = store.Close() }}, r.remove...)
	return users, nil
}

// UseCopy implements admin.Rescuer. At each moment either the store or the copy is in the place of the store, whole: a power cut leaves the one or the other.
func (r *rescue) UseCopy(context.Context) (out adminapi.Rescued, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lookAgain(); r.trouble != "" {
		return out, r.inTrouble()
	}
	c, err := readCopy(r.state)
	if err == nil {
		err = storage.CheckFile(r.copy())
	}
	if err != nil {
		return out, &adminapi.Error{Code: adminapi.CodeConflict, Text: "There is no good copy of the store: " + err.Error() + ".", Advice: "Restore a backup after a reset."}
	}
	next := r.file() + ".new"
	defer os.Remove(next) // it is not there any more once it has taken its place
	if err := r.prepare(next); err != nil {
		return out, &adminapi.Error{Code: adminapi.CodeConflict, Text: "The copy could not be written: " + err.Error() + ". Nothing has changed.",
			Advice: "Free some space on the disk of the state folder, and try again."}
	}
	err = r.setAside(r.file())
	if err == nil {
		err = errors.Join(os.Rename(next, r.file()), syncFolder(r.state))
	}
	if r.open(); err != nil {
		return out, fmt.Errorf("putting the copy in place: %w", err)
	}
	if r.store == nil {
		return out, fmt.Errorf("the copy in its place: %s", r.damage+r.trouble)
	}
	out.Text = fmt.Sprintf("The copy of %s with revision %d is in place.", when(c.Made), c.Revision)
	out.Lost = fmt.Sprintf("Everything that was changed since %s: configuration behind revision %d, meetings, users and their passwords, the audit log.", when(c.Made), c.Revision)
	return out, nil
}

// prepare writes what is to take the place of the store, and reads it back.
func (r *rescue) prepare(next string) error {
	removeLeft(filepath.Dir(next), "."+filepath.Base(next)+"-*")
	text, err := os.ReadFile(r.copy())
	if err == nil {
		err = writeFile(next, text)
	}
	if err != nil {
		return err
	}
	return storage.CheckFile(next)
}

// setAside gives the store, or the copy, a second name for somebody to look at. The first is still there. It closes the store.
func (r *rescue) setAside(path string) error {
	if err := r.close(); err != nil {
		return err
	}
	err := os.Link(path, path+".aside-"+time.Now().UTC().Format("20060102T150405.000000"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Reset implements admin.Rescuer. Keys and certificates stay: it is the same box, without settings, users and meetings. The copy goes last: without it
// the daemon begins anew where there is no store.
func (r *rescue) Reset(context.Context) (out adminapi.Rescued, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lookAgain(); r.trouble != "" {
		return out, r.inTrouble()
	}
	for _, path := range []string{r.file(), r.copy()} {
		if err := r.setAside(path); err != nil {
			return out, err
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return out, err
		}
		if err := syncFolder(filepath.Dir(path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return out, err
		}
	}
	_ = os.Remove(filepath.Join(r.state, copyFolder, copyDetails))
	r.damage = ""
	out.Text = "The box begins anew with the next start, under its old keys and certificates."
	out.Lost = "Configuration, users, meetings and the audit log. A backup restores all but the audit log."
	return out, nil
}
