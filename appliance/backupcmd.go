package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"meetzone/appliance/adminapi"
)

func newBackupCommand() *cobra.Command {
	r := new(remote)
	cmd := &cobra.Command{Use: "backup", Short: "Make and restore backups", Args: cobra.NoArgs, RunE: showHelp}
	r.flags(cmd)
	cmd.AddCommand(newBackupCreateCommand(r), newBackupListCommand(r), newBackupGetCommand(r), newBackupRestoreCommand(r), newBackupPassphraseCommand(r), &cobra.Command{
		Use: "remove NAME", Short: "Remove a backup from the box", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return r.client().RemoveBackup(cmd.Context(), args[0]) },
	})
	return cmd
}

func newBackupCreateCommand(r *remote) *cobra.Command {
	var from secretSource
	cmd := &cobra.Command{
		Use: "create [FILE]", Short: "Write an encrypted backup into a file, or onto the box's own disk", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				file, err := r.client().MakeBackup(cmd.Context(), adminapi.MakeBackup{Keep: true})
				if err == nil {
					fmt.Fprintf(cmd.OutOrStdout(), "%s, with the passphrase of the box.\n", file.Name)
				}
				return err
			}
			passphrase, err := from.read(cmd, "Passphrase", true)
			if err != nil {
				return err
			}
			file, err := r.client().MakeBackup(cmd.Context(), adminapi.MakeBackup{Passphrase: passphrase})
			if err != nil {
				return err
			}
			return writeNew(args[0], 0o600, file.Data)
		},
	}
	from.flags(cmd, "passphrase")
	return cmd
}

func newBackupListCommand(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the backups on the box", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := r.client().Backups(cmd.Context())
			if err != nil {
				return err
			}
			return r.show(cmd, list, func(w io.Writer) {
				rows := [][]string{{"BACKUP", "MADE", "BYTES"}}
				for _, b := range list.Backups {
					rows = append(rows, []string{b.Name, when(b.Created), fmt.Sprint(b.Bytes)})
				}
				if len(list.Backups) > 0 {
					table(w, rows)
				} else {
					fmt.Fprintln(w, "There are no backups on the box.")
				}
				if !list.Passphrase {
					fmt.Fprintln(w, "The box makes none by itself: set a passphrase (`appliance backup passphrase`) and backup.every.")
				}
				if list.Problem != "" {
					fmt.Fprintln(w, printable(list.Problem))
				}
			})
		},
	}
}

func newBackupGetCommand(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "get NAME FILE", Short: "Copy a backup from the box into a file", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := r.client().Backup(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return writeNew(args[1], 0o600, file.Data)
		},
	}
}

func newBackupPassphraseCommand(r *remote) *cobra.Command {
	var from secretSource
	var forget bool
	cmd := &cobra.Command{
		Use: "passphrase", Short: "Set the passphrase of the backups that the box makes by itself", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if forget {
				return r.client().SetPassphrase(cmd.Context(), adminapi.Passphrase{})
			}
			passphrase, err := from.read(cmd, "Passphrase", true)
			if err != nil {
				return err
			}
			if passphrase == "" {
				return errors.New("the passphrase is empty; --forget takes it away")
			}
			return r.client().SetPassphrase(cmd.Context(), adminapi.Passphrase{Passphrase: passphrase})
		},
	}
	from.flags(cmd, "passphrase")
	cmd.Flags().BoolVar(&forget, "forget", false, "the box makes no more backups by itself")
	return cmd
}

func newBackupRestoreCommand(r *remote) *cobra.Command {
	var from secretSource
	var zoneOnly, users bool
	var confirm time.Duration
	cmd := &cobra.Command{
		Use: "restore FILE|NAME", Short: "Restore a backup; comes undone by itself unless it is confirmed", Args: cobra.ExactArgs(1),
		Long: "Restores keys of the zone, configuration, certificates and meetings, from a file or from a backup on the box. Users that the box has stay as they\n" +
			"are; others are added with --users, or where nobody is but who restores. The box keeps its own identity, and starts again. Unless `appliance config confirm` follows in time, everything is as before.",
		RunE: func(cmd *cobra.Command, args []string) error {
			asked := adminapi.Restore{ZoneOnly: zoneOnly, Users: users, ConfirmS: int64(confirm.Seconds())}
			if backupName.MatchString(args[0]) {
				asked.Name = args[0]
			} else {
				data, err := readBounded(args[0], adminapi.MaxBackup)
				if err != nil {
					return err
				}
				asked.Data = data
			}
			var err error
			if asked.Passphrase, err = from.read(cmd, "Passphrase", false); err != nil {
				return err
			}
			done, err := r.client().Restore(cmd.Context(), asked)
			if err != nil {
				return err
			}
			return r.show(cmd, done, func(w io.Writer) { printRestored(w, done, confirm) })
		},
	}
	from.flags(cmd, "passphrase")
	cmd.Flags().BoolVar(&users, "users", false, "add the users of the backup that the box has not, with their passwords of then")
	cmd.Flags().BoolVar(&zoneOnly, "zone-only", false, "keep this box's own settings (scope box), such as its network")
	cmd.Flags().DurationVar(&confirm, "confirm", 10*time.Minute, "how long to wait for `appliance config confirm`")
	return cmd
}

// readBounded reads a file of at most so many bytes.
func readBounded(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%s is larger than any backup", path)
	}
	return data, err
}

func printRestored(w io.Writer, done adminapi.Restored, confirm time.Duration) {
	fmt.Fprintf(w, "Restoring the backup of %s as revision %d. The box starts again.\n", when(done.Created), done.Revision.Number)
	if !done.SameBox {
		fmt.Fprintln(w, "It was made by another box; this one keeps its own identity.")
	}
	for _, line := range done.Revision.Changes {
		fmt.Fprintf(w, "  %s\n", printable(line))
	}
	for _, name := range done.Users {
		fmt.Fprintf(w, "  user %s is added\n", printable(name))
	}
	for _, name := range done.LeftOut {
		fmt.Fprintf(w, "  user %s of the backup is left out; --users adds those that the box has not\n", printable(name))
	}
	for _, line := range done.Lost {
		fmt.Fprintf(w, "  LOST: %s\n", printable(line))
	}
	fmt.Fprintf(w, "Within %v: `appliance config confirm`, or everything is as it was.\n", confirm)
}
