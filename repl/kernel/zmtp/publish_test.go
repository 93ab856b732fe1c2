package zmtp_test

import (
	"bytes"
	"errors"
	"net"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/pdquant/pdquant/repl/kernel/zmtp"
)

// TestPublish: subscribers get what they subscribed to, in order, whichever version they speak, and also after they
// connect again.
func TestPublish(t *testing.T) {
	s := listen(t, zmtp.Publish, nil)
	for again := range 20 {
		minor := byte(again % 2)
		all, some := dial(t, s, "SUB", minor), dial(t, s, "SUB", minor)
		subscribe(t, all, minor, "")
		subscribe(t, some, minor, "b.")
		for _, topic := range []string{"a.1", "b.2", "c.3", "b.4"} {
			s.Publish([]byte(topic), []byte("text"))
		}
		for _, want := range []string{"a.1|text", "b.2|text", "c.3|text", "b.4|text"} {
			if got := receive(t, all); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		for _, want := range []string{"b.2|text", "b.4|text"} {
			if got := receive(t, some); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		_ = all.Conn.Close()
	}
}

// TestStopped: a subscriber that doesn't read takes nothing from one that does, and little memory.
func TestStopped(t *testing.T) {
	s := listen(t, zmtp.Publish, nil)
	stopped, reads := dial(t, s, "SUB", 1), dial(t, s, "SUB", 1)
	subscribe(t, stopped, 1, "")
	subscribe(t, reads, 1, "")
	part := make([]byte, 1<<20)
	for i := range 200 {
		s.Publish([]byte(strconv.Itoa(i)), part)
		parts, err := reads.Receive(within)
		if err != nil {
			t.Fatal(err)
		}
		if string(parts[0]) != strconv.Itoa(i) {
			t.Fatalf("message %d comes as %s", i, parts[0])
		}
	}
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if m.HeapAlloc > 100<<20 {
		t.Errorf("%d MiB are kept of 200 that were sent", m.HeapAlloc>>20)
	}
	parts, err := stopped.Receive(within) // it goes on
	if err != nil || string(parts[0]) != "0" {
		t.Errorf("the stopped subscriber gets %.10q first, and %v", parts, err)
	}
}

// TestFull: what is sent to a peer that doesn't read fails, and nothing waits.
func TestFull(t *testing.T) {
	came := make(chan *zmtp.Peer, 1)
	s := listen(t, zmtp.Router, func(p *zmtp.Peer, _ [][]byte) { came <- p })
	c := dial(t, s, "DEALER", 1)
	if err := c.Send([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	p := <-came
	var err error
	for range 100 {
		if err = p.Send(make([]byte, 1<<20)); err != nil {
			break
		}
	}
	if !errors.Is(err, zmtp.ErrFull) {
		t.Errorf("after 100 MiB: %v", err)
	}
}

// TestClose: all that was sent before arrives, and what is sent later is an error.
func TestClose(t *testing.T) {
	s := listen(t, zmtp.Publish, nil)
	c := dial(t, s, "SUB", 1)
	subscribe(t, c, 1, "")
	silent, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	part := bytes.Repeat([]byte("x"), 1<<16)
	for i := range 100 {
		s.Publish([]byte(strconv.Itoa(i)), part)
	}
	peer := s.Peers()[0]
	closed := make(chan error, 1)
	go func() { closed <- s.Close(within) }()
	for i := range 100 {
		parts, err := c.Receive(within)
		if err != nil || string(parts[0]) != strconv.Itoa(i) {
			t.Fatalf("message %d: %.10q, %v", i, parts, err)
		}
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	s.Publish([]byte("late"))
	if err := peer.Send([]byte("late")); err == nil {
		t.Error("a message to a closed socket's peer is sent")
	}
}

// TestCloseStopped: a peer that doesn't read delays the end by the time given, not more.
func TestCloseStopped(t *testing.T) {
	s := listen(t, zmtp.Publish, nil)
	subscribe(t, dial(t, s, "SUB", 1), 1, "")
	for range 30 {
		s.Publish([]byte("x"), make([]byte, 1<<20))
	}
	began := time.Now()
	_ = s.Close(200 * time.Millisecond)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("closing took %v", took)
	}
}
