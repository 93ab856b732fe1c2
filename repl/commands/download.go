package commands

import (
	"path/filepath"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/repl/shell"
)

func (e *engine) downloadCommand() command {
	return command{
		Name: "download", Group: groupPrograms, Help: "fetch the whole of Fashion-MNIST (31 MB) or CIFAR-10 (170 MB), " +
			"checksums verified",
		Args: []shell.Argument{{Name: "set", Help: "fashion-mnist, which is the default, or cifar10"}},
		Options: []shell.Option{option("dir", "", "folder for its files; empty: data/ and its name"),
			option("url", "", "where to fetch them from; empty: where they are published")},
		Run: e.alone(download),
	}
}

func download(c *call) error {
	v := c.Values
	if v["set"] == "" {
		v["set"] = "fashion-mnist"
	}
	if err := v.OneOf("set", "fashion-mnist", "cifar10"); err != nil {
		return err
	}
	fetch, dir := datasets.DownloadFashionMNIST, v["dir"]
	if v["set"] == "cifar10" {
		fetch = datasets.DownloadCIFAR10
	}
	if dir == "" {
		dir = filepath.Join("data", v["set"])
	}
	if err := fetch(c.Context, nil, v["url"], dir); err != nil {
		return err
	}
	c.Print("%s is in %s", v["set"], dir)
	return nil
}
