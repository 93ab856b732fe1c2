// Command onnxinstall installs ONNX Runtime's shared library where package backend looks for it: in the user's cache
// folder, with its licence.
//
//	go run ./pdq/backend/onnxinstall
//
// The library is from the npm package onnxruntime-node, whose checksum is pinned here. Without npm, or if the package
// has no library for the platform, compute-onnx's installer takes it from ONNX Runtime's release page, where archives
// have no pinned checksum. An argument is the package's file, if it was downloaded before:
//
//	go run ./pdq/backend/onnxinstall onnxruntime-node-1.30.0.tgz
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"

	"github.com/gomlx/compute-onnx/support/onnxruntime"

	"github.com/pdquant/pdquant/pdq/backend/internal/ortlib"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "onnxinstall:", err)
		os.Exit(1)
	}
}

// run installs the library, from the package args[0] if there is one.
func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) > 1 {
		return fmt.Errorf("received %d arguments; give at most one, the npm package's file", len(args))
	}
	library, err := ortlib.Path()
	if err != nil {
		return err
	}
	if info, err := os.Stat(library); err == nil && info.Mode().IsRegular() {
		_, err := fmt.Fprintf(out, "ONNX Runtime %s is at %s\n", ortlib.Version, library)
		return err
	}
	folder := filepath.Dir(library)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	work, err := os.MkdirTemp(folder, ".install-") // on the same disk, so that complete files can be moved
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)

	var archive string
	if len(args) == 1 {
		archive = args[0]
	} else if archive, err = npmPack(ctx, work); ctx.Err() != nil {
		return ctx.Err()
	} else if err != nil {
		fmt.Fprintln(out, "not from npm:", err)
		return fromReleases(work, library, out)
	}
	if err := unpack(archive, work); err != nil {
		return err
	}
	if err := place(work, folder); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "installed ONNX Runtime %s at %s\n", ortlib.Version, library)
	return err
}

// npmPack downloads the npm package into folder.
func npmPack(ctx context.Context, folder string) (archive string, err error) {
	if _, ok := memberPaths()[runtime.GOOS+"/"+runtime.GOARCH]; !ok {
		return "", fmt.Errorf("the package has no library for %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	spec := npmPackage + "@" + ortlib.Version
	cmd := exec.CommandContext(ctx, "npm", "pack", spec,
		"--loglevel=error", "--ignore-scripts", "--pack-destination", folder)
	cmd.Dir = folder // so that package.json and .npmrc of the caller's folder don't matter
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("npm pack %s: %w", spec, err)
	}
	return filepath.Join(folder, npmPackage+"-"+ortlib.Version+".tgz"), nil
}

// fromReleases lets compute-onnx's installer download a release.
func fromReleases(work, library string, out io.Writer) error {
	fmt.Fprintln(out, "trying ONNX Runtime's release page; its archive has no pinned checksum")
	release := filepath.Join(work, "release")
	path, err := onnxruntime.Install(ortlib.Version, false, "", release, true)
	if err != nil {
		return fmt.Errorf("%w; install npm, or download %s %s elsewhere and pass the file", err, npmPackage, ortlib.Version)
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return err
	}
	if err := writeLicence(work); err != nil {
		return err
	}
	if err := os.Rename(path, filepath.Join(work, filepath.Base(library))); err != nil {
		return err
	}
	if err := place(work, filepath.Dir(library)); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "installed ONNX Runtime %s at %s\n", ortlib.Version, library)
	return err
}
