package commands

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/models/arch"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/pdq/experiment"
	"github.com/pdquant/pdquant/repl/shell"
)

// checkpointDir is where published checkpoints are looked for.
const checkpointDir = experiment.DefaultRoot + "/checkpoints"

func (e *engine) modelsCommand() command {
	return command{
		Name: "models", Group: groupPrograms,
		Help: "list the networks and data sets known by name: what is here, what is missing, how to get it",
		Run: e.alone(func(c *call) error {
			c.Show(networkTable())
			c.Print("Missing weights go to %s:\n%s", checkpointDir, weightSources())
			c.Print("Any architecture takes weights and images from files (teacher, grid and quantise with checkpoint= and "+
				"data=): %s", strings.Join(arch.Designs(), ", "))
			c.Show(setTable())
			c.Print("Missing data go to a folder of that name in data:\n%s", setSources())
			return nil
		}),
	}
}

// networkTable lists the registry's networks.
func networkTable() shell.Table {
	var rows [][]any
	for _, t := range arch.Registry() {
		state, top1 := "built in", any("-")
		if path := experiment.WeightsFile(t, experiment.DefaultRoot); path != "" {
			state = presence(path)
		}
		if t.Top1 > 0 {
			top1 = num("%.2f", t.Top1)
		}
		rows = append(rows, []any{t.Name, t.Data, top1, settingsText(t.Design), state})
	}
	return shell.Table{Columns: []string{"network", "trained on", "published %", "rounding weight, λr, λc, T", "weights"},
		Rows: rows}
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
	return strings.TrimSuffix(lines.String(), "\n")
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
func setTable() shell.Table {
	var rows [][]any
	for _, s := range datasets.Sets() {
		state := "built in"
		if dir := experiment.SetFolder(s.Name, experiment.DefaultRoot); dir != "" {
			state = presence(dir)
		}
		rows = append(rows, []any{s.Name, fmt.Sprintf("%dx%dx%d", s.Channels, s.Size, s.Size), s.About, state})
	}
	return shell.Table{Columns: []string{"data", "images", "what", "here"}, Rows: rows}
}

// setSources says how to get the data sets.
func setSources() string {
	var lines strings.Builder
	for _, s := range datasets.Sets() {
		fmt.Fprintf(&lines, "  %s: %s\n", s.Name, s.Get)
	}
	return strings.TrimSuffix(lines.String(), "\n")
}

// presence says whether something is at path.
func presence(path string) string {
	if _, err := os.Stat(path); err != nil {
		return "missing: " + filepath.Base(path)
	}
	return path
}
