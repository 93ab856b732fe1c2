// Package zmtptest has the connecting side of ZMTP 3.1 for tests. It shares no code with package zmtp.
package zmtptest

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"
)

// Client is a connection to a bound socket.
type Client struct {
	Conn net.Conn
	r    *bufio.Reader
}

// Dial connects as a socket of the given type ("DEALER", "SUB", "REQ") to an address of net.Dial, and shakes hands.
// minor is that of the version that it speaks: 0 or 1.
func Dial(kind, network, address string, minor byte) (*Client, error) {
	conn, err := net.DialTimeout(network, address, 10*time.Second)
	if err != nil {
		return nil, err
	}
	c := &Client{conn, bufio.NewReader(conn)}
	if err := c.shakeHands(kind, minor); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return c, nil
}

// Greeting is what a client of the given version sends first.
func Greeting(major, minor byte, mechanism string) []byte {
	g := make([]byte, 64)
	copy(g, "\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f")
	g[10], g[11] = major, minor
	copy(g[12:32], mechanism)
	return g
}

// Ready is the command by which a client says what it is.
func Ready(kind string) []byte {
	body := "\x05READY\x0bSocket-Type\x00\x00\x00" + string(rune(len(kind))) + kind
	return append([]byte{4, byte(len(body))}, body...)
}

func (c *Client) shakeHands(kind string, minor byte) error {
	if err := c.Conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	defer func() { _ = c.Conn.SetDeadline(time.Time{}) }()
	if _, err := c.Conn.Write(append(Greeting(3, minor, "NULL"), Ready(kind)...)); err != nil {
		return err
	}
	if _, err := io.CopyN(io.Discard, c.r, 64); err != nil {
		return err
	}
	flags, body, err := c.frame()
	if err != nil {
		return err
	}
	if flags&4 == 0 || len(body) < 6 || string(body[:6]) != "\x05READY" {
		return fmt.Errorf("zmtptest: the other side says %q", body)
	}
	return nil
}

// Send sends a message.
func (c *Client) Send(parts ...[]byte) error {
	var out []byte
	for i, p := range parts {
		flags := byte(2) // long
		if i < len(parts)-1 {
			flags |= 1 // more
		}
		out = append(binary.BigEndian.AppendUint64(append(out, flags), uint64(len(p))), p...)
	}
	_, err := c.Conn.Write(out)
	return err
}

// Command sends a command.
func (c *Client) Command(name, body string) error {
	text := string(rune(len(name))) + name + body
	_, err := c.Conn.Write(append([]byte{4, byte(len(text))}, text...))
	return err
}

// Receive returns the parts of the next message, or what follows the name of a command. It waits for at most the time
// given.
func (c *Client) Receive(most time.Duration) (parts [][]byte, err error) {
	if err := c.Conn.SetReadDeadline(time.Now().Add(most)); err != nil {
		return nil, err
	}
	for {
		flags, body, err := c.frame()
		if err != nil {
			return nil, err
		}
		if flags&4 != 0 {
			return [][]byte{body[1+body[0]:]}, nil
		}
		if parts = append(parts, body); flags&1 == 0 {
			return parts, nil
		}
	}
}

func (c *Client) frame() (flags byte, body []byte, err error) {
	var head [9]byte
	if _, err := io.ReadFull(c.r, head[:2]); err != nil {
		return 0, nil, err
	}
	size := uint64(head[1])
	if head[0]&2 != 0 {
		if _, err := io.ReadFull(c.r, head[2:]); err != nil {
			return 0, nil, err
		}
		size = binary.BigEndian.Uint64(head[1:])
	}
	body = make([]byte, size)
	_, err = io.ReadFull(c.r, body)
	return head[0], body, err
}
