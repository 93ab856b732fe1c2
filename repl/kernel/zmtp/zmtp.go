// Package zmtp has the sockets that a Jupyter kernel binds, ROUTER, PUB and REP, over ZMTP 3.1 with the NULL mechanism
// (rfc.zeromq.org, 37/ZMTP). Sockets that connect, and encryption, don't belong here.
//
// It is here, and not github.com/go-zeromq/zmq4, because in v0.17.0 of that one silent connection blocks all later ones
// (it shakes hands while it accepts), a subscriber that stops reading blocks all others (it writes to one after
// another, under a lock), and closing drops what is still queued.
package zmtp

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// MaxMessage is the largest message in bytes that is read. A larger one, or one of more than maxParts parts, ends its
// connection.
const (
	MaxMessage = 64 << 20
	maxParts   = 10000
)

// Flags of a frame.
const (
	flagMore = 1 << iota
	flagLong
	flagCommand
)

// greeting is what both sides send first: version 3.1, mechanism NULL.
func greeting() []byte {
	g := make([]byte, 64)
	g[0], g[9], g[10], g[11] = 0xff, 0x7f, 3, 1
	copy(g[12:], "NULL")
	return g
}

// checkGreeting returns an error if the other side doesn't speak ZMTP 3 without encryption.
func checkGreeting(g []byte) error {
	switch mechanism, _, _ := bytes.Cut(g[12:32], []byte{0}); {
	case g[0] != 0xff || g[9] != 0x7f:
		return errors.New("zmtp: the other side doesn't speak ZMTP")
	case g[10] < 3:
		return fmt.Errorf("zmtp: the other side speaks version %d; 3 is needed", g[10])
	case string(mechanism) != "NULL":
		return fmt.Errorf("zmtp: the other side wants the mechanism %q; NULL is needed", mechanism)
	}
	return nil
}

// frame is a part of a message, or a command.
type frame struct {
	flags byte
	body  []byte
}

// readFrame reads a frame whose body is at most room bytes long.
func readFrame(r *bufio.Reader, room int) (frame, error) {
	flags, err := r.ReadByte()
	if err != nil {
		return frame{}, err
	}
	if flags&^(flagMore|flagLong|flagCommand) != 0 {
		return frame{}, fmt.Errorf("zmtp: a frame with the flags %#x", flags)
	}
	size, head := uint64(0), make([]byte, 1, 8)
	if flags&flagLong != 0 {
		head = head[:8]
	}
	if _, err := io.ReadFull(r, head); err != nil {
		return frame{}, err
	}
	for _, b := range head {
		size = size<<8 | uint64(b)
	}
	if size > uint64(room) {
		return frame{}, fmt.Errorf("zmtp: a message of more than %d MiB", MaxMessage>>20)
	}
	var body bytes.Buffer // grows with what comes, whatever size says
	if _, err := io.CopyN(&body, r, int64(size)); err != nil {
		return frame{}, err
	}
	return frame{flags, body.Bytes()}, nil
}

// readMessage reads the parts of a message, or a command.
func readMessage(r *bufio.Reader) (parts [][]byte, command []byte, err error) {
	room := MaxMessage
	for {
		f, err := readFrame(r, room)
		switch {
		case err != nil:
			return nil, nil, err
		case f.flags&flagCommand != 0 && len(parts) == 0:
			return nil, f.body, nil
		case f.flags&flagCommand != 0:
			return nil, nil, errors.New("zmtp: a command within a message")
		}
		if parts = append(parts, f.body); len(parts) > maxParts {
			return nil, nil, fmt.Errorf("zmtp: a message of more than %d parts", maxParts)
		}
		room -= len(f.body)
		if f.flags&flagMore == 0 {
			return parts, nil, nil
		}
	}
}

// appendFrame appends a frame to to.
func appendFrame(to []byte, flags byte, body []byte) []byte {
	if len(body) > 255 {
		to = append(to, flags|flagLong)
		to = binary.BigEndian.AppendUint64(to, uint64(len(body)))
	} else {
		to = append(to, flags, byte(len(body)))
	}
	return append(to, body...)
}

// encode returns a message as it is sent.
func encode(parts [][]byte) []byte {
	var out []byte
	for i, p := range parts {
		flags := byte(0)
		if i < len(parts)-1 {
			flags = flagMore
		}
		out = appendFrame(out, flags, p)
	}
	return out
}

// command returns a command as it is sent.
func command(name string, body []byte) []byte {
	return appendFrame(nil, flagCommand, append(append([]byte{byte(len(name))}, name...), body...))
}

// cutCommand returns a command's name and what follows it.
func cutCommand(c []byte) (name string, body []byte, err error) {
	if len(c) == 0 || len(c) < 1+int(c[0]) {
		return "", nil, errors.New("zmtp: a command without a name")
	}
	return string(c[1 : 1+c[0]]), c[1+c[0]:], nil
}

// properties are what the sides tell in READY.
func appendProperty(to []byte, name, value string) []byte {
	to = append(append(to, byte(len(name))), name...)
	to = binary.BigEndian.AppendUint32(to, uint32(len(value)))
	return append(to, value...)
}

func readProperties(b []byte) (map[string]string, error) {
	properties := map[string]string{}
	for len(b) > 0 {
		name, rest, err := cutCommand(b)
		if err != nil || len(rest) < 4 {
			return nil, errors.New("zmtp: properties that are cut short")
		}
		size := binary.BigEndian.Uint32(rest)
		if rest = rest[4:]; uint64(size) > uint64(len(rest)) {
			return nil, errors.New("zmtp: properties that are cut short")
		}
		properties[string(bytes.ToLower([]byte(name)))] = string(rest[:size])
		b = rest[size:]
	}
	return properties, nil
}
