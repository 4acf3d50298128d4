package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"meetzone/appliance/admin"
	"meetzone/appliance/adminapi"
	"meetzone/appliance/config"
	"meetzone/appliance/helper"
	"meetzone/appliance/people"
	"meetzone/storage"
)

// Rescue: systemd starts it when the daemon has failed three times. It serves a reduced admin API on the same socket, so that the console and the
// commands still tell what is wrong, and puts right what can be: the last good copy of a damaged store, the revision before, the address of the box.
// It touches neither network nor media. When it ends in order, systemd starts the daemon again.

// rescue is what is left of the box.
type rescue struct {
	state  string
	log    *slog.Logger
	done   chan struct{} // closed: the daemon is to be started again
	once   sync.Once
	remove []func() // what is to be tidied up

	mu        sync.Mutex // guards what follows; held while something is put right
	damage    string     // what is wrong with the store; "" nothing
	store     *storage.Store
	revisions *admin.RevisionStore
}

var _ admin.Rescuer = (*rescue)(nil)

func (r *rescue) file() string { return filepath.Join(r.state, "meetzone.db") }

func (r *rescue) copy() string { return filepath.Join(r.state, copyFolder, copyFile) }

// open looks at the store, and opens it where it is whole. To be called with mu held, or before anybody else is there.
func (r *rescue) open() {
	r.damage = ""
	err := storage.CheckFile(r.file())
	if err == nil {
		r.store, err = storage.Open(storage.Config{Path: r.file(), Logger: r.log})
	}
	if err == nil {
		if r.revisions, err = admin.NewRevisionStore(r.store); err != nil {
			err = errors.Join(err, r.store.Close())
			r.store = nil
		}
	}
	if err != nil {
		r.damage = err.Error()
	}
}

// close lets go of the store.
func (r *rescue) close() error {
	if r.store == nil {
		return nil
	}
	err := r.store.Close()
	r.store, r.revisions = nil, nil
	return err
}

// people are those of the store, or of its last good copy. Where no user can be read, everybody at the socket may do everything: the box is as much in
// the hands of who stands before it as one from the carton.
func (r *rescue) people() (*people.Users, bool, error) {
	if r.store != nil {
		users, err := people.New(people.Config{Store: r.store})
		return users, err == nil && users.None(), err
	}
	folder, err := os.MkdirTemp("", "meetzone-rescue-")
	if err != nil {
		return nil, false, err
	}
	r.remove = append(r.remove, func() { _ = os.RemoveAll(folder) })
	path := filepath.Join(folder, "copy.db")
	if text, err := os.ReadFile(r.copy()); err == nil {
		if err := writeFile(path, text); err != nil {
			return nil, false, err
		}
	}
	store, err := storage.Open(storage.Config{Path: path, Logger: r.log})
	if errors.Is(err, storage.ErrCorrupt) { // the copy is damaged too
		store, err = storage.Open(storage.Config{Path: filepath.Join(folder, "empty.db"), Logger: r.log})
	}
	if err != nil {
		return nil, false, err
	}
	r.remove = append([]func(){func() { _ = store.Close() }}, r.remove...)
	users, err := people.New(people.Config{Store: store})
	return users, err == nil && users.None(), err
}

// Rescue implements admin.Rescuer.
func (r *rescue) Rescue() adminapi.Rescue {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := adminapi.Rescue{Log: []string{}, Store: r.damage}
	switch f, err := readFailure(r.state); {
	case err == nil:
		out.Cause, out.At, out.Log = f.Cause, f.At, f.Log
	case r.damage != "":
		out.Cause = r.damage
	default:
		out.Cause = "The daemon ended without a word: it was killed, or it stood still. The journal has more."
	}
	if c, err := readCopy(r.state); err == nil {
		out.Copy = &adminapi.RescueCopy{Made: c.Made, Revision: c.Revision}
		if err := storage.CheckFile(r.copy()); err != nil {
			out.Copy.Problem = err.Error()
		}
	}
	if r.revisions == nil {
		return out
	}
	if latest, err := r.revisions.Latest(); err == nil && latest.Number > 0 {
		out.Revision = rescueRevision(latest)
		if before, err := r.before(latest); err == nil {
			out.Previous = rescueRevision(before)
		}
	}
	return out
}

func rescueRevision(r config.Revision) *adminapi.Revision {
	return &adminapi.Revision{Number: r.Number, Time: r.Time, Who: r.Who, Comment: r.Comment}
}

// Home implements admin.Rescuer.
func (r *rescue) Home() adminapi.Home {
	said := r.Rescue()
	text := "The box does not start: " + said.Cause
	return adminapi.Home{Version: softwareVersion(), Hostname: kernelName(), Time: time.Now(),
		Alarms: []adminapi.Alarm{{Code: "rescue", Text: text, Advice: "`appliance rescue show` tells what can be done.", Since: said.At}}}
}

// UseCopy implements admin.Rescuer.
func (r *rescue) UseCopy(context.Context) (out adminapi.Rescued, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c, err := readCopy(r.state)
	if err == nil {
		err = storage.CheckFile(r.copy())
	}
	if err != nil {
		return out, &adminapi.Error{Code: adminapi.CodeConflict, Text: "There is no good copy of the store: " + err.Error() + ".", Advice: "Restore a backup after a reset."}
	}
	text, err := os.ReadFile(r.copy())
	if err != nil {
		return out, err
	}
	if err := r.setAside(); err != nil {
		return out, err
	}
	if err := writeFile(r.file(), text); err != nil {
		return out, err
	}
	r.open()
	if r.damage != "" {
		return out, fmt.Errorf("the copy in its place: %s", r.damage)
	}
	out.Text = fmt.Sprintf("The copy of %s with revision %d is in place.", when(c.Made), c.Revision)
	out.Lost = fmt.Sprintf("Everything that was changed since %s: configuration behind revision %d, meetings, users and their passwords, the audit log.", when(c.Made), c.Revision)
	return out, nil
}

// setAside moves the store out of the way and keeps it, for somebody to look at.
func (r *rescue) setAside() error {
	if err := r.close(); err != nil {
		return err
	}
	err := os.Rename(r.file(), r.file()+".damaged")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Reset implements admin.Rescuer. Keys and certificates stay: it is the same box, without settings, users and meetings.
func (r *rescue) Reset(context.Context) (out adminapi.Rescued, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.setAside(); err != nil {
		return out, err
	}
	out.Text = "The box begins anew with the next start, under its old keys and certificates."
	out.Lost = "Configuration, users, meetings and the audit log. A backup restores all but the audit log."
	return out, nil
}

// UsePrevious implements admin.Rescuer.
func (r *rescue) UsePrevious(ctx context.Context, who string) (out adminapi.Rescued, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.revisions == nil {
		return out, errNoStore
	}
	latest, err := r.revisions.Latest()
	if err != nil {
		return out, err
	}
	before, err := r.before(latest)
	if err != nil {
		return out, err
	}
	next := config.Revision{Number: latest.Number + 1, Time: time.Now(), Who: who, Document: before.Document, Comment: fmt.Sprintf("rescue: revision %d again", before.Number)}
	if err := r.revisions.Append(ctx, next); err != nil {
		return out, err
	}
	out.Text = fmt.Sprintf("Revision %d is what revision %d was.", next.Number, before.Number)
	return out, nil
}

// before is the newest revision before another.
func (r *rescue) before(latest config.Revision) (config.Revision, error) {
	history, err := r.revisions.History()
	for _, one := range history {
		if one.Number < latest.Number {
			return one, nil
		}
	}
	return config.Revision{}, errors.Join(admin.ErrNoRevision, err)
}

var errNoStore = &adminapi.Error{Code: adminapi.CodeConflict, Text: "The store is damaged, so there are no revisions.", Advice: "Put the last good copy in place first."}

// UseNetwork implements admin.Rescuer.
func (r *rescue) UseNetwork(ctx context.Context, n adminapi.RescueNetwork, who string) (out adminapi.Rescued, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.revisions == nil {
		return out, errNoStore
	}
	latest, err := r.revisions.Latest()
	if err != nil {
		return out, err
	}
	document := latest.Document.Clone()
	document.Network.Interfaces = []config.Interface{{Name: n.Interface, Addresses: []string{n.Address}}}
	document.Network.Routes = nil
	if n.Gateway != "" {
		gateway, err := netip.ParseAddr(n.Gateway)
		if err != nil {
			return out, &adminapi.Error{Code: adminapi.CodeBad, Text: fmt.Sprintf("%q is no address of a gateway.", n.Gateway), Advice: "Write it like 192.0.2.1."}
		}
		document.Network.Routes = []config.Route{{To: "default", Via: gateway.String()}}
	}
	if err := document.Validate(); err != nil {
		return out, err
	}
	next := config.Revision{Number: latest.Number + 1, Time: time.Now(), Who: who, Document: document, Comment: "rescue: network"}
	if err := r.revisions.Append(ctx, next); err != nil {
		return out, err
	}
	out.Text = fmt.Sprintf("Revision %d gives %s the address %s with the next start.", next.Number, n.Interface, n.Address)
	out.Lost = "What the document said of the network before; `appliance config rollback` has it."
	return out, nil
}

// Start implements admin.Rescuer.
func (r *rescue) Start() { r.once.Do(func() { close(r.done) }) }

// rescueMachine restarts the machine, which in rescue is the appliance's own.
type rescueMachine struct{ helper string }

// Power implements admin.Machine.
func (m rescueMachine) Power(ctx context.Context, power adminapi.Power) error {
	return (&daemon{flags: runFlags{ownHost: true, helper: m.helper}}).Power(ctx, power)
}

// runRescue serves until somebody has the daemon started again.
func runRescue(ctx context.Context, state, socket, helperSocket string) (err error) {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	r := &rescue{state: state, log: newLogger(new(slog.LevelVar)), done: make(chan struct{})}
	r.open()
	users, everybody, err := r.people()
	defer func() {
		for _, remove := range r.remove {
			remove()
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		err = errors.Join(err, r.close())
	}()
	if err != nil {
		return err
	}
	server, err := admin.NewRescueServer(admin.RescueConfig{Rescuer: r, Machine: rescueMachine{helperSocket}, People: users, Open: everybody, Logger: r.log})
	if err != nil {
		return err
	}
	l, err := admin.Listen(ctx, socket)
	if err != nil {
		return err
	}
	life, end := context.WithCancel(ctx)
	defer end()
	go func() {
		select {
		case <-r.done:
			end()
		case <-life.Done():
		}
	}()
	r.log.Warn("ready for rescue", "cause", r.Rescue().Cause, "users", !everybody)
	notifyReady()
	return server.Run(life, l)
}

func newRescueCommand() *cobra.Command {
	r := new(remote)
	var state, helperSocket string
	cmd := &cobra.Command{
		Use: "rescue", Short: "Serve a reduced admin API where the daemon does not start, and use it", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runRescue(cmd.Context(), state, r.socket, helperSocket)
		},
	}
	r.flags(cmd)
	cmd.Flags().StringVar(&state, "state", "/var/lib/meetzone", "`DIR` of the store and the keys")
	cmd.Flags().StringVar(&helperSocket, "helper", helper.DefaultSocket, "`SOCKET` of the helper, which does what needs root")
	cmd.AddCommand(&cobra.Command{
		Use: "show", Short: "Show why the box does not start, and what can be done", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			said, err := r.client().Rescue(cmd.Context())
			if err != nil {
				return err
			}
			return r.show(cmd, said, func(w io.Writer) { printRescue(w, said) })
		},
	})
	for _, verb := range []struct{ use, short, path string }{
		{"copy", "Put the last good copy of the store in place", adminapi.PathRescueCopy},
		{"previous", "Go back to the revision before the newest", adminapi.PathRescuePrevious},
		{"reset", "Begin anew: no configuration, no users, no meetings", adminapi.PathRescueReset},
		{"start", "Try to start the daemon again", adminapi.PathRescueStart},
	} {
		cmd.AddCommand(&cobra.Command{
			Use: verb.use, Short: verb.short, Args: cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				done, err := r.client().RescueDo(cmd.Context(), verb.path)
				printRescued(cmd.OutOrStdout(), done)
				return err
			},
		})
	}
	var n adminapi.RescueNetwork
	network := &cobra.Command{
		Use: "network INTERFACE ADDRESS/LENGTH", Short: "Give the box an address, from the next start on", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			n.Interface, n.Address = args[0], args[1]
			done, err := r.client().RescueNetwork(cmd.Context(), n)
			printRescued(cmd.OutOrStdout(), done)
			return err
		},
	}
	network.Flags().StringVar(&n.Gateway, "gateway", "", "`ADDRESS` of the way out")
	cmd.AddCommand(network)
	return cmd
}

func printRescued(w io.Writer, done adminapi.Rescued) {
	if done.Text != "" {
		fmt.Fprintln(w, printable(done.Text))
	}
	if done.Lost != "" {
		fmt.Fprintf(w, "LOST: %s\n", printable(done.Lost))
	}
}

func printRescue(w io.Writer, said adminapi.Rescue) {
	fmt.Fprintf(w, "The box does not start: %s\n\n", printable(said.Cause))
	for _, line := range said.Log {
		fmt.Fprintf(w, "  %s\n", printable(line))
	}
	store := "whole"
	if said.Store != "" {
		store = "DAMAGED: " + said.Store
	}
	rows := [][]string{{"Store", store}}
	if c := said.Copy; c != nil {
		text := fmt.Sprintf("of %s, revision %d: `appliance rescue copy`", when(c.Made), c.Revision)
		if c.Problem != "" {
			text = "DAMAGED: " + c.Problem
		}
		rows = append(rows, []string{"Last good copy", text})
	}
	if p := said.Previous; p != nil {
		rows = append(rows, []string{"Revision before", fmt.Sprintf("%d of %s: `appliance rescue previous`", p.Number, when(p.Time))})
	}
	table(w, append(rows, []string{"Then", "`appliance rescue start`"}))
}
