// Package kernel speaks Jupyter's messaging protocol 5.4 for a shell: cells are its commands, and what they show goes
// to the notebook. It knows no command itself; those are a shell's.
//
// A reader of each socket answers what needs no command at once, also while a cell runs. Cells wait in a queue, and one
// goroutine runs them.
package kernel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/pdquant/pdquant/repl/kernel/zmtp"
	"github.com/pdquant/pdquant/repl/shell"
)

// Shell is what the kernel needs of a shell.Shell.
type Shell interface {
	Script(ctx context.Context, name string, r io.Reader) error
	Look() shell.Look                          // also beside Script
	KeepIn(folder string, every time.Duration) // says where Keep saves
	Keep(ctx context.Context) error            // saves what would be lost
	Interrupted() string                       // what an interruption left
	HistoryFile() string
	Close() error
}

// language is what notebooks are told of the commands' language.
const language = "pdquant"

// saved is the time from one saving of the session to the next within a command.
const saved = 20 * time.Second

// Kernel is one that runs.
type Kernel struct {
	shell   Shell
	display *display
	signer  signer
	session string // of our messages
	log     *log.Logger

	shellSocket, control, iopub, stdin, heartbeat *zmtp.Socket

	cells   chan message
	stopped chan struct{} // closed by shutdown
	stop    sync.Once
	past    history

	mu      sync.Mutex
	cancel  context.CancelFunc // of the cell that runs; nil: none
	abort   int                // cells before this number, in the order they came, aren't run
	came    int                // number of cells that came
	counted int                // execution count
}

// Serve runs a kernel until it is shut down, or a signal ends it. file is the connection file. It writes a line to
// errors for each message that it drops.
func Serve(file string, start func(d shell.Display) (Shell, error), errors io.Writer) (err error) {
	c, err := readConnection(file)
	if err != nil {
		return err
	}
	k := &Kernel{signer: signer{[]byte(c.Key)}, session: newID(), log: log.New(errors, "kernel: ", log.LstdFlags),
		cells: make(chan message, 1000), stopped: make(chan struct{})}
	k.display = &display{publish: k.publish}
	if k.shell, err = start(k.display); err != nil {
		return err
	}
	folder := fmt.Sprintf("runs/kernel-%s-%d", time.Now().Format("20060102-150405"), os.Getpid()) // each has its own
	k.shell.KeepIn(folder, saved)
	k.past.read(k.shell.HistoryFile())
	if err := k.listen(c); err != nil {
		return err
	}
	defer k.signals()()
	k.publish("status", nil, map[string]any{"execution_state": "starting"})
	k.run()
	return k.close()
}

// listen binds the five sockets.
func (k *Kernel) listen(c connection) error {
	for _, s := range []struct {
		to     **zmtp.Socket
		name   string
		kind   zmtp.Kind
		port   int
		handle func(*zmtp.Peer, [][]byte)
	}{
		{&k.iopub, "iopub_port", zmtp.Publish, c.IOPub, k.welcome},
		{&k.stdin, "stdin_port", zmtp.Router, c.Stdin, nil}, // no command asks anything
		{&k.control, "control_port", zmtp.Router, c.Control, k.receive},
		{&k.shellSocket, "shell_port", zmtp.Router, c.Shell, k.receive},
		{&k.heartbeat, "hb_port", zmtp.Reply, c.Heartbeat, func(p *zmtp.Peer, m [][]byte) { _ = p.Send(m...) }},
	} {
		network, address := c.address(s.port)
		var err error
		if *s.to, err = zmtp.Listen(s.kind, network, address, s.handle); err != nil {
			return fmt.Errorf("kernel: %s: %w", s.name, err)
		}
	}
	return nil
}

// signals interrupts the cell on SIGINT, and shuts the kernel down on SIGTERM, or when the process that started it is
// gone. The function that it returns ends that.
func (k *Kernel) signals() func() {
	came := make(chan os.Signal, 4)
	signal.Notify(came, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	parent := time.NewTicker(time.Second)
	started := os.Getppid()
	go func() {
		for {
			select {
			case s := <-came:
				if s == os.Interrupt {
					k.interrupt()
				} else {
					k.shutdown()
				}
			case <-parent.C:
				if os.Getenv("JPY_PARENT_PID") != "" && os.Getppid() != started {
					k.shutdown()
				}
			case <-k.stopped:
				return
			}
		}
	}()
	return func() { signal.Stop(came); parent.Stop() }
}

// shutdown ends the cell that runs, and then the kernel.
func (k *Kernel) shutdown() {
	k.stop.Do(func() { close(k.stopped) })
	k.interrupt()
}

// interrupt ends the cell that runs. Where that takes over a second, it says what it waits for.
func (k *Kernel) interrupt() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.cancel == nil {
		return
	}
	k.cancel()
	count := k.counted
	time.AfterFunc(time.Second, func() {
		k.mu.Lock()
		waits := k.cancel != nil && k.counted == count
		k.mu.Unlock()
		if waits {
			k.display.Note("interrupted; this ends with the graph call under way: " + k.display.underWay())
		}
	})
}

// close saves the session, and ends the sockets once all is sent.
func (k *Kernel) close() error {
	err := errors.Join(k.shell.Keep(context.Background()), k.shell.Close())
	for _, s := range []*zmtp.Socket{k.shellSocket, k.stdin, k.heartbeat, k.iopub, k.control} {
		err = errors.Join(err, s.Close(2*time.Second))
	}
	return err
}

// publish sends a message to all that listen.
func (k *Kernel) publish(kind string, parent json.RawMessage, content any) {
	frames, err := k.signer.encode(newHeader(k.session, kind), parent, content)
	if err != nil {
		k.log.Print(err)
		return
	}
	k.iopub.Publish(append([][]byte{[]byte("kernel." + k.session + "." + kind)}, frames...)...)
}

// welcome tells a peer that it has subscribed: it misses nothing from now on.
func (k *Kernel) welcome(p *zmtp.Peer, topic [][]byte) {
	frames, err := k.signer.encode(newHeader(k.session, "iopub_welcome"), nil,
		map[string]any{"subscription": string(topic[0])})
	if err == nil {
		err = p.Send(append([][]byte{topic[0]}, frames...)...)
	}
	if err != nil {
		k.log.Printf("iopub_welcome: %v", err)
	}
}

// reply answers a message.
func (k *Kernel) reply(m message, kind string, content any) {
	frames, err := k.signer.encode(newHeader(k.session, kind), m.raw, content)
	if err == nil {
		err = m.from.Send(append(m.routing, frames...)...)
	}
	if err != nil {
		k.log.Printf("%s: %v", kind, err)
	}
}

// receive takes a message of the shell or the control channel.
func (k *Kernel) receive(from *zmtp.Peer, frames [][]byte) {
	m, err := k.signer.parse(from, frames)
	if err != nil {
		k.log.Printf("dropped %v", err)
		return
	}
	if m.Type == "execute_request" {
		k.enqueue(m)
		return
	}
	answer, ok := requests()[m.Type]
	if !ok {
		k.log.Printf("dropped %q: no such request is known", m.Type)
		return
	}
	k.publish("status", m.raw, map[string]any{"execution_state": "busy"})
	if content := answer.content(k, m); answer.reply != "" {
		k.reply(m, answer.reply, content)
	}
	k.publish("status", m.raw, map[string]any{"execution_state": "idle"})
	if answer.after != nil {
		answer.after(k)
	}
}
