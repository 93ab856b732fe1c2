package kernel

import (
	"encoding/json"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
)

// mostPast is how many cells are remembered.
const mostPast = 10000

// entry is a cell of the past. Those of the shell's history file have session 0, those of this kernel 1.
type entry struct {
	session, line int
	code          string
}

// history are the cells that ran, and the lines that were typed at a prompt before.
type history struct {
	mu  sync.Mutex
	all []entry
}

// read takes the lines of the shell's history file, if there is one.
func (h *history) read(path string) {
	data, err := os.ReadFile(path)
	if err != nil {
		return // there is none, or it can't be read: then there is no past
	}
	for i, line := range strings.Split(strings.TrimRight(string(data), "\n"), "\n") {
		h.all = append(h.all, entry{0, i + 1, line})
	}
	h.all = h.all[max(0, len(h.all)-mostPast):]
}

func (h *history) add(line int, code string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all = append(h.all, entry{1, line, code})
	if len(h.all) > 2*mostPast {
		h.all = slices.Clone(h.all[len(h.all)-mostPast:])
	}
}

// historyRequest is the content of a history_request.
type historyRequest struct {
	Access  string `json:"hist_access_type"` // "range", "tail" or "search"
	Output  bool   `json:"output"`           // with outputs, which aren't kept: null
	Session int    `json:"session"`          // of a range: 0 this one, -1 the one before
	Start   int    `json:"start"`
	Stop    *int   `json:"stop"` // nil: to the end
	N       *int   `json:"n"`    // at most; nil: all
	Pattern string `json:"pattern"`
	Unique  bool   `json:"unique"`
}

func (k *Kernel) history(m message) map[string]any {
	var r historyRequest
	if err := json.Unmarshal(m.content, &r); err != nil {
		return failure("Error", err.Error())
	}
	answer := []any{}
	for _, e := range k.past.find(r) {
		var code any = e.code
		if r.Output {
			code = []any{e.code, nil}
		}
		answer = append(answer, []any{e.session, e.line, code})
	}
	return map[string]any{"status": "ok", "history": answer}
}

// find returns the entries that a request asks for, the oldest first.
func (h *history) find(r historyRequest) []entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	session := r.Session
	if session <= 0 {
		session++ // counted from this one
	}
	found := slices.DeleteFunc(slices.Clone(h.all), func(e entry) bool {
		switch r.Access {
		case "range":
			return e.session != session || e.line < r.Start || r.Stop != nil && e.line >= *r.Stop
		case "search":
			matches, err := path.Match(strings.ReplaceAll(r.Pattern, "/", " "), strings.ReplaceAll(e.code, "/", " "))
			return err != nil || !matches
		}
		return false
	})
	if r.Unique {
		seen := map[string]bool{}
		slices.Reverse(found)
		found = slices.DeleteFunc(found, func(e entry) bool {
			was := seen[e.code]
			seen[e.code] = true
			return was
		})
		slices.Reverse(found)
	}
	if r.N != nil && r.Access != "range" {
		found = found[max(0, len(found)-max(*r.N, 0)):]
	}
	return found
}
