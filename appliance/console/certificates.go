package console

import (
	"context"
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"

	"meetzone/appliance/adminapi"
)

func openCertificates(a *app) tea.Cmd {
	var list []adminapi.Certificate
	t := &table{name: "Certificates", head: []string{"NAME", "STATE", "ISSUER", "UNTIL", ""}, empty: "There are none."}
	t.fetch = func(a *app) tea.Cmd {
		return ask(a, t, a.client.Certificates, func(c adminapi.Certificates) tea.Cmd {
			list = c.Certificates
			var rows [][]string
			for _, one := range list {
				note := ""
				if n := len(one.Warnings); n > 0 {
					note = fmt.Sprintf("%d warnings", n)
				}
				until := ""
				if !one.NotAfter.IsZero() {
					until = one.NotAfter.UTC().Format("2006-01-02")
				}
				rows = append(rows, []string{one.Name, one.State, one.Issuer, until, note})
			}
			t.set(rows)
			return nil
		})
	}
	t.open = func(a *app, row int) tea.Cmd { return a.push(certificatePage(list[row])) }
	t.actions = []action{
		{"r", "request", func(a *app) tea.Cmd { return a.push(requestForm()) }},
		{"i", "install", func(a *app) tea.Cmd { return a.push(installForm("")) }},
		{"m", "ACME", func(a *app) tea.Cmd {
			return withDocument(a, func(now zoneNow) tea.Cmd { return a.push(acmeForm(now)) })
		}},
	}
	return a.push(t)
}

func certificatePage(c adminapi.Certificate) *page {
	p := &page{name: "Certificate " + c.Name}
	p.lines = func(_ *app, width int) (out []line) {
		add := func(name, text string) {
			for i, t := range wrap(text, max(20, width-13)) {
				if i > 0 {
					name = ""
				}
				out = append(out, line{{fmt.Sprintf("%-13s", name), bold}, {t, 0}})
			}
		}
		add("State", c.State)
		add("Subject", c.Subject)
		add("Issuer", c.Issuer)
		add("Names", strings.Join(c.Names, ", "))
		add("From", c.NotBefore.UTC().Format("2006-01-02 15:04 MST"))
		add("Until", c.NotAfter.UTC().Format("2006-01-02 15:04 MST"))
		add("Fingerprint", spread(c.Fingerprint))
		for _, w := range c.Warnings {
			add("Warning", w)
		}
		return out
	}
	p.actions = []action{
		{"u", "use it", func(a *app) tea.Cmd {
			return change(a, p, "", nil, set{"certificate.name", c.Name})
		}},
		{"i", "install", func(a *app) tea.Cmd { return a.push(installForm(c.Name)) }},
	}
	return p
}

func requestForm() *form {
	f := &form{name: "Request a certificate", verb: "make key and request", intro: "The box makes a key, which never leaves it, and a request (CSR) that your authority signs.", fields: []*field{
		textField("Name", "corporate", "What the certificate is called on this box: letters, digits and hyphens."),
		textField("Hosts", "", "Names and addresses that it is for, separated by spaces. Empty: the names in links (zone.hosts)."),
	}}
	f.done = func(a *app, f *form) tea.Cmd {
		asked := adminapi.SigningRequest{Name: f.text("Name"), Hosts: words(f.text("Hosts"))}
		return ask(a, f, func(ctx context.Context) (adminapi.Signable, error) { return a.client.RequestCertificate(ctx, asked) }, func(s adminapi.Signable) tea.Cmd {
			return a.replace(signablePage(asked.Name, s.Request))
		})
	}
	return f
}

func signablePage(name, request string) *page {
	p := &page{name: "Request for " + name}
	p.lines = func(_ *app, width int) []line {
		out := plainLines(wrap("Have this signed, then install what comes back under the same name. v shows it as QR codes.", width))
		return append(append(out, nil), plainLines(strings.Split(strings.TrimSpace(request), "\n"))...)
	}
	p.actions = []action{
		{"v", "QR", func(a *app) tea.Cmd { return newCodes(a, request, "Request for the certificate "+name) }},
		{"i", "install what was signed", func(a *app) tea.Cmd { return a.push(installForm(name)) }},
	}
	return p
}

func installForm(name string) *form {
	chain := textField("Certificate", "", "Paste the certificate as PEM, then those of the authorities between. Tab when it is all there.")
	chain.several = true
	privateKey := textField("Key", "", "Paste the key as PEM, or leave it empty where the box made the request. Tab installs.")
	privateKey.several = true
	f := &form{name: "Install a certificate", verb: "install", fields: []*field{textField("Name", name, "What it is called on this box."), chain, privateKey}}
	chain.shown, privateKey.shown = nil, nil
	f.done = func(a *app, f *form) tea.Cmd {
		c := adminapi.InstallCertificate{Name: f.text("Name"), Chain: f.text("Certificate"), Key: f.text("Key")}
		return ask(a, f, func(ctx context.Context) (adminapi.Certificates, error) { return a.client.InstallCertificate(ctx, c) }, func(all adminapi.Certificates) tea.Cmd {
			privateKey.value = nil
			a.drop(f)
			a.say("The certificate %s is installed.", c.Name)
			for _, one := range all.Certificates {
				if one.Name == c.Name {
					return a.push(certificatePage(one))
				}
			}
			return nil
		})
	}
	return f
}

func acmeForm(now zoneNow) *form {
	f := &form{name: "Certificate from an authority (ACME)", verb: "review", intro: "The box obtains a certificate for its names in links, and renews it by itself.", fields: []*field{
		textField("Directory", now.Certificate.ACME.Directory, "URL of the authority's directory, such as https://ca.example/acme/directory."),
		textField("E-mail", now.Certificate.ACME.Email, "Whom the authority may write to; may be empty."),
		choice("Use it", []string{"yes", "no"}, "yes", "no: the self-signed certificate is shown."),
	}}
	f.done = func(a *app, f *form) tea.Cmd {
		name := "acme"
		if f.text("Use it") == "no" {
			name = "self-signed"
		}
		return change(a, f, "", nil, set{"certificate.acme.directory", f.text("Directory")}, set{"certificate.acme.email", f.text("E-mail")},
			set{"certificate.name", name})
	}
	return f
}
