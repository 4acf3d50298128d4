// Package helper does the few things of the appliance that need root: a reboot, switching off, a factory reset, the name of the host, and image slots. The daemon runs
// without root and asks for them over a unix socket that systemd listens on (init/meetzone-helper.socket); the helper starts with the
// first request and ends when nobody has asked for a while.
//
// The main types: a [Request] is one of a closed list ([Reboot], [PowerOff], [SetHostname], [UpdateInstall] and its like), with values that are checked and no path,
// command or unit name in it; a [Server] answers requests of the one user that it was told, and of root; a [Client] asks.
//
// On the wire a request is one JSON object in one line, {"verb": "set-hostname", "values": {"hostname": "box-1"}}, the answer another: {"done": true},
// perhaps with a "result", or {"error": "a sentence"}; before it there may be lines with "progress". A file may come with a request (SCM_RIGHTS). A connection
// carries one request. Size and time are bounded, unknown verbs and members are refused.
//
// Reboots go through systemd's D-Bus (org.freedesktop.systemd1), so that every unit ends in order. The name is set for the running kernel
// only (sethostname(2)); the daemon asks again at each start, because the document is where the name is kept.
//
// [Server.Run] has one goroutine for each of at most maxConns connections; no locks.
package helper
