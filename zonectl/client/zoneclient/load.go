package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"meetzone/zonectl/client"
	"meetzone/zonectl/client/media"
	"meetzone/zonectl/wire"
)

// loadOptions are the flags of load.
type loadOptions struct {
	options
	numbers      []string
	create       bool
	meetings     int
	participants int
	sendersVideo int
	sendersAudio int
	atOnce       int
}

func newLoadCommand() *cobra.Command {
	var o loadOptions
	command := &cobra.Command{
		Use:   "load --url URL --meetings M --participants P --for D (--create | --meeting N,...)",
		Short: "Joins many participants at once and sums up what came of it",
		Args:  cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			return o.run(command.Context(), command.OutOrStdout())
		},
	}
	flags := command.Flags()
	o.register(flags)
	flags.StringSliceVar(&o.numbers, "meeting", nil, "`numbers` of the meetings, unless --create or --url is a join link")
	flags.BoolVar(&o.create, "create", false, "start the meetings first, where the zone permits that to anyone")
	flags.IntVar(&o.meetings, "meetings", 1, "number of meetings")
	flags.IntVar(&o.participants, "participants", 2, "participants in each meeting")
	flags.IntVar(&o.sendersVideo, "senders-video", -1, "how many of them send video; -1 is all")
	flags.IntVar(&o.sendersAudio, "senders-audio", -1, "how many of them send audio; -1 is all")
	flags.IntVar(&o.atOnce, "at-once", 16, "how many may be joining at the same time")
	return command
}

// gcPercent is the collector's target while load runs.
const gcPercent = 400

// load is one run.
type load struct {
	options   *loadOptions
	config    client.Config
	clips     [2][]*media.Clip // audio, video
	pacers    []*media.Pacer
	beginning time.Time

	// mu guards what follows: every participant adds to it.
	mu       sync.Mutex
	sessions []*participant
	failures map[string]int // how often each sentence was the reason
}

// participant is one session of the load.
type participant struct {
	session *client.Session
	joined  time.Time
	took    time.Duration
	last    client.Stats // taken before leaving
	ended   error        // why it ended by itself
}

// run starts meetings, joins everybody, holds, and sums up.
func (o *loadOptions) run(ctx context.Context, out io.Writer) error {
	l, err := o.prepare()
	if err != nil {
		return err
	}
	// Memory is cheaper here than the collector's time, which the box under test would lack.
	defer debug.SetGCPercent(debug.SetGCPercent(gcPercent))
	numbers, err := l.meetingNumbers(ctx)
	if err != nil {
		return err
	}
	pacing, stop := context.WithCancel(context.Background())
	var pacers sync.WaitGroup
	for _, pacer := range l.pacers {
		pacers.Go(func() { pacer.Run(pacing) })
	}
	l.joinAll(ctx, numbers)
	joined := time.Now()
	used := processTime()
	if len(l.sessions) > 0 && ctx.Err() == nil {
		l.hold(ctx)
	}
	used, held := processTime()-used, time.Since(joined)
	stop()
	pacers.Wait()
	l.leaveAll()
	summary := l.summary(len(numbers), joined.Sub(l.beginning), held, used)
	if o.asJSON {
		err = json.NewEncoder(out).Encode(summary)
	} else {
		summary.print(out)
	}
	if len(l.sessions) == 0 && err == nil {
		err = &client.Error{Text: "Nobody could join: " + summary.worst() + "."}
	}
	return err
}

// prepare checks the flags and parses the media once for everybody.
func (o *loadOptions) prepare() (*load, error) {
	if o.meetings < 1 || o.participants < 1 || o.atOnce < 1 {
		return nil, &client.Error{Text: "There is nothing to do.", Advice: "--meetings, --participants and --at-once must be at least 1."}
	}
	cfg, err := o.config()
	if err != nil {
		return nil, err
	}
	cfg.Light = true
	l := &load{options: o, config: cfg, failures: make(map[string]int)}
	if l.clips[0], err = openClips("audio", o.audio, wire.Audio); err != nil {
		return nil, err
	}
	if l.clips[1], err = openClips("video", o.video, wire.Video); err != nil {
		return nil, err
	}
	l.config.Encode = codecsOf(l.clips[:]...)
	for range runtime.GOMAXPROCS(0) {
		l.pacers = append(l.pacers, media.NewPacer())
	}
	return l, nil
}

// meetingNumbers are those that were given, or of meetings started now.
func (l *load) meetingNumbers(ctx context.Context) ([]string, error) {
	if !l.options.create {
		numbers := l.options.numbers
		if len(numbers) == 0 {
			numbers = []string{""} // the join link's
		}
		if len(numbers) < l.options.meetings {
			return nil, &client.Error{Text: fmt.Sprintf("%d meetings are wanted, but only %d numbers were given.", l.options.meetings, len(numbers)),
				Advice: "Give them with --meeting N,N,… or let them be started with --create."}
		}
		return numbers[:l.options.meetings], nil
	}
	var numbers []string
	for i := range l.options.meetings {
		started, err := client.Start(ctx, l.config, wire.StartRequest{Title: fmt.Sprintf("Load %d", i+1), Passcode: l.options.passcode})
		if err != nil {
			return nil, err
		}
		numbers = append(numbers, started.Meeting.Number)
	}
	return numbers, nil
}

// joinAll joins everybody, a bounded number at a time, meeting by meeting in turns.
func (l *load) joinAll(ctx context.Context, numbers []string) {
	l.beginning = time.Now()
	var joining sync.WaitGroup
	gate := make(chan struct{}, l.options.atOnce)
	for place := range l.options.participants {
		for meeting, number := range numbers {
			select {
			case gate <- struct{}{}:
			case <-ctx.Done():
				joining.Wait()
				return
			}
			joining.Go(func() {
				defer func() { <-gate }()
				l.join(ctx, number, place, meeting*l.options.participants+place)
			})
		}
	}
	joining.Wait()
}

// join joins one participant; place is its number within its meeting.
func (l *load) join(ctx context.Context, number string, place, index int) {
	cfg := l.config
	var sources sources
	audio := l.clips[0] != nil && (l.options.sendersAudio < 0 || place < l.options.sendersAudio)
	video := l.clips[1] != nil && (l.options.sendersVideo < 0 || place < l.options.sendersVideo)
	if audio {
		sources.clips[0] = l.clips[0]
	}
	if video {
		sources.clips[1] = l.clips[1]
	}
	if video {
		cfg.Encodings = sources.encodings()
	}
	cfg.Meeting, cfg.Send, cfg.KeyframeWanted = number, sends(audio, video, false), sources.keyframe
	cfg.Name = fmt.Sprintf("%s %d", l.config.Name, index+1)
	start := time.Now()
	session, err := client.Join(ctx, cfg)
	if err != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.failures[describe(err).String()]++
		return
	}
	p := &participant{session: session, joined: time.Now(), took: time.Since(start)}
	if sender := session.Sender(wire.Audio); sender != nil {
		sender.SetLevel(uint8(20 + rand.IntN(40))) // so that some are louder than others
	}
	// Spread over a frame's time, or all bursts would come at once.
	offset := rand.N(40 * time.Millisecond)
	if err := sources.start(session, l.pacers[index%len(l.pacers)], time.Now().Add(offset)); err != nil {
		p.ended = err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sessions = append(l.sessions, p)
}

// hold waits for the time that the load shall last, or until it is interrupted.
func (l *load) hold(ctx context.Context) {
	var over <-chan time.Time
	if l.options.length > 0 {
		over = time.After(l.options.length)
	}
	select {
	case <-over:
	case <-ctx.Done():
	}
}

// leaveAll takes the figures of everybody, and only then lets them leave: those who leave early must not look like losses of the others.
func (l *load) leaveAll() {
	for _, p := range l.sessions {
		p.last = p.session.Stats()
		if err := p.session.Err(); err != nil {
			p.ended = errors.Join(p.ended, err)
		}
	}
	var leaving sync.WaitGroup
	gate := make(chan struct{}, l.options.atOnce)
	for _, p := range l.sessions {
		gate <- struct{}{}
		leaving.Go(func() {
			defer func() { <-gate }()
			p.session.Close()
		})
	}
	leaving.Wait()
}
