package zmtp

import (
	"bufio"
	"bytes"
	"io"
	"runtime"
	"slices"
	"testing"
)

// FuzzRead: whatever comes, reading ends without taking more memory than came, and what is read is written the same.
func FuzzRead(f *testing.F) {
	f.Add(encode([][]byte{[]byte("a"), nil, bytes.Repeat([]byte("b"), 300)}))
	f.Add(command("SUBSCRIBE", []byte("topic")))
	f.Add(command("PING", []byte{0, 1}))
	f.Add(command("READY", appendProperty(nil, "Socket-Type", "SUB")))
	f.Add([]byte{flagLong, 0, 0, 0, 0, 3, 0xff, 0xff, 0xff})
	f.Add([]byte{flagMore, 1, 'a', flagCommand, 2, 1, 'b'})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bufio.NewReader(bytes.NewReader(data))
		p := newPeer(nil)
		for {
			parts, c, err := readMessage(r)
			switch {
			case err != nil:
				return
			case c != nil:
				name, body, err := cutCommand(c)
				if err != nil {
					return
				}
				if again, _, _ := readOne(t, command(name, body)); len(again) > 0 {
					t.Errorf("the command %q is read as a message", name)
				}
				_, _ = readProperties(body)
				if _, err := p.obey(c); err != nil {
					return
				}
			default:
				again, _, err := readOne(t, encode(parts))
				if err != nil || !slices.EqualFunc(parts, again, bytes.Equal) {
					t.Errorf("%q is read as %q, %v", parts, again, err)
				}
			}
		}
	})
}

func readOne(t *testing.T, data []byte) (parts [][]byte, c []byte, err error) {
	t.Helper()
	r := bufio.NewReader(bytes.NewReader(data))
	parts, c, err = readMessage(r)
	if _, end := r.ReadByte(); err == nil && end != io.EOF {
		t.Errorf("%q isn't read to its end", data)
	}
	return parts, c, err
}

// zeros gives empty frames that go on without end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(i%2) ^ 1 // a flag, more, and a length of 0
	}
	return len(p) &^ 1, nil
}

// TestLimits: what is too long ends the connection before it takes memory.
func TestLimits(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	long := []byte{flagLong, 0, 0, 0, 0, 4, 0, 0, 1} // a byte more than MaxMessage
	if _, _, err := readMessage(bufio.NewReader(bytes.NewReader(long))); err == nil {
		t.Error("a message that is too long is read")
	}
	claims := []byte{flagLong, 0, 0, 0, 0, 4, 0, 0, 0, 'x'} // MaxMessage, of which a byte comes
	if _, _, err := readMessage(bufio.NewReader(bytes.NewReader(claims))); err == nil {
		t.Error("a message that is cut short is read")
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 {
		t.Errorf("a few bytes take %d KiB", took>>10)
	}
	if _, _, err := readMessage(bufio.NewReaderSize(zeros{}, 4096)); err == nil {
		t.Error("parts without end are read")
	}
}
