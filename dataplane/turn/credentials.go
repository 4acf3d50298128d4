package turn

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"meetzone/dscp"
)

var errUsername = errors.New("the user name is not of the relay's form")

const maxUsername = 128

// Mint makes credentials for a session, good until the time. class is the traffic that will be carried; Signalling stands for any.
func (s *Server) Mint(class dscp.Class, session string, until time.Time) (username, password string) {
	username = fmt.Sprintf("%d:%s:%s", until.Unix(), class, session)
	return username, s.password(username)
}

// password is the HMAC of a user name. SHA-1 is what every TURN server of this form uses, and nothing here rests on its collisions.
func (s *Server) password(user string) string {
	mac := hmac.New(sha1.New, s.cfg.Secret)
	mac.Write([]byte(user))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// readUsername returns what a user name says.
func readUsername(user string) (class dscp.Class, session string, until time.Time, err error) {
	expiry, rest, ok := strings.Cut(user, ":")
	name, session, ok2 := strings.Cut(rest, ":")
	seconds, err := strconv.ParseInt(expiry, 10, 64)
	if !ok || !ok2 || err != nil || len(user) > maxUsername {
		return 0, "", time.Time{}, errUsername
	}
	class, err = dscp.ParseClass(name)
	if err != nil {
		return 0, "", time.Time{}, errUsername
	}
	return class, session, time.Unix(seconds, 0), nil
}
