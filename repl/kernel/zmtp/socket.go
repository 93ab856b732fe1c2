package zmtp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Kind is a kind of socket.
type Kind string

// The kinds.
const (
	Router  Kind = "ROUTER" // receives from many, and sends to one of them
	Publish Kind = "PUB"    // sends to all that subscribed
	Reply   Kind = "REP"    // receives from many, and answers each message
)

// takes lists the kinds of sockets that may connect to k.
func (k Kind) takes() []string {
	switch k {
	case Router:
		return []string{"DEALER", "REQ", "ROUTER"}
	case Publish:
		return []string{"SUB", "XSUB"}
	}
	return []string{"REQ", "DEALER"}
}

const (
	handshakeTime = 10 * time.Second // for a connection to say what it is
	maxQueued     = 32 << 20         // bytes that wait for a peer; what comes then isn't sent to it
)

// Socket is a bound socket.
type Socket struct {
	kind     Kind
	listener net.Listener
	handle   func(from *Peer, message [][]byte)

	mu     sync.Mutex
	peers  map[*Peer]bool // whether they have shaken hands
	closed bool
	served sync.WaitGroup // connections
}

// Listen binds a socket to an address of net.Listen ("tcp" or "unix"). handle is called with each message, and if the
// socket publishes with each topic subscribed to, by a goroutine of the peer's own, in order; a peer is read again once
// it returns. nil: messages are dropped.
func Listen(kind Kind, network, address string, handle func(from *Peer, message [][]byte)) (*Socket, error) {
	l, err := net.Listen(network, address)
	if network == "unix" && errors.Is(err, syscall.EADDRINUSE) && abandoned(address) {
		if err = os.Remove(address); err == nil {
			l, err = net.Listen(network, address)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("zmtp: %w", err)
	}
	s := &Socket{kind: kind, listener: l, handle: handle, peers: map[*Peer]bool{}}
	s.served.Add(1)
	go s.accept()
	return s, nil
}

// abandoned says whether a socket file is of a process that was killed.
func abandoned(path string) bool {
	conn, err := net.Dial("unix", path)
	if err == nil {
		_ = conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// Addr returns the address that s is bound to.
func (s *Socket) Addr() net.Addr { return s.listener.Addr() }

func (s *Socket) accept() {
	defer s.served.Done()
	for {
		conn, err := s.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // as when there are no file descriptors left
			time.Sleep(10 * time.Millisecond)
			continue
		}
		s.served.Add(1)
		go func() {
			defer s.served.Done()
			s.serve(conn)
		}()
	}
}

// serve talks to a peer until one side ends it.
func (s *Socket) serve(conn net.Conn) {
	p := newPeer(conn)
	defer conn.Close()
	r := bufio.NewReader(conn)
	_ = conn.SetDeadline(time.Now().Add(handshakeTime))
	if !s.add(p, false) {
		return
	}
	defer s.remove(p)
	if err := p.shakeHands(r, s.kind); err != nil || !s.add(p, true) {
		return
	}
	_ = conn.SetDeadline(time.Time{})
	written := make(chan struct{})
	go func() {
		defer close(written)
		p.write()
	}()
	s.read(p, r)
	p.close()
	<-written
}

// add adds p to the peers, unless s is closed.
func (s *Socket) add(p *Peer, ready bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.peers[p] = ready
	}
	return !s.closed
}

func (s *Socket) remove(p *Peer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.peers, p)
}

// read reads what p sends until p ends it, or sends what no peer may.
func (s *Socket) read(p *Peer, r *bufio.Reader) {
	for {
		parts, c, err := readMessage(r)
		if c != nil {
			parts, err = p.obey(c)
		} else if err == nil && s.kind == Publish {
			parts = p.subscribes(parts)
		}
		if err != nil {
			return
		}
		if parts != nil && s.handle != nil {
			s.handle(p, parts)
		}
	}
}

// subscribes takes a message that subscribes or cancels that, as in ZMTP 3.0. It returns the topic subscribed to.
func (p *Peer) subscribes(message [][]byte) (topic [][]byte) {
	if len(message) != 1 || len(message[0]) == 0 || message[0][0] > 1 {
		return nil
	}
	return p.subscribe(message[0][0] == 1, message[0][1:])
}

// Peers returns the peers that have shaken hands.
func (s *Socket) Peers() []*Peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	var peers []*Peer
	for p, ready := range s.peers {
		if ready {
			peers = append(peers, p)
		}
	}
	return peers
}

// Publish sends a message to all that subscribed to how its first part begins. Peers that don't read miss it.
func (s *Socket) Publish(parts ...[]byte) {
	data := encode(parts)
	for _, p := range s.Peers() {
		if p.wants(parts[0]) {
			_ = p.queue(data)
		}
	}
}

// Close ends s once all peers have got what was sent to them, but at the latest after the time given.
func (s *Socket) Close(most time.Duration) error {
	err := s.listener.Close()
	s.mu.Lock()
	s.closed = true
	peers := slices.Collect(maps.Keys(s.peers))
	s.mu.Unlock()
	deadline := time.Now().Add(most)
	for _, p := range peers {
		p.drain(deadline)
	}
	s.served.Wait()
	return err
}

// Peer is the other side of a connection.
type Peer struct {
	conn   net.Conn
	mu     sync.Mutex
	more   *sync.Cond // what waits, or ended, has changed
	waits  [][]byte   // to be written
	queued int        // bytes of waits, and of what is being written
	ended  bool       // nothing more is queued
	topics []string   // prefixes that it subscribed to
}

func newPeer(conn net.Conn) *Peer {
	p := &Peer{conn: conn}
	p.more = sync.NewCond(&p.mu)
	return p
}

// shakeHands tells the peer what we are, and learns what it is.
func (p *Peer) shakeHands(r *bufio.Reader, kind Kind) error {
	ready := appendProperty(nil, "Socket-Type", string(kind))
	if _, err := p.conn.Write(greeting()); err != nil {
		return err
	}
	g := make([]byte, 64)
	if _, err := io.ReadFull(r, g); err != nil {
		return err
	}
	if err := checkGreeting(g); err != nil {
		return err
	}
	f, err := readFrame(r, 1<<16)
	if err != nil {
		return err
	}
	name, body, err := cutCommand(f.body)
	if err != nil || f.flags&flagCommand == 0 || name != "READY" {
		return errors.New("zmtp: the other side isn't ready")
	}
	told, err := readProperties(body)
	if err != nil {
		return err
	}
	if other := told["socket-type"]; !slices.Contains(kind.takes(), strings.ToUpper(other)) {
		reason := fmt.Sprintf("%s doesn't talk to %.20s", kind, other)
		_, _ = p.conn.Write(command("ERROR", append([]byte{byte(len(reason))}, reason...)))
		return errors.New("zmtp: " + reason)
	}
	_, err = p.conn.Write(command("READY", ready))
	return err
}

// obey does what a command of ZMTP 3.1 asks for. It returns the topic subscribed to.
func (p *Peer) obey(c []byte) (topic [][]byte, err error) {
	name, body, err := cutCommand(c)
	if err != nil {
		return nil, err
	}
	switch name {
	case "SUBSCRIBE", "CANCEL":
		return p.subscribe(name == "SUBSCRIBE", body), nil
	case "PING":
		if len(body) >= 2 { // a time in tenths of a second, then what to send back
			return nil, p.queue(command("PONG", body[2:]))
		}
	}
	return nil, nil
}

// subscribe adds or removes a topic, and returns one that was added.
func (p *Peer) subscribe(yes bool, topic []byte) [][]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if yes {
		p.topics = append(p.topics, string(topic))
		return [][]byte{topic}
	}
	if i := slices.Index(p.topics, string(topic)); i >= 0 {
		p.topics = slices.Delete(p.topics, i, i+1)
	}
	return nil
}

func (p *Peer) wants(first []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.topics, func(t string) bool { return strings.HasPrefix(string(first), t) })
}

// ErrFull says that a peer doesn't read what is sent to it.
var ErrFull = errors.New("zmtp: the other side doesn't read")

// Send sends a message, without waiting until it is read. The error is ErrFull, or that p has gone.
func (p *Peer) Send(parts ...[]byte) error { return p.queue(encode(parts)) }

func (p *Peer) queue(data []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.ended:
		return net.ErrClosed
	case p.queued > 0 && p.queued+len(data) > maxQueued:
		return ErrFull
	}
	p.waits = append(p.waits, data)
	p.queued += len(data)
	p.more.Broadcast()
	return nil
}

// write writes what is queued until p is closed.
func (p *Peer) write() {
	for {
		p.mu.Lock()
		for len(p.waits) == 0 && !p.ended {
			p.more.Wait()
		}
		buffers, size := net.Buffers(p.waits), p.queued
		p.waits = nil
		p.mu.Unlock()
		if len(buffers) == 0 {
			return
		}
		_, err := buffers.WriteTo(p.conn)
		p.mu.Lock()
		p.queued -= size
		if err != nil {
			p.ended, p.waits, p.queued = true, nil, 0
		}
		p.more.Broadcast()
		p.mu.Unlock()
		if err != nil {
			_ = p.conn.Close() // ends its reader
			return
		}
	}
}

// close lets nothing more be queued.
func (p *Peer) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	p.more.Broadcast()
}

// drain waits until all that is queued is written, then ends the connection.
func (p *Peer) drain(deadline time.Time) {
	_ = p.conn.SetWriteDeadline(deadline)
	p.mu.Lock()
	p.ended = true
	p.more.Broadcast()
	for p.queued > 0 {
		p.more.Wait()
	}
	p.mu.Unlock()
	_ = p.conn.Close()
}
