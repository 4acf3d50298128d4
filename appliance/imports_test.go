package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// mayImport is the picture of docs/architecture.md as a table: for each folder of the project, which others its code may import.
// A folder's own internal packages are always its own business. Tests may import more, since they stand outside.
var mayImport = map[string][]string{
	"appliance":                 {"appliance/admin", "appliance/adminapi", "appliance/audit", "appliance/backup", "appliance/capture", "appliance/config", "appliance/console", "appliance/firewall", "appliance/helper", "appliance/lldp", "appliance/network", "appliance/people", "appliance/syslog", "appliance/tuning", "appliance/update", "dataplane", "dataplane/tunnel", "dataplane/turn", "dscp", "dscp/enforce", "mmr", "storage", "zonectl", "zonectl/quality", "zonectl/web", "zonectl/wire"},
	"appliance/config":          {"dscp"},
	"appliance/capture":         {"dscp"},
	"appliance/adminapi":        {},
	"appliance/console":         {"appliance/adminapi"},
	"appliance/dhcp":            {},
	"appliance/firewall":        {"dscp/drift"},
	"appliance/lldp":            {},
	"appliance/network":         {"appliance/dhcp", "dscp/drift"},
	"appliance/helper":          {"appliance/update"},
	"appliance/tuning":          {},
	"appliance/admin":           {"appliance/adminapi", "appliance/audit", "appliance/backup", "appliance/config", "appliance/people", "storage"},
	"appliance/people":          {"storage"},
	"appliance/update":          {},
	"appliance/audit":           {"storage"},
	"appliance/backup":          {},
	"appliance/syslog":          {},
	"appliance/appliancetest":   {"dataplane/nstest"},
	"zonectl":                   {"zonectl/wire", "zonectl/quality", "zonectl/web", "mmr", "dscp"},
	"zonectl/wire":              {},
	"zonectl/quality":           {"zonectl/wire"},
	"zonectl/web":               {},
	"zonectl/client":            {"zonectl/wire", "zonectl/client/media", "dataplane/tunnel", "dscp"},
	"zonectl/client/media":      {},
	"zonectl/client/zoneclient": {"dscp", "zonectl/client", "zonectl/client/media", "zonectl/wire"},
	"image":                     {},
	"image/qemu":                {},
	"mmr":                       {"dataplane", "dscp"},
	"dataplane":                 {"dscp"},
	"dataplane/nstest":          {},
	"dataplane/tunnel":          {},
	"dataplane/turn":            {"dataplane", "dscp"},
	"dscp":                      {},
	"dscp/drift":                {},
	"dscp/enforce":              {"dscp", "dscp/drift"},
	"storage":                   {},
	"storage/storagetest":       {"storage"},
}

// TestImports parses the files itself: a test that asked the go command would be answered from the test cache.
func TestImports(t *testing.T) {
	found := 0
	err := filepath.WalkDir("..", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || d.Name() == "node_modules" || (strings.HasPrefix(d.Name(), ".") && d.Name() != "..")) {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		found++
		rel, err := filepath.Rel("..", file)
		if err != nil {
			return err
		}
		checkImports(t, file, path.Dir(filepath.ToSlash(rel)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found < 20 {
		t.Fatalf("only %d files found: the test looks in the wrong place", found)
	}
}

func checkImports(t *testing.T, file, folder string) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		t.Error(err)
		return
	}
	owner, _, _ := strings.Cut(folder, "/internal")
	allowed, known := mayImport[owner]
	if !known {
		t.Errorf("%s: folder %s is not in the table: decide what it may import, here and in docs/architecture.md", file, owner)
		return
	}
	for _, spec := range parsed.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Error(err)
			continue
		}
		to, ours := strings.CutPrefix(name, "meetzone/")
		if !ours || strings.HasPrefix(to, owner+"/internal/") {
			continue
		}
		if !slices.Contains(allowed, to) {
			t.Errorf("%s: %s imports %s, which the table does not allow", file, owner, to)
		}
	}
}
