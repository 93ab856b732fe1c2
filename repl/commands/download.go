package commands

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"github.com/pdquant/pdquant/datasets"
)

func downloadCommand() command {
	return command{
		name: "download", group: groupPrograms, help: "fetch the whole of Fashion-MNIST (31 MB) or CIFAR-10 (170 MB), checksums verified",
		args:    []argument{{name: "set", help: "fashion-mnist, which is the default, or cifar10"}},
		options: []option{{"dir", "", "folder for its files; empty: data/ and its name"}, {"url", "", "where to fetch them from; empty: where they are published"}},
		run:     alone(download),
	}
}

func download(ctx context.Context, v values, stdout, _ io.Writer) error {
	if v["set"] == "" {
		v["set"] = "fashion-mnist"
	}
	if err := v.oneOf("set", "fashion-mnist", "cifar10"); err != nil {
		return err
	}
	fetch, dir := datasets.DownloadFashionMNIST, v["dir"]
	if v["set"] == "cifar10" {
		fetch = datasets.DownloadCIFAR10
	}
	if dir == "" {
		dir = filepath.Join("data", v["set"])
	}
	if err := fetch(ctx, nil, v["url"], dir); err != nil {
		return err
	}
	_, err := fmt.Fprintf(stdout, "%s is in %s\n", v["set"], dir)
	return err
}
