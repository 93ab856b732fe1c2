package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"github.com/charmbracelet/lipgloss/table"

	"github.com/pdquant/pdquant/internal/tsv"
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

// names returns those of all cells of the table.
func names() []string {
	all := []string{"date", "machine", "go", "gomlx", "pytorch", "note"}
	for _, c := range columns() {
		all = append(all, c.name)
	}
	return all
}

// record appends the row to the table at path, with date, machine and versions.
func (r row) record(path string) error {
	cells := []string{
		time.Now().UTC().Format(time.DateOnly), machine(), runtime.Version(), version("github.com/gomlx/gomlx"), r.torch,
		backend.WithoutPath(r.note)}
	for _, c := range columns() {
		cells = append(cells, c.value(r))
	}
	return tsv.Append(path, names(), cells)
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
