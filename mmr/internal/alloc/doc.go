// Package alloc divides what one receiver can be sent among its slots of pictures. It refuses to know what a slot, a layer or an estimate
// is: it takes wishes with options of rising cost and returns which option each wish gets.
//
// The main types: a [Wish] has [Option]s, from the least to the most, and says which of them it has now; [Divide] writes the new one into
// each.
//
// The rules, in this order. A lower class has everything it wishes for before a higher one has anything. Within a class everybody gets their
// least option, the more important first, before anybody gets more; a wish may insist on its least. Then the more important wishes are raised as far as they can be, before
// the others; equally important ones are raised in turns, always the one that has the least of what it wished for. What a wish does not
// have yet must fit with some room to spare, so that an estimate that trembles does not make pictures flap. Where the sender of what was granted
// follows what it is told, what is left of what the class was given is divided as room between the least and the most that the option costs.
//
// Divide keeps nothing between calls, allocates nothing, and may be called from any goroutine. How long a wish that was cut has to wait
// before it may grow again is its owner's business: it leaves the options out.
//
// Caveat: options are compared by cost alone, so they must rise; an option that costs no more than the one before it is never better.
package alloc
