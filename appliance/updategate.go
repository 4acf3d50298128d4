package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
	"github.com/spf13/cobra"

	"meetzone/appliance/adminapi"
	"meetzone/appliance/helper"
	"meetzone/appliance/update"
)

// The health gate of a start: meetzone-health.service runs it as root before boot-complete.target. When the box is healthy it ends well, and systemd-bless-boot takes the
// counter off the running version. When the box is not, and the version is on trial, the version is marked bad and the box restarts into the other one.

// gateEvery is how often the gate looks.
const gateEvery = 2 * time.Second

// errUnhealthy ends a gate.
var errUnhealthy = errors.New("the box is not healthy")

func newGateCommand() *cobra.Command {
	r := new(remote)
	var within time.Duration
	cmd := &cobra.Command{
		Use:    "gate",
		Short:  "Say whether this start is healthy; run by systemd before boot-complete.target",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log := newLogger(new(slog.LevelVar))
			machine, err := helper.OpenMachine()
			if err != nil {
				log.Warn("image slots cannot be looked at: only the box's health counts", "why", err)
			}
			g := gate{client: r.client(), machine: machine, log: log, failed: daemonFailed, restart: restartNow}
			return g.run(cmd.Context(), within)
		},
	}
	r.flags(cmd)
	cmd.Flags().DurationVar(&within, "within", 4*time.Minute, "how `LONG` the daemon has to become healthy")
	return cmd
}

// gate looks at the health of one start.
type gate struct {
	client  *adminapi.Client
	machine *update.Machine // nil: not from an image
	log     *slog.Logger
	failed  func(context.Context) bool // systemd has given the daemon up
	restart func(context.Context) error
}

func (g gate) run(ctx context.Context, within time.Duration) error {
	if g.machine != nil {
		// What is known of updates does not decide about health.
		if err := patiently(ctx, g.machine.Settle); err != nil {
			g.log.Error("what became of updates is not kept", "err", err)
		}
	}
	why := g.wait(ctx, within)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case g.machine == nil && why == "":
		return nil
	case g.machine == nil:
		return fmt.Errorf("%w: %s", errUnhealthy, why)
	case why == "":
		g.log.Info("healthy")
		if err := patiently(ctx, g.machine.Bless); err != nil {
			g.log.Error("what became of updates is not kept", "err", err)
		}
		return nil
	}
	back := false
	err := patiently(ctx, func() (err error) { back, err = g.machine.Fail(why); return err })
	g.log.Error("not healthy", "why", why, "back", back, "err", err)
	if back {
		if err := g.restart(ctx); err != nil {
			return err
		}
	}
	return errors.Join(fmt.Errorf("%w: %s", errUnhealthy, why), err)
}

// wait returns why the box is not healthy, "" once it is.
func (g gate) wait(ctx context.Context, within time.Duration) (why string) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	why = "the daemon did not answer"
	for ctx.Err() == nil {
		now, err := g.look(ctx)
		switch {
		case err == nil:
			return ""
		case ctx.Err() == nil:
			why = now
		}
		if g.failed(ctx) {
			return "the daemon failed to start again and again; " + why
		}
		select {
		case <-ctx.Done():
		case <-time.After(gateEvery):
		}
	}
	return why
}

// look makes every check once.
func (g gate) look(ctx context.Context) (why string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	status, err := g.client.Status(ctx)
	if err != nil {
		return "the daemon does not answer", err
	}
	if err := healthOf(status); err != nil {
		return err.Error(), err
	}
	if err := answersOnOwnAddress(ctx, status); err != nil {
		return err.Error(), err
	}
	return "", nil
}

// storeAlarms are those that say that the store is not usable.
var storeAlarms = map[string]bool{"store-failed": true, "store-silent": true}

// healthOf judges what the daemon says of itself: it answers only once the store is open and migrated.
func healthOf(s adminapi.Status) error {
	for _, a := range s.Alarms {
		if storeAlarms[a.Code] {
			return errors.New("the store does not work: " + a.Text)
		}
	}
	for _, p := range s.Parts {
		if p.Error != "" {
			return fmt.Errorf("the configuration is not applied: %s: %s", p.Name, p.Error)
		}
	}
	return nil
}

// patiently tries again while another process is at work on the image slots.
func patiently(ctx context.Context, do func() error) error {
	for range 30 {
		err := do()
		if !errors.Is(err, update.ErrBusy) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
	return update.ErrBusy
}

// daemonFailed asks systemd whether it has given the daemon up.
func daemonFailed(ctx context.Context) bool {
	conn, err := dbus.NewSystemdConnectionContext(ctx)
	if err != nil {
		return false
	}
	defer conn.Close()
	state, err := conn.GetUnitPropertyContext(ctx, "meetzone.service", "ActiveState")
	return err == nil && state.Value.Value() == "failed"
}

// restartNow restarts the machine in order.
func restartNow(ctx context.Context) error {
	conn, err := dbus.NewSystemdConnectionContext(ctx)
	if err != nil {
		return fmt.Errorf("systemd does not answer: %w", err)
	}
	defer conn.Close()
	_, err = conn.StartUnitContext(ctx, "reboot.target", "replace-irreversibly", nil)
	return err
}
