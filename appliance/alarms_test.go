package main

import (
	"encoding/json"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"meetzone/appliance/adminapi"
)

// TestAlarmsAreDocumented: each alarm has a row in the operator's page, and each row is an alarm.
func TestAlarmsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Alarms\n")
	section, _, _ = strings.Cut(section, "\n## ")
	rows := map[string]bool{}
	for line := range strings.Lines(section) {
		if rest, found := strings.CutPrefix(line, "| `"); found {
			code, _, _ := strings.Cut(rest, "`")
			rows[code] = true
			if alarmAdvice[code] == "" {
				t.Errorf("%s is documented and has no advice", code)
			}
		}
	}
	for code := range alarmAdvice {
		if !rows[code] {
			t.Errorf("%s is not documented", code)
		}
	}
}

// TestAdviceCanBeFollowed: the commands that advices name exist.
func TestAdviceCanBeFollowed(t *testing.T) {
	for code, advice := range alarmAdvice {
		parts := strings.Split(advice, "`")
		for i := 1; i < len(parts); i += 2 {
			args, found := strings.CutPrefix(parts[i], "appliance ")
			if !found {
				t.Errorf("%s: %q is no command of the appliance", code, parts[i])
				continue
			}
			if cmd, rest, err := newRootCommand().Find(words(args)); err != nil || len(rest) > 0 || !cmd.Runnable() {
				t.Errorf("%s: there is no `%s`: %v %v", code, parts[i], rest, err)
			}
		}
	}
}

// TestAlarmBoard: an alarm keeps its time while it stands, and is raised and over once.
func TestAlarmBoard(t *testing.T) {
	var b alarmBoard
	begin := time.Now()
	list := func() []adminapi.Alarm {
		return []adminapi.Alarm{{Code: "drops"}, {Code: "tunnel"}, {Code: "tunnel", Since: begin.Add(-time.Hour)}}
	}
	if raised, over := b.note(list(), begin); strings.Join(raised, " ") != "drops tunnel" || over != nil {
		t.Errorf("raised %v, over %v", raised, over)
	}
	again := list()
	if raised, over := b.note(again, begin.Add(time.Minute)); raised != nil || over != nil || !again[0].Since.Equal(begin) || !again[2].Since.Equal(begin.Add(-time.Hour)) {
		t.Errorf("raised %v, over %v, %+v", raised, over, again)
	}
	if raised, over := b.note(again[1:], begin.Add(time.Minute)); raised != nil || strings.Join(over, " ") != "drops" {
		t.Errorf("raised %v, over %v", raised, over)
	}
}

// TestAlarmBoardTakesOneByOne: lists are collected and noted one after another, so that an alarm is raised once, and the last one stays to be read.
func TestAlarmBoardTakesOneByOne(t *testing.T) {
	var b alarmBoard
	if b.last.Load() != nil {
		t.Error("a list before the first")
	}
	var taking sync.WaitGroup
	var inside, raised atomic.Int32
	for range 8 {
		taking.Go(func() {
			_, news, _ := b.take(func() []adminapi.Alarm {
				if inside.Add(1) != 1 {
					t.Error("two collect at once")
				}
				runtime.Gosched()
				inside.Add(-1)
				return []adminapi.Alarm{{Code: "drops"}}
			})
			raised.Add(int32(len(news)))
		})
	}
	taking.Wait()
	if last := b.last.Load(); raised.Load() != 1 || last == nil || len(*last) != 1 || (*last)[0].Since.IsZero() {
		t.Errorf("raised %d times, last %+v", raised.Load(), last)
	}
	if _, _, over := b.take(func() []adminapi.Alarm { return nil }); len(over) != 1 || len(*b.last.Load()) != 0 {
		t.Errorf("over %v, last %+v", over, *b.last.Load())
	}
}

// TestLoadAlarms: drops of the last minute and a worker that stays busy are alarms, a short peak is none.
func TestLoadAlarms(t *testing.T) {
	var m loadMeter
	codes := func() string {
		var out []string
		for _, a := range m.alarms() {
			out = append(out, a.Code)
		}
		return strings.Join(out, " ")
	}
	m.watch(0.99, 3)
	if got := codes(); got != "drops" {
		t.Errorf("after a drop: %q", got)
	}
	for range dropsWindow {
		m.watch(0.5, 0)
	}
	if got := codes(); got != "" {
		t.Errorf("a minute later: %q", got)
	}
	for range overloadFor {
		m.watch(0.95, 0)
	}
	if got := codes(); got != "overloaded" {
		t.Errorf("busy for long: %q", got)
	}
	m.watch(0.2, 0)
	if got := codes(); got != "" {
		t.Errorf("at rest: %q", got)
	}
}

func TestDiskAlarms(t *testing.T) {
	if list := diskAlarms("/does/not/exist", 2*time.Second); len(list) != 1 || list[0].Code != "store-slow" || !strings.Contains(list[0].Text, "2s") {
		t.Errorf("%+v", list)
	}
}

func TestAlarmsCommand(t *testing.T) {
	c := newCommandLine(t)
	c.want(0, words("alarms"), "ALARM store-full", "The disk is full.", "Free some space.")
	var list []adminapi.Alarm
	if err := json.Unmarshal([]byte(c.want(0, words("alarms --json"))), &list); err != nil || len(list) != 1 || list[0].Advice == "" {
		t.Errorf("%+v, %v", list, err)
	}
}
