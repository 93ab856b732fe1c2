package main

import (
	"context"
	"fmt"
	"io"

	"github.com/pdquant/pdquant/datasets"
)

func downloadCommand() command {
	return command{
		name: "download", group: groupPrograms, help: "fetch the whole of Fashion-MNIST (31 MB), checksums verified",
		options: []option{{"dir", "data/fashion-mnist", "folder to put the four IDX files in"}, {"url", "", "where to fetch them from; empty: Zalando's site"}},
		run: alone(func(ctx context.Context, v values, stdout, _ io.Writer) error {
			if err := datasets.DownloadFashionMNIST(ctx, nil, v["url"], v["dir"]); err != nil {
				return err
			}
			_, err := fmt.Fprintf(stdout, "Fashion-MNIST is in %s\n", v["dir"])
			return err
		}),
	}
}
