//go:build race

package mmr

// underRace tells whether the race detector runs.
const underRace = true
