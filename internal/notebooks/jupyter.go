package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// jupyter runs nbconvert with a kernel of its own, which leaves the user's alone.
type jupyter struct{ env []string }

// newJupyter builds GoNB, and goimports, which it calls, into bin/jupyter: each checkout has its own kernel.
func newJupyter(ctx context.Context, setting string, minutes float64) (*jupyter, error) {
	if _, err := exec.LookPath("jupyter-nbconvert"); err != nil {
		return nil, fmt.Errorf("notebooks: %w; install Debian's jupyter-nbconvert and jupyter-client", err)
	}
	root, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("notebooks: %w", err)
	}
	home := filepath.Join(root, "bin", "jupyter")
	bin, kernel := filepath.Join(home, "bin"), filepath.Join(home, "kernels", "gonb")
	if err := errors.Join(os.MkdirAll(bin, 0o755), os.MkdirAll(kernel, 0o755)); err != nil {
		return nil, fmt.Errorf("notebooks: %w", err)
	}
	tools := []string{"build", "-modfile=internal/tools/go.mod", "-o", bin + "/", "github.com/janpfeifer/gonb",
		"golang.org/x/tools/cmd/goimports"}
	if err := command(ctx, []string{"GOTOOLCHAIN=auto"}, "go", tools...); err != nil {
		return nil, err
	}
	spec, err := json.Marshal(map[string]any{
		"argv": []string{filepath.Join(bin, "gonb"), "--kernel", "{connection_file}", "--go_work=" + root,
			"--stderrthreshold=FATAL"},
		"display_name": "Go (gonb)", "language": "go", "interrupt_mode": "message",
	})
	if err == nil {
		err = os.WriteFile(filepath.Join(kernel, "kernel.json"), spec, 0o644)
	}
	if err != nil {
		return nil, fmt.Errorf("notebooks: %w", err)
	}
	env := []string{"JUPYTER_PATH=" + home, "PATH=" + bin + string(filepath.ListSeparator) + os.Getenv("PATH"),
		"PDQUANT_ROOT=" + root, "PDQUANT_NOTEBOOKS=" + setting}
	if minutes > 0 {
		env = append(env, fmt.Sprintf("PDQUANT_MINUTES=%g", minutes))
	}
	return &jupyter{env}, nil
}

// open serves the notebooks in Jupyter, for this machine alone, until ctx ends.
func (j *jupyter) open(ctx context.Context) error {
	args := []string{"--ip=127.0.0.1", "notebooks"} // with a token, which Jupyter makes
	if os.Geteuid() == 0 {
		args = append(args, "--allow-root", "--no-browser")
	}
	if _, err := exec.LookPath("jupyter-notebook"); err != nil {
		return fmt.Errorf("notebooks: %w; install Debian's jupyter-notebook", err)
	}
	p := newProgram(ctx, j.env, "jupyter-notebook", args...)
	p.Stdout, p.Stderr = os.Stdout, os.Stderr
	err := p.Run()
	p.killRest()
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("notebooks: jupyter-notebook: %w", err)
	}
	return nil
}

// execute runs the notebook at path, and returns the executed one's path in out. A cell that failed is an error.
func (j *jupyter) execute(ctx context.Context, path, out string) (string, error) {
	err := command(ctx, j.env, "jupyter-nbconvert", "--to", "notebook", "--execute", "--allow-errors",
		"--ExecutePreprocessor.timeout=-1", "--ExecutePreprocessor.kernel_name=gonb", "--output-dir", out, path)
	if err != nil {
		return "", err
	}
	executed := filepath.Join(out, filepath.Base(path))
	data, err := os.ReadFile(executed)
	if err != nil {
		return "", fmt.Errorf("notebooks: %w", err)
	}
	if err := failures(data); err != nil {
		return "", fmt.Errorf("notebooks: %s: %w", executed, err)
	}
	return executed, nil
}

// failures returns the errors in a notebook's outputs, with what was printed to standard error.
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

// html writes the HTML of an executed notebook beside it.
func (j *jupyter) html(ctx context.Context, executed string) error {
	err := command(ctx, j.env, "jupyter-nbconvert", "--to", "html", "--HTMLExporter.mathjax_url=",
		"--HTMLExporter.require_js_url=",
		"--HTMLExporter.jquery_url=", executed)
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

// fromNetwork matches an element that a page would fetch.
func fromNetwork() *regexp.Regexp {
	return regexp.MustCompile(`(?i)<(script|link|img|iframe)\b[^>]*\b(src|href)="(https?:)?//[^>]*>`)
}

// withoutNetwork removes the scripts that nbconvert's template loads whatever its options say: those for
// formulas and widgets, which these notebooks have none of.
func withoutNetwork(page []byte) []byte {
	script := regexp.MustCompile(`(?is)<script\b[^>]*\bsrc="((https?:)?//[^"]*)?"[^>]*>\s*</script>`)
	return script.ReplaceAll(page, nil)
}
