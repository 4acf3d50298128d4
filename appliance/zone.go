package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"meetzone/appliance/adminapi"
	"meetzone/appliance/config"
)

// The commands zone, site and tunnels change lists of the document. Each change is a commit of its own, unless --candidate keeps it for one.

func newZoneCommand() *cobra.Command {
	r := new(remote)
	cmd := &cobra.Command{Use: "zone", Short: "List, add and remove the zones that lookups name", Args: cobra.NoArgs, RunE: showHelp}
	r.flags(cmd)
	cmd.AddCommand(r.zoneListCommand(), r.zoneShowCommand(), r.zoneAddCommand(),
		r.removeCommand("remove ID", "Remove a zone, and the sites that it is for", func(d *config.Document, id string) bool {
			d.Sites = slices.DeleteFunc(d.Sites, func(s config.Site) bool { return s.Zone == id && id != d.Zone.ID })
			return drop(&d.Zones, func(z config.Place) bool { return z.ID == id })
		}))
	return cmd
}

func (r *remote) zoneListCommand() *cobra.Command {
	var address string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the zones, best first",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := r.client().Zones(cmd.Context(), address)
			if err != nil {
				return err
			}
			return r.show(cmd, list, func(w io.Writer) { printZones(w, list.Zones) })
		},
	}
	cmd.Flags().StringVar(&address, "for", "", "in the order that a client at this `ADDRESS` is told")
	return cmd
}

func printZones(w io.Writer, list []adminapi.Zone) {
	rows := [][]string{{"", "ID", "NAME", "CONTROLLERS", "BECAUSE OF"}}
	for i, z := range list {
		id := z.ID
		if z.Own {
			id += " (this one)"
		}
		rows = append(rows, []string{strconv.Itoa(i + 1), id, oneLine(z.Name), strings.Join(z.Controllers, " "), z.Reason})
	}
	table(w, rows)
}

func (r *remote) zoneShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Show what other zones need to know of this one",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := r.client().Zones(cmd.Context(), "")
			if err != nil {
				return err
			}
			for _, z := range list.Zones {
				if z.Own {
					return r.show(cmd, z, func(w io.Writer) { printOwnZone(w, z) })
				}
			}
			return fmt.Errorf("this box has no zone yet")
		},
	}
}

func printOwnZone(w io.Writer, z adminapi.Zone) {
	table(w, [][]string{{"Zone", z.ID}, {"Name", oneLine(z.Name)}, {"Controllers", strings.Join(z.Controllers, " ")}, {"Public key", z.Key}})
	fmt.Fprintf(w, "\nOn a box of another zone:\n  appliance zone add %s --controllers %s --key %s\n", z.ID, strings.Join(z.Controllers, ","), z.Key)
}

func (r *remote) zoneAddCommand() *cobra.Command {
	var place config.Place
	var location string
	var first bool
	cmd := &cobra.Command{
		Use:     "add ID --controllers URL,…",
		Short:   "Add a zone behind the others, or change what is said of it",
		Example: "  appliance zone add zone-b --name Busan --controllers https://busan.example --key ed25519:… --countries KR --location 35.18,129.08",
		Args:    cobra.ExactArgs(1),
	}
	commit := r.listChange(cmd, func(cmd *cobra.Command, d *config.Document, args []string) error {
		entry := place
		entry.ID = args[0]
		if err := entry.Location.UnmarshalText([]byte(location)); err != nil {
			return err
		}
		if i := slices.IndexFunc(d.Zones, func(z config.Place) bool { return z.ID == entry.ID }); i >= 0 {
			entry = changedPlace(cmd, d.Zones[i], entry)
			d.Zones = slices.Delete(d.Zones, i, i+1)
			d.Zones = slices.Insert(d.Zones, i, entry)
			return nil
		}
		at := len(d.Zones)
		if first {
			at = 0
		}
		d.Zones = slices.Insert(d.Zones, at, entry)
		return nil
	})
	flags := cmd.Flags()
	flags.StringVar(&place.Name, "name", "", "what people see")
	flags.StringSliceVar(&place.Controllers, "controllers", nil, "base `URL`s of its controllers")
	flags.StringVar(&place.Key, "key", "", "its public key, as zone show prints it there")
	flags.StringSliceVar(&place.Countries, "countries", nil, "two-letter `CODE`s of the countries it is for")
	flags.StringVar(&location, "location", "", "`LATITUDE,LONGITUDE`")
	flags.BoolVar(&first, "first", false, "before the others")
	commit.flags(cmd)
	return cmd
}

// changedPlace puts what the flags say over an entry that exists.
func changedPlace(cmd *cobra.Command, was, said config.Place) config.Place {
	for flag, take := range map[string]func(){
		"name": func() { was.Name = said.Name }, "controllers": func() { was.Controllers = said.Controllers }, "key": func() { was.Key = said.Key },
		"countries": func() { was.Countries = said.Countries }, "location": func() { was.Location = said.Location },
	} {
		if cmd.Flags().Changed(flag) {
			take()
		}
	}
	return was
}

func newSiteCommand() *cobra.Command {
	r := new(remote)
	cmd := &cobra.Command{Use: "site", Short: "List, add and remove sites: subnets and the zone that is best for them", Args: cobra.NoArgs, RunE: showHelp}
	r.flags(cmd)
	cmd.AddCommand(r.siteListCommand(), r.siteAddCommand(), r.removeCommand("remove SUBNET", "Remove a site", func(d *config.Document, subnet string) bool {
		return drop(&d.Sites, func(s config.Site) bool { return s.Subnet == subnet })
	}))
	return cmd
}

func (r *remote) siteListCommand() *cobra.Command {
	return r.documentListCommand("List the sites", func(d config.Document) [][]string {
		rows := [][]string{{"SUBNET", "ZONE", "NAME"}}
		for _, s := range d.Sites {
			rows = append(rows, []string{s.Subnet, s.Zone, oneLine(s.Name)})
		}
		return rows
	})
}

func (r *remote) siteAddCommand() *cobra.Command {
	var site config.Site
	cmd := &cobra.Command{
		Use:   "add SUBNET --zone ID",
		Short: "Say which zone is best for a subnet",
		Args:  cobra.ExactArgs(1),
	}
	commit := r.listChange(cmd, func(_ *cobra.Command, d *config.Document, args []string) error {
		entry := site
		entry.Subnet = args[0]
		drop(&d.Sites, func(s config.Site) bool { return s.Subnet == entry.Subnet })
		d.Sites = append(d.Sites, entry)
		return nil
	})
	cmd.Flags().StringVar(&site.Zone, "zone", "", "`ID` of the zone")
	cmd.Flags().StringVar(&site.Name, "name", "", "what people see")
	_ = cmd.MarkFlagRequired("zone")
	commit.flags(cmd)
	return cmd
}

// newTunnelsCommand returns `tunnel`, which also runs one: see tunnel.go.
func newTunnelsCommand() *cobra.Command {
	r := new(remote)
	cmd := &cobra.Command{Args: cobra.NoArgs}
	new(tunnelFlags).runs(cmd)
	r.flags(cmd)
	cmd.AddCommand(r.tunnelListCommand(), r.tunnelAddCommand(), r.removeCommand("remove NAME", "Remove a tunnel", func(d *config.Document, name string) bool {
		return drop(&d.Tunnels, func(t config.Tunnel) bool { return t.Name == name })
	}))
	return cmd
}

func (r *remote) tunnelListCommand() *cobra.Command {
	return r.documentListCommand("List the tunnels", func(d config.Document) [][]string {
		rows := [][]string{{"NAME", "URL", "REGISTERED"}}
		for _, t := range d.Tunnels {
			rows = append(rows, []string{t.Name, t.URL, yesNo(t.Register)})
		}
		return rows
	})
}

func (r *remote) tunnelAddCommand() *cobra.Command {
	var tunnel config.Tunnel
	cmd := &cobra.Command{
		Use:   "add NAME --url URL",
		Short: "Tell clients of a tunnel, and dial out to it where asked",
		Args:  cobra.ExactArgs(1),
	}
	commit := r.listChange(cmd, func(_ *cobra.Command, d *config.Document, args []string) error {
		entry := tunnel
		entry.Name = args[0]
		drop(&d.Tunnels, func(t config.Tunnel) bool { return t.Name == entry.Name })
		d.Tunnels = append(d.Tunnels, entry)
		return nil
	})
	cmd.Flags().StringVar(&tunnel.URL, "url", "", "where clients reach it, `https://HOST`")
	cmd.Flags().StringVar(&tunnel.Fingerprint, "fingerprint", "", "`SHA256` of its certificate, which it logs when it starts; without it, an authority must have issued the certificate")
	cmd.Flags().BoolVar(&tunnel.Register, "register", false, "this box dials out to it and keeps connections")
	_ = cmd.MarkFlagRequired("url")
	commit.flags(cmd)
	return cmd
}

// ---- what the three have in common

// documentListCommand prints a list of the running document; as JSON it is an object for each row, named by the head.
func (r *remote) documentListCommand(short string, of func(config.Document) [][]string) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: short,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			document, _, err := r.document(cmd.Context(), adminapi.SourceRunning)
			if err != nil {
				return err
			}
			rows := of(document)
			list := make([]map[string]string, len(rows)-1)
			for i, row := range rows[1:] {
				list[i] = map[string]string{}
				for j, cell := range row {
					list[i][strings.ToLower(rows[0][j])] = cell
				}
			}
			return r.show(cmd, list, func(w io.Writer) { table(w, rows) })
		},
	}
}

// removeCommand takes an entry out of a list.
func (r *remote) removeCommand(use, short string, remove func(d *config.Document, name string) bool) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: cobra.ExactArgs(1)}
	commit := r.listChange(cmd, func(_ *cobra.Command, d *config.Document, args []string) error {
		if !remove(d, args[0]) {
			return fmt.Errorf("there is no %s in the list; `list` shows what there is", args[0])
		}
		return nil
	})
	commit.flags(cmd)
	return cmd
}

// keeping is the flags --candidate and --comment of commands that commit what they change.
type keeping struct {
	candidate bool
	comment   string
}

func (k *keeping) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&k.candidate, "candidate", false, "only change the candidate; commit it later")
	cmd.Flags().StringVar(&k.comment, "comment", "", "why, for the history")
}

// listChange makes a command change the document. What others have left in the candidate is not committed along with it.
func (r *remote) listChange(cmd *cobra.Command, change func(cmd *cobra.Command, d *config.Document, args []string) error) *keeping {
	keep := new(keeping)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		document, read, err := r.document(cmd.Context(), adminapi.SourceCandidate)
		if err != nil {
			return err
		}
		if read.Edited && !keep.candidate {
			return &adminapi.Error{Code: adminapi.CodeConflict, Text: "The candidate has changes that are not committed, and this command would commit them too.",
				Advice: "Look at `appliance config diff`, then commit or discard them, or use --candidate."}
		}
		if err := change(cmd, &document, args); err != nil {
			return err
		}
		text, err := document.Marshal()
		if err != nil {
			return err
		}
		if err := r.client().Replace(cmd.Context(), adminapi.Document{YAML: string(text), Tag: read.Tag}); err != nil {
			return err
		}
		if keep.candidate {
			return r.diff(cmd)
		}
		if err := r.commit(cmd, committing{comment: keep.comment}); err != nil {
			_ = r.client().Discard(cmd.Context()) // it was as the running one before; what is told is why the commit failed
			return err
		}
		return nil
	}
	return keep
}

// document reads the daemon's document.
func (r *remote) document(ctx context.Context, source string) (config.Document, adminapi.Document, error) {
	read, err := r.client().Config(ctx, "", source)
	if err != nil {
		return config.Document{}, read, err
	}
	document, err := config.ParseStored([]byte(read.YAML))
	return document, read, err
}

// drop takes entries out of a list and says whether there were any.
func drop[T any](list *[]T, is func(T) bool) bool {
	before := len(*list)
	*list = slices.DeleteFunc(*list, is)
	return len(*list) < before
}
