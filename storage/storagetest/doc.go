// Package storagetest opens stores for tests and holds the store to its invariants when the test is over: the file is whole,
// every record of every open table decodes, no alarm stands, and the writer has ended.
//
// Main function: Open. No goroutines of its own.
package storagetest
