package image

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"meetzone/image/qemu"
)

// disk is what `make image` leaves behind.
var disk = filepath.Join("..", "bin", "image", "meetzone.raw")

// TestVMFirstBoot: a disk with nothing but the image becomes a box that serves.
func TestVMFirstBoot(t *testing.T) {
	if _, err := os.Stat(disk); err != nil && os.Getenv("MEETZONE_LONG") == "" {
		t.Skip("there is no image: make image makes one")
	}
	m := qemu.NewMachine(t, qemu.MachineConfig{Disk: disk})
	began := time.Now()
	m.Start()
	m.Serial.Expect(`Last start +The box started for the first time\.`, 10*time.Minute)
	t.Logf("after %v:\n%s", time.Since(began).Round(time.Second), m.Serial.Text())
}
