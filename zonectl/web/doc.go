// Package web is the browser client: plain ES modules, style sheets and one page, embedded as they are and served without any build step. It
// starts and joins meetings through the same protocol as the native client (docs/protocol.md) and knows nothing of the server beyond it.
//
// Handler serves the page at "/" and "/j/NUMBER" and the assets below a path that contains a digest of all of them, so that they may be cached for
// ever and a new version is never mixed with an old one. The page carries a content security policy without inline code, foreign code or frames.
//
// The client, from the outside in:
//
//	app/main.js      chooses the screen; the only place where the parts are connected
//	app/store.js     the one store; views watch it, only session.js, media.js and main.js write to it
//	app/session.js   one stay in a meeting: what comes over the control channel, what the person does
//	app/lookup.js    stages 1 to 3 over HTTP; app/control.js is the WebSocket with resumption and back-off; app/protocol.js the messages
//	app/peer.js      the RTCPeerConnection: one offer of the box with three BUNDLE groups; app/recovery.js when to ask for another
//	app/media.js     camera, microphone and screen; app/playback.js an element for each receive slot
//	app/layout.js    who is shown where and how large, and so which pictures are asked for (no DOM)
//	app/asking.js    asks for the pictures that the screen shows, and gives back what nobody sees
//	app/stats.js     what the browser measures, by medium; app/figures.js what two measurements say; app/lipsync.js how well sound and picture are together
//	app/text.js      every word a person reads, English; app/text-ko.js the same in Korean
//	views/           one module for each part of the screen; style/ the design, as custom properties
//
// Up sections are always answered sendonly, so that camera, microphone and screen come and go by replaceTrack without SDP. Each audio slot has an
// audio element, each video slot a video element that moves to the tile of whoever the router puts in the slot; the last picture stays on a
// canvas until the next one is there.
//
// Lip sync: browsers synchronise tracks that were negotiated as one stream, and putting two receivers' tracks into one MediaStream afterwards
// changes nothing in either engine. The box offers audio slot n and video slot n as one stream for the first three, and puts a voice into the slot
// of its picture. The panel shows what comes of it; people whose picture is in a later slot are as far apart as the network leaves them.
//
// Caveats: Firefox ignores networkPriority, so its uplink is not marked. The package holds no state and starts no goroutine.
package web
