package client

import (
	"time"

	"meetzone/zonectl/wire"
)

// reporter makes the reports about the downlink; run owns it.
type reporter struct {
	at     time.Time // of the report before
	before Stats
}

// report is what the server is told, with what happened since the report before.
func (r *reporter) report(now time.Time, stats Stats) wire.Report {
	took := now.Sub(r.at).Seconds()
	var report wire.Report
	for i, m := range stats.Media {
		if m.Remote == "" {
			continue
		}
		one := wire.MediumReport{Medium: m.Medium, Received: m.Received, Lost: m.Lost, JitterMS: milliseconds(m.Jitter), RTTMS: milliseconds(m.RoundTrip),
			DSCP: m.DSCP}
		if !r.at.IsZero() && took > 0 {
			one.Bitrate = float64(m.Bytes-min(m.Bytes, r.before.Media[i].Bytes)) * 8 / took
			one.Picture = r.picture(m.Medium, stats, took)
		}
		report.Media = append(report.Media, one)
	}
	r.at, r.before = now, stats
	return report
}

// picture sums up the slots of a medium in which something moved or should have; nil where there is none.
func (r *reporter) picture(medium wire.Medium, stats Stats, took float64) *wire.PictureReport {
	if medium == wire.Audio {
		return nil
	}
	before := make(map[string]SlotStats, len(r.before.Slots))
	for _, s := range r.before.Slots {
		before[s.Mid] = s
	}
	var p wire.PictureReport
	playing := 0.0
	for _, s := range stats.Slots {
		if s.Medium != medium {
			continue
		}
		p.Freezes += s.Freezes
		frames := s.Frames - before[s.Mid].Frames
		due := s.Participant != "" && !s.Paused && s.Frames > 0
		if frames == 0 && !due {
			continue
		}
		playing++
		p.FPS += float64(frames) / took
		if frames == 0 {
			p.Frozen++
		} else {
			p.Frozen += min(1, (s.Frozen-before[s.Mid].Frozen).Seconds()/took)
		}
	}
	if playing == 0 {
		return nil
	}
	p.FPS, p.Frozen = p.FPS/playing, p.Frozen/playing
	return &p
}
