package shell

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"
)

// TestKeep: a command that goes on is saved now and then, if the shell saves by itself, and says so if that fails.
func TestKeep(t *testing.T) {
	var out bytes.Buffer
	var saved []int
	var failed error
	sh := New(Language[int]{
		Commands: []Command[int]{
			{Name: "count", Changes: true, Run: func(c *Call[int]) (int, error) {
				for s := range 3 {
					c.Keep(s)
				}
				return 3, nil
			}},
			{Name: "save", Saves: true, Args: []Argument{{Name: "dir", Need: true}},
				Run: func(c *Call[int]) (int, error) {
					c.Print("saved in %s", c.Values["dir"])
					saved = append(saved, c.State)
					return c.State, failed
				}},
		},
		Same: func(a, b int) bool { return a == b }, Prompt: func(int) string { return "> " },
		Rescue: func(s int, folder string) []string { return []string{"save", folder} },
	}, NewTerminal(&out, &out), 0)
	for _, x := range []struct {
		folder string
		every  time.Duration
		want   []int
		failed error
	}{{"", 0, nil, nil}, {"a", time.Hour, nil, nil}, {"a", 0, []int{0, 1, 2}, nil},
		{"a", 0, []int{0, 1, 2}, errors.New("disk full")}} {
		saved, failed = nil, x.failed
		sh.KeepIn(x.folder, x.every)
		if err := sh.Line(t.Context(), "count"); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(saved, x.want) {
			t.Errorf("in %q, every %v: saved %v, want %v", x.folder, x.every, saved, x.want)
		}
		if told := bytes.Contains(out.Bytes(), []byte("disk full")); told != (x.failed != nil) ||
			bytes.Contains(out.Bytes(), []byte("saved in")) {
			t.Errorf("shown: %s", out.String())
		}
	}
	if !slices.Equal(sh.typed, []string{"count", "count", "count", "count"}) || sh.State != 3 {
		t.Errorf("history %q, state %d", sh.typed, sh.State)
	}
}
