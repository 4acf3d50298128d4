package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"meetzone/appliance/admin"
	"meetzone/appliance/adminapi"
	"meetzone/appliance/audit"
	"meetzone/appliance/config"
	"meetzone/appliance/helper"
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
	damage    string     // what is wrong with the content of the store; "" nothing
	trouble   string     // why a store that may be whole cannot be opened; "" nothing
	store     *storage.Store
	revisions *admin.RevisionStore
	audit     *audit.Log // of the store; nil where it cannot be read
}

var _ admin.Rescuer = (*rescue)(nil)

// Rescue implements admin.Rescuer.
func (r *rescue) Rescue() adminapi.Rescue {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lookAgain()
	out := adminapi.Rescue{Log: []string{}, Store: r.damage, Trouble: r.trouble}
	switch f, err := readFailure(r.state); {
	case err == nil:
		out.Cause, out.At, out.Log = f.Cause, f.At, f.Log
	case r.damage != "" || r.trouble != "":
		out.Cause = r.damage + r.trouble
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
	latest, before, err := r.newest()
	if latest.Number > 0 {
		out.Revision = rescueRevision(latest)
	}
	if err == nil {
		out.Previous = rescueRevision(before)
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

// UsePrevious implements admin.Rescuer.
func (r *rescue) UsePrevious(ctx context.Context, who string) (out adminapi.Rescued, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.revisions == nil {
		return out, r.noRevisions()
	}
	_, before, err := r.newest()
	if err != nil {
		return out, err
	}
	next := config.Revision{Number: r.revisions.Newest() + 1, Time: time.Now(), Who: who, Document: before.Document,
		Comment: fmt.Sprintf("rescue: revision %d again", before.Number), Again: cmp.Or(before.Again, before.Number)}
	if err := r.revisions.Append(ctx, next); err != nil {
		return out, err
	}
	out.Text = fmt.Sprintf("Revision %d is what revision %d was.", next.Number, before.Number)
	return out, nil
}

// newest is the newest revision that can be read, with number 0 where none can, and the one to go back to from the newest of all. A revision that has the document
// of an older one leads below that one: what is between has been tried. Of the errors, only those that leave nothing to go back to are returned.
func (r *rescue) newest() (latest, before config.Revision, err error) {
	history, err := r.revisions.History()
	below := r.revisions.Newest()
	if len(history) > 0 {
		latest = history[0]
		if latest.Number == below && latest.Again != 0 {
			below = latest.Again
		}
	}
	for _, one := range history {
		if one.Number < below {
			return latest, one, nil
		}
	}
	return latest, before, errors.Join(admin.ErrNoRevision, err)
}

// UseNetwork implements admin.Rescuer.
func (r *rescue) UseNetwork(ctx context.Context, n adminapi.RescueNetwork, who string) (out adminapi.Rescued, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.revisions == nil {
		return out, r.noRevisions()
	}
	latest, _, err := r.newest()
	if latest.Number == 0 {
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
	next := config.Revision{Number: r.revisions.Newest() + 1, Time: time.Now(), Who: who, Document: document, Comment: "rescue: network"}
	if err := r.revisions.Append(ctx, next); err != nil {
		return out, err
	}
	out.Text = fmt.Sprintf("Revision %d gives %s the address %s with the next start.", next.Number, n.Interface, n.Address)
	out.Lost = "What the document said of the network before; `appliance config rollback` has it."
	return out, nil
}

// Record implements admin.Rescuer. Where there is no store, the journal alone has it.
func (r *rescue) Record(ctx context.Context, e audit.Entry) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.audit == nil {
		return nil
	}
	return r.audit.Append(ctx, e)
}

// Start implements admin.Rescuer.
func (r *rescue) Start() { r.once.Do(func() { close(r.done) }) }

// rescueMachine restarts the machine, which in rescue is the appliance's own.
type rescueMachine struct{ helper string }

// Power implements admin.Machine.
func (m rescueMachine) Power(ctx context.Context, power adminapi.Power) error {
	return powerBy(ctx, helper.Client{Socket: m.helper}, power)
}

// runRescue serves until somebody has the daemon started again.
func runRescue(ctx context.Context, state, socket, helperSocket string) (err error) {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	r := &rescue{state: state, log: newLogger(new(slog.LevelVar)), done: make(chan struct{})}
	defer func() {
		for _, remove := range r.remove {
			remove()
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		err = errors.Join(err, r.close())
	}()
	r.open()
	users, everybody, err := r.people()
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
	switch {
	case said.Store != "":
		store = "DAMAGED: " + said.Store
	case said.Trouble != "":
		store = "CANNOT BE OPENED, but may be whole: " + said.Trouble
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
