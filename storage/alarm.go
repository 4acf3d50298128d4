package storage

import (
	"slices"
	"time"
)

// AlarmCode names what is wrong with the store.
type AlarmCode string

// The alarms.
const (
	StoreSilent AlarmCode = "store-silent" // a write does not return
	StoreFull   AlarmCode = "store-full"   // no space left
	StoreFailed AlarmCode = "store-failed" // the disk reported an error
)

// Alarm is something that a person should look at. While there is one, changes are refused and reads go on.
type Alarm struct {
	Code  AlarmCode
	Text  string
	Since time.Time
}

var alarmTexts = map[AlarmCode]string{
	StoreSilent: "The disk does not answer. Changes are refused, meetings go on.",
	StoreFull:   "The disk is full. Changes are refused, meetings go on.",
	StoreFailed: "The disk reported an error. Changes are refused until a restart, meetings go on.",
}

// Alarms returns the alarms that stand at present.
func (s *Store) Alarms() []Alarm {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.alarms)
}

// raise sets the alarm and reports it once.
func (s *Store) raise(code AlarmCode, cause error) {
	s.mu.Lock()
	known := slices.ContainsFunc(s.alarms, func(a Alarm) bool { return a.Code == code })
	if !known {
		s.alarms = append(s.alarms, Alarm{Code: code, Text: alarmTexts[code], Since: time.Now()})
	}
	s.mu.Unlock()
	if !known {
		s.cfg.Logger.Error("store alarm", "alarm", code, "cause", cause)
	}
}

// clear takes the alarms back.
func (s *Store) clear(codes ...AlarmCode) {
	s.mu.Lock()
	before := len(s.alarms)
	s.alarms = slices.DeleteFunc(s.alarms, func(a Alarm) bool { return slices.Contains(codes, a.Code) })
	gone := before - len(s.alarms)
	s.mu.Unlock()
	if gone > 0 {
		s.cfg.Logger.Info("store alarm over", "alarms", codes)
	}
}

func (s *Store) alarmed(code AlarmCode) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.alarms, func(a Alarm) bool { return a.Code == code })
}
