package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/lipgloss/table"

	"github.com/pdquant/pdquant/pdq/backend"
)

// columns returns the table's columns, each with a function for the text of a row's value.
func columns() []struct {
	name  string
	value func(r row) string
} {
	ms := func(v float64) string {
		if v == 0 {
			return "-"
		}
		return fmt.Sprintf("%.1f", v)
	}
	ratio := func(v float64) string {
		if v == 0 {
			return "-"
		}
		return fmt.Sprintf("%.2f", v)
	}
	type column = struct {
		name  string
		value func(r row) string
	}
	return []column{
		{"case", func(r row) string { return r.name }},
		{"backend", func(r row) string { return r.backend }},
		{"workers", func(r row) string { return fmt.Sprint(r.workers) }},
		{"step_ms", func(r row) string { return ms(r.step.median) }},
		{"step_p5", func(r row) string { return ms(r.step.low) }},
		{"step_p95", func(r row) string { return ms(r.step.high) }},
		{"pytorch_ms", func(r row) string { return ms(r.torchStep.median) }},
		{"ratio", func(r row) string { return ratio(r.stepRatio) }},
		{"gflop", func(r row) string { return ratio(r.gflop) }},
		{"gflops", func(r row) string { return fmt.Sprintf("%.0f", r.gflop/r.step.median*1e3) }},
		{"peak_gflops", func(r row) string { return fmt.Sprintf("%.0f", r.peak) }},
		{"dc32_ms", func(r row) string { return ms(r.dc.median) }},
		{"pytorch_dc32_ms", func(r row) string { return ms(r.torchDC.median) }},
		{"dc_ratio", func(r row) string { return ratio(r.dcRatio) }},
		{"scale_search_s", func(r row) string { return ratio(r.scales) }},
		{"compile_s", func(r row) string { return ratio(r.compile) }},
		{"peak_mib", func(r row) string { return fmt.Sprint(r.peakMiB) }},
		{"compiled_ms", func(r row) string { return ms(r.compiled.median) }},
		{"compiled_dc32_ms", func(r row) string { return ms(r.compiledDC.median) }},
		{"torch_compile_s", func(r row) string { return ratio(r.torchCompile) }},
	}
}

// summary returns the table of all rows as text.
func summary(rows []row) string {
	t := table.New()
	var names []string
	for _, c := range columns() {
		names = append(names, c.name)
	}
	t.Headers(names...)
	for _, r := range rows {
		var cells []string
		for _, c := range columns() {
			cells = append(cells, c.value(r))
		}
		t.Row(cells...)
	}
	return t.String()
}

// header returns the table's first line.
func header() string {
	names := []string{"date", "machine", "go", "gomlx", "pytorch", "note"}
	for _, c := range columns() {
		names = append(names, c.name)
	}
	return strings.Join(names, "\t")
}

// fits says whether the table at path is still to be begun. It is an error if it has other columns.
func fits(path string) (isNew bool, err error) {
	text, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return false, err
	}
	if first, _, _ := strings.Cut(string(text), "\n"); len(text) > 0 && first != header() {
		return false, fmt.Errorf("%s has other columns; give another table by -out", path)
	}
	return len(text) == 0, nil
}

// record appends the row to the table at path, with date, machine and versions.
func (r row) record(path string) error {
	cells := []string{
		time.Now().UTC().Format(time.DateOnly), machine(), runtime.Version(), version("github.com/gomlx/gomlx"), r.torch,
		backend.WithoutPath(r.note)}
	for _, c := range columns() {
		cells = append(cells, c.value(r))
	}
	isNew, err := fits(path)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if isNew {
		fmt.Fprintln(f, header()) // if this fails, so does the next line
	}
	if _, err := fmt.Fprintln(f, strings.Join(cells, "\t")); err != nil {
		f.Close() // only the first error matters
		return err
	}
	return f.Close()
}

// version returns the version of a module in this program.
func version(module string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	i := slices.IndexFunc(info.Deps, func(m *debug.Module) bool { return m.Path == module })
	if i < 0 {
		return ""
	}
	return info.Deps[i].Version
}
