package main

import (
	"errors"
	"slices"
	"strings"

	"meetzone/appliance/adminapi"
	"meetzone/appliance/helper"
	"meetzone/appliance/update"
)

// updateAdvice is what to do about each reason to refuse an update.
var updateAdvice = []struct {
	reason error
	advice string
}{
	{update.ErrFormat, "Use a file that ends in .bundle, as it was published."},
	{update.ErrTruncated, "Fetch or copy it again, whole."},
	{update.ErrDamaged, "Fetch or copy it again."},
	{update.ErrSignature, "Use a bundle from whoever made this box's software."},
	{update.ErrExpired, "Ask for a newer bundle, and look whether the box's clock is right."},
	{update.ErrWithdrawn, "Ask for a newer bundle."},
	{update.ErrHardware, "Use the bundle for this model."},
	{update.ErrFloor, "Older versions have a hole that is closed here; use a newer one."},
	{update.ErrSame, "There is nothing to do."},
	{update.ErrState, "Use a newer version."},
	{update.ErrTooLarge, "This box's image slots are too small for that version."},
	{update.ErrTrial, "Restart the box, or wait until it is found healthy; `appliance update rollback` takes it back."},
	{update.ErrNoOther, "`appliance update status` shows what is in the image slots."},
	{update.ErrBusy, "`appliance update status` shows it."},
	{update.ErrFetch, "Look whether the server can be reached; what was fetched is kept, and the next try goes on from there."},
	{update.ErrNoSource, "`appliance update install FILE` takes one from here, or look at update.source."},
	{update.ErrNotImage, "Update the software by the means by which it was installed."},
	{helper.ErrUnreachable, "Start meetzone-helper.socket."},
}

// tellUpdate makes of a reason what a person is told. What the helper says comes as text, in which the reason is found again.
func tellUpdate(err error) *adminapi.Error {
	var already *adminapi.Error
	if errors.As(err, &already) {
		return already
	}
	text := err.Error()
	for _, request := range []helper.Request{helper.UpdateInstall{}, helper.UpdateRollback{}, helper.UpdateState{}} {
		text = strings.TrimPrefix(text, helper.Name(request)+": ")
	}
	told := &adminapi.Error{Code: adminapi.CodeConflict, Text: sentence(text)}
	for _, known := range updateAdvice {
		if errors.Is(err, known.reason) || strings.HasPrefix(text, known.reason.Error()) {
			told.Advice = known.advice
			return told
		}
	}
	told.Code, told.Advice = adminapi.CodeServer, "The log of the daemon and of the helper have more."
	return told
}

// updateAlarms tells of the last update when it went wrong and nobody was there to see it: until the next one is installed.
func updateAlarms(ledger string) []adminapi.Alarm {
	l, err := update.ReadLedger(ledger)
	if err != nil {
		return nil // no image, or root has just replaced it: the next look is in a few seconds
	}
	for _, e := range slices.Backward(l.Events) {
		switch e.Kind {
		case update.EventFellBack:
			return []adminapi.Alarm{{Code: "update-fell-back", Text: e.Text, Since: e.At}}
		case update.EventFailed:
			return []adminapi.Alarm{{Code: "update-failed", Text: "The update to version " + e.Version + " failed: " + e.Text + ".", Since: e.At}}
		case update.EventInstalled, update.EventBlessed, update.EventRolled:
			return nil
		}
	}
	return nil
}
