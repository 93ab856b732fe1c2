package commands

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReport: a page on students, on a saved session and on a run of methods, alone and side by side.
func TestReport(t *testing.T) {
	dir := t.TempDir()
	saved, grid := filepath.Join(dir, "saved"), filepath.Join(dir, "grid")
	sh, _ := testShell(t, "run", "eval n=20; name 'base'; save "+saved, "set loss.pd=0; scales weights; run conv1",
		"ablate loss=mse dc=off seeds=1 test=10 out="+grid)
	for line, want := range map[string][]string{
		"report base now file=" + dir + "/a.html": {"<h1>base, now</h1>", ">Loss.PD</td>", "layer3.0.conv2",
			"now against base: not both are evaluated"},
		"report " + saved: {"<h2>Units</h2>", ">layer2.0</td>", "distance before", "20 of fashion-mnist/test",
			"settings of the last method", "linux", "run; eval n=20"},
		"report " + grid + " " + saved: {"loss=mse dc=off", "± is one standard error", " seed 1", "peak memory",
			"seconds of", saved + " against " + grid + ": they were evaluated on different images"},
	} {
		if err := sh.Line(t.Context(), line); err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		path := filepath.Join(strings.Fields(line)[1], "report.html")
		if strings.Contains(line, "file=") {
			path = filepath.Join(dir, "a.html")
		}
		data, err := os.ReadFile(path)
		page := string(data)
		if err != nil || !strings.Contains(page, `src="data:image/png;base64,`) {
			t.Errorf("%s: no chart, error %v", line, err)
		}
		page = regexp.MustCompile(`base64,[^"]*`).ReplaceAllString(page, "")
		if outside := regexp.MustCompile(`(src|href)="[^d]|url\(|NaN|%!`).FindString(page); outside != "" {
			t.Errorf("%s: the page has %s:\n%s", line, outside, page)
		}
		for _, text := range want {
			if !strings.Contains(page, text) {
				t.Errorf("%s: no %q in\n%s", line, text, page)
			}
		}
	}
	for line, want := range map[string]string{
		"report":                               "report needs RUN",
		"report nothing":                       `no student and no run folder is "nothing"`,
		"report base base base base base base": "6 runs; a report has up to 5",
		"report base file=" + dir:              "is a folder",
		"report base file=" + dir + "/no/a":    "can't be written",
		"report ~/no/such/run":                 `no student and no run folder is "/`,
	} {
		if err := sh.Line(t.Context(), line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %s", line, err, want)
		}
	}
	write(t, filepath.Join(saved, studentFile), "damaged")
	if err := sh.Line(t.Context(), "report "+saved); err == nil || !strings.Contains(err.Error(), studentFile) {
		t.Errorf("a damaged student: error %v", err)
	}
}

// TestReportOfLittle: what a run didn't keep is left out.
func TestReportOfLittle(t *testing.T) {
	dir := t.TempDir()
	sh, _ := testShell(t, "scales weights", "report now file="+dir+"/a.html")
	page, err := os.ReadFile(dir + "/a.html")
	if err != nil || !strings.Contains(string(page), "Not evaluated.") {
		t.Errorf("error %v, page %s", err, page)
	}
	if err := sh.Line(t.Context(), "save "+dir+"/run"); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "run", studentFile)); err != nil {
		t.Fatal(err)
	}
	if err := sh.Line(t.Context(), "report "+dir+"/run"); err != nil {
		t.Error(err)
	}
}
