package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"meetzone/zonectl/client"
)

func main() { os.Exit(run()) }

// run is main with an exit status.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := &cobra.Command{
		Use:           "zoneclient",
		Short:         "Joins meetings of a zone from the command line, and generates load",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(newJoinCommand(), newProbeCommand(), newPathCommand(), newLoadCommand())
	command, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	told := describe(err)
	if asJSON, flagErr := command.Flags().GetBool("json"); flagErr == nil && asJSON {
		_ = json.NewEncoder(os.Stdout).Encode(map[string]failure{"error": told})
	}
	fmt.Fprintln(os.Stderr, "zoneclient: "+told.String())
	return 1
}

// failure is an error as a person or a program is told it.
type failure struct {
	Stage       string        `json:"stage,omitempty"`
	Text        string        `json:"text"`
	Advice      string        `json:"advice,omitempty"`
	Fingerprint string        `json:"fingerprint,omitempty"`
	Link        string        `json:"link,omitempty"`  // of the web client
	Tried       []triedReport `json:"tried,omitempty"` // to get as far as the control channel
}

// String returns the sentences.
func (f failure) String() string {
	text := f.Text
	if f.Advice != "" {
		text += " " + f.Advice
	}
	if f.Link != "" {
		text += "\nOr join in a browser, which needs no other software: " + f.Link
	}
	return text
}

// describe turns an error into sentences, with advice in terms of this command's flags.
func describe(err error) failure {
	var told *client.Error
	if !errors.As(err, &told) {
		return failure{Text: err.Error()}
	}
	f := failure{Stage: string(told.Stage), Text: told.Text, Advice: told.Advice, Link: told.Link, Tried: triedOf(told.Tried)}
	var untrusted *client.UntrustedError
	if errors.As(err, &untrusted) {
		f.Fingerprint = untrusted.Fingerprint
		f.Advice = "Compare the fingerprint with the one that the box shows. If it is the same, give the certificate, or that of its authority, with --ca FILE; " +
			"for a test --insecure trusts any certificate. If it is another one, a proxy on the way opens TLS connections: ask the network's administrator to let " +
			"those to " + untrusted.Host + " pass unopened."
	}
	return f
}
