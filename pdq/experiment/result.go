package experiment

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pdquant/pdquant/internal/atomicfile"
	"github.com/pdquant/pdquant/pdq"
)

// ResultsFile is the table of results in a run folder.
const ResultsFile = "results.tsv"

// Result is what a method gave on a subject with a seed: a row of the table of results.
type Result struct {
	Network, Data string
	Width                // bits; 32 and 32: full precision
	Method        string // its name
	Preset        string // whose Config was changed
	Settings      string // in what the Config differs from the preset's: preset, bits, settings and seed say what was run
	Seed          uint64
	Images        int // calibrated on
	Test          Accuracy
	Tested        string // what the test images are
	Calibration   Accuracy
	PD            float64 // mean prediction difference of the test images to the teacher; NaN: not measured
	Seconds       float64 // of quantising; evaluation not counted
	PeakMemory    int64   // of the process while quantising, bytes; 0: unknown on this system
	Backend       string
	Threads       int
	Versions      string
	Date          string
	Hash          string // of teacher, images and Config: the same hash, the same result

	Right  pdq.Score // which test images are right; empty: only the table is here, not the run folder
	EachPD []float32 // each test image's prediction difference; empty: not measured
}

// column is a column of the table: how a result's cell is written and read.
type column struct {
	name  string
	write func(r Result) string
	read  func(r *Result, cell string) error
}

// columns is the schema of all tables of results.
func columns() []column {
	return []column{
		text("network", func(r *Result) *string { return &r.Network }),
		text("data", func(r *Result) *string { return &r.Data }),
		number("w", func(r *Result) *int { return &r.W }),
		number("a", func(r *Result) *int { return &r.A }),
		text("method", func(r *Result) *string { return &r.Method }),
		text("preset", func(r *Result) *string { return &r.Preset }),
		text("settings", func(r *Result) *string { return &r.Settings }),
		{"seed", func(r Result) string { return fmt.Sprint(r.Seed) }, func(r *Result, cell string) (err error) {
			r.Seed, err = strconv.ParseUint(cell, 10, 64)
			return err
		}},
		number("images", func(r *Result) *int { return &r.Images }),
		number("test_images", func(r *Result) *int { return &r.Test.N }),
		percent("top1_percent", func(r *Result) *Accuracy { return &r.Test }),
		{"top1_error", func(r Result) string { return fmt.Sprintf("%.2f", r.Test.StandardError()) },
			func(*Result, string) error { return nil }},
		text("tested", func(r *Result) *string { return &r.Tested }),
		percent("calibration_top1_percent", func(r *Result) *Accuracy { return &r.Calibration }),
		real("prediction_difference", "%.5f", func(r *Result) *float64 { return &r.PD }),
		real("seconds", "%.1f", func(r *Result) *float64 { return &r.Seconds }),
		{"peak_mib", func(r Result) string { return fmt.Sprint(r.PeakMemory >> 20) }, func(r *Result, cell string) error {
			mib, err := strconv.ParseInt(cell, 10, 64)
			r.PeakMemory = mib << 20
			return err
		}},
		text("backend", func(r *Result) *string { return &r.Backend }),
		number("threads", func(r *Result) *int { return &r.Threads }),
		text("versions", func(r *Result) *string { return &r.Versions }),
		text("date", func(r *Result) *string { return &r.Date }),
		text("hash", func(r *Result) *string { return &r.Hash }),
	}
}

func text(name string, of func(r *Result) *string) column {
	return column{name, func(r Result) string { return *of(&r) },
		func(r *Result, cell string) error { *of(r) = cell; return nil }}
}

func number(name string, of func(r *Result) *int) column {
	return column{name, func(r Result) string { return strconv.Itoa(*of(&r)) }, func(r *Result, cell string) (err error) {
		*of(r), err = strconv.Atoi(cell)
		return err
	}}
}

// real is a number that may be unknown: an empty cell, NaN.
func real(name, format string, of func(r *Result) *float64) column {
	return column{name, func(r Result) string {
		if math.IsNaN(*of(&r)) {
			return ""
		}
		return fmt.Sprintf(format, *of(&r))
	}, func(r *Result, cell string) (err error) {
		if *of(r) = math.NaN(); cell == "" {
			return nil
		}
		*of(r), err = strconv.ParseFloat(cell, 64)
		return err
	}}
}

// percent is an accuracy; n is another column. Three digits tell all counts of up to 50,000 images apart. It is empty
// where images have no labels.
func percent(name string, of func(r *Result) *Accuracy) column {
	return column{name, func(r Result) string {
		if of(&r).N == 0 {
			return ""
		}
		return fmt.Sprintf("%.3f", of(&r).Percent())
	},
		func(r *Result, cell string) error {
			if cell == "" {
				*of(r) = Accuracy{}
				return nil
			}
			p, err := strconv.ParseFloat(cell, 64)
			if err != nil || !(p >= 0 && p <= 100) {
				return fmt.Errorf("%q is no percentage", cell)
			}
			a := of(r)
			if a.N == 0 {
				a.N = r.Images
			}
			a.Right = int(math.Round(p / 100 * float64(a.N)))
			return nil
		}}
}

// rounded returns r with the digits that the table has, so that results look the same now and when they are read again.
func (r Result) rounded() (Result, error) {
	out := r
	for _, c := range columns() {
		if err := c.read(&out, c.write(r)); err != nil {
			return r, fmt.Errorf("experiment: %s: %w", c.name, err)
		}
	}
	return out, nil
}

// ReadResults reads a table of results.
func ReadResults(r io.Reader) ([]Result, error) {
	rows := csv.NewReader(r)
	rows.Comma, rows.Comment, rows.LazyQuotes = '\t', '#', true
	rows.FieldsPerRecord = len(columns())
	header, err := rows.Read()
	if err == io.EOF {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("experiment: the table of results: %w", err)
	}
	for i, c := range columns() {
		if header[i] != c.name {
			return nil, fmt.Errorf("experiment: column %d of the table is %q; this version has %q there", i+1, header[i], c.name)
		}
	}
	var results []Result
	for {
		cells, err := rows.Read()
		if err == io.EOF {
			return results, nil
		}
		if err != nil {
			return nil, fmt.Errorf("experiment: the table of results: %w", err)
		}
		var x Result
		for i, c := range columns() {
			if err := c.read(&x, cells[i]); err != nil {
				line, _ := rows.FieldPos(i)
				return nil, fmt.Errorf("experiment: line %d of the table, %s: %w", line, c.name, err)
			}
		}
		results = append(results, x)
	}
}

// WriteResults writes results as a table that ReadResults reads.
func WriteResults(w io.Writer, results []Result) error {
	rows := csv.NewWriter(w)
	rows.Comma = '\t'
	var header []string
	for _, c := range columns() {
		header = append(header, c.name)
	}
	lines := [][]string{header}
	for _, r := range results {
		var line []string
		for _, c := range columns() {
			line = append(line, c.write(r))
		}
		lines = append(lines, line)
	}
	if err := rows.WriteAll(lines); err != nil {
		return fmt.Errorf("experiment: writing the table of results: %w", err)
	}
	return nil
}

// Results reads the folder's table of results, with what is kept of each image. It is an error if a
// student's file isn't the one that was evaluated. No table is no results.
func (f Folder) Results() ([]Result, error) {
	results, err := f.table()
	if err != nil {
		return nil, err
	}
	for i, r := range results {
		if kept, err := f.finished(r); err == nil {
			results[i] = r.with(kept)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return results, nil
}

func (f Folder) table() ([]Result, error) {
	data, err := atomicfile.Read(f.Path(ResultsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("experiment: %w", err)
	}
	results, err := ReadResults(bytes.NewReader(data))
	if err != nil {
		err = fmt.Errorf("%s: %w; restore it, or choose another folder", f.Path(ResultsFile), err)
	}
	return results, err
}

// Append adds a result to the folder's table. The table is replaced as a whole, or not at all.
func (f Folder) Append(r Result) error {
	results, err := f.table()
	if err != nil {
		return err
	}
	var table bytes.Buffer
	if err := WriteResults(&table, append(results, r)); err != nil {
		return err
	}
	return f.Write(ResultsFile, table.Bytes())
}

// appendJoined is Append for processes that share the folder: one waits for the other.
func (f Folder) appendJoined(r Result) (err error) {
	lock, err := f.flock("." + ResultsFile + claimEnd)
	if err == nil {
		err = lock.Lock()
	}
	if err != nil {
		return fmt.Errorf("experiment: run folder: %w", err)
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	return f.Append(r)
}

// kept is what a run folder keeps of a student beside its quantisers.
type kept struct {
	Record            Record
	Seconds           float64
	PeakMemory        int64
	Student           string    `json:",omitempty"` // hex SHA-256 of its file; "": in full precision, or not recorded
	Test, Calibration string    `json:",omitempty"` // for each image 1 if it is right, else 0; "": not evaluated yet
	PD                []float32 `json:",omitempty"` // of each test image
}

func (f Folder) kept(stem string) (k kept, err error) { return k, f.ReadJSON(stem+".json", &k) }

// StudentEnding ends the names of students' files.
const StudentEnding = ".safetensors"

// StudentRecord returns the record of the student whose file is called name, and the hash for Unchanged. Run writes
// both beside it.
func (f Folder) StudentRecord(name string) (r Record, hash string, err error) {
	k, err := f.kept(strings.TrimSuffix(name, StudentEnding))
	return k.Record, k.Student, err
}

// finished is kept of a result, whose student's file, if it is still there, must be the one that was evaluated.
func (f Folder) finished(r Result) (kept, error) {
	k, err := f.kept(r.stem())
	if err == nil {
		err = ignore(f.Unchanged(r.StudentFile(), k.Student), fs.ErrNotExist)
	}
	return k, err
}

// with returns r with what k says about each image.
func (r Result) with(k kept) Result {
	r.Right, r.EachPD = FromOnes(k.Test), k.PD
	return r
}

// stem begins the names of a result's files.
func (r Result) stem() string {
	return fileStem(r.Network, r.Width, r.Seed, r.Hash)
}

func fileStem(network string, w Width, seed uint64, hash string) string {
	return fmt.Sprintf("%s-%s-s%d-%s", network, strings.ToLower(w.String()), seed, hash)
}

// StudentFile returns the name of the file of r's student in its run folder.
func (r Result) StudentFile() string { return r.stem() + StudentEnding }

// Ones returns a score as text: for each image 1 if it is right, else 0.
func Ones(s pdq.Score) string {
	b := make([]byte, len(s.Top1))
	for i, right := range s.Top1 {
		if b[i] = '0'; right {
			b[i] = '1'
		}
	}
	return string(b)
}

// FromOnes returns the score that Ones wrote.
func FromOnes(text string) pdq.Score {
	s := pdq.Score{Top1: make([]bool, len(text))}
	for i := range s.Top1 {
		s.Top1[i] = text[i] == '1'
	}
	return s
}

// ChartFile is the chart of a run folder's results, which the caller of Run draws.
const ChartFile = "chart.png"

// resultFile matches the names of files beside the table: fileStem, and what they are; and of claims.
const resultFile = `^.+-w\d+a\d+-s\d+-[0-9a-f]{16}\.(json|safetensors|state|state\.previous)$|^\..+\` + claimEnd + `$`

// RemoveResults removes what Grid.Run wrote, finished or not, and the chart. All other files stay. It is an error if
// another process writes to the folder.
func (f Folder) RemoveResults() (err error) {
	unlock, err := f.Lock()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	files, err := os.ReadDir(string(f))
	if err != nil {
		return fmt.Errorf("experiment: run folder: %w", err)
	}
	of := regexp.MustCompile(resultFile)
	for _, file := range files {
		name := file.Name()
		if !slices.Contains([]string{ResultsFile, RecordFile, ChartFile}, name) && !of.MatchString(name) {
			continue
		}
		if err := os.Remove(f.Path(name)); err != nil {
			return fmt.Errorf("experiment: run folder: an earlier result: %w; choose another folder", err)
		}
	}
	return nil
}
