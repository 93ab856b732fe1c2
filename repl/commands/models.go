package commands

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/models/arch"
	"github.com/pdquant/pdquant/pdq"
)

// checkpointDir is where published checkpoints are looked for.
const checkpointDir = "data/checkpoints"

func (e *engine) modelsCommand() command {
	return command{
		Name: "models", Group: groupPrograms,
		Help: "list the networks and data sets known by name: what is here, what is missing, how to get it",
		Run: e.alone(func(c *call) error {
			c.Print("%s\nMissing weights go to %s:\n%s%s\nMissing data go to a folder of that name in data:\n%s", networkTable(),
				checkpointDir, weightSources(), setTable(), strings.TrimSuffix(setSources(), "\n"))
			return nil
		}),
	}
}

// networkTable lists the registry's networks.
func networkTable() string {
	var rows [][]string
	for _, t := range arch.Registry() {
		state, top1 := "built in", "-"
		if path := checkpointFile(t); path != "" {
			state = presence(path)
		}
		if t.Top1 > 0 {
			top1 = fmt.Sprintf("%.2f", t.Top1)
		}
		rows = append(rows, []string{t.Name, t.Data, top1, settingsText(t.Design), state})
	}
	return grid([]string{"network", "trained on", "published %", "rounding weight, λr, λc, T", "weights"}, rows)
}

// weightSources says where the published weights are, a line for each data set.
func weightSources() string {
	var lines strings.Builder
	said := map[string]bool{}
	for _, t := range arch.Registry() {
		if t.Page != "" && !said[t.Page] {
			said[t.Page] = true
			fmt.Fprintf(&lines, "  %s: %s\n", t.Data, t.Page)
		}
	}
	return lines.String()
}

// settingsText are the settings that depend on the architecture.
func settingsText(design string) string {
	c, err := pdq.Paper(design, 2, 2)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%g, %g, %g, %g", c.Rounding.Weight, 1/c.Loss.PD, 1/c.Correction.Weight, c.Loss.Temperature)
}

// setTable lists the data sets.
func setTable() string {
	var rows [][]string
	for _, s := range datasets.Sets() {
		state := "built in"
		if dir := dataFolder(s.Name); dir != "" {
			state = presence(dir)
		}
		rows = append(rows, []string{s.Name, fmt.Sprintf("%dx%dx%d", s.Channels, s.Size, s.Size), s.About, state})
	}
	return grid([]string{"data", "images", "what", "here"}, rows)
}

// setSources says how to get the data sets.
func setSources() string {
	var lines strings.Builder
	for _, s := range datasets.Sets() {
		fmt.Fprintf(&lines, "  %s: %s\n", s.Name, s.Get)
	}
	return lines.String()
}

// presence says whether something is at path.
func presence(path string) string {
	if _, err := os.Stat(path); err != nil {
		return "missing: " + filepath.Base(path)
	}
	return path
}

// dataFolder is where a data set is looked for; "": what is built in, if its folder isn't there.
func dataFolder(set string) string {
	dir := filepath.Join("data", set)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) && set == "fashion-mnist" {
		return ""
	}
	return dir
}

// checkpointFile is where a network's published checkpoint is, or belongs; "": it is built in.
func checkpointFile(t arch.Trained) string {
	if t.File == "" {
		return ""
	}
	kept := filepath.Join("testdata", t.Data, t.File) // this repository has one
	if _, err := os.Stat(kept); err == nil {
		return kept
	}
	return filepath.Join(checkpointDir, t.File)
}
