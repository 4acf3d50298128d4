package main

import (
	"context"
	"errors"
	"io"
	"os"

	"meetzone/appliance/adminapi"
	"meetzone/appliance/helper"
	"meetzone/appliance/update"
)

// stick has the helper open the newest bundle of the USB sticks.
func (u *updater) stick(ctx context.Context) (file *os.File, err error) {
	err = u.d.helper().Ask(ctx, helper.UpdateStick{}, helper.With{Open: &file})
	return file, err
}

// copyStick copies a bundle into the state folder, so that the stick may be pulled.
func (u *updater) copyStick(ctx context.Context, trust update.Trust) error {
	file, err := u.stick(ctx)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	b, err := update.Open(file, info.Size(), trust)
	if err == nil {
		err = u.fit(ctx, b)
	}
	if err != nil {
		return u.refused(ctx, "", err)
	}
	if err := u.room(info.Size()); err != nil {
		return err
	}
	to, err := os.Create(u.path(uploadedName))
	if err != nil {
		return err
	}
	_, err = io.Copy(to, &tellingReader{ctx, io.NewSectionReader(file, 0, info.Size()), func(done int64) {
		u.step(func(j *adminapi.UpdateJob) { j.Version, j.Done, j.Total = b.Manifest.Version, j.Done+done, info.Size() })
	}})
	return errors.Join(err, to.Sync(), to.Close())
}

// tellingReader tells how much was read, and ends with its context.
type tellingReader struct {
	ctx  context.Context
	from io.Reader
	tell func(int64)
}

func (r *tellingReader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.from.Read(b)
	r.tell(int64(n))
	return n, err
}
