package main

import "github.com/spf13/cobra"

func newUpdateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "update",
		Short: "Bring a new version into the other image slot, and go back",
		RunE:  showHelp,
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(newShowCommand(), newKeygenCommand(), newBundleCommand())
	return cmd
}
