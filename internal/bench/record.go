package main

import (
	"bufio"
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

// columns are the table's, each with how a row's value is written.
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
	}
}

// summary is the table of all rows, as text.
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

// record appends the row to the table at path, with date, machine and versions.
func (r row) record(path string) error {
	names, cells := []string{"date", "machine", "go", "gomlx", "pytorch", "note"}, []string{
		time.Now().UTC().Format(time.DateOnly), machine(), runtime.Version(), version("github.com/gomlx/gomlx"), r.torch,
		backend.WithoutPath(r.note)}
	for _, c := range columns() {
		names, cells = append(names, c.name), append(cells, c.value(r))
	}
	_, err := os.Stat(path)
	isNew := os.IsNotExist(err)
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if isNew {
		fmt.Fprintln(f, strings.Join(names, "\t")) // Close says if this failed
	}
	if _, err := fmt.Fprintln(f, strings.Join(cells, "\t")); err != nil {
		f.Close() // the first error counts
		return err
	}
	return f.Close()
}

// machine is the processor's name and how many there are.
func machine() string {
	name := runtime.GOARCH
	if f, err := os.Open("/proc/cpuinfo"); err == nil {
		defer f.Close()
		for s := bufio.NewScanner(f); s.Scan(); {
			if _, v, ok := strings.Cut(s.Text(), ": "); ok && strings.HasPrefix(s.Text(), "model name") {
				name = v
				break
			}
		}
	}
	return fmt.Sprintf("%d x %s, %s", runtime.GOMAXPROCS(0), name, runtime.GOOS)
}

// version is that of a module in this program.
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
