package console

import (
	"context"
	"errors"
	"fmt"
	"time"

	tea "charm.land/bubbletea/v2"

	"meetzone/appliance/adminapi"
)

// gate is what is shown while nobody has logged in: what everybody may see who stands before the box.
type gate struct {
	home  adminapi.Home
	known bool
	at    time.Time
}

// lock takes everything away and shows the gate. Where the daemon lets this user do everything, nobody has to log in, and the gate opens at once.
func (a *app) lock() tea.Cmd {
	a.client.SetSession("")
	a.known, a.status = false, adminapi.Status{}
	a.session = adminapi.Session{}
	g := new(gate)
	a.stack = []screen{g}
	return g.look(a)
}

// enter is what follows a login.
func (a *app) enter(s adminapi.Session) tea.Cmd {
	a.session = s
	if s.MustChange {
		return a.push(passwordForm(s.User, true))
	}
	return askAll(a, nil, a.client.Rescue, func(r adminapi.Rescue, err error) tea.Cmd {
		if err == nil {
			a.rescue(r)
			return nil
		}
		a.stack = []screen{new(home)} // a daemon that runs does not know the question
		return a.look()
	})
}

func (*gate) title() string { return "Locked" }

func (g *gate) keys() string {
	if g.known && g.home.NoUsers {
		return "Enter begin   Ctrl-L redraw"
	}
	return "Enter log in   Ctrl-L redraw"
}

func (g *gate) look(a *app) tea.Cmd {
	return askAll(a, g, func(ctx context.Context) (adminapi.Home, error) { return a.client.Home(ctx) }, func(h adminapi.Home, err error) tea.Cmd {
		if a.silent = err; err == nil {
			g.home, g.known, g.at = h, true, time.Now()
		}
		return nil
	})
}

func (g *gate) update(a *app, k tea.KeyPressMsg) (tea.Cmd, bool) {
	switch k.String() {
	case "enter":
		if g.known && g.home.NoUsers {
			return a.push(firstUserForm()), true
		}
		return a.push(loginForm()), true
	case "o":
		return a.push(word("Leave the console", "The box goes on.", "leave", func(*app, *form) tea.Cmd { return tea.Quit })), true
	case "q", "left", "esc":
		return nil, true
	}
	return nil, false
}

func (g *gate) view(a *app, width, height int) []line {
	if !g.known {
		text := "Waiting for the daemon."
		if a.silent != nil {
			text = sentence(a.silent)
		}
		return append([]line{nil}, plainLines(wrap(text, width))...)
	}
	picture := pictureOf(a, g.home.URL, width, height)
	left := width
	if picture != nil {
		left = width - codeWidth(picture) - 1
	}
	lines := alarmLines(g.home.Alarms, left)
	lines = append(lines, nil, fact("Box", g.home.Hostname), fact("Zone", g.home.Name+"  "+g.home.Zone), fact("Join at", g.home.URL))
	lines = append(lines, fingerprintLines(g.home.Fingerprint, left)...)
	lines = append(lines, fact("Version", g.home.Version), fact("Time", g.home.Time.Add(time.Since(g.at)).UTC().Format("2006-01-02 15:04:05 MST")), nil)
	say := "Enter: log in to see more and to change anything."
	if g.home.NoUsers {
		say = "This box is new. Enter begins: you choose a name and a password for yourself."
	}
	lines = append(lines, plainLines(wrap(say, left))...)
	return beside(a, lines, picture, left, height)
}

func loginForm() *form {
	f := &form{name: "Log in", verb: "log in", fields: []*field{textField("User", "", ""), secretField("Password", "")}}
	f.done = func(a *app, f *form) tea.Cmd {
		login := adminapi.Login{User: f.text("User"), Password: f.text("Password")}
		return askAll(a, f, func(ctx context.Context) (adminapi.Session, error) { return a.client.Login(ctx, login) }, func(s adminapi.Session, err error) tea.Cmd {
			f.fields[1].value, f.fields[1].at = nil, 0
			if err != nil {
				a.fail(err)
				return nil
			}
			a.drop(f)
			return a.enter(s)
		})
	}
	return f
}

// leaveForm logs out; where nobody had to log in, it ends the console.
func leaveForm(a *app) *form {
	if a.session.IdleS == 0 {
		return word("Leave the console", "The box goes on.", "leave", func(*app, *form) tea.Cmd { return tea.Quit })
	}
	return word("Log out", "The box goes on.", "out", func(a *app, f *form) tea.Cmd {
		return askAll(a, f, func(ctx context.Context) (nothing, error) { return nothing{}, a.client.Logout(ctx) }, func(nothing, error) tea.Cmd { return a.lock() })
	})
}

const labelAgain = "Again"

// firstUserForm makes the first user, who operates the box.
func firstUserForm() *form {
	f := &form{name: "The first user", verb: "go on", fields: []*field{
		textField("User", "admin", "Who you are in the log and in the history."),
		secretField("Password", "At least 10 characters; a sentence is good. Whoever has it may change everything."),
		secretField(labelAgain, "The same again, since you cannot see it."),
	}}
	f.done = func(a *app, f *form) tea.Cmd {
		login := adminapi.Login{User: f.text("User"), Password: f.text("Password")}
		if login.Password != f.text(labelAgain) {
			a.told, a.bad = "The two passwords are not the same.", true
			return nil
		}
		return ask(a, f, func(ctx context.Context) (adminapi.Session, error) { return a.client.First(ctx, login) }, func(s adminapi.Session) tea.Cmd {
			a.drop(f)
			return a.enter(s)
		})
	}
	return f
}

// passwordForm changes the person's own password.
func passwordForm(user string, forced bool) *form {
	f := &form{name: "Password of " + user, verb: "change it", fields: []*field{
		secretField("Old", "The password that you have logged in with."), secretField("New", "At least 10 characters; a sentence is good."), secretField(labelAgain, "The new one again."),
	}}
	if forced {
		f.intro = "The password was set by somebody else. Choose one of your own."
	}
	f.done = func(a *app, f *form) tea.Cmd {
		change := adminapi.ChangePassword{Old: f.text("Old"), New: f.text("New")}
		if change.New != f.text(labelAgain) {
			a.told, a.bad = "The two passwords are not the same.", true
			return nil
		}
		return ask(a, f, func(ctx context.Context) (adminapi.Session, error) { return a.client.ChangePassword(ctx, change) }, func(s adminapi.Session) tea.Cmd {
			a.drop(f)
			a.say("The password is changed.")
			if forced {
				return a.enter(s)
			}
			a.session = s
			return nil
		})
	}
	return f
}

// needsLogin says that nobody is logged in, or not any more.
func needsLogin(err error) bool {
	var told *adminapi.Error
	return errors.As(err, &told) && told.Code == adminapi.CodeLogin
}

// users is the screen of the people who may administer the box.
func openUsers(a *app) tea.Cmd {
	var list []adminapi.User
	t := &table{name: "Users", head: []string{"NAME", "ROLE", "LAST LOGIN", ""}, empty: "There are no users: root administers the box."}
	t.intro = func(a *app, width int) []line {
		if a.session.User == "" {
			return nil
		}
		return []line{plainf("You are %s, and may %s.", a.session.User, a.session.Role)}
	}
	t.fetch = func(a *app) tea.Cmd {
		return ask(a, t, a.client.Users, func(u adminapi.Users) tea.Cmd {
			list = u.Users
			var rows [][]string
			for _, one := range list {
				rows = append(rows, []string{one.Name, one.Role, since(one.LastLogin), userState(one)})
			}
			t.set(rows)
			return nil
		})
	}
	t.open = func(a *app, row int) tea.Cmd { return a.push(userForm(list[row])) }
	t.actions = []action{
		{"n", "new", func(a *app) tea.Cmd { return a.push(newUserForm()) }},
		{"d", "delete", func(a *app) tea.Cmd {
			if len(list) == 0 {
				return nil
			}
			return a.push(removeUser(list[t.now].Name))
		}},
		{"p", "own password", func(a *app) tea.Cmd {
			if a.session.IdleS == 0 {
				a.say("You have not logged in with a password.")
				return nil
			}
			return a.push(passwordForm(a.session.User, false))
		}},
	}
	return a.push(t)
}

func userState(u adminapi.User) string {
	switch {
	case u.LockedS > 0:
		return fmt.Sprintf("locked for %d s", u.LockedS)
	case u.MustChange:
		return "must change the password"
	case u.Sessions > 0:
		return "logged in"
	}
	return ""
}

const helpRole = "view: sees everything, changes nothing. operate: may do everything."

func newUserForm() *form {
	f := &form{name: "New user", verb: "make the user", fields: []*field{
		textField("Name", "", "Small letters, digits and hyphens."), choice("Role", []string{adminapi.RoleView, adminapi.RoleOperate}, adminapi.RoleView, helpRole),
		secretField("Password", "For the first login, at which it has to be changed."),
	}}
	f.done = func(a *app, f *form) tea.Cmd {
		u := adminapi.NewUser{Name: f.text("Name"), Role: f.text("Role"), Password: f.text("Password")}
		return ask(a, f, func(ctx context.Context) (adminapi.User, error) { return a.client.AddUser(ctx, u) }, func(adminapi.User) tea.Cmd {
			a.drop(f)
			a.say("%s may log in.", u.Name)
			return a.look()
		})
	}
	return f
}

func userForm(u adminapi.User) *form {
	f := &form{name: "User " + u.Name, verb: "change", fields: []*field{
		choice("Role", []string{adminapi.RoleView, adminapi.RoleOperate}, u.Role, helpRole),
		secretField("New password", "Empty: it stays. Otherwise it has to be changed at the next login. Ends being locked out."),
	}}
	f.done = func(a *app, f *form) tea.Cmd {
		c := adminapi.UserChange{Password: f.text("New password")}
		if role := f.text("Role"); role != u.Role {
			c.Role = role
		}
		return ask(a, f, func(ctx context.Context) (adminapi.User, error) { return a.client.ChangeUser(ctx, u.Name, c) }, func(adminapi.User) tea.Cmd {
			a.drop(f)
			a.say("%s is changed.", u.Name)
			return a.look()
		})
	}
	return f
}

func removeUser(name string) *form {
	return word("Remove the user "+name, name+" may not log in any more, and is logged out.", "remove", func(a *app, f *form) tea.Cmd {
		return do(a, f, func(ctx context.Context) error { return a.client.RemoveUser(ctx, name) }, func() tea.Cmd {
			a.drop(f)
			a.say("%s is removed.", name)
			return a.look()
		})
	})
}
