// Command gpucheck packs the programs that check pdquant on a machine with a GPU: the golden tests, the benchmarks, the
// shell, and a script that runs them on XLA. That machine needs neither Go nor a network nor this repository:
//
//	go run ./internal/gpucheck -out=.gpu
//	bash .gpu/run.sh /path/results
//
// The programs take JAX's PJRT plugin from python3's packages, or the plugin that $PDQUANT_XLA names, which may be one
// for the CPU to try the script. It leaves a table, check.tsv, and logs in the folder for results.
// testdata/gpu/README.md says what the numbers mean.
package main

import (
	"context"
	_ "embed"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/pdquant/pdquant/internal/program"
)

//go:embed run.sh
var script []byte

func main() {
	program.Main("gpucheck", func(ctx context.Context, args []string) error { return pack(ctx, args, os.Stdout) })
}

// pack builds the programs and writes them, the golden numbers and the script to a folder.
func pack(ctx context.Context, args []string, stdout io.Writer) error {
	f := flag.NewFlagSet("gpucheck", flag.ContinueOnError)
	out := f.String("out", ".gpu", "folder for the archive and the script, where they replace older ones")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("received %d arguments; give flags only", f.NArg())
	}
	tree, err := os.MkdirTemp("", "gpucheck")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tree)
	if err := build(ctx, tree); err != nil {
		return err
	}
	if err := os.MkdirAll(*out, 0o755); err != nil {
		return err
	}
	archive := filepath.Join(*out, "check.tar.xz")
	// The programs embed the same images, which a dictionary that spans all programs stores once.
	compress := "--use-compress-program=xz --lzma2=preset=2,dict=192MiB"
	if err := command(ctx, "tar", compress, "-cf", archive, "-C", tree, "."); err != nil {
		return err
	}
	info, err := os.Stat(archive)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(*out, "run.sh"), script, 0o755); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "%s: %.1f MiB\n", archive, float64(info.Size())/(1<<20))
	return err
}

// build puts the programs and their data into the folder tree, at the paths that they have in this repository.
func build(ctx context.Context, tree string) error {
	golden := filepath.Join("testdata", "golden")
	for _, dir := range []string{"pdq", golden} {
		if err := os.MkdirAll(filepath.Join(tree, dir), 0o755); err != nil {
			return err
		}
	}
	for _, args := range [][]string{
		{"build", "-o", filepath.Join(tree, "pdquant"), "./repl"},
		{"test", "-c", "-o", filepath.Join(tree, "pdq", "pdq.test"), "./pdq"},
		{"build", "-o", filepath.Join(tree, "bench"), "./internal/bench"},
	} {
		if err := command(ctx, "go", append(args[:1:1], append([]string{"-ldflags=-s -w"}, args[1:]...)...)...); err != nil {
			return err
		}
	}
	for _, name := range []string{"golden.npz", "blocked.npz", "weights.npz"} {
		data, err := os.ReadFile(filepath.Join(golden, name))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(tree, golden, name), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func command(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %q: %w", name, args, err)
	}
	return nil
}
