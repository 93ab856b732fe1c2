package kernel

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strconv"
)

// connection is a connection file, with which Jupyter says where the kernel listens.
type connection struct {
	Transport string `json:"transport"`
	IP        string `json:"ip"` // for ipc the path before "-PORT"
	Key       string `json:"key"`
	Scheme    string `json:"signature_scheme"`
	Shell     int    `json:"shell_port"`
	Control   int    `json:"control_port"`
	IOPub     int    `json:"iopub_port"`
	Stdin     int    `json:"stdin_port"`
	Heartbeat int    `json:"hb_port"`
}

// readConnection reads a connection file.
func readConnection(path string) (connection, error) {
	var c connection
	data, err := os.ReadFile(path)
	if err != nil {
		return c, fmt.Errorf("kernel: the connection file, which Jupyter writes: %w", err)
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return c, fmt.Errorf("kernel: %s isn't a connection file: %w", path, err)
	}
	switch {
	case c.Transport != "tcp" && c.Transport != "ipc":
		return c, fmt.Errorf("kernel: %s asks for the transport %q; tcp and ipc are known", path, c.Transport)
	case c.Key != "" && c.Scheme != "hmac-sha256":
		return c, fmt.Errorf("kernel: %s asks for signatures by %q; hmac-sha256 is known", path, c.Scheme)
	}
	for name, port := range map[string]int{"shell_port": c.Shell, "control_port": c.Control, "iopub_port": c.IOPub,
		"stdin_port": c.Stdin, "hb_port": c.Heartbeat} {
		if port < 1 || port > 65535 {
			return c, fmt.Errorf("kernel: %s has %s %d; it is a number from 1 to 65535", path, name, port)
		}
	}
	return c, nil
}

// address returns where a socket of the given port listens, for net.Listen.
func (c connection) address(port int) (network, address string) {
	if c.Transport == "ipc" {
		return "unix", c.IP + "-" + strconv.Itoa(port)
	}
	ip := c.IP
	if ip == "*" {
		ip = ""
	}
	return "tcp", net.JoinHostPort(ip, strconv.Itoa(port))
}
