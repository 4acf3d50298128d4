// Package console is the local text console: the whole screen of a VT220, of the Linux console or of a serial line, 80×24 and up. It sees the
// admin API and nothing else of the box, and runs as a user of its own.
//
// The main types:
//
//   - app is the model: a stack of screens, the last status of the box, and what the person is told at the foot.
//   - screen is one page of it. form, table, page, menu and word are the kinds that most screens are made of.
//   - frame is a whole screen as styled text; painter brings the terminal to it.
//   - decoder makes keys of bytes.
//
// Bubble Tea runs the loop (messages in, commands out). Its reader and its painter are not used: the reader waits without bound for the end of a
// paste or of a string that a garbled line began, and the painter uses sequences that a VT220 does not know, and moves relative to where it believes
// the cursor to be. What leaves here is: printable characters, cursor addressing, erase to the end of the line, bold, underline, inverse.
//
// Goroutines: app is owned by Bubble Tea's loop. runKeys reads the terminal and sends keys. runPainter owns the writing side and takes the latest
// frame only, so that a slow line holds nobody up. runResize waits for SIGWINCH. All end with Run.
//
// Basis: DEC STD 070, console_codes(4). Caveat: there is no way to know what a serial line shows; Ctrl-L draws everything anew.
package console
