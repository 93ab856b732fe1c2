package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/internal/fetched"
	"github.com/pdquant/pdquant/internal/npz"
	"github.com/pdquant/pdquant/pdq/experiment"
)

//go:embed peers.py
var script string

// packages returns the name of a peer's virtual environment and what it holds.
func packages(peer string) (name, list string) {
	const common = "torch==2.15.0 onnx==1.23.2 onnxruntime==1.32.0 onnxscript==0.7.2"
	switch peer {
	case "nncf":
		return "peers-nncf", common + " nncf==3.4.0"
	case "brevitas":
		return "peers-brevitas", common + " brevitas==0.13.4 tqdm torchvision==0.29.2"
	case "aimet":
		return "peers-aimet", common + " aimet-torch==2.42.0"
	}
	return "peers-onnxruntime", common
}

// peer runs a peer's Python program. What it says of a failure is the outcome's reason.
func (s settings) peer(ctx context.Context, j job, subject experiment.Subject) (o outcome, err error) {
	calibration, ok := subject.Pool.(datasets.Stream)
	if !ok {
		return o, errors.New("images to calibrate on that aren't image files")
	}
	var paths []string
	for _, part := range []struct {
		half   string
		images datasets.Stream
	}{{s.half, calibration}, {s.other(), subject.Test}} {
		path := filepath.Join(s.runs, "half-"+part.half+".npz")
		if err := arrays(ctx, path, part.images); err != nil {
			return o, err
		}
		paths = append(paths, path)
	}
	name, list := packages(j.peer)
	bin, err := fetched.Python(name, list, func(words ...string) error {
		if out, err := exec.CommandContext(ctx, words[0], words[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", strings.Join(words, " "), err, out)
		}
		return nil
	})
	if err != nil {
		return outcome{Reason: "not installed: " + lastLine(err.Error())}, nil
	}
	limited, stop := context.WithTimeout(ctx, s.limit)
	defer stop()
	cmd := exec.CommandContext(limited, filepath.Join(bin, "python"), "-W", "ignore", "-", j.peer, j.setting,
		strconv.Itoa(j.w), strconv.Itoa(j.a), s.checkpoint, paths[0], paths[1], strconv.Itoa(s.threads))
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(script), &stdout, &stderr
	cmd.Env = append(os.Environ(), fmt.Sprintf("OMP_NUM_THREADS=%d", s.threads))
	failed := cmd.Run()
	log := filepath.Join(s.runs, fmt.Sprintf("%s %s W%d.log", j.peer, j.setting, j.w))
	if err := os.WriteFile(log, stderr.Bytes(), 0o644); err != nil {
		return o, err
	}
	switch {
	case ctx.Err() != nil:
		return o, ctx.Err()
	case limited.Err() != nil:
		return outcome{Reason: fmt.Sprintf("left out: more than %v", s.limit)}, nil
	case failed != nil:
		return outcome{Reason: lastLine(stderr.String())}, nil
	}
	if err := json.Unmarshal([]byte(lastLine(stdout.String())), &o); err != nil {
		return o, err
	}
	return o, nil
}

// lastLine returns the last line that isn't blank.
func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

// arrays writes images as a network takes them, and their labels, unless the file is there.
func arrays(ctx context.Context, path string, images datasets.Stream) (err error) {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	const size = 100
	var all []float32
	var labels []int64
	shape := []int{0}
	for batch, err := range images.Batches(ctx, size) {
		if err != nil {
			return err
		}
		all = append(all, batch.Floats(0, batch.Len())...)
		for _, label := range batch.Labels {
			labels = append(labels, int64(label))
		}
		shape = []int{len(labels), batch.Channels, batch.Height, batch.Width}
	}
	f, err := os.Create(path + ".part")
	if err != nil {
		return err
	}
	err = npz.Write(f, []npz.Array{{Name: "images", Shape: shape, Values: all},
		{Name: "labels", Shape: shape[:1], Values: labels}})
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(path+".part", path)
}
