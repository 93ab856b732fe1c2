package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Names of the kernels that notebooks have.
const (
	pdquant = "pdquant"
	gonb    = "gonb"
)

// jupyter runs Jupyter's programs with this checkout's kernels, and leaves the user's kernels alone.
type jupyter struct {
	root string // of the repository
	home string // bin/jupyter, so that each checkout has its own kernels
	env  []string
}

func newJupyter() (*jupyter, error) {
	root, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("notebooks: %w", err)
	}
	home := filepath.Join(root, "bin", "jupyter")
	bin := filepath.Join(home, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return nil, fmt.Errorf("notebooks: %w", err)
	}
	return &jupyter{root: root, home: home, env: []string{"GOTOOLCHAIN=auto", before("PATH", bin),
		before("JUPYTER_PATH", filepath.Join(home, "share", "jupyter"))}}, nil
}

// before returns a variable of the environment, a list of folders, with one more in front.
func before(name, folder string) string {
	if rest := os.Getenv(name); rest != "" {
		folder += string(filepath.ListSeparator) + rest
	}
	return name + "=" + folder
}

// install builds the kernel called name, and writes its specification.
func (j *jupyter) install(ctx context.Context, name string) error {
	switch bin := filepath.Join(j.home, "bin"); name {
	case pdquant:
		program := filepath.Join(bin, pdquant)
		if err := command(ctx, j.env, "go", "build", "-o", program, "./repl"); err != nil {
			return err
		}
		return command(ctx, j.env, program, "kernel", "install", "--prefix="+j.home)
	case gonb:
		// GoNB calls goimports.
		tools := []string{"build", "-modfile=internal/tools/go.mod", "-o", bin + "/", "github.com/janpfeifer/gonb",
			"golang.org/x/tools/cmd/goimports"}
		if err := command(ctx, j.env, "go", tools...); err != nil {
			return err
		}
		return j.specifyGoNB(filepath.Join(bin, gonb))
	}
	return fmt.Errorf("notebooks: no kernel is called %q; choose %s or %s", name, pdquant, gonb)
}

// specifyGoNB writes the specification of GoNB's kernel, which program is.
func (j *jupyter) specifyGoNB(program string) error {
	spec, err := json.Marshal(map[string]any{
		"argv":         []string{program, "--kernel", "{connection_file}", "--go_work=" + j.root, "--stderrthreshold=FATAL"},
		"display_name": "Go (gonb)", "language": "go", "interrupt_mode": "message",
	})
	dir := filepath.Join(j.home, "share", "jupyter", "kernels", gonb)
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "kernel.json"), spec, 0o644)
	}
	if err != nil {
		return fmt.Errorf("notebooks: %w", err)
	}
	return nil
}

// execute runs the notebook at path, and writes its outputs there. It returns an error if a cell fails.
func (j *jupyter) execute(ctx context.Context, path, kernel string) error {
	err := command(ctx, j.env, "jupyter-nbconvert", "--to", "notebook", "--execute", "--allow-errors", "--inplace",
		"--ExecutePreprocessor.timeout=-1", "--ExecutePreprocessor.kernel_name="+kernel, path)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("notebooks: %w", err)
	}
	if err := failures(data); err != nil {
		return fmt.Errorf("notebooks: %s: %w", path, err)
	}
	return nil
}

// failures returns the errors in a notebook's outputs, together with its standard error.
func failures(notebook []byte) error {
	var n struct {
		Cells []struct {
			Outputs []struct {
				Type      string `json:"output_type"`
				Name      string
				Text      []string
				Traceback []string
			}
		}
	}
	if err := json.Unmarshal(notebook, &n); err != nil {
		return err
	}
	var errs, said []error
	for i, c := range n.Cells {
		for _, o := range c.Outputs {
			if o.Type == "error" {
				errs = append(errs, fmt.Errorf("cell %d: %s", i+1, strings.Join(o.Traceback, "\n")))
			} else if o.Name == "stderr" {
				said = append(said, fmt.Errorf("cell %d: %s", i+1, strings.Join(o.Text, "")))
			}
		}
	}
	if errs == nil {
		return nil
	}
	return errors.Join(append(errs, said...)...)
}

// html writes the HTML of an executed notebook to the same folder. Figures are PNGs: nbconvert removes the paths of
// SVGs.
func (j *jupyter) html(ctx context.Context, executed string) error {
	err := command(ctx, j.env, "jupyter-nbconvert", "--to", "html", "--HTMLExporter.mathjax_url=",
		"--HTMLExporter.require_js_url=", "--HTMLExporter.jquery_url=",
		"--NbConvertBase.display_data_priority=['text/html', 'image/png', 'text/markdown', 'text/plain']", executed)
	if err != nil {
		return err
	}
	page := strings.TrimSuffix(executed, ".ipynb") + ".html"
	data, err := os.ReadFile(page)
	if err != nil {
		return fmt.Errorf("notebooks: %w", err)
	}
	offline := withoutNetwork(data)
	if left := fromNetwork().Find(offline); left != nil {
		return fmt.Errorf("notebooks: %s would fetch from the network: %.100s", page, left)
	}
	if err := os.WriteFile(page, offline, 0o644); err != nil {
		return fmt.Errorf("notebooks: %w", err)
	}
	return nil
}

// fromNetwork matches elements that a browser would fetch from the network.
func fromNetwork() *regexp.Regexp {
	return regexp.MustCompile(`(?i)<(script|link|img|iframe)\b[^>]*\b(src|href)="(https?:)?//[^>]*>`)
}

// withoutNetwork removes the scripts for formulas and widgets, which nbconvert's template loads whatever the options
// are. These notebooks have neither.
func withoutNetwork(page []byte) []byte {
	script := regexp.MustCompile(`(?is)<script\b[^>]*\bsrc="((https?:)?//[^"]*)?"[^>]*>\s*</script>`)
	return script.ReplaceAll(page, nil)
}
