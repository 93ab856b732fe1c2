package kernel

import (
	"encoding/json"
	"runtime/debug"
	"strings"
	"unicode/utf8"

	"github.com/pdquant/pdquant/repl/shell"
)

// request is a request that is answered at once.
type request struct {
	reply   string // type of the answer; "": none is sent
	content func(k *Kernel, m message) map[string]any
	after   func(k *Kernel) // runs once the answer is sent; nil: nothing
}

// requests is the table of requests by their types. Cells aren't in it: they wait for each other.
func requests() map[string]request {
	return map[string]request{
		"kernel_info_request": {"kernel_info_reply", func(*Kernel, message) map[string]any { return info() }, nil},
		"complete_request":    {"complete_reply", (*Kernel).complete, nil},
		"inspect_request":     {"inspect_reply", (*Kernel).inspect, nil},
		"is_complete_request": {"is_complete_reply", (*Kernel).isComplete, nil},
		"history_request":     {"history_reply", (*Kernel).history, nil},
		"comm_open":           {content: (*Kernel).refuse},
		"comm_info_request": {"comm_info_reply", func(*Kernel, message) map[string]any {
			return map[string]any{"status": "ok", "comms": map[string]any{}}
		}, nil},
		"interrupt_request": {"interrupt_reply", func(k *Kernel, _ message) map[string]any {
			k.interrupt()
			return map[string]any{"status": "ok"}
		}, nil},
		"shutdown_request": {"shutdown_reply", func(_ *Kernel, m message) map[string]any {
			var r struct {
				Restart bool `json:"restart"`
			}
			_ = json.Unmarshal(m.content, &r) // without it the kernel isn't restarted
			return map[string]any{"status": "ok", "restart": r.Restart}
		}, (*Kernel).shutdown},
	}
}

// info says what the kernel is.
func info() map[string]any {
	version := "devel"
	if b, ok := debug.ReadBuildInfo(); ok && b.Main.Version != "" {
		version = b.Main.Version
	}
	return map[string]any{
		"status": "ok", "protocol_version": protocol, "implementation": "pdquant", "implementation_version": version,
		"banner": "pdquant: PD-Quant step by step. help lists the commands, Tab completes, Shift-Tab explains.",
		"language_info": map[string]any{"name": language, "version": version, "mimetype": "text/x-pdquant",
			"file_extension": ".pdq", "codemirror_mode": "shell", "pygments_lexer": "text"},
		"help_links": []any{map[string]any{"text": "PD-Quant, the paper", "url": "https://arxiv.org/abs/2212.07048"}},
		"debugger":   false,
	}
}

// position is the content of requests with a place in code.
type position struct {
	Code   string `json:"code"`
	Cursor *int   `json:"cursor_pos"` // in code points; nil: the end
}

// read returns the code, and the place in bytes.
func (p position) read(content json.RawMessage) (code string, at int, err error) {
	if err := json.Unmarshal(content, &p); err != nil {
		return "", 0, err
	}
	at = len(p.Code)
	if p.Cursor == nil {
		return p.Code, at, nil
	}
	points := 0
	for i := range p.Code {
		if points == max(*p.Cursor, 0) {
			return p.Code, i, nil
		}
		points++
	}
	return p.Code, at, nil
}

func (k *Kernel) complete(m message) map[string]any {
	code, at, err := position{}.read(m.content)
	if err != nil {
		return failure("Error", err.Error())
	}
	begin := strings.LastIndexByte(code[:at], '\n') + 1
	start, matches := k.shell.Look().Complete(code[begin:at])
	if matches == nil {
		matches = []string{}
	}
	return map[string]any{"status": "ok", "matches": matches, "metadata": map[string]any{},
		"cursor_start": utf8.RuneCountInString(code[:begin+start]), "cursor_end": utf8.RuneCountInString(code[:at])}
}

func (k *Kernel) inspect(m message) map[string]any {
	code, at, err := position{}.read(m.content)
	if err != nil {
		return failure("Error", err.Error())
	}
	answer := map[string]any{"status": "ok", "found": false, "data": map[string]any{}, "metadata": map[string]any{}}
	if v := k.shell.Look().Inspect(code, at); v != nil {
		data, err := bundle(v)
		if err != nil {
			return failure("Error", err.Error())
		}
		answer["found"], answer["data"] = true, data
	}
	return answer
}

func (k *Kernel) isComplete(m message) map[string]any {
	code, _, err := position{}.read(m.content)
	switch {
	case err != nil:
		return failure("Error", err.Error())
	case shell.Incomplete(code):
		return map[string]any{"status": "incomplete", "indent": ""}
	}
	return map[string]any{"status": "complete"}
}

// refuse closes a comm at once: nobody talks by them here.
func (k *Kernel) refuse(m message) map[string]any {
	var c struct {
		ID string `json:"comm_id"`
	}
	if err := json.Unmarshal(m.content, &c); err == nil {
		k.publish("comm_close", m.raw, map[string]any{"comm_id": c.ID, "data": map[string]any{}})
	}
	return nil
}
