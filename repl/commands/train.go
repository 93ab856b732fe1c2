package commands

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/models/arch"
	"github.com/pdquant/pdquant/models/checkpoint"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/backend"
	"github.com/pdquant/pdquant/pdq/experiment"
)

func trainCommand() command {
	return command{
		name: "train", group: groupPrograms, help: "train a teacher on the whole of Fashion-MNIST and write it as safetensors",
		options: []option{
			{"teacher", "resnet8", "network: " + strings.Join(arch.Designs(), ", ")},
			{"epochs", "8", "passes over the 60,000 training images"},
			{"seed", "1", "of initial weights, order and augmentation"},
			{"data", "/usr/share/datasets/fashion-mnist", "folder with the four IDX files"},
			{"backend", "auto", "auto, go, onnx, xla, ..."},
			{"out", "models/arch/teachers", "folder to write TEACHER.safetensors to"},
		},
		run: alone(trainTeacher),
	}
}

func trainTeacher(ctx context.Context, v values, stdout, stderr io.Writer) error {
	c := arch.DefaultTraining()
	var err error
	if c.Epochs, err = v.number("epochs", 1, 10000); err != nil {
		return err
	}
	seed, err := v.number("seed", 0, 1<<31)
	if err != nil {
		return err
	}
	c.Seed = uint64(seed)
	folder, err := experiment.CreateFolder(v["out"]) // before the hours of training
	if err != nil {
		return fmt.Errorf("repl: out=%s: %w", v["out"], err)
	}
	images, test, err := datasets.FashionMNIST(v["data"])
	if err != nil {
		return err
	}
	n, err := arch.Design(v["teacher"], arch.Input{Channels: images.Channels, Height: images.Height, Width: images.Width, Classes: len(images.Classes)})
	if err != nil {
		return err
	}
	b, note, err := backend.Open(v["backend"])
	if err != nil {
		return err
	}
	fmt.Fprintln(stderr, note)
	start := time.Now()
	progress := newProgress(stderr)
	w, err := arch.Train(ctx, b, n, images, c, progress.attach(c.Epochs))
	progress.done()
	if err != nil {
		return err
	}
	seconds := time.Since(start).Seconds()
	score, err := pdq.EvaluateTeacher(ctx, b, backend.Workers(b), n, w, test, nil)
	if err != nil {
		return err
	}
	acc, stderror := score.Accuracy()
	return writeTeacher(folder, v["teacher"]+".safetensors", w, map[string]string{
		"network": n.Name, "data": images.Name + ", normalised with mean " + fmt.Sprint(images.Mean) + " and deviation " + fmt.Sprint(images.Std),
		"command":  trainCommand().line(v),
		"settings": fmt.Sprintf("%+v", c),
		"top1":     fmt.Sprintf("%.2f%% of %d test images, standard error %.2f", 100*acc, test.Len(), 100*stderror),
		"seconds":  fmt.Sprintf("%.0f", seconds), "backend": b.String(),
	}, stdout)
}

func writeTeacher(folder experiment.Folder, name string, w models.Weights, record map[string]string, stdout io.Writer) error {
	var file bytes.Buffer
	if err := checkpoint.WriteWeights(&file, w, record); err != nil {
		return err
	}
	if err := folder.Write(name, file.Bytes()); err != nil {
		return err
	}
	_, err := fmt.Fprintf(stdout, "%s: %s, %s s, %d bytes\n", folder.Path(name), record["top1"], record["seconds"], file.Len())
	return err
}
