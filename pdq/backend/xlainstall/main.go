// Command xlainstall installs XLA's plugin for the CPU where package backend looks for it: in the user's cache folder,
// with its licences.
//
//	go run ./pdq/backend/xlainstall
//
// The plugin is from PyPI's package lammps-jax-pjrt-cpu, which python3's pip downloads and whose checksum is pinned
// here. An argument is the package's file, if it was downloaded before. With -own, go-xla's installer downloads its own
// plugin from its release page to ~/.local/lib/go-xla; it has plugins for more platforms, and no pinned checksum.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/gomlx/go-xla/installer"

	"github.com/pdquant/pdquant/internal/fetched"
	"github.com/pdquant/pdquant/internal/program"
	"github.com/pdquant/pdquant/pdq/backend/internal/pjrtlib"
)

const (
	wheel = "lammps_jax_pjrt_cpu-" + pjrtlib.Version + "-py3-none-manylinux_2_27_x86_64.whl"
	sum   = "1319390d948b39f69f7dade496b7c385149d9ca6097a6b62114da113216d9ad1" // SHA-256 of the wheel
)

func main() {
	program.Main("xlainstall", func(ctx context.Context, args []string) error { return run(ctx, args, os.Stdout) })
}

// run installs the plugin, from the wheel that args name if they name one.
func run(ctx context.Context, args []string, out io.Writer) error {
	f := flag.NewFlagSet("xlainstall", flag.ContinueOnError)
	own := f.Bool("own", false, "let go-xla's installer download its own plugin")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *own && f.NArg() == 0 {
		return installer.AutoInstallPlugin("cpu", "", true, installer.Normal)
	}
	if f.NArg() > 1 || *own {
		return fmt.Errorf("received %d arguments; give at most one, the wheel's file, and none with -own", f.NArg())
	}
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return fmt.Errorf(`%s has no plugin for %s/%s; "make xla ARGS=-own" takes go-xla's`, pjrtlib.Package, runtime.GOOS,
			runtime.GOARCH)
	}
	verb := "is at"
	dir, err := fetched.Folder(pjrtlib.Folder, sum, func(dir string) error {
		verb = "installed at"
		return install(ctx, f.Arg(0), dir)
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s %s %s %s\n", pjrtlib.Package, pjrtlib.Version, verb, filepath.Join(dir, pjrtlib.File))
	return err
}

// install puts the plugin and its licences into dir, from the wheel in file path; if path is "", pip downloads it.
func install(ctx context.Context, path, dir string) error {
	work, err := os.MkdirTemp(dir, ".install-") // on the same disk, so that complete files can be moved
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if path == "" {
		if path, err = download(ctx, work); err != nil {
			return err
		}
	}
	return unpack(path, work, dir)
}

// download fetches the wheel into folder, and returns its path.
func download(ctx context.Context, folder string) (string, error) {
	spec := pjrtlib.Package + "==" + pjrtlib.Version
	cmd := exec.CommandContext(ctx, "python3", "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps",
		"--only-binary=:all:", "--dest", folder, spec)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); ctx.Err() != nil {
		return "", ctx.Err()
	} else if err != nil {
		return "", fmt.Errorf("python3 -m pip download %s: %w; install pip, or download %s (SHA-256 %s) elsewhere "+
			"and pass it: make xla ARGS=FILE", spec, err, wheel, sum)
	}
	return filepath.Join(folder, wheel), nil
}
