package tunnel

import (
	"crypto/ed25519"
	"crypto/subtle"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// errToken says that a registration is not one of a zone that the tunnel knows.
var errToken = errors.New("tunnel: the registration token is not valid")

// claims are what a registration token says.
type claims struct {
	jwt.RegisteredClaims
	Binding string `json:"binding"` // to the TLS connection
}

// binding is a value that both ends of a TLS connection know and nobody else, RFC 9266 section 2. It needs TLS 1.3.
func binding(state tls.ConnectionState) (string, error) {
	if state.Version < tls.VersionTLS13 {
		return "", fmt.Errorf("%w: the connection is not TLS 1.3", errToken)
	}
	material, err := state.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
	return base64.RawURLEncoding.EncodeToString(material), err
}

// signToken makes a token for one connection.
func signToken(key ed25519.PrivateKey, bound string, now time.Time) (string, error) {
	c := claims{Binding: bound, RegisteredClaims: jwt.RegisteredClaims{ExpiresAt: jwt.NewNumericDate(now.Add(tokenLife)), IssuedAt: jwt.NewNumericDate(now)}}
	return jwt.NewWithClaims(jwt.SigningMethodEdDSA, c).SignedString(key)
}

// verifyToken checks a token against the key of a zone.
func verifyToken(key ed25519.PublicKey, bound, token string) error {
	var c claims
	_, err := jwt.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return key, nil },
		jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}), jwt.WithExpirationRequired(), jwt.WithLeeway(tokenLife))
	if err != nil || subtle.ConstantTimeCompare([]byte(c.Binding), []byte(bound)) != 1 {
		return errToken
	}
	return nil
}
