package wire

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// ErrToken says that a join token is forged, expired, or for another zone. The text has more, for the log.
var ErrToken = errors.New("unusable join token")

// Claims is what a join token says. Any router of the zone verifies it alone, with the zone's public key.
type Claims struct {
	ID      string    // of the token itself; a removed participant's is remembered
	Zone    string    // where it is good for
	Meeting string    // number
	Role    Role      // what its bearer may be
	Expires time.Time // to the second
}

// NewTokenID returns an id that nobody can guess.
func NewTokenID() string { return rand.Text() }

// tokenClaims is the JSON form: registered names of RFC 7519 where there are any.
type tokenClaims struct {
	jwt.RegisteredClaims
	Role Role `json:"role"`
}

// SignToken returns the token.
func SignToken(key ed25519.PrivateKey, c Claims) (string, error) {
	token, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, tokenClaims{
		RegisteredClaims: jwt.RegisteredClaims{ID: c.ID, Issuer: c.Zone, Subject: c.Meeting, ExpiresAt: jwt.NewNumericDate(c.Expires)},
		Role:             c.Role,
	}).SignedString(key)
	if err != nil {
		return "", fmt.Errorf("sign join token: %w", err)
	}
	return token, nil
}

// VerifyToken returns what a token of the zone says, when it is authentic and has not expired. Its errors wrap ErrToken.
func VerifyToken(key ed25519.PublicKey, zone, token string) (Claims, error) {
	return VerifyTokenLate(key, zone, token, 0)
}

// VerifyTokenLate is VerifyToken for one that may have expired so long ago.
func VerifyTokenLate(key ed25519.PublicKey, zone, token string, late time.Duration) (Claims, error) {
	if len(token) > MaxToken {
		return Claims{}, fmt.Errorf("%w: %w", ErrToken, ErrTooLarge)
	}
	var c tokenClaims
	_, err := jwt.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return key, nil },
		jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}), jwt.WithIssuer(zone), jwt.WithExpirationRequired(), jwt.WithLeeway(late))
	if err != nil {
		return Claims{}, fmt.Errorf("%w: %w", ErrToken, err)
	}
	if !c.Role.Valid() || Number(c.Subject) != c.Subject || c.Subject == "" || c.ID == "" || len(c.ID) > MaxID {
		return Claims{}, fmt.Errorf("%w: claims", ErrToken)
	}
	return Claims{ID: c.ID, Zone: c.Issuer, Meeting: c.Subject, Role: c.Role, Expires: c.ExpiresAt.Time}, nil
}

// TokenZone returns the zone that a token says it is from, without any check: only for choosing the key to verify it with. "" where it says none.
func TokenZone(token string) string {
	var c tokenClaims
	if len(token) > MaxToken {
		return ""
	}
	if _, _, err := jwt.NewParser().ParseUnverified(token, &c); err != nil {
		return ""
	}
	return c.Issuer
}
