package main

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"meetzone/appliance/adminapi"
	"meetzone/appliance/console"
)

func newConsoleCommand() *cobra.Command {
	var socket, characters string
	cmd := &cobra.Command{
		Use:   "console",
		Short: "Show and configure the box on the whole of this terminal",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client := adminapi.New(socket)
			defer client.Close()
			charset := console.CharsetOf(os.Getenv)
			if named, ok := charsets[characters]; ok {
				charset = named
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGHUP)
			defer stop()
			return console.Run(ctx, console.Config{Client: client, In: os.Stdin, Out: os.Stdout, Charset: charset})
		},
	}
	cmd.Flags().StringVar(&socket, "admin", adminapi.DefaultSocket, "admin `SOCKET` of the daemon")
	cmd.Flags().StringVar(&characters, "characters", "", "what the terminal can show: `ascii`, latin or unicode; else it is guessed from TERM and LANG")
	return cmd
}

var charsets = map[string]console.Charset{"ascii": console.ASCII, "latin": console.Latin, "unicode": console.Unicode}
