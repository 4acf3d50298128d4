// Package ranking orders the zones for one client: best first, with the reason. A plain function of values: it opens no file and asks nobody.
//
// Three rules, each deciding what the one before left open:
//
//  1. The zone of the client's site: of all subnets that hold its address, the longest one.
//  2. Where the address is, if a Where was given: zones for that country first, then by distance over the globe; zones whose place is not known
//     come behind those whose is.
//  3. The order in which the zones are configured.
//
// Zone and Site are what is configured, Ranked is a zone with its reason. Everything is a value; there is no state.
package ranking
