package config

// unknownKey is a key that a newer version wrote, with all that is below it.
type unknownKey struct {
	path string // "zone.limits.future"
	yaml string // its value
}
