// Package syslog sends messages to a syslog server: RFC 5424 messages over TCP with octet counting (RFC 6587, section 3.4.1) or over TLS
// (RFC 5425). It knows no message's meaning. There is no kept library that does this.
//
// Main types:
//
//   - Message is one message, and how it is written.
//   - Sender holds the connection to one server, and what waits for it.
//
// Goroutines: Sender.Run, and while there is a connection runReader, which notices that the server has gone. Sender.mu guards what Status
// tells. A message that waits is lost with the process; whoever needs more looks at Message.Sent. TCP tells nobody whether the server has read
// what was written: messages that were under way when a server fell may be lost.
package syslog
