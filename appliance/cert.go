package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"meetzone/appliance/admin"
	"meetzone/appliance/adminapi"
)

// boxCertificates is the certificates as the admin API sees them.
type boxCertificates struct{ d *daemon }

var _ admin.Certificates = boxCertificates{}

// Certificates implements admin.Certificates.
func (b boxCertificates) Certificates() []adminapi.Certificate {
	return b.d.tls.list(b.d.revisions.Running().Document.Zone.Hosts)
}

// RequestCertificate implements admin.Certificates.
func (b boxCertificates) RequestCertificate(request adminapi.SigningRequest) (string, error) {
	hosts := request.Hosts
	if len(hosts) == 0 {
		hosts = b.d.revisions.Running().Document.Zone.Hosts
	}
	text, err := b.d.tls.request(request.Name, hosts)
	return string(text), err
}

// InstallCertificate implements admin.Certificates.
func (b boxCertificates) InstallCertificate(c adminapi.InstallCertificate) error {
	return b.d.tls.install(c.Name, []byte(c.Chain), []byte(c.Key))
}

func newCertCommand() *cobra.Command {
	r := new(remote)
	cmd := &cobra.Command{Use: "cert", Short: "Show the box's certificates, request and install others", Args: cobra.NoArgs, RunE: showHelp,
		Long: "The certificate that HTTPS and TURN over TLS show is named by certificate.name: self-signed, acme (obtained from certificate.acme.directory and renewed\n" +
			"by itself), or one that is installed here. Keys are made on the box and stay there."}
	r.flags(cmd)
	cmd.AddCommand(r.certShowCommand(), r.certRequestCommand(), r.certInstallCommand())
	return cmd
}

func (r *remote) certShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show",
		Short: "Show all certificates, how long they last, and what is wrong with them",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := r.client().Certificates(cmd.Context())
			if err != nil {
				return err
			}
			return r.show(cmd, list, func(w io.Writer) { printCertificates(w, list.Certificates) })
		},
	}
}

func printCertificates(w io.Writer, list []adminapi.Certificate) {
	for i, c := range list {
		if i > 0 {
			fmt.Fprintln(w)
		}
		rows := [][]string{{"Name", c.Name + "   (" + c.State + ")"}}
		if c.Fingerprint != "" {
			rows = append(rows, []string{"Subject", oneLine(c.Subject)}, []string{"Issuer", oneLine(c.Issuer)}, []string{"Hosts", oneLine(strings.Join(c.Names, " "))},
				[]string{"Valid", when(c.NotBefore) + " to " + when(c.NotAfter)}, []string{"SHA-256", c.Fingerprint})
		}
		for _, warning := range c.Warnings {
			rows = append(rows, []string{"WARNING", warning})
		}
		table(w, rows)
	}
}

func (r *remote) certRequestCommand() *cobra.Command {
	var request adminapi.SigningRequest
	cmd := &cobra.Command{
		Use:     "csr NAME",
		Short:   "Make a key on the box, and print a request that your authority can sign",
		Example: "  appliance cert csr office --host meet.example --host 192.0.2.7 >office.csr",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			request.Name = args[0]
			answer, err := r.client().RequestCertificate(cmd.Context(), request)
			if err != nil {
				return err
			}
			return r.show(cmd, answer, func(w io.Writer) { fmt.Fprint(w, answer.Request) })
		},
	}
	cmd.Flags().StringSliceVar(&request.Hosts, "host", nil, "host `NAME` or address; otherwise those of zone.hosts")
	return cmd
}

func (r *remote) certInstallCommand() *cobra.Command {
	var chain, key string
	var use bool
	cmd := &cobra.Command{
		Use:   "install NAME --chain FILE",
		Short: "Install a signed certificate; one of the same name is renewed, in use or not",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			asked := adminapi.InstallCertificate{Name: args[0]}
			for path, to := range map[string]*string{chain: &asked.Chain, key: &asked.Key} {
				if path == "" {
					continue
				}
				text, err := readPEM(cmd, path)
				if err != nil {
					return err
				}
				*to = text
			}
			list, err := r.client().InstallCertificate(cmd.Context(), asked)
			if err != nil {
				return err
			}
			if !use {
				return r.show(cmd, list, func(w io.Writer) {
					printCertificates(w, list.Certificates)
					fmt.Fprintf(w, "\n`appliance config set certificate.name %s --commit` has the box show it.\n", asked.Name)
				})
			}
			if err := r.client().Set(cmd.Context(), adminapi.Change{Path: "certificate.name", Value: asked.Name}); err != nil {
				return err
			}
			return r.commit(cmd, committing{comment: "certificate " + asked.Name})
		},
	}
	cmd.Flags().StringVar(&chain, "chain", "", "PEM `FILE`: the certificate, then the authorities between it and the root; - is standard input")
	cmd.Flags().StringVar(&key, "key", "", "PEM `FILE` of the key, where it was not made by csr")
	cmd.Flags().BoolVar(&use, "use", false, "show it from now on; this commits the candidate")
	_ = cmd.MarkFlagRequired("chain")
	return cmd
}

func readPEM(cmd *cobra.Command, path string) (string, error) {
	if path == "-" {
		text, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), maxPEM+1))
		return string(text), err
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("the file cannot be read: %w", err)
	}
	if info.Size() > maxPEM {
		return "", fmt.Errorf("%s is too large for a certificate", path)
	}
	text, err := os.ReadFile(path)
	return string(text), err
}
