package kernel

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"

	"github.com/pdquant/pdquant/internal/atomicfile"
)

//go:embed logos
var logos embed.FS

// Place is where a kernel's specification is installed.
type Place struct {
	User   bool   // in the user's folder; otherwise in the system's
	Prefix string // in that of an environment, such as sys.prefix of a Python; "": not
	Name   string // of the specification, by which jupyter --kernel=NAME finds it
}

// Install writes the specification of the kernel that program is, and returns its folder.
func Install(p Place, program string) (string, error) {
	if !regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]*$`).MatchString(p.Name) {
		return "", fmt.Errorf("kernel: %q is no name for a kernel; choose letters, digits, points and dashes", p.Name)
	}
	if p.User && p.Prefix != "" {
		return "", errors.New("kernel: both the user's folder and a prefix are given; give one")
	}
	data, err := p.data()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(data, "kernels", p.Name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("kernel: %w; --user installs for you alone", err)
	}
	spec, err := json.MarshalIndent(map[string]any{"argv": []string{program, "kernel", "{connection_file}"},
		"display_name": p.Name, "language": language, "interrupt_mode": "message"}, "", "  ")
	if err != nil {
		return "", err
	}
	files := map[string][]byte{"kernel.json": append(spec, '\n')}
	for _, name := range []string{"logo-32x32.png", "logo-64x64.png", "logo-svg.svg"} {
		if files[name], err = logos.ReadFile("logos/" + name); err != nil {
			return "", err
		}
	}
	for name, data := range files {
		err := atomicfile.Write(filepath.Join(dir, name), func(f *os.File) error {
			_, err := f.Write(data)
			return err
		})
		if err != nil {
			return "", fmt.Errorf("kernel: %w", err)
		}
	}
	return dir, nil
}

// data returns Jupyter's data folder of the place.
func (p Place) data() (string, error) {
	switch own := os.Getenv("JUPYTER_DATA_DIR"); {
	case p.Prefix != "":
		return filepath.Join(p.Prefix, "share", "jupyter"), nil
	case !p.User:
		return filepath.Join("/usr", "local", "share", "jupyter"), nil
	case own != "":
		return own, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("kernel: %w; give --prefix", err)
	}
	if runtime.GOOS == "darwin" {
		return filepath.Join(home, "Library", "Jupyter"), nil
	}
	if xdg := os.Getenv("XDG_DATA_HOME"); xdg != "" {
		return filepath.Join(xdg, "jupyter"), nil
	}
	return filepath.Join(home, ".local", "share", "jupyter"), nil
}
