package main

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"meetzone/appliance/admin"
	"meetzone/appliance/adminapi"
	"meetzone/storage"
	"meetzone/zonectl"
)

// drainRecord is a drain as it is stored, outside the revisions: a rollback neither begins nor ends one.
type drainRecord struct {
	Reason string    `json:"reason,omitempty"`
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until,omitzero"` // zero: no deadline
}

// The table of drains and its one record.
const (
	tableDrain  = "drain"
	recordDrain = "drain"
)

// drainZone is what a drain needs of the zone controller.
type drainZone interface {
	SetDrain(on bool, reason string)
	Forewarn(reason string, at time.Time)
	SendAway()
	Members() int
	Meetings(ctx context.Context) []zonectl.MeetingInfo
	Meeting(ctx context.Context, number string) (zonectl.MeetingInfo, error)
}

var _ drainZone = (*zonectl.Controller)(nil)

// drainer takes the box out of service and back. The state outlives the daemon; the controller does what follows from it.
type drainer struct {
	zone    drainZone
	table   *storage.Table[string, drainRecord]
	changed chan struct{} // has room for one: wakes runDrain

	mu  sync.Mutex // guards now; held while a change is stored, so that the store and now agree
	now *drainRecord
}

var _ admin.Drainer = (*drainer)(nil)

// openDrainer goes on with the drain of an earlier run.
func openDrainer(store *storage.Store, zone drainZone) (*drainer, error) {
	table, err := storage.OpenTable[string, drainRecord](store, tableDrain)
	if err != nil {
		return nil, err
	}
	d := &drainer{zone: zone, table: table, changed: make(chan struct{}, 1)}
	record, found, err := table.Get(recordDrain)
	if err != nil {
		return nil, fmt.Errorf("reading whether the box drains: %w", err)
	}
	if found {
		if !record.Until.IsZero() {
			record.Until = time.Now().Add(time.Until(record.Until)) // from here on by the monotonic clock, as a deadline of this run
		}
		d.now = &record
		zone.SetDrain(true, record.Reason)
	}
	return d, nil
}

// Drain implements admin.Drainer.
func (d *drainer) Drain(ctx context.Context, asked adminapi.Drain) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !asked.On {
		if err := d.table.Delete(ctx, recordDrain); err != nil {
			return err
		}
		d.now = nil
	} else {
		next := &drainRecord{Reason: asked.Reason, Since: time.Now()}
		if d.now != nil {
			next.Since = d.now.Since
		}
		if asked.DeadlineS > 0 {
			next.Until = time.Now().Add(time.Duration(asked.DeadlineS) * time.Second)
		}
		if err := d.table.Put(ctx, recordDrain, *next); err != nil {
			return err
		}
		d.now = next
	}
	d.zone.SetDrain(asked.On, asked.Reason)
	select {
	case d.changed <- struct{}{}:
	default:
	}
	return nil
}

// record returns the drain that is on, nil where none is.
func (d *drainer) record() *drainRecord {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now
}

// state is the drain without who is left; nil where none is on.
func (d *drainer) state() *adminapi.Draining {
	now := d.record()
	if now == nil {
		return nil
	}
	return &adminapi.Draining{On: true, Reason: now.Reason, Since: now.Since, Until: now.Until, Over: now.over()}
}

// over says whether the deadline has passed.
func (r *drainRecord) over() bool { return !r.Until.IsZero() && !time.Now().Before(r.Until) }

// Draining implements admin.Drainer.
func (d *drainer) Draining(ctx context.Context) adminapi.Draining {
	out := adminapi.Draining{}
	if s := d.state(); s != nil {
		out = *s
	}
	out.Alone = d.zone.Members() < 2
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	out.Left = []adminapi.Meeting{}
	for _, m := range d.zone.Meetings(ctx) {
		if m.Count == 0 {
			continue
		}
		if whole, err := d.zone.Meeting(ctx, m.Number); err == nil { // otherwise it has ended meanwhile
			out.Left = append(out.Left, meetingOf(whole))
		}
	}
	return out
}

// sweepEvery is how often runDrain looks, after the deadline, for people who have come back into a meeting that outlived a restart.
const sweepEvery = time.Second

// warnBefore is how long before the deadline people are reminded of it, longest first.
var warnBefore = [...]time.Duration{10 * time.Minute, 5 * time.Minute, time.Minute}

// untilNext is how long it is to the next reminder, or to the deadline, when so much is left.
func untilNext(left time.Duration) time.Duration {
	for _, before := range warnBefore {
		if left > before {
			return left - before
		}
	}
	return left
}

// runDrain tells people of a deadline when it is set or changed, reminds them ahead of it, and at the deadline sends away whoever is left.
func (d *drainer) runDrain(ctx context.Context) error {
	for {
		wake, stop := d.step()
		select {
		case <-ctx.Done():
			stop()
			return nil
		case <-d.changed:
			stop()
		case <-wake:
		}
	}
}

// step does what is due, and returns when something is next; a nil channel: not before a change.
func (d *drainer) step() (wake <-chan time.Time, stop func()) {
	now := d.record()
	if now == nil || now.Until.IsZero() {
		d.zone.Forewarn("", time.Time{})
		return nil, func() {}
	}
	wait := sweepEvery
	if left := time.Until(now.Until); left > 0 {
		d.zone.Forewarn(now.Reason, now.Until)
		wait = untilNext(left)
	} else {
		d.zone.SendAway()
	}
	timer := time.NewTimer(wait)
	return timer.C, func() { timer.Stop() }
}

// ---- the commands

func newDrainCommand() *cobra.Command {
	r := new(remote)
	var reason string
	var deadline time.Duration
	cmd := &cobra.Command{
		Use:   "drain",
		Short: "Let nobody new in, while meetings go on; without a reason, show who is left",
		Long: "With --reason, nobody new is let in from now on: people are told the reason. Who is in a meeting stays; with --deadline, they are told at once, reminded 10, 5 and 1 minutes before, and whoever is left then is sent away. " +
			"This survives a restart, and ends with `appliance undrain`.\n\nWithout --reason, it shows whether the box drains, and who is left.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case reason != "":
				if deadline > 0 && deadline < time.Second {
					deadline = time.Second
				}
				if err := r.client().Drain(cmd.Context(), adminapi.Drain{On: true, Reason: reason, DeadlineS: int64(deadline / time.Second)}); err != nil {
					return err
				}
			case cmd.Flags().Changed("deadline"):
				return &adminapi.Error{Code: adminapi.CodeBad, Text: "A drain needs a reason.", Advice: "People who are turned away are told it: --reason \"Maintenance until 14:00\"."}
			}
			draining, err := r.client().Draining(cmd.Context())
			if err != nil {
				return err
			}
			return r.show(cmd, draining, func(w io.Writer) { printDraining(w, draining) })
		},
	}
	r.flags(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "start draining; `TEXT` is told to people who are turned away")
	cmd.Flags().DurationVar(&deadline, "deadline", 0, "how `LONG` meetings may go on, as 2h; without it, as long as they like")
	return cmd
}

func newUndrainCommand() *cobra.Command {
	r := new(remote)
	cmd := &cobra.Command{
		Use:   "undrain",
		Short: "Take the box back into service",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return r.client().Drain(cmd.Context(), adminapi.Drain{})
		},
	}
	r.flags(cmd)
	return cmd
}

// drainSentence says in one line what is on.
func drainSentence(d adminapi.Draining) string {
	s := "nobody new is let in: " + oneLine(d.Reason)
	switch {
	case d.Over:
		s += " (the deadline passed at " + when(d.Until) + ", everybody was sent away)"
	case !d.Until.IsZero():
		s += fmt.Sprintf(" (whoever is left at %s, in %v, is sent away)", when(d.Until), time.Until(d.Until).Round(time.Second))
	}
	return s
}

func printDraining(w io.Writer, d adminapi.Draining) {
	if d.On {
		table(w, [][]string{{"Draining", drainSentence(d)}, {"Since", when(d.Since)}})
	} else {
		fmt.Fprintln(w, "The box is in service. `appliance drain --reason TEXT` takes it out.")
	}
	if d.Alone {
		fmt.Fprintln(w, "No other member could take over: this zone is one box.")
	}
	if len(d.Left) == 0 {
		fmt.Fprintln(w, "Nobody is in a meeting.")
		return
	}
	rows := [][]string{{"MEETING", "TITLE", "NAME", "ROLE", "FROM", "JOINED"}}
	for _, m := range d.Left {
		for _, p := range m.Participants {
			rows = append(rows, []string{m.Number, oneLine(m.Title), oneLine(p.Name), p.Role, p.From, when(p.Joined)})
		}
	}
	table(w, rows)
}
