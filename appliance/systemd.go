package main

import (
	"context"
	"fmt"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"

	"meetzone/dataplane"
)

// Without systemd these do nothing: its socket is named by the environment.

func notifyReady() { _, _ = sd.SdNotify(false, sd.SdNotifyReady) }

func notifyStopping() { _, _ = sd.SdNotify(false, sd.SdNotifyStopping) }

// watchEvery is how often the workers are asked whether they move when no watchdog says.
const watchEvery = 5 * time.Second

// runWatchdog feeds systemd's watchdog while every worker and the daemon's own loops move. A worker that does not answer is logged; when
// systemd watches, it is not fed any more, and restarts the daemon. A silent disk is no reason: meetings go on without it.
func (d *daemon) runWatchdog(ctx context.Context) error {
	interval, err := watchdogInterval()
	if err != nil {
		return err
	}
	every := watchEvery
	if interval > 0 {
		every = interval / 3
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if err := d.moves(ctx, every); err != nil {
			if ctx.Err() == nil {
				d.log.Error("the daemon does not move", "err", err)
			}
			continue
		}
		if interval > 0 {
			feedWatchdog()
		}
	}
}

// moves asks every worker to do something, and looks at the controller through the lock that all its work passes.
func (d *daemon) moves(ctx context.Context, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, w := range d.plane.Workers() {
		if err := w.Do(ctx, func(dataplane.Instant) {}); err != nil {
			return fmt.Errorf("worker %d: %w", w.ID(), err)
		}
	}
	answered := make(chan struct{})
	go func() {
		d.zone.Stats()
		close(answered)
	}()
	select {
	case <-answered:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("zone controller: %w", ctx.Err())
	}
}

func feedWatchdog() { _, _ = sd.SdNotify(false, sd.SdNotifyWatchdog) }

func watchdogInterval() (time.Duration, error) {
	interval, err := sd.SdWatchdogEnabled(false)
	if err != nil {
		return 0, fmt.Errorf("watchdog: %w", err)
	}
	return interval, nil
}
