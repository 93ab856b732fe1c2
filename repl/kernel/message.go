package kernel

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/pdquant/pdquant/repl/kernel/zmtp"
)

// protocol is the version of Jupyter's messaging protocol.
const protocol = "5.4"

// delimiter stands between routing and message.
const delimiter = "<IDS|MSG>"

// header says what a message is.
type header struct {
	ID       string `json:"msg_id"`
	Session  string `json:"session"`
	Username string `json:"username"`
	Date     string `json:"date"`
	Type     string `json:"msg_type"`
	Version  string `json:"version"`
}

// message is one that came.
type message struct {
	header
	raw     json.RawMessage // the header as it came, which answers repeat
	content json.RawMessage
	from    *zmtp.Peer
	routing [][]byte // what stood before the delimiter
}

// signer signs messages with the key that the connection file has.
type signer struct{ key []byte }

// sign returns the signature of a message's four parts, in hexadecimal; "" without a key.
func (s signer) sign(parts [][]byte) string {
	if len(s.key) == 0 {
		return ""
	}
	h := hmac.New(sha256.New, s.key)
	for _, p := range parts {
		h.Write(p)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// parse reads a message as it came over a socket.
func (s signer) parse(from *zmtp.Peer, frames [][]byte) (m message, err error) {
	m.from = from
	for len(frames) > 0 && string(frames[0]) != delimiter {
		m.routing, frames = append(m.routing, frames[0]), frames[1:]
	}
	if len(frames) < 6 {
		return m, errors.New("a message that is cut short")
	}
	if parts := frames[2:6]; !hmac.Equal([]byte(s.sign(parts)), bytes.ToLower(frames[1])) {
		return m, errors.New("a message with a wrong signature")
	}
	m.raw, m.content = frames[2], frames[5]
	if err := json.Unmarshal(m.raw, &m.header); err != nil {
		return m, fmt.Errorf("a message whose header can't be read: %w", err)
	}
	if !json.Valid(m.content) {
		return m, fmt.Errorf("a %s whose content isn't JSON", m.Type)
	}
	return m, nil
}

// encode returns the frames of a message of ours, from the delimiter on. parent is the header that it answers; nil:
// none.
func (s signer) encode(h header, parent json.RawMessage, content any) ([][]byte, error) {
	if parent == nil {
		parent = json.RawMessage("{}")
	}
	head, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(content)
	if err != nil {
		return nil, fmt.Errorf("the content of %s: %w", h.Type, err)
	}
	parts := [][]byte{head, parent, []byte("{}"), body}
	return append([][]byte{[]byte(delimiter), []byte(s.sign(parts))}, parts...), nil
}

// newID returns a random identifier.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	return hex.EncodeToString(b[:])
}

// newHeader returns the header of a message of the given type from the kernel's session.
func newHeader(session, kind string) header {
	return header{newID(), session, "kernel", time.Now().UTC().Format("2006-01-02T15:04:05.000000Z"), kind, protocol}
}
