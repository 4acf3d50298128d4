package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"meetzone/appliance/admin"
	"meetzone/appliance/audit"
	"meetzone/appliance/config"
	"meetzone/appliance/firewall"
	"meetzone/appliance/helper"
	"meetzone/appliance/lldp"
	"meetzone/appliance/network"
	"meetzone/appliance/people"
	"meetzone/appliance/update"
	"meetzone/dataplane"
	"meetzone/dataplane/turn"
	"meetzone/dscp"
	"meetzone/dscp/enforce"
	"meetzone/mmr"
	"meetzone/storage"
	"meetzone/zonectl"
	"meetzone/zonectl/web"
)

// The life of the daemon. Start goes up this list, the end goes down it:
//
//	store → identity → running revision → plane and router → controller → parts applied → listeners → admin socket → READY
//
// On SIGTERM the zone is drained first: nobody new comes in, and who is still in at the deadline comes back by themselves after the restart.

// runFlags are the flags of `appliance run`. Those that name a key of the document override it without being stored.
type runFlags struct {
	state, https, metrics, admin string
	media                        []string
	ownHost, firstMeeting        bool
	drain                        time.Duration
	helper, rootKeys, ledger     string
	seed                         string
}

func newRunCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the zone: controller and router, in the foreground",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.state, "state", "/var/lib/meetzone", "`DIR` of the store and the keys")
	flags.StringVar(&f.https, "https", "", "`ADDR` of HTTPS; overrides box.listen.https (:443)")
	flags.StringSliceVar(&f.media, "media", nil, "`ADDR` of media; overrides box.listen.media (:8801)")
	flags.StringVar(&f.metrics, "metrics", "", "`ADDR` of metrics and health; overrides box.listen.metrics (127.0.0.1:9801)")
	flags.StringVar(&f.admin, "admin", "", "admin `SOCKET`; overrides box.listen.admin (/run/meetzone/admin.sock)")
	flags.BoolVar(&f.ownHost, "own-host", false, "this machine's network is the appliance's own to change")
	flags.StringVar(&f.helper, "helper", helper.DefaultSocket, "`SOCKET` of the helper, which does what needs root")
	flags.StringVar(&f.rootKeys, "root-keys", update.DefaultRootKeys, "`FILE` of public root keys: whose updates are taken")
	flags.StringVar(&f.ledger, "update-ledger", update.DefaultLedger, "`DIR` with what root remembers of updates")
	flags.StringVar(&f.seed, "seed", "", "`FILE` with the first configuration, which counts only while there is none")
	flags.BoolVar(&f.firstMeeting, "first-meeting", false, "start a meeting and print its link")
	flags.DurationVar(&f.drain, "drain", 5*time.Second, "how long SIGTERM waits for people to leave")
	return cmd
}

// override puts the flags over a document.
func (f runFlags) override(d config.Document) config.Document {
	set := func(to *string, flag string) {
		if flag != "" {
			*to = flag
		}
	}
	set(&d.Box.Listen.HTTPS, f.https)
	set(&d.Box.Listen.Metrics, f.metrics)
	set(&d.Box.Listen.Admin, f.admin)
	if len(f.media) > 0 {
		d.Box.Listen.Media = f.media
	}
	return d
}

// daemon holds the parts while they run.
type daemon struct {
	flags      runFlags
	log        *slog.Logger
	level      *slog.LevelVar
	records    *logRing
	started    time.Time
	identity   *identity
	store      *storage.Store
	plane      *dataplane.Plane
	router     *mmr.Router
	zone       *zonectl.Controller
	tls        *certificates
	enforcer   *enforce.Enforcer
	network    *network.Owner
	firewall   *firewall.Owner
	neighbours *lldp.Listener
	metrics    atomic.Pointer[markedListener] // nil: none, or not yet
	https      *markedListener
	relay      *turn.Server
	trusted    atomic.Pointer[[]netip.Prefix] // of box.trusted_proxies
	meter      loadMeter
	registrars registrars
	drainer    *drainer
	updater    *updater
	board      alarmBoard
	adminAPI   *admin.Server
	revisions  *admin.Revisions
	people     *people.Users
	audit      *audit.Log
	targets    *logTargets
	starts     *startBook
	seed       seed // of a box without revisions; empty otherwise
	restores   *storage.Table[string, restoreRecord]
	backups    *backups
	copies     copier
	again      chan string     // why the daemon is to be started again
	document   config.Document // as started, flags included: what cannot change while running
}

// run is the daemon from start to end.
func run(ctx context.Context, f runFlags) (err error) {
	d := &daemon{flags: f, started: time.Now(), level: new(slog.LevelVar)}
	d.registrars.d = d
	d.records = newLogRing()
	d.log = slog.New(d.records.over(newLogger(d.level).Handler()))
	slog.SetDefault(d.log)

	interrupted := make(chan os.Signal, 2)
	signal.Notify(interrupted, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(interrupted)

	defer func() { d.noteFailure(err) }()
	if err := d.open(ctx); err != nil {
		return errors.Join(err, d.closeOpened())
	}
	defer func() { err = errors.Join(err, d.closeStore()) }()
	defer d.targets.close()
	defer func() { err = errors.Join(err, ended(d.https.Close())) }() // for the ways out on which the controller does not serve yet
	defer func() {
		err = errors.Join(err, d.enforcer.Close(), d.neighbours.Close(), d.firewall.Close(), d.network.Close())
	}()
	planeLife, endPlane := context.WithCancel(context.Background())
	planeEnded := make(chan struct{})
	var planeErr error // set before planeEnded is closed
	go func() { defer close(planeEnded); planeErr = d.plane.Run(planeLife) }()
	defer func() {
		endPlane()
		<-planeEnded
		err = errors.Join(err, ended(planeErr), ended(d.plane.Close()))
	}()
	if err := d.revisions.Start(ctx, d.seed.document); err != nil {
		err = errors.Join(err, d.zone.Close(), d.router.Close())
		d.registrars.close()
		return err
	}
	return d.serve(ctx, interrupted, planeEnded)
}

// open makes every part, in order, without serving anybody.
func (d *daemon) open(ctx context.Context) (err error) {
	if err := os.MkdirAll(d.flags.state, 0o700); err != nil {
		return fmt.Errorf("making the state folder: %w", err)
	}
	if err := checkStoreThere(d.flags.state); err != nil {
		return err
	}
	if d.store, err = storage.Open(storage.Config{Path: filepath.Join(d.flags.state, storeFile), Logger: d.log}); err != nil {
		return err
	}
	if d.starts, err = openStarts(ctx, d.store, d.log); err != nil {
		return err
	}
	revisionStore, err := admin.NewRevisionStore(d.store)
	if err != nil {
		return err
	}
	if err := admin.TakeBackUnconfirmed(ctx, revisionStore, d.log); err != nil {
		return err
	}
	if d.restores, err = storage.OpenTable[string, restoreRecord](d.store, tableRestore); err != nil {
		return err
	}
	revisionStore.OnConfirm(confirmRestore(d.restores))
	if err := settleRestore(ctx, d.flags.state, d.store, revisionStore, d.restores, d.log); err != nil {
		return err
	}
	if d.identity, err = openIdentity(d.flags.state); err != nil {
		return err
	}
	latest, err := revisionStore.Latest()
	if err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	document := latest.Document
	if latest.Number == 0 {
		d.seed = readSeed(d.flags.seed, d.identity.zoneID(), d.flags.ownHost)
		document = d.seed.document
	}
	d.document = d.flags.override(document)
	if d.tls, err = openCertificates(d.flags.state, d.log); err != nil {
		return err
	}
	if err := d.openNetwork(); err != nil {
		return err
	}
	if err := d.openFirewall(); err != nil {
		return err
	}
	d.openNeighbours()
	if err := d.openMedia(); err != nil {
		return err
	}
	d.tls.dial = markedDialer(dscp.Management, d.managementPoint)
	if d.enforcer, err = enforce.New(enforce.Config{OwnHost: d.flags.ownHost, Logger: d.log}); err != nil {
		return err
	}
	if d.https, err = listenMarked(ctx, d.document.Box.Listen.HTTPS, dscp.Signalling); err != nil {
		return err
	}
	if err := d.openZone(); err != nil {
		return err
	}
	return d.openAdmin(ctx, revisionStore)
}

// routerBound is the most that zone.limits.meetings and zone.limits.sessions can be: the controller holds the limits, which change while
// the router runs.
const routerBound = 100_000

// openMedia makes the plane and the router on it.
func (d *daemon) openMedia() error {
	cfg, err := planeConfig(d.document)
	if err != nil {
		return err
	}
	cfg.Logger = d.log
	candidates := &candidates{advertise: d.document.Box.Advertise, listen: func() []netip.AddrPort { return d.plane.Addrs() }}
	if d.router, err = mmr.New(mmr.Config{Candidates: candidates.list, TCP: true, MaxMeetings: routerBound,
		MaxEndpoints: routerBound, Logger: d.log}); err != nil {
		return err
	}
	if d.plane, err = dataplane.Open(cfg, d.router.NewHandler); err != nil {
		return err
	}
	d.meter.plane = d.plane
	d.tune()
	secret, err := d.identity.secret("media relay")
	if err != nil {
		return err
	}
	if d.relay, err = turn.New(turn.Config{Plane: d.plane, Secret: secret, Peers: candidates.list, Brief: zonectl.ProbeAccount, Logger: d.log}); err != nil {
		return err
	}
	// Each worker keeps a thread busy in a system call or in the packet path: without these, the control plane would wait for them.
	runtime.GOMAXPROCS(runtime.NumCPU() + len(d.plane.Workers()))
	return nil
}

// openZone makes the controller.
func (d *daemon) openZone() error {
	rooms, err := storage.OpenTable[string, zonectl.Room](d.store, "rooms")
	if err != nil {
		return err
	}
	tokens, err := storage.OpenTable[string, zonectl.APIToken](d.store, "api-tokens")
	if err != nil {
		return err
	}
	meetings, err := storage.OpenTable[string, zonectl.Kept](d.store, "meetings")
	if err != nil {
		return err
	}
	d.zone, err = zonectl.New(d.zoneConfig(d.document), zonectl.Deps{
		Router:       zonectl.OnRouter(d.router),
		Relay:        d.relay,
		Store:        zonectl.Store{Rooms: rooms, Tokens: tokens, Meetings: meetings},
		SigningKey:   d.identity.zone,
		Probe:        d.router.Probe,
		HandshakeTOS: dataplane.HandshakeTOS,
		Fingerprint:  d.tls.fingerprint,
		Load:         d.meter.latest,
		Web:          web.Handler(),
		Dial:         d.dialMarked,
		Logger:       d.log,
	})
	if err != nil {
		return err
	}
	d.drainer, err = openDrainer(d.store, d.zone)
	return err
}

// openAdmin makes the commit engine over all parts, and the admin API.
func (d *daemon) openAdmin(ctx context.Context, store *admin.RevisionStore) (err error) {
	if d.people, err = people.New(people.Config{Store: d.store}); err != nil {
		return err
	}
	if d.audit, err = audit.Open(audit.Config{Store: d.store}); err != nil {
		return err
	}
	d.again = make(chan string, 2)
	d.backups = &backups{d: d, store: store, restart: d.again}
	if d.targets, err = openLogTargets(d, markedDialer(dscp.Management, d.managementPoint)); err != nil {
		return err
	}
	if d.revisions, err = admin.NewRevisions(admin.RevisionsConfig{
		Store: store, Parts: d.parts(), Override: d.flags.override, Logger: d.log,
	}); err != nil {
		return err
	}
	if d.updater, err = openUpdater(ctx, d); err != nil {
		return err
	}
	d.adminAPI, err = admin.NewServer(admin.ServerConfig{
		Revisions:    d.revisions,
		Meetings:     zoneMeetings{d.zone, d.url},
		Places:       zonePlaces{d},
		Certificates: boxCertificates{d},
		Networks:     zoneNetworks{d.zone},
		Drainer:      d.drainer,
		Machine:      d,
		Marks:        marksPart{d},
		BoxNetwork:   networkPart{d},
		Host:         d,
		Diagnoses:    d,
		People:       d.people,
		Audit:        d.audit,
		Updates:      d.updater,
		Backups:      d.backups,
		Started:      d.started,
		Logger:       d.log,
	})
	return err
}

// serve opens the doors, says READY, and goes on until a signal or until a part fails.
func (d *daemon) serve(ctx context.Context, interrupted <-chan os.Signal, planeEnded <-chan struct{}) error {
	listen := d.document.Box.Listen
	adminListener, err := admin.Listen(ctx, listen.Admin)
	if err != nil {
		return errors.Join(fmt.Errorf("admin socket: %w", err), d.zone.Close(), d.router.Close())
	}
	metricsListener, err := d.listenMetrics(ctx, listen.Metrics)
	if err != nil {
		return errors.Join(err, adminListener.Close(), d.zone.Close(), d.router.Close())
	}

	life, end := context.WithCancel(ctx)
	defer end()
	parts, life := errgroup.WithContext(life)
	parts.Go(func() error { return ended(d.zone.Run(life)) })
	parts.Go(func() error { return ended(d.serveTLS(listenProxied(d.https, &d.trusted))) })
	parts.Go(func() error { return d.adminAPI.Run(life, adminListener) })
	parts.Go(func() error { return d.serveMetrics(life, metricsListener) })
	parts.Go(func() error { return d.enforcer.Run(life) })
	parts.Go(func() error { return d.network.Run(life) })
	parts.Go(func() error { return d.firewall.Run(life) })
	parts.Go(func() error { return d.runNeighbours(life) })
	parts.Go(func() error { return d.meter.runLoad(life) })
	parts.Go(func() error { return d.tls.runACME(life) })
	parts.Go(func() error { return d.runWatchdog(life) })
	parts.Go(func() error { return d.runSettling(life) })
	parts.Go(func() error { return d.drainer.runDrain(life) })
	parts.Go(func() error { return d.updater.runUpdates(life) })
	parts.Go(func() error { return d.runAlarms(life) })
	parts.Go(func() error { return d.backups.runBackups(life) })
	parts.Go(func() error { return d.backups.runRestore(life) })
	parts.Go(func() error { return d.runCopies(life) })
	restart := make(chan config.Revision, 1)
	parts.Go(func() error {
		return d.revisions.RunCountdown(life, func(r config.Revision) { d.takenBack(r, restart) })
	})
	parts.Go(func() error {
		select {
		case <-planeEnded:
			return errors.New("the media plane has ended by itself")
		case <-life.Done():
			return nil
		}
	})

	d.log.Info("ready", "https", d.https.Addr().String(), "media", d.plane.Addrs(), "fingerprint", d.tls.fingerprint())
	d.record("start", "version "+softwareVersion())
	_ = os.Remove(filepath.Join(d.flags.state, failureFile))
	notifyReady()
	if d.flags.firstMeeting {
		d.printFirstMeeting(os.Stdout)
	}
	select {
	case s := <-interrupted:
		err = errors.Join(d.revisions.PlanRestart(ctx), d.starts.end(ctx))
		d.drain(s, interrupted)
	case r := <-restart:
		err = fmt.Errorf("%w: revision %d", errStartAgain, r.Number)
		d.starts.because(fmt.Sprintf("revision %d came back", r.Number))
		err = errors.Join(err, d.starts.end(ctx))
	case why := <-d.again:
		err = fmt.Errorf("%w: %s", errStartAgain, why)
		d.starts.because(why)
		err = errors.Join(err, d.starts.end(ctx))
	case <-life.Done(): // a part failed; Wait says which
	}
	notifyStopping()
	err = errors.Join(err, d.zone.Close())
	d.registrars.close()
	end()
	return errors.Join(err, parts.Wait(), d.router.Close())
}

// serveTLS serves what a listener of TCP connections brings as the HTTPS port is served.
func (d *daemon) serveTLS(l net.Listener) error {
	return d.zone.Serve(openDoor(l, d.tls.serverTLS(), d.relay.Take))
}

// errStartAgain ends a daemon whose supervisor is to start it again: settings have come back that only a start applies, or a backup is restored.
var errStartAgain = errors.New("start again")

// takenBack looks whether the revision that came back has settings that the daemon cannot take up while it runs.
func (d *daemon) takenBack(r config.Revision, restart chan<- config.Revision) {
	d.record("config unconfirmed", fmt.Sprintf("revision %d: %s", r.Number, r.Comment))
	for _, part := range d.revisions.Parts() {
		if slices.ContainsFunc(part.Actual, func(f config.Fact) bool { return f.Note == atNextStart }) {
			restart <- r
			return
		}
	}
}

// runSettling finds out, once a disk that had fallen silent answers again, which revision it has, and has the box agree with it.
func (d *daemon) runSettling(ctx context.Context) error {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	alarmed := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		now := len(d.store.Alarms()) > 0
		if alarmed && !now {
			if err := d.revisions.Settle(ctx); err != nil {
				d.log.Warn("the revision on the disk could not be settled", "err", err)
				continue
			}
		}
		alarmed = now
	}
}

// drain lets people leave. SIGINT, which comes from a terminal, and a second signal wait for nobody.
func (d *daemon) drain(s os.Signal, again <-chan os.Signal) {
	notifyStopping()
	if s == syscall.SIGINT {
		return
	}
	d.log.Info("draining", "at_most", d.flags.drain)
	ctx, cancel := context.WithTimeout(context.Background(), d.flags.drain)
	defer cancel()
	go func() {
		select {
		case <-again:
			cancel()
		case <-ctx.Done():
		}
	}()
	d.zone.SetDrain(true, "The box is being restarted.")
	if err := d.zone.WaitEmpty(ctx); err != nil {
		d.log.Info("stopping with people in meetings; they come back by themselves when the box does", "people", d.zone.Stats().Sessions)
	}
}

// closeOpened closes what open has opened before it failed.
func (d *daemon) closeOpened() error {
	var errs []error
	if d.zone != nil {
		errs = append(errs, d.zone.Close())
	}
	if d.https != nil {
		errs = append(errs, ended(d.https.Close()))
	}
	if d.enforcer != nil {
		errs = append(errs, d.enforcer.Close())
	}
	errs = append(errs, d.neighbours.Close())
	if d.firewall != nil {
		errs = append(errs, d.firewall.Close())
	}
	if d.network != nil {
		errs = append(errs, d.network.Close())
	}
	if d.router != nil {
		errs = append(errs, d.router.Close())
	}
	if d.plane != nil {
		errs = append(errs, ended(d.plane.Close()))
	}
	return errors.Join(append(errs, d.closeStore())...)
}

func (d *daemon) closeStore() error {
	if d.store == nil {
		return nil
	}
	return d.store.Close()
}

// ended drops the errors with which parts say that they were closed.
func ended(err error) error {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
