package zmtp_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pdquant/pdquant/repl/kernel/zmtp"
	"github.com/pdquant/pdquant/repl/kernel/zmtp/zmtptest"
)

// listen binds a socket that ends with the test.
func listen(t *testing.T, kind zmtp.Kind, handle func(*zmtp.Peer, [][]byte)) *zmtp.Socket {
	t.Helper()
	s, err := zmtp.Listen(kind, "tcp", "127.0.0.1:0", handle)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(0) })
	return s
}

func dial(t *testing.T, s *zmtp.Socket, kind string, minor byte) *zmtptest.Client {
	t.Helper()
	c, err := zmtptest.Dial(kind, s.Addr().Network(), s.Addr().String(), minor)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Conn.Close() })
	return c
}

// echo answers a message with itself.
func echo(p *zmtp.Peer, m [][]byte) { _ = p.Send(m...) }

// within is how long a test waits for what comes at once.
const within = 10 * time.Second

func receive(t *testing.T, c *zmtptest.Client) string {
	t.Helper()
	parts, err := c.Receive(within)
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.Join(parts, []byte("|")))
}

// subscribe subscribes to a topic, by a message for minor version 0, and waits until the socket knows.
func subscribe(t *testing.T, c *zmtptest.Client, minor byte, topic string) {
	t.Helper()
	err := c.Command("SUBSCRIBE", topic)
	if minor == 0 {
		err = c.Send([]byte("\x01" + topic))
	}
	if err == nil {
		err = c.Command("PING", "\x00\x00done")
	}
	if err != nil {
		t.Fatal(err)
	}
	if got := receive(t, c); got != "done" {
		t.Fatalf("PING is answered by %q", got)
	}
}

// TestRouter: what many clients send is answered each with its own, in frames of all lengths.
func TestRouter(t *testing.T) {
	for _, kind := range []zmtp.Kind{zmtp.Router, zmtp.Reply} {
		s := listen(t, kind, echo)
		long := strings.Repeat("x", 1<<20)
		for i := range 20 {
			c := dial(t, s, "DEALER", byte(i%2))
			for _, m := range []string{"", "a", strings.Repeat("y", 255), strings.Repeat("z", 256), long} {
				want := fmt.Sprintf("%d||%s", i, m)
				if err := c.Send(bytes.Split([]byte(want), []byte("|"))...); err != nil {
					t.Fatal(err)
				}
				if got := receive(t, c); got != want {
					t.Fatalf("%s: %.20q comes back as %.20q", kind, want, got)
				}
			}
		}
	}
}

// TestSilent: a connection that says nothing, or half of what it has to, keeps nobody else waiting.
func TestSilent(t *testing.T) {
	s := listen(t, zmtp.Router, echo)
	for _, said := range [][]byte{nil, {0xff}, zmtptest.Greeting(3, 1, "NULL"), make([]byte, 64)} {
		conn, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write(said); err != nil {
			t.Fatal(err)
		}
	}
	c := dial(t, s, "DEALER", 1)
	if err := c.Send([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, c); got != "hello" {
		t.Errorf("got %q", got)
	}
}

// TestHandshake: who speaks otherwise is refused, also by a socket that then serves others.
func TestHandshake(t *testing.T) {
	s := listen(t, zmtp.Publish, nil)
	for name, said := range map[string][]byte{
		"HTTP":               bytes.Repeat([]byte("GET / HTTP/1.1\r\n"), 8),
		"version 2":          append(zmtptest.Greeting(2, 0, ""), zmtptest.Ready("SUB")...),
		"CURVE":              append(zmtptest.Greeting(3, 0, "CURVE"), zmtptest.Ready("SUB")...),
		"another kind":       append(zmtptest.Greeting(3, 1, "NULL"), zmtptest.Ready("DEALER")...),
		"no READY":           append(zmtptest.Greeting(3, 1, "NULL"), 0, 1, 'x'),
		"a long READY":       append(zmtptest.Greeting(3, 1, "NULL"), 6, 0xff, 0, 0, 0, 0, 0, 0, 0),
		"cut property":       append(zmtptest.Greeting(3, 1, "NULL"), 4, 8, 5, 'R', 'E', 'A', 'D', 'Y', 9, 'a'),
		"command, no name":   append(zmtptest.Greeting(3, 1, "NULL"), 4, 0),
		"READY without kind": append(zmtptest.Greeting(3, 1, "NULL"), 4, 6, 5, 'R', 'E', 'A', 'D', 'Y'),
	} {
		conn, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write(said); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(within))
		var got bytes.Buffer
		if _, err := got.ReadFrom(conn); err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("%s: the connection isn't ended: %v", name, err)
		}
		if strings.Contains(got.String(), "READY") {
			t.Errorf("%s: the socket is ready", name)
		}
	}
	subscribe(t, dial(t, s, "SUB", 1), 1, "")
}

// TestUnix: a socket file that a killed process left is taken over, and one in use isn't.
func TestUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	_ = left.Close()
	s, err := zmtp.Listen(zmtp.Router, "unix", path, echo)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(0)
	if _, err := zmtp.Listen(zmtp.Router, "unix", path, echo); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a file in use: %v", err)
	}
	dial(t, s, "DEALER", 1)
}
