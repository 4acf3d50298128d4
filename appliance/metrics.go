package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"meetzone/dataplane"
	"meetzone/dscp"
	"meetzone/mmr"
	"meetzone/zonectl"
	"meetzone/zonectl/quality"
)

// managementPoint is the code point that management has now; 0 where the policy cannot be read.
func (d *daemon) managementPoint() dscp.CodePoint {
	profile, err := d.revisions.Running().Document.DSCP.Policy()
	if err != nil {
		return 0
	}
	return profile.Points()[dscp.Management]
}

// listenMetrics opens the listener of metrics and health, whose answers are management traffic; nil when there is to be none.
func (d *daemon) listenMetrics(ctx context.Context, address string) (net.Listener, error) {
	if address == "" {
		return nil, nil
	}
	l, err := listenMarked(ctx, address, dscp.Management)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	d.metrics.Store(l)
	profile, err := d.revisions.Running().Document.DSCP.Policy()
	if err == nil {
		err = l.setMark(profile.Points()[dscp.Management])
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// serveMetrics serves /metrics and /healthz until the context ends.
func (d *daemon) serveMetrics(ctx context.Context, l net.Listener) error {
	if l == nil {
		return nil
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), newCollector(d))
	metrics := promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		if !d.revisions.Running().Document.Metrics.Enabled {
			http.Error(w, "Metrics are off. Set metrics.enabled to true.", http.StatusNotFound)
			return
		}
		metrics.ServeHTTP(w, r)
	})
	mux.HandleFunc("GET /healthz", d.health)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(d.log.Handler(), slog.LevelDebug)}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(l); err != http.ErrServerClosed {
		return fmt.Errorf("serving metrics: %w", err)
	}
	return nil
}

// health answers 200 while the box takes people, 503 when it drains or does not move, with the alarms in any case.
func (d *daemon) health(w http.ResponseWriter, r *http.Request) {
	answer := struct {
		Status string   `json:"status"`
		Reason string   `json:"reason,omitempty"`
		Alarms []string `json:"alarms,omitempty"`
	}{Status: "ok"}
	status := http.StatusOK
	if reason, on := d.zone.Draining(); on {
		answer.Status, answer.Reason, status = "draining", reason, http.StatusServiceUnavailable
	}
	if err := d.moves(r.Context(), 2*time.Second); err != nil {
		answer.Status, answer.Reason, status = "stuck", err.Error(), http.StatusServiceUnavailable
	}
	for _, a := range d.latestAlarms() {
		answer.Alarms = append(answer.Alarms, a.Text)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer) // who is gone needs no answer
}

// collector reads the parts' own counters when somebody asks; the packet path knows nothing of it.
type collector struct {
	d     *daemon
	descs map[string]*prometheus.Desc
}

// The metrics: name, labels, help.
var metricTable = []struct {
	name, labels, help string
}{
	{"worker_datagrams_total", "worker direction", "Datagrams of a worker."},
	{"worker_bytes_total", "worker direction", "Payload bytes of a worker."},
	{"worker_messages_total", "worker direction", "Messages at the socket; each may hold several datagrams."},
	{"worker_kernel_drops_total", "worker", "Datagrams lost for want of room in the receive buffer (SO_RXQ_OVFL)."},
	{"worker_handed_over_total", "worker", "Datagrams that another worker was home to."},
	{"worker_hand_over_drops_total", "worker", "Datagrams not handed over, the ring being full."},
	{"class_bytes_total", "class direction", "Payload bytes by traffic class."},
	{"class_send_drops_total", "class", "Datagrams not sent, the send buffer being full."},
	{"udp_receive_buffer_errors_total", "family", "Datagrams that the kernel of this host dropped for want of room (RcvbufErrors)."},
	{"dropped_total", "reason", "Datagrams that the router did not take."},
	{"transports", "", "Transports with keys."},
	{"endpoints", "", "Endpoints at the router."},
	{"meetings", "", "Meetings that run."},
	{"participants", "", "Sessions in meetings."},
	{"watchers", "", "Equipment that only watches (WHEP)."},
	{"slot_switches_total", "", "Sources put into slots."},
	{"keyframe_requests_total", "", "Keyframes asked of senders."},
	{"nacks_total", "", "Packets asked of senders again."},
	{"resent_total", "", "Packets sent to receivers again."},
	{"handshakes_total", "result", "DTLS handshakes."},
	{"lookups_total", "result", "Meeting lookups."},
	{"joins_total", "", "Sessions opened."},
	{"paths_total", "network rung", "Transports that came onto a rung, by the network of the client; the networks with most off UDP, the others under \"rest\"."},
	{"paths_fell_total", "network", "Transports that fell to a worse rung in mid-meeting, by the network of the client."},
	{"paths_rose_total", "network", "Transports that rose to a better rung in mid-meeting, by the network of the client."},
	{"streams", "state", "Connections of the media port and of the relay that carry media, or have not said yet who they are."},
	{"streams_total", "result", "Connections of the media port and of the relay."},
	{"stream_drops_total", "class", "Datagrams that waited too long for a congested connection."},
	{"relay_allocations", "", "Allocations of the relay on the HTTPS port."},
	{"relay_total", "result", "Requests for an allocation of the relay: given, refused as too many, or with wrong credentials."},
	{"path_marks", "medium direction verdict", "Client subnets by what became of the marks on the way."},
	{"marked_bytes_total", "interface class", "Bytes that left by an interface, as the kernel counted them by class."},
	{"cleared_packets_total", "interface", "Packets of no class whose code point was not theirs to use."},
	{"marks_enforced", "", "1 when the kernel holds all to the policy."},
	{"mark_drift_total", "", "Changes of the box's marks and queues by somebody else."},
	{"draining", "", "1 while nobody new is let in."},
	{"drain_left_seconds", "", "How long those who are still in have left; absent without a deadline."},
	{"alarms", "", "Alarms that stand."},
	{"alarm", "code", "Alarms that stand, by what they are of."},
	{"quality_score", "medium direction", "Scores of participants' media, docs/quality.md: 1 bad to 5, 0 nothing came. A sample of each every 5 s."},
	{"quality_loss_ratio", "medium direction", "Share of the packets that never came, after repair, of participants' media."},
	{"quality_jitter_seconds", "medium direction", "Interarrival jitter of participants' media."},
	{"quality_round_trip_seconds", "medium direction", "Round trips between participants and the box."},
	{"store_writes_total", "result", "Transactions of the store."},
}

func newCollector(d *daemon) *collector {
	c := &collector{d: d, descs: map[string]*prometheus.Desc{}}
	for _, m := range metricTable {
		c.descs[m.name] = prometheus.NewDesc("meetzone_"+m.name, m.help, strings.Fields(m.labels), nil)
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, desc := range c.descs {
		out <- desc
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	emit := func(name string, value float64, labels ...string) {
		kind := prometheus.GaugeValue
		if strings.HasSuffix(name, "_total") {
			kind = prometheus.CounterValue
		}
		out <- prometheus.MustNewConstMetric(c.descs[name], kind, value, labels...)
	}
	c.collectPlane(emit)
	c.collectRouter(emit)
	c.collectZone(emit)
	c.collectQuality(out)
	c.collectMarks(emit)
}

func (c *collector) collectPlane(emit func(string, float64, ...string)) {
	var sum dataplane.WorkerStats
	for i, s := range c.d.plane.Stats() {
		worker := strconv.Itoa(i)
		emit("worker_datagrams_total", float64(s.In.Datagrams), worker, "in")
		emit("worker_datagrams_total", float64(s.Out.Datagrams), worker, "out")
		emit("worker_bytes_total", float64(s.In.Bytes), worker, "in")
		emit("worker_bytes_total", float64(s.Out.Bytes), worker, "out")
		emit("worker_messages_total", float64(s.MessagesIn), worker, "in")
		emit("worker_messages_total", float64(s.MessagesOut), worker, "out")
		emit("worker_kernel_drops_total", float64(s.KernelDrops), worker)
		emit("worker_handed_over_total", float64(s.HandedOver), worker)
		emit("worker_hand_over_drops_total", float64(s.HandOverDrops), worker)
		for class := range dscp.NumClasses {
			sum.InByClass[class].Bytes += s.InByClass[class].Bytes
			sum.OutByClass[class].Bytes += s.OutByClass[class].Bytes
			sum.SendDrops[class] += s.SendDrops[class]
		}
	}
	for class := range dscp.NumClasses {
		name := dscp.Class(class).String()
		emit("class_bytes_total", float64(sum.InByClass[class].Bytes), name, "in")
		emit("class_bytes_total", float64(sum.OutByClass[class].Bytes), name, "out")
		emit("class_send_drops_total", float64(sum.SendDrops[class]), name)
	}
	for family, errors := range receiveBufferErrors() {
		emit("udp_receive_buffer_errors_total", errors, family)
	}
}

func (c *collector) collectRouter(emit func(string, float64, ...string)) {
	s := c.d.router.Stats()
	for reason, n := range s.Drops {
		emit("dropped_total", float64(n), mmr.Drop(reason).String())
	}
	emit("transports", float64(s.Transports))
	emit("endpoints", float64(s.Endpoints))
	emit("slot_switches_total", float64(s.SlotSwitches))
	emit("keyframe_requests_total", float64(s.KeyframeRequests))
	emit("nacks_total", float64(s.NACKs))
	emit("resent_total", float64(s.Resent))
	emit("handshakes_total", float64(s.Handshakes), "begun")
	emit("handshakes_total", float64(s.HandshakesFailed), "failed")
}

func (c *collector) collectZone(emit func(string, float64, ...string)) {
	s := c.d.zone.Stats()
	emit("meetings", float64(s.Meetings))
	emit("participants", float64(s.Sessions))
	emit("watchers", float64(s.Watchers))
	emit("lookups_total", float64(s.Lookups-s.Refused-s.Blocked), "answered")
	emit("lookups_total", float64(s.Refused), "refused")
	emit("lookups_total", float64(s.Blocked), "blocked")
	emit("joins_total", float64(s.Joins))
	c.collectPaths(emit)
	drain := c.d.drainer.state()
	if drain == nil {
		emit("draining", 0)
	} else {
		emit("draining", 1)
		if !drain.Until.IsZero() {
			emit("drain_left_seconds", max(0, time.Until(drain.Until).Seconds()))
		}
	}
	alarms := c.d.latestAlarms()
	byCode := map[string]float64{}
	for _, a := range alarms {
		byCode[a.Code]++
	}
	for code := range alarmAdvice {
		emit("alarm", byCode[code], code)
	}
	emit("alarms", float64(len(alarms)))
	store := c.d.store.Stats()
	emit("store_writes_total", float64(store.Written), "written")
	emit("store_writes_total", float64(store.Refused), "refused")
}

// maxPathMetrics bounds how many networks have metrics of their own.
const maxPathMetrics = 64

// collectPaths shows on which rungs media travel, and what became of connections.
func (c *collector) collectPaths(emit func(name string, value float64, labels ...string)) {
	var rest zonectl.NetworkWays
	show := func(name string, n *zonectl.NetworkWays) {
		for i, rung := range [...]dataplane.Rung{dataplane.UDP, dataplane.TCP, dataplane.TLS} {
			emit("paths_total", float64(n.Came[i]), name, rung.String())
		}
		emit("paths_fell_total", float64(n.Fell), name)
		emit("paths_rose_total", float64(n.Rose), name)
	}
	for i, n := range c.d.zone.Ways() {
		if i < maxPathMetrics && n.Network.IsValid() {
			show(n.Network.String(), &n)
			continue
		}
		rest.Add(&n)
	}
	show("rest", &rest)
	streams, relay := c.d.plane.StreamStats(), c.d.relay.Stats()
	emit("streams", float64(streams.Open-streams.Unadopted), "media")
	emit("streams", float64(streams.Unadopted), "unknown")
	emit("streams_total", float64(streams.Opened), "opened")
	emit("streams_total", float64(streams.Refused), "refused")
	for class, n := range streams.Dropped {
		emit("stream_drops_total", float64(n), dscp.Class(class).String())
	}
	emit("relay_allocations", float64(relay.Allocations))
	emit("relay_total", float64(relay.Total), "given")
	emit("relay_total", float64(relay.Refused), "refused")
	emit("relay_total", float64(relay.Failures), "wrong")
}

// qualityMetrics are the names of what quality.Spread counts.
var qualityMetrics = [quality.NumMeasures]string{"quality_score", "quality_loss_ratio", "quality_jitter_seconds", "quality_round_trip_seconds"}

// collectQuality shows how scores and figures spread, by medium and direction: a sample of each participant every five seconds.
func (c *collector) collectQuality(out chan<- prometheus.Metric) {
	for _, b := range c.d.zone.Spread() {
		desc := c.descs[qualityMetrics[b.Measure]]
		out <- prometheus.MustNewConstHistogram(desc, b.Count, b.Sum, b.Upto, string(b.Flow.Medium), b.Flow.Direction.String())
	}
}

// receiveBufferErrors reads the host's own counters, which include other programs': /proc/net/snmp and /proc/net/snmp6.
func receiveBufferErrors() map[string]float64 {
	out := map[string]float64{}
	if text, err := os.ReadFile("/proc/net/snmp"); err == nil {
		var names []string
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			if len(fields) == 0 || fields[0] != "Udp:" {
				continue
			}
			if names == nil {
				names = fields
				continue
			}
			for i, name := range names[:min(len(names), len(fields))] {
				if name == "RcvbufErrors" {
					out["ipv4"], _ = strconv.ParseFloat(fields[i], 64)
				}
			}
		}
	}
	if text, err := os.ReadFile("/proc/net/snmp6"); err == nil {
		for line := range strings.Lines(string(text)) {
			if fields := strings.Fields(line); len(fields) == 2 && fields[0] == "Udp6RcvbufErrors" {
				out["ipv6"], _ = strconv.ParseFloat(fields[1], 64)
			}
		}
	}
	return out
}
