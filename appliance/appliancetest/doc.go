// Package appliancetest runs the real product among real clients: the daemon as an ordinary user with exactly the capabilities of its
// unit, Chromium, Firefox and zoneclient, each in a network namespace of its own, so that captures on the wire between them are possible.
//
//   - Lab is one box and its clients, a link and a subnet for each.
//   - Daemon is a running bin/appliance with its admin socket.
//   - Browser is a page in Chromium (driven by chromedp) or Firefox (driven by WebDriver BiDi): both run a JavaScript expression and take a picture.
//
// Everything is ended by t.Cleanup, by process id. It needs root and Debian's packages; where they are missing a test skips with the reason, or fails
// where CI is set.
package appliancetest
