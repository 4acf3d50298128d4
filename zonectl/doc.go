// Package zonectl is the zone controller: it takes people from a meeting's number to a router, decides who may do what, and tells
// everybody what happens. It knows no datagrams: media is the business of the router behind the interface Router.
//
// Main types:
//
//   - Controller holds the zone: HTTPS (the four stages of docs/protocol.md, the API for integrators, the web client), the table of
//     meetings, and the calls that administration makes.
//   - meeting is one meeting that runs: participants, roles, lock, chat, the content slot, and the numbered log of what changed.
//   - session is one participant's connection to a meeting. It outlives the WebSocket: whoever loses it may resume.
//   - gear is what a session has in place of a WebSocket when it speaks WHIP or WHEP (whip.go): a publisher among the participants, or a
//     watcher that nobody sees.
//   - outbox is what waits to be written to a WebSocket, bounded; what is only of interest in its latest form replaces itself.
//   - monitor judges everybody's media every few seconds (package quality), from what the router counts and what clients report.
//   - guesses counts wrong attempts, per source and per meeting, bounded.
//
// Goroutines: runMeeting, one per meeting, owns all of a meeting's state; others send it a command. Of each WebSocket, the HTTP
// server's goroutine reads (runChannel), runWriter writes, and runPulse asks whether the peer is alive. Run does the housekeeping.
// Events of the router come on threads that must not wait: they go into outboxes and one-place channels only.
//
// Locks: Controller.mu guards the table of meetings, rooms and API tokens and is never held while waiting; outbox.mu is a leaf.
//
// Caveats: one box is the whole zone as yet; rooms survive a restart, other meetings do not. Everybody who may use the zone's
// network may guess numbers, so unknown numbers and wrong passcodes look and cost the same (secrets.go says how).
package zonectl
