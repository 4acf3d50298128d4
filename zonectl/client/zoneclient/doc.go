// Command zoneclient joins meetings from the command line, and generates load. It is the reference client: everything it does goes through package
// client, so that whatever works here can be built into another program.
//
//	zoneclient join --url https://zone.example --meeting 123456789 --name Robot --for 10s
//	zoneclient probe --url https://zone.example
//	zoneclient load --url https://zone.example --create --meetings 50 --participants 6 --for 60s
//
// join sends a tone and a moving pattern, or files, shows the four stages as they happen, and prints how each medium travelled; with --json it prints
// one object instead. --record writes what arrives in each slot as IVF or OGG, and who was in it as slots.jsonl. probe tests the network to every zone and prints the table by which a join picks. load joins many participants in one
// process: they share the parsed media, few goroutines pace them, and nothing that arrives is decoded.
//
// Errors are sentences with advice, on standard error; with --json also as an object {"error": …}. The exit status is 1 then.
//
// Goroutines: the command's own waits; one pacer per processor core sends; the sessions have theirs (see package client). A recorder's slot is written
// by the goroutine that reads the slot, its log under a lock.
package main
