// Command appliance is the daemon of a Meetzone box and the commands that administer it.
//
// `appliance run` connects the parts, and run.go is the only place that does: store, identity, running revision, plane and router, controller,
// listeners. Start goes in that order, the end backwards, with a drain first. All other commands are clients of the admin API on the
// daemon's socket and see nothing but appliance/adminapi.
//
// Files by concern: run.go (the daemon's life), parts.go (each part's Check and Apply of the document), host.go (what the admin API asks of the
// daemon), identity.go and certificate.go (keys), listen.go (marked TCP), metrics.go, systemd.go (READY, STOPPING, WATCHDOG), log.go; one file
// for each group of commands.
//
// Goroutines of its own: runWatchdog asks every worker and the controller whether they move; runSettling waits for a silent disk to answer
// again; the servers of HTTPS, metrics and the admin socket. They end with the context of serve.
//
// The host's network is not touched without --own-host.
package main
