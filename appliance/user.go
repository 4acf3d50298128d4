package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"meetzone/appliance/adminapi"
)

// sessionVariable has the token of a session, so that who is neither root nor the daemon's own user can use the commands:
// eval "$(appliance login ada)".
const sessionVariable = "MEETZONE_SESSION"

func newUserCommand() *cobra.Command {
	r := new(remote)
	cmd := &cobra.Command{Use: "user", Short: "Manage who may administer the box", Args: cobra.NoArgs, RunE: showHelp}
	r.flags(cmd)
	cmd.AddCommand(newUserListCommand(r), newUserAddCommand(r), newUserRoleCommand(r), newUserPasswdCommand(r), newUserUnlockCommand(r), &cobra.Command{
		Use: "remove NAME", Short: "Remove a user and end their sessions", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return r.client().RemoveUser(cmd.Context(), args[0]) },
	})
	return cmd
}

func newUserListCommand(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List users and their roles", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			users, err := r.client().Users(cmd.Context())
			if err != nil {
				return err
			}
			return r.show(cmd, users, func(w io.Writer) {
				if len(users.Users) == 0 {
					fmt.Fprintln(w, "There are no users. `appliance user add NAME --role operate` makes one.")
					return
				}
				rows := [][]string{{"USER", "ROLE", "LAST LOGIN", "PASSWORD FROM", "STATE"}}
				for _, u := range users.Users {
					rows = append(rows, []string{u.Name, u.Role, when(u.LastLogin), when(u.Changed), userState(u)})
				}
				table(w, rows)
			})
		},
	}
}

func userState(u adminapi.User) string {
	var s []string
	if u.LockedS > 0 {
		s = append(s, fmt.Sprintf("locked for %v", time.Duration(u.LockedS)*time.Second))
	}
	if u.Failures > 0 {
		s = append(s, fmt.Sprintf("%d wrong passwords", u.Failures))
	}
	if u.MustChange {
		s = append(s, "has to change the password")
	}
	if u.Sessions > 0 {
		s = append(s, fmt.Sprintf("sessions: %d", u.Sessions))
	}
	return strings.Join(s, ", ")
}

func newUserAddCommand(r *remote) *cobra.Command {
	var role string
	var keep bool
	var from secretSource
	cmd := &cobra.Command{
		Use: "add NAME", Short: "Add a user; the password is asked for, and changed by them at their first login", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			password, err := from.read(cmd, "Password for "+args[0], true)
			if err != nil {
				return err
			}
			_, err = r.client().AddUser(cmd.Context(), adminapi.NewUser{Name: args[0], Role: role, Password: password, Keep: keep})
			return err
		},
	}
	cmd.Flags().StringVar(&role, "role", adminapi.RoleView, "`ROLE`: view or operate")
	cmd.Flags().BoolVar(&keep, "keep", false, "they need not change the password at their first login")
	from.flags(cmd, "password")
	return cmd
}

func newUserRoleCommand(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "role NAME ROLE", Short: "Give a user the role view or operate", Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, err := r.client().ChangeUser(cmd.Context(), args[0], adminapi.UserChange{Role: args[1]})
			return err
		},
	}
}

func newUserUnlockCommand(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "unlock NAME", Short: "Forget a user's wrong passwords", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, err := r.client().ChangeUser(cmd.Context(), args[0], adminapi.UserChange{Unlock: true})
			return err
		},
	}
}

func newUserPasswdCommand(r *remote) *cobra.Command {
	var keep bool
	var from secretSource
	cmd := &cobra.Command{
		Use: "passwd [NAME]", Short: "Change your own password, or set that of a user", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c := r.client()
			if len(args) == 0 {
				return changeOwn(cmd, c, &from)
			}
			password, err := from.read(cmd, "New password for "+args[0], true)
			if err != nil {
				return err
			}
			_, err = c.ChangeUser(cmd.Context(), args[0], adminapi.UserChange{Password: password, Keep: keep})
			return err
		},
	}
	cmd.Flags().BoolVar(&keep, "keep", false, "they need not change it at their next login")
	from.flags(cmd, "password")
	return cmd
}

// changeOwn changes the password of the session's user. The session goes on under a new token, which is printed.
func changeOwn(cmd *cobra.Command, c *adminapi.Client, from *secretSource) error {
	if from.file != "" {
		return errors.New("your own password is asked for: give no file")
	}
	in := bufio.NewReader(cmd.InOrStdin())
	old, err := ask(cmd, in, "Old password")
	if err != nil {
		return err
	}
	fresh, err := askTwice(cmd, in, "New password")
	if err != nil {
		return err
	}
	session, err := c.ChangePassword(cmd.Context(), adminapi.ChangePassword{Old: old, New: fresh})
	if err != nil {
		return err
	}
	printSession(cmd, session)
	return nil
}

func newLoginCommand() *cobra.Command {
	r := new(remote)
	var from secretSource
	cmd := &cobra.Command{
		Use: "login NAME", Short: "Log in: eval \"$(appliance login NAME)\"", Args: cobra.ExactArgs(1),
		Long: "Logs in and prints the shell's command that has all further commands use the session. It ends when nobody uses it for a while, with\n" +
			"`appliance logout`, and with the daemon. Root and the daemon's own user need no session.",
		RunE: func(cmd *cobra.Command, args []string) error {
			password, err := from.read(cmd, "Password", false)
			if err != nil {
				return err
			}
			c := adminapi.New(r.socket)
			session, err := c.Login(cmd.Context(), adminapi.Login{User: args[0], Password: password})
			if err != nil {
				return err
			}
			if session.MustChange {
				fmt.Fprintln(cmd.ErrOrStderr(), "The password has to be changed first: `appliance user passwd`.")
			}
			printSession(cmd, session)
			return nil
		},
	}
	r.flags(cmd)
	from.flags(cmd, "password")
	return cmd
}

func printSession(cmd *cobra.Command, s adminapi.Session) {
	fmt.Fprintf(cmd.OutOrStdout(), "export %s=%s\n", sessionVariable, s.Token)
}

func newLogoutCommand() *cobra.Command {
	r := new(remote)
	cmd := &cobra.Command{
		Use: "logout", Short: "End the session", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := r.client().Logout(cmd.Context()); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "unset %s\n", sessionVariable)
			return nil
		},
	}
	r.flags(cmd)
	return cmd
}

// secretSource is where a password or passphrase comes from: a file, the standard input, or the terminal. Never the command line, which everybody
// on the machine can read.
type secretSource struct{ file string }

func (s *secretSource) flags(cmd *cobra.Command, what string) {
	cmd.Flags().StringVar(&s.file, what+"-file", "", "`FILE` whose first line is the "+what+"; - is the standard input (default: asked for)")
}

// maxSecret bounds what is read, in bytes.
const maxSecret = 4096

// read returns the secret; on a terminal it is asked for, twice where it is a new one.
func (s *secretSource) read(cmd *cobra.Command, prompt string, fresh bool) (string, error) {
	switch s.file {
	case "":
		in := bufio.NewReader(cmd.InOrStdin())
		if fresh {
			return askTwice(cmd, in, prompt)
		}
		return ask(cmd, in, prompt)
	case "-":
		return firstLine(bufio.NewReader(cmd.InOrStdin()))
	}
	f, err := os.Open(s.file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return firstLine(bufio.NewReader(f))
}

func firstLine(in *bufio.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(in, maxSecret)).ReadString('\n')
	line = strings.TrimRight(line, "\r\n")
	if line == "" && err != nil {
		return "", errors.New("there is no secret to read: its first line is empty")
	}
	return line, nil
}

func askTwice(cmd *cobra.Command, in *bufio.Reader, prompt string) (string, error) {
	first, err := ask(cmd, in, prompt)
	if err != nil {
		return "", err
	}
	again, err := ask(cmd, in, prompt+", again")
	if err == nil && again != first {
		err = errors.New("the two are not the same; nothing was changed")
	}
	return first, err
}

// ask asks on the terminal without echo; where the input is none, it reads a line.
func ask(cmd *cobra.Command, in *bufio.Reader, prompt string) (string, error) {
	if f, ok := cmd.InOrStdin().(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s: ", prompt)
		raw, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(cmd.ErrOrStderr())
		return string(raw), err
	}
	line, err := in.ReadString('\n')
	if err != nil && line == "" {
		return "", fmt.Errorf("%s: the input has ended", strings.ToLower(prompt))
	}
	return strings.TrimRight(line, "\r\n"), nil
}

// inSession gives a client the session of the environment.
func inSession(c *adminapi.Client) *adminapi.Client {
	c.SetSession(os.Getenv(sessionVariable))
	return c
}
