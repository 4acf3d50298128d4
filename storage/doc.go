// Package storage keeps what must survive a restart in one bbolt file. It knows no record's meaning.
//
// Four types build on each other:
//
//   - Store is the open file: its lock, its writer, its alarms.
//   - Tx is one write transaction over any number of tables.
//   - Table is a bucket of JSON records of one Go type, by string or uint64 keys.
//   - Migration adds to the schema; it never takes away what the version before can read.
//
// Reads are answered from memory, so they go on while the disk is full or silent; the file is read once, when a table is
// opened. Writes are queued to the one goroutine runWriter and acknowledged after fsync: what Update returned nil for is
// there after a power failure. Update gives up after Config.WriteDeadline with ErrBusy. Then the outcome is unknown: the
// write may still be made when the disk comes back, and reads show it from that moment on.
//
// A record that is rewritten keeps the members its Go type does not know, so that a newer version's data survive an older
// version; see merge.go for what that means inside lists.
//
// Goroutines: runWriter owns all write transactions and ends with Close. Store.mu guards alarms and counters, Table.mu the
// records in memory.
//
// Caveats: tables are meant for thousands of records, not millions, since they live in memory. A function given to Update
// runs on runWriter: it must not block, and it must not touch what its caller goes on with when ErrBusy came back. The file
// belongs to one process at a time.
package storage
