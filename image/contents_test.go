package image

import (
	"bufio"
	"debug/pe"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// list reads one of the lists beside the image.
func list(t *testing.T, kind string) (lines []string) {
	t.Helper()
	needImage(t)
	target, err := filepath.EvalSymlinks(disk)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(strings.TrimSuffix(target, ".raw") + "." + kind)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for scanner := bufio.NewScanner(f); scanner.Scan(); {
		lines = append(lines, scanner.Text())
	}
	return lines
}

// devices are what racks and hypervisors have, one of each driver that the appliance promises, as the kernel names them.
var devices = map[string]string{
	"igb":          "pci:v00008086d00001521sv00008086sd00000001bc02sc00i00", // I350
	"igc":          "pci:v00008086d000015F2sv00008086sd00000001bc02sc00i00", // I225-LM
	"ixgbe":        "pci:v00008086d00001528sv00008086sd00000001bc02sc00i00", // X540
	"i40e":         "pci:v00008086d00001572sv00008086sd00000001bc02sc00i00", // X710
	"ice":          "pci:v00008086d00001592sv00008086sd00000001bc02sc00i00", // E810-C
	"bnxt_en":      "pci:v000014E4d000016D7sv000014E4sd00000001bc02sc00i00", // BCM57414
	"mlx5_core":    "pci:v000015B3d00001017sv000015B3sd00000001bc02sc00i00", // ConnectX-5
	"tg3":          "pci:v000014E4d0000165Fsv000014E4sd00000001bc02sc00i00", // BCM5720
	"e1000e":       "pci:v00008086d000010D3sv00008086sd00000001bc02sc00i00", // 82574L
	"r8169":        "pci:v000010ECd00008168sv000010ECsd00000001bc02sc00i00", // RTL8111
	"virtio_net":   "virtio:d00000001v00001AF4",
	"vmxnet3":      "pci:v000015ADd000007B0sv000015ADsd000007B0bc02sc00i00",
	"nvme":         "pci:v0000144Dd0000A80Asv0000144Dsd0000A801bc01sc08i02",
	"ahci":         "pci:v00008086d0000A182sv00008086sd00000001bc01sc06i01",
	"megaraid_sas": "pci:v00001000d0000005Dsv00001000sd00000001bc01sc04i00", // SAS3108
	"mpt3sas":      "pci:v00001000d00000097sv00001000sd00000001bc01sc07i00", // SAS3008
}

// TestVMDrivers: for each device of the list the image has the driver that the kernel would load, and every firmware that these drivers ask for.
func TestVMDrivers(t *testing.T) {
	aliases := map[string][]string{} // patterns by module
	for _, line := range list(t, "modalias") {
		if words := strings.Fields(line); len(words) == 3 && words[0] == "alias" {
			aliases[words[2]] = append(aliases[words[2]], words[1])
		}
	}
	files := map[string]bool{}
	modules := map[string]bool{}
	for _, line := range list(t, "files") {
		name, _, _ := strings.Cut(strings.SplitN(line, " ", 3)[2], " -> ")
		files[name] = true
		if base, found := strings.CutSuffix(path.Base(name), ".ko.xz"); found {
			modules[strings.ReplaceAll(base, "-", "_")] = true
		}
	}
	for driver, device := range devices {
		found := false
		for _, pattern := range aliases[driver] {
			if ok, err := path.Match(pattern, device); err == nil && ok {
				found = true
			}
		}
		if !found || !modules[driver] {
			t.Errorf("%s: no alias for %s (of %d), or no module (%v)", driver, device, len(aliases[driver]), modules[driver])
		}
	}
	asked := 0
	for _, line := range list(t, "firmware") {
		driver, file, _ := strings.Cut(line, " ")
		asked++
		if !files["usr/lib/firmware/"+file] {
			t.Errorf("%s asks for firmware %s, which is not there", driver, file)
		}
	}
	t.Logf("%d drivers, %d files of firmware, %d modules", len(devices), asked, len(modules))
}

// TestVMNobodyBecomesRoot: nothing in the root changes who somebody is, and nothing offers a login.
func TestVMNobodyBecomesRoot(t *testing.T) {
	total, replaced := 0, map[string]bool{}
	for _, line := range list(t, "files") {
		words := strings.SplitN(line, " ", 3)
		mode := words[0]
		name, target, _ := strings.Cut(words[2], " -> ")
		if mode[0] == '-' && strings.ContainsAny(mode, "sS") {
			t.Errorf("%s has %s", name, mode)
		}
		if base := path.Base(name); strings.HasPrefix(name, "etc/systemd/system/") && (strings.Contains(base, "getty@") || strings.HasPrefix(base, "console-getty")) {
			if target != "/dev/null" && path.Base(target) != "meetzone-console@.service" {
				t.Errorf("%s leads to %s: it offers a login", name, target)
			}
			replaced[base] = true
		}
		if path.Base(name) == "sshd" || path.Base(name) == "sudo" {
			t.Errorf("%s is in the root", name)
		}
		if size, err := strconv.Atoi(words[1]); err == nil && mode[0] == '-' {
			total += size
		}
	}
	for _, unit := range []string{"getty@.service", "serial-getty@.service", "console-getty.service", "container-getty@.service"} {
		if !replaced[unit] {
			t.Errorf("%s is Debian's and offers a login", unit)
		}
	}
	t.Logf("%d bytes in files", total)
}

// TestVMKernelHasNoProfiles: systemd-boot starts a counted kernel that has profiles by another one than the first, whatever that does.
func TestVMKernelHasNoProfiles(t *testing.T) {
	needImage(t)
	target, err := filepath.EvalSymlinks(disk)
	if err != nil {
		t.Fatal(err)
	}
	f, err := pe.Open(strings.TrimSuffix(target, ".raw") + ".efi")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Section(".cmdline") == nil {
		t.Error("the kernel has no command line of its own")
	}
	for _, section := range f.Sections {
		if section.Name == ".profile" {
			t.Error("the kernel has a profile")
		}
	}
}
