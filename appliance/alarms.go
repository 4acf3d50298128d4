package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"meetzone/appliance/adminapi"
)

// alarmAdvice is every alarm there is, with what to do about it.
var alarmAdvice = map[string]string{
	"store-full":           "Free some space on the disk of the state folder; the alarm ends by itself.",
	"store-silent":         "Check the disk and its connection.",
	"store-failed":         "Save a backup, replace the disk, then restart.",
	"store-slow":           "Check the disk: its health, and who else writes to it.",
	"disk-filling":         "Free some space on the disk of the state folder before it is full.",
	"certificate-expiry":   "Renew it: `appliance cert csr`, then `appliance cert install`.",
	"certificate-unusable": "Install it anew: `appliance cert install`.",
	"acme":                 "Put right what the text says; it is tried again by itself.",
	"tunnel":               "Check that the tunnel runs and can be reached: `appliance tunnel list`.",
	"geoip":                "Put a new Geo-IP file in its place.",
	"drops":                "Raise box.receive_buffer where `appliance status` shows less than is wanted; otherwise the box has too much to do.",
	"overloaded":           "Move meetings to another box, or give this one more processor cores and box.workers.",
	"marks-drift":          "See who changes the kernel's rules: `appliance dscp status`.",
	"network-drift":        "See what differs and who changes it: `appliance network status`.",
	"firewall-drift":       "See what differs and who changes it: `appliance firewall`.",
	"part-failed":          "Put right what the text says, then commit again: `appliance config rollback` or another revision.",
	"clock":                "Check the time servers and that they can be reached.",
	"update-fell-back":     "The box runs the version from before. `appliance update status` has the reason; install another version when there is one.",
	"update-failed":        "Nothing has changed. `appliance update status` has the reason; try again.",
	"seed-refused":         "Put the file right and reset the box, or commit a configuration by hand; a restart of the daemon ends the alarm.",
	"unconfirmed":          "`appliance config confirm` keeps it, `appliance config rollback` goes back at once.",
	"backup":               "Set the passphrase with `appliance backup passphrase`, or free some space; it is tried again every minute.",
	"copy":                 "Free some space on the disk of the state folder; it is tried again every ten minutes and with the next revision.",
	"syslog":               "Check log.targets, the way to the server, and its certificate; the audit log follows when it is back.",
	"draining":             "`appliance undrain` takes the box back into service.",
}

// Thresholds of the alarms.
const (
	diskFree     = 0.10 // of the disk, below which it is filling
	slowWrite    = time.Second
	overloadBusy = 0.9 // of a worker's core
	overloadFor  = 10  // samples of the load meter
)

// alarmBoard knows since when alarms stand.
type alarmBoard struct {
	mu    sync.Mutex // guards since; held from collecting a list to noting it, so that an older list never comes behind a newer one
	since map[string]time.Time
	last  atomic.Pointer[[]adminapi.Alarm] // nil: no list yet
}

// take collects a list of alarms and notes it.
func (b *alarmBoard) take(collect func() []adminapi.Alarm) (list []adminapi.Alarm, raised, over []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	list = collect()
	raised, over = b.note(list, time.Now())
	kept := slices.Clone(list)
	b.last.Store(&kept)
	return list, raised, over
}

// note dates the alarms of a list, forgets those that are over, and returns the codes that are new and that are over. To be called with mu held.
func (b *alarmBoard) note(list []adminapi.Alarm, now time.Time) (raised, over []string) {
	stands := make(map[string]time.Time, len(list))
	for i := range list {
		a := &list[i]
		first, known := b.since[a.Code]
		if !known {
			first = now
			if _, twice := stands[a.Code]; !twice {
				raised = append(raised, a.Code)
			}
		}
		stands[a.Code] = first
		if a.Since.IsZero() {
			a.Since = first
		}
	}
	for code := range b.since {
		if _, still := stands[code]; !still {
			over = append(over, code)
		}
	}
	b.since = stands
	return raised, over
}

// alarms is everything that a person should look at, with what to do about it. It reads the kernel's tables: whoever may ask often uses latestAlarms.
func (d *daemon) alarms() []adminapi.Alarm {
	list, raised, over := d.board.take(d.collectAlarms)
	for _, code := range raised {
		d.log.Warn("alarm", "alarm", code)
		if i := slices.IndexFunc(list, func(a adminapi.Alarm) bool { return a.Code == code }); i >= 0 {
			d.targets.alarm(code, &list[i])
		}
	}
	for _, code := range over {
		d.log.Info("alarm over", "alarm", code)
		d.targets.alarm(code, nil)
	}
	return list
}

// latestAlarms are those of the last time that somebody looked, which runAlarms does every few seconds.
func (d *daemon) latestAlarms() []adminapi.Alarm {
	if last := d.board.last.Load(); last != nil {
		return *last
	}
	return d.alarms()
}

// collectAlarms asks each part of the box for its own.
func (d *daemon) collectAlarms() []adminapi.Alarm {
	list := []adminapi.Alarm{}
	for _, a := range d.store.Alarms() {
		list = append(list, adminapi.Alarm{Code: string(a.Code), Text: a.Text, Since: a.Since})
	}
	for _, a := range d.zone.Alarms() {
		list = append(list, adminapi.Alarm{Code: a.Code, Text: a.Text, Since: a.Since})
	}
	list = append(list, d.registrars.alarms()...)
	list = append(list, d.targets.alarms()...)
	list = append(list, d.backups.alarms()...)
	list = append(list, d.copies.alarms()...)
	list = append(list, d.tls.alarms(time.Now())...)
	list = append(list, diskAlarms(d.flags.state, d.store.Stats().LastTook)...)
	list = append(list, d.meter.alarms()...)
	list = append(list, d.hostAlarms()...)
	list = append(list, updateAlarms(d.flags.ledger)...)
	list = append(list, d.seed.alarms()...)
	if err := errors.Join(d.revisions.Failed()...); err != nil {
		text := strings.ReplaceAll(err.Error(), "\n", "; ")
		list = append(list, adminapi.Alarm{Code: "part-failed", Text: fmt.Sprintf("Revision %d is not in force as a whole: %s.", d.revisions.Running().Number, text)})
	}
	if w := d.revisions.Waiting(); w.Number != 0 {
		list = append(list, adminapi.Alarm{Code: "unconfirmed", Text: fmt.Sprintf("Revision %d is not confirmed: at %s revision %d comes back.", w.Number, when(w.Until), w.Before)})
	}
	if s := d.drainer.state(); s != nil {
		list = append(list, adminapi.Alarm{Code: "draining", Text: "The box drains: " + drainSentence(*s) + ".", Since: s.Since})
	}
	for i := range list {
		list[i].Advice = alarmAdvice[list[i].Code]
	}
	return list
}

// runAlarms looks for alarms also while nobody asks, so that the log has them and their times are right.
func (d *daemon) runAlarms(ctx context.Context) error {
	ticker := time.NewTicker(5 * time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			d.alarms()
		}
	}
}

// diskAlarms warns before the store fails.
func diskAlarms(folder string, lastWrite time.Duration) (list []adminapi.Alarm) {
	var fs unix.Statfs_t
	if unix.Statfs(folder, &fs) == nil && fs.Blocks > 0 {
		if free := float64(fs.Bavail) / float64(fs.Blocks); free < diskFree {
			list = append(list, adminapi.Alarm{Code: "disk-filling", Text: fmt.Sprintf("Only %.0f %% of the disk of the state folder is free.", free*100)})
		}
	}
	if lastWrite > slowWrite {
		list = append(list, adminapi.Alarm{Code: "store-slow", Text: fmt.Sprintf("The last change took %v to reach the disk.", lastWrite.Round(10*time.Millisecond))})
	}
	return list
}

// hostAlarms tells of a host that is the appliance's own: whose clock is off, or whose marks or network are not as wanted.
func (d *daemon) hostAlarms() (list []adminapi.Alarm) {
	if !d.flags.ownHost {
		return nil
	}
	if a := d.enforcer.Observe(); a.Enforced && !a.Agrees() {
		list = append(list, adminapi.Alarm{Code: "marks-drift", Text: fmt.Sprintf("The kernel's marks or queues are not what the policy says, in %d places.", len(a.Missing))})
	}
	if a := d.network.Observe(); !a.Agrees() {
		list = append(list, adminapi.Alarm{Code: "network-drift", Text: "The box's network is not as configured: " + strings.Join(a.Differs, "; ") + "."})
	}
	if a := d.firewall.Observe(); !a.Agrees() {
		list = append(list, adminapi.Alarm{Code: "firewall-drift", Text: "The firewall is not as configured: " + strings.Join(a.Differs, "; ") + "."})
	}
	if state, err := unix.Adjtimex(new(unix.Timex)); err == nil && state == unix.TIME_ERROR {
		list = append(list, adminapi.Alarm{Code: "clock", Text: "The clock is not synchronised."})
	}
	return list
}

func newAlarmsCommand() *cobra.Command {
	r := new(remote)
	cmd := &cobra.Command{
		Use:   "alarms",
		Short: "Show what a person should look at, and what to do about it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			status, err := r.client().Status(cmd.Context())
			if err != nil {
				return err
			}
			return r.show(cmd, status.Alarms, func(w io.Writer) {
				if len(status.Alarms) == 0 {
					fmt.Fprintln(w, "There are no alarms.")
				}
				printAlarms(w, status.Alarms)
			})
		},
	}
	r.flags(cmd)
	return cmd
}

func printAlarms(w io.Writer, list []adminapi.Alarm) {
	for _, a := range list {
		fmt.Fprintf(w, "\nALARM %s since %s\n  %s\n", a.Code, when(a.Since), printable(a.Text))
		if a.Advice != "" {
			fmt.Fprintf(w, "  %s\n", printable(a.Advice))
		}
	}
}
