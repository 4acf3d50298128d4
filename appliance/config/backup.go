package config

import "time"

// Backup says when the box makes backups by itself.
type Backup struct {
	Every Duration `yaml:"every" help:"how often the box makes a backup, kept on its own disk; 0s: never. It needs a passphrase: appliance backup passphrase"`
	Keep  int      `yaml:"keep" help:"how many of them are kept"`
}

func (b Backup) check(c *checker) {
	if b.Every != 0 {
		c.span("backup.every", b.Every, time.Hour, 31*24*time.Hour)
	}
	c.between("backup.keep", b.Keep, 1, 100)
}
