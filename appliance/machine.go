package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/user"
	"strconv"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/spf13/cobra"

	"meetzone/appliance/admin"
	"meetzone/appliance/adminapi"
	"meetzone/appliance/config"
	"meetzone/appliance/helper"
)

// What the daemon has done by the helper, because it needs root: the name of the host, reboots, switching off. Only where the machine is the
// appliance's own.

// hostPart gives the machine its name.
type hostPart struct{ d *daemon }

var (
	_ config.Observer = hostPart{}
	_ admin.Machine   = (*daemon)(nil)
)

func (hostPart) Name() string { return "host" }

// Check finds nothing that the document's own validation does not.
func (hostPart) Check(config.Document) error { return nil }

func (p hostPart) Apply(ctx context.Context, doc config.Document) (config.Actual, error) {
	name := doc.Box.Hostname
	if !p.d.flags.ownHost || name == "" || name == kernelName() {
		return p.Observe(doc), nil
	}
	// A name is nothing to refuse a start or a commit for: status shows that it differs, and why.
	if err := p.d.helper().Do(ctx, helper.SetHostname{Hostname: name}); err != nil {
		p.d.log.Warn("the host keeps its name", "wanted", name, "err", err)
	}
	return p.Observe(doc), nil
}

// Observe reads the name back from the kernel.
func (p hostPart) Observe(doc config.Document) config.Actual {
	fact := config.Fact{Key: "box.hostname", Wanted: doc.Box.Hostname, Actual: kernelName()}
	switch {
	case fact.Wanted == "":
		fact.Wanted = fact.Actual
	case fact.Agrees():
	case !p.d.flags.ownHost:
		fact.Note = "this machine is not the appliance's own; the name is used for certificate and console only"
	default:
		fact.Note = "the helper did not set it; see `systemctl status meetzone-helper.socket`"
	}
	return config.Actual{fact}
}

func kernelName() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}

func (d *daemon) helper() helper.Client { return helper.Client{Socket: d.flags.helper} }

// Power implements admin.Machine. systemd ends the daemon next, which tells the people in meetings.
func (d *daemon) Power(ctx context.Context, power adminapi.Power) error {
	if !d.flags.ownHost {
		return &adminapi.Error{Code: adminapi.CodeConflict, Text: "This machine is not the appliance's own.",
			Advice: "Restart or switch it off by its own means."}
	}
	if power.Reason != "" {
		d.starts.because(power.Reason)
	}
	return powerBy(ctx, d.helper(), power)
}

// powerBy has a helper do it.
func powerBy(ctx context.Context, by helper.Client, power adminapi.Power) error {
	var request helper.Request = helper.Reboot{Reason: power.Reason}
	switch power.Action {
	case adminapi.PowerOff:
		request = helper.PowerOff{Reason: power.Reason}
	case adminapi.PowerFactoryReset:
		request = helper.FactoryReset{Reason: power.Reason}
	}
	err := by.Do(ctx, request)
	switch {
	case errors.Is(err, helper.ErrRequest):
		return &adminapi.Error{Code: adminapi.CodeBad, Text: "The reason cannot be used.", Advice: "Write one line of at most 200 bytes."}
	case errors.Is(err, helper.ErrUnreachable):
		return &adminapi.Error{Code: adminapi.CodeConflict, Text: "The helper, which restarts machines, does not run here.",
			Advice: "Start meetzone-helper.socket, or use systemctl."}
	}
	return err
}

// helperIdle is how long the helper stays when nobody asks.
const helperIdle = 30 * time.Second

func newHelperCommand() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:    "helper",
		Short:  "Do what needs root for the daemon; started by systemd with a socket",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			uid, err := userID(name)
			if err != nil {
				return err
			}
			listener, err := activatedListener()
			if err != nil {
				return err
			}
			return helper.New(helper.Config{UID: uid, IdleAfter: helperIdle, Logger: newLogger(new(slog.LevelVar))}).Run(cmd.Context(), listener)
		},
	}
	cmd.Flags().StringVar(&name, "user", "meetzone", "whose requests are obeyed beside root's: a `NAME` or number")
	return cmd
}

func userID(name string) (uint32, error) {
	text := name
	if u, err := user.Lookup(name); err == nil {
		text = u.Uid
	}
	uid, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("there is no user %q", name)
	}
	return uint32(uid), nil
}

// activatedListener returns the one socket that systemd has handed over. sd_listen_fds(3).
func activatedListener() (*net.UnixListener, error) {
	listeners, err := activation.Listeners()
	if err != nil {
		return nil, fmt.Errorf("taking the socket from systemd: %w", err)
	}
	if len(listeners) == 1 {
		if l, ok := listeners[0].(*net.UnixListener); ok {
			return l, nil
		}
	}
	return nil, errors.New("the helper is started by systemd through meetzone-helper.socket, not by hand")
}

func newRebootCommand() *cobra.Command {
	return newPowerCommand(adminapi.PowerReboot, "reboot", "Restart the machine; meetings end, drain first where that matters")
}

func newPowerOffCommand() *cobra.Command {
	return newPowerCommand(adminapi.PowerOff, "power-off", "Switch the machine off; meetings end, drain first where that matters")
}

func newFactoryResetCommand() *cobra.Command {
	cmd := newPowerCommand(adminapi.PowerFactoryReset, "factory-reset", "Delete everything and restart as from the factory: configuration, users, meetings, keys, logs; make a backup first")
	var sure bool
	cmd.Flags().BoolVar(&sure, "yes", false, "really delete everything")
	reset := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !sure {
			return errors.New("a factory reset deletes configuration, users, meetings, keys and logs for good; say --yes when that is what you want")
		}
		return reset(cmd, args)
	}
	return cmd
}

func newPowerCommand(action adminapi.PowerAction, use, short string) *cobra.Command {
	r := new(remote)
	power := adminapi.Power{Action: action}
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return r.client().Power(cmd.Context(), power) },
	}
	r.flags(cmd)
	cmd.Flags().StringVar(&power.Reason, "reason", "", "written into the log")
	return cmd
}
