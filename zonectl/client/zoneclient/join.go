package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"meetzone/zonectl/client"
	"meetzone/zonectl/client/media"
	"meetzone/zonectl/wire"
)

// joinOptions are the flags of join.
type joinOptions struct {
	options
	meeting string
	hostKey string
	content string
	record  string
	every   time.Duration // between two switches of pictures, 0 for none
	heights []int         // of pictures that are switched to
	explain bool
}

func newJoinCommand() *cobra.Command {
	var o joinOptions
	command := &cobra.Command{
		Use:   "join --url URL [--meeting N]",
		Short: "Joins a meeting, sends and receives media, and tells how each medium travelled",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return o.run(command.Context(), command.OutOrStdout())
		},
	}
	flags := command.Flags()
	o.register(flags)
	flags.StringVar(&o.meeting, "meeting", "", "number of the meeting, unless --url is a join link")
	flags.StringVar(&o.hostKey, "host-key", "", "key that makes this a host")
	flags.StringVar(&o.content, "content", none, "what to share: a `FILE.ivf` of VP8, or several as with --video, or none")
	flags.DurationVar(&o.every, "switch-every", 0, "ask for other people's pictures, at random, as often as this")
	flags.BoolVar(&o.explain, "explain", false, "tell what came of each way that was tried for each medium")
	flags.IntSliceVar(&o.heights, "switch-heights", nil, "with --switch-every, ask for one of these heights at random")
	flags.StringVar(&o.record, "record", "", "write what arrives to this `DIR`ectory")
	return command
}

// run joins, stays, leaves and reports.
func (o *joinOptions) run(ctx context.Context, out io.Writer) error {
	cfg, err := o.config()
	if err != nil {
		return err
	}
	sources, err := o.sources()
	if err != nil {
		return err
	}
	cfg.Meeting, cfg.HostKey = o.meeting, o.hostKey
	cfg.Send = sends(sources.clips[0] != nil, sources.clips[1] != nil, sources.clips[2] != nil)
	cfg.KeyframeWanted, cfg.Encodings = sources.keyframe, sources.encodings()
	cfg.Encode = codecsOf(sources.clips[:]...)
	if !o.asJSON {
		cfg.Progress = func(p client.Progress) { printProgress(out, p) }
	}
	var recorder *recorder
	if o.record != "" {
		if recorder, err = newRecorder(o.record); err != nil {
			return err
		}
		cfg.Receive = recorder.receive
	}
	restless := &switcher{slots: cfg.VideoSlots, heights: o.heights}
	cfg.Event = func(message wire.Message) {
		restless.event(message)
		if recorder != nil {
			recorder.event(message)
		}
		if drain, ok := message.(wire.Drain); ok && !o.asJSON {
			printDrain(out, drain)
		}
	}
	stats, err := o.stay(ctx, cfg, sources, recorder, restless)
	if recorder != nil {
		err = errors.Join(err, recorder.close())
	}
	if err != nil {
		var told *client.Error
		if o.explain && errors.As(err, &told) {
			printTried(out, told.Tried)
			printAttempts(out, told.Attempts)
		}
		return err
	}
	if o.asJSON {
		return json.NewEncoder(out).Encode(newReport(stats))
	}
	printStats(out, stats)
	if o.explain {
		printTried(out, stats.Tried)
		printAttempts(out, stats.Attempts())
	}
	return nil
}

func (o *joinOptions) sources() (*sources, error) {
	var s sources
	var err error
	if s.clips[0], err = openClips("audio", o.audio, wire.Audio); err != nil {
		return nil, err
	}
	if s.clips[1], err = openClips("video", o.video, wire.Video); err != nil {
		return nil, err
	}
	s.clips[2], err = openClips("content", o.content, wire.Content)
	return &s, err
}

// stay is the session from joining to leaving. What it saw is asked for before it leaves.
func (o *joinOptions) stay(ctx context.Context, cfg client.Config, sources *sources, recorder *recorder, restless *switcher) (client.Stats, error) {
	session, err := client.Join(ctx, cfg)
	if err != nil {
		return client.Stats{}, err
	}
	defer session.Close()
	if recorder != nil {
		recorder.attach(session)
	}
	pacing, stop := context.WithCancel(context.Background())
	defer stop()
	pacer := media.NewPacer()
	go pacer.Run(pacing)
	if err := sources.start(session, pacer, time.Now()); err != nil {
		return client.Stats{}, err
	}
	if sources.clips[2] != nil {
		if err := session.Command(ctx, wire.SetShare{On: true}); err != nil {
			return client.Stats{}, err
		}
	}
	if o.every > 0 {
		switching, done := context.WithCancel(ctx)
		var running sync.WaitGroup
		running.Go(func() { restless.run(switching, session, o.every) })
		defer running.Wait()
		defer done()
	}
	var over <-chan time.Time
	if o.length > 0 {
		over = time.After(o.length)
	}
	select {
	case <-over:
	case <-ctx.Done():
	case <-session.Done():
		return client.Stats{}, session.Err()
	}
	return session.Stats(), nil
}

// printDrain says that everybody will be sent away, or will not after all.
func printDrain(out io.Writer, d wire.Drain) {
	if !d.On {
		fmt.Fprintln(out, "The box no longer sends everybody away: the meeting can go on.")
		return
	}
	fmt.Fprintf(out, "In %v the box sends everybody away: %s\n", time.Duration(d.LeftS)*time.Second, d.Reason)
}

// printProgress shows a stage that has ended.
func printProgress(out io.Writer, p client.Progress) {
	number := map[client.Stage]int{client.StageLookup: 1, client.StageZone: 2, client.StageRouter: 3, client.StageControl: 3, client.StageMedia: 4}[p.Stage]
	if p.Done {
		fmt.Fprintf(out, "%d %-8s %8.1f ms  %s\n", number, p.Stage, milliseconds(p.Took), p.Detail)
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
