package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/gomlx/gomlx/ml/train"
	"github.com/gomlx/gomlx/ui/commandline"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/internal/atomicfile"
	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/backend"
)

func trainCommand() command {
	return command{
		name: "train", help: "train a teacher on the whole of Fashion-MNIST and write it as safetensors",
		options: []option{
			{"teacher", "resnet8", "network: " + strings.Join(models.Designs(), ", ")},
			{"epochs", "8", "passes over the 60,000 training images"},
			{"seed", "1", "of initial weights, order and augmentation"},
			{"data", "/usr/share/datasets/fashion-mnist", "folder with the four IDX files"},
			{"backend", "auto", "auto, go, onnx, xla, ..."},
			{"out", "models/teachers", "folder to write TEACHER.safetensors to"},
		},
		run: trainTeacher,
	}
}

func trainTeacher(ctx context.Context, v values, stdout, stderr io.Writer) error {
	c := models.DefaultTraining()
	var err error
	if c.Epochs, err = v.number("epochs", 1, 10000); err != nil {
		return err
	}
	seed, err := v.number("seed", 0, 1<<31)
	if err != nil {
		return err
	}
	c.Seed = uint64(seed)
	images, test, err := datasets.FashionMNIST(v["data"])
	if err != nil {
		return err
	}
	n, err := models.Design(v["teacher"], images.Channels, images.Height, len(images.Classes))
	if err != nil {
		return err
	}
	b, note, err := backend.Open(v["backend"])
	if err != nil {
		return err
	}
	fmt.Fprintln(stderr, note)
	start := time.Now()
	w, err := models.Train(ctx, b, n, images, c, func(l *train.Loop) { commandline.AttachProgressBar(l) })
	if err != nil {
		return err
	}
	seconds := time.Since(start).Seconds()
	score, err := pdq.EvaluateTeacher(ctx, b, n, w, test, nil)
	if err != nil {
		return err
	}
	acc, stderror := score.Accuracy()
	record := map[string]string{
		"network": n.Name, "data": images.Name + ", normalised with mean " + fmt.Sprint(images.Mean) + " and deviation " + fmt.Sprint(images.Std),
		"command":  fmt.Sprintf("go run ./repl train teacher=%s epochs=%d seed=%d", v["teacher"], c.Epochs, c.Seed),
		"settings": fmt.Sprintf("%+v", c),
		"top1":     fmt.Sprintf("%.2f%% of %d test images, standard error %.2f", 100*acc, test.Len(), 100*stderror),
		"seconds":  fmt.Sprintf("%.0f", seconds), "backend": b.String(),
	}
	var file bytes.Buffer
	if err := w.Write(&file, record); err != nil {
		return err
	}
	path := filepath.Join(v["out"], v["teacher"]+".safetensors")
	if err := atomicfile.WriteBytes(path, file.Bytes()); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s: %s, %.0f s, %d bytes\n", path, record["top1"], seconds, file.Len())
	return nil
}
