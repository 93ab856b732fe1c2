package kernel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pdquant/pdquant/repl/shell"
)

// executeRequest is the content of an execute_request.
type executeRequest struct {
	Code        string            `json:"code"`
	Silent      bool              `json:"silent"`
	Store       *bool             `json:"store_history"` // nil: unless silent
	Expressions map[string]string `json:"user_expressions"`
	StopOnError *bool             `json:"stop_on_error"` // nil: true
}

// enqueue lets a cell wait for those before it.
func (k *Kernel) enqueue(m message) {
	k.mu.Lock()
	defer k.mu.Unlock() // so that a cell is counted before it runs
	select {
	case k.cells <- m:
		k.came++
	default:
		k.reply(m, "execute_reply", failure("Error", "1000 cells wait already"))
	}
}

// run runs cells until the kernel is shut down.
func (k *Kernel) run() {
	for n := 1; ; n++ {
		select {
		case <-k.stopped:
			return
		case m := <-k.cells:
			k.publish("status", m.raw, map[string]any{"execution_state": "busy"})
			k.reply(m, "execute_reply", k.cell(m, n))
			k.publish("status", m.raw, map[string]any{"execution_state": "idle"})
		}
	}
}

// cell runs the n-th cell, and returns the reply's content.
func (k *Kernel) cell(m message, n int) map[string]any {
	k.mu.Lock()
	aborted := n <= k.abort
	k.mu.Unlock()
	if aborted {
		return map[string]any{"status": "aborted", "execution_count": k.counted}
	}
	var r executeRequest
	if err := json.Unmarshal(m.content, &r); err != nil {
		return failure("Error", "a request that can't be read: "+err.Error())
	}
	store := !r.Silent && (r.Store == nil || *r.Store)
	ctx, done := k.context(store)
	defer done()
	parent := m.raw
	if r.Silent {
		parent = nil
	} else {
		k.publish("execute_input", m.raw, map[string]any{"code": r.Code, "execution_count": k.counted})
	}
	if store {
		k.past.add(k.counted, r.Code)
	}
	if page := k.page(r.Code); page != nil {
		return map[string]any{"status": "ok", "execution_count": k.counted, "payload": []any{page},
			"user_expressions": map[string]any{}}
	}
	k.display.begin(parent)
	err := k.shell.Script(ctx, "cell", strings.NewReader(r.Code))
	k.display.Done()
	k.display.end(k.counted)
	reply := k.outcome(err)
	if reply["status"] == "ok" {
		reply["user_expressions"] = k.expressions(ctx, r.Expressions)
	} else {
		if !r.Silent {
			k.publish("error", m.raw, map[string]any{"ename": reply["ename"], "evalue": reply["evalue"],
				"traceback": reply["traceback"]})
		}
		k.mu.Lock()
		if r.StopOnError == nil || *r.StopOnError {
			k.abort = k.came
		}
		k.mu.Unlock()
	}
	if err := k.shell.Keep(context.Background()); err != nil {
		k.display.begin(parent)
		k.display.Note(fmt.Sprintf("the session can't be saved: %v", err))
		k.display.end(k.counted)
	}
	return reply
}

// page returns the payload that explains a word, for a cell that only asks for that: WORD? or ?WORD. nil: it doesn't.
func (k *Kernel) page(code string) map[string]any {
	code = strings.TrimSpace(code)
	word := strings.Trim(code, "?")
	if word == code || word == "" || strings.ContainsAny(word, " \t\n;") {
		return nil
	}
	v := k.shell.Look().Inspect(word, len(word))
	if v == nil {
		return nil
	}
	data, err := bundle(v)
	if err != nil {
		return nil
	}
	return map[string]any{"source": "page", "data": data, "start": 0}
}

// context returns that of a cell, which interrupt ends, and counts the cell if it is stored.
func (k *Kernel) context(store bool) (context.Context, func()) {
	ctx, cancel := context.WithCancel(context.Background())
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.cancel = cancel; store {
		k.counted++
	}
	select {
	case <-k.stopped:
		cancel()
	default:
	}
	return ctx, func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		cancel()
		k.cancel = nil
	}
}

// outcome returns the content of the reply to a cell that ended with err.
func (k *Kernel) outcome(err error) map[string]any {
	var content map[string]any
	switch {
	case err == nil:
		content = map[string]any{"status": "ok", "payload": []any{}}
	case errors.Is(err, shell.ErrQuit):
		content = map[string]any{"status": "ok",
			"payload": []any{map[string]any{"source": "ask_exit", "keepkernel": false}}}
	case errors.Is(err, context.Canceled):
		content = failure("Interrupted", k.shell.Interrupted())
	default:
		content = failure("Error", err.Error())
	}
	content["execution_count"] = k.counted
	return content
}

// failure is the content of a reply with an error.
func failure(name, text string) map[string]any {
	text = shell.Visible(text)
	return map[string]any{"status": "error", "ename": name, "evalue": text,
		"traceback": []string{fmt.Sprintf("\x1b[31m%s\x1b[0m", text)}}
}

// expressions runs each expression as a line of its own, and returns what it showed.
func (k *Kernel) expressions(ctx context.Context, lines map[string]string) map[string]any {
	results := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(lines)) {
		text, err := k.display.capture(func() error { return k.shell.Script(ctx, name, strings.NewReader(lines[name])) })
		if err != nil {
			results[name] = failure("Error", err.Error())
			continue
		}
		results[name] = map[string]any{"status": "ok", "metadata": map[string]any{},
			"data": map[string]any{"text/plain": text}}
	}
	return results
}
