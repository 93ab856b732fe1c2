package experiment

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/pdq"
)

// RecordFile is a run folder's Record.
const RecordFile = "run.json"

// Record says what a run was given, so that it can be repeated. That of a Grid is of the first network and seed that it
// computed, with all methods; beside each student lies its own.
type Record struct {
	Started     time.Time
	Command     string            // that started it
	Source      *Source           `json:",omitempty"` // where network and images were; nil: not recorded
	Teacher     string            // network
	TeacherHash string            // hex SHA-256 of its weights
	Calibration CalibrationRecord // images it was fitted to
	Test        string            // images it was evaluated on
	TestHash    string
	Images      string   `json:",omitempty"` // what image files became: "224x224 of 256, bilinear"
	TestSkipped []string `json:",omitempty"` // paths of test images that were left out, as they can't be decoded
	Backend     string   // the note of backend.Open
	Threads     int      // GOMAXPROCS
	Machine     string   // operating system and processor architecture
	Versions    []string // Go and the modules that compute
	Preset      string   `json:",omitempty"` // whose settings methods change; "": not recorded
	Methods     []Fixed
	Plan        pdq.Plan `json:",omitempty"` // widths of all that the last method quantises
}

// CalibrationRecord says which images of a pool were drawn.
type CalibrationRecord struct {
	Pool, Hash string
	Seed       uint64
	Indices    []int           // of the images that were used
	Skipped    []string        `json:",omitempty"` // paths of images that were drawn too, but can't be decoded
	Crops      []datasets.Crop `json:",omitempty"`
}

// NewRecord records a comparison of methods on n; the caller adds Command, Backend and Plan.
func NewRecord(n *models.Network, w models.Weights, cal datasets.Calibration, test datasets.Stream,
	methods []Fixed) (Record, error) {
	hash, err := w.Hash()
	testName, testHash := test.Describe()
	images := ""
	if f, ok := test.(datasets.Files); ok {
		images = f.Config.String()
	}
	return Record{
		Started: time.Now().UTC().Truncate(time.Second), Teacher: n.Name, TeacherHash: hash,
		Calibration: CalibrationRecord{cal.Name, cal.Hash(), cal.Seed, cal.Indices, cal.Skipped, cal.Crops},
		Test:        testName, TestHash: testHash, Images: images,
		Threads: runtime.GOMAXPROCS(0), Machine: runtime.GOOS + "/" + runtime.GOARCH, Versions: versions(), Methods: methods,
	}, err
}

// versions lists Go's and those of the modules that decide the numbers.
func versions() []string {
	v := []string{runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	for _, m := range info.Deps {
		if strings.HasPrefix(m.Path, "github.com/gomlx/") {
			v = append(v, m.Path+" "+m.Version)
		}
	}
	return v
}

// record returns the Record of methods for a subject.
func (r *gridRun) record(s *Subject, cal datasets.Calibration, methods []Fixed) (Record, error) {
	record, err := NewRecord(s.Network, s.Weights, cal, s.Test, methods)
	record.Backend, record.Command, record.Preset = r.Note, r.Command, r.Preset
	if s.Source.Name != "" {
		record.Source = &s.Source
	}
	return record, err
}

// start writes the grid's Record to the folder, the first time. c is the cell that is computed next.
func (r *gridRun) start(ctx context.Context, c Cell) error {
	if r.started {
		return nil
	}
	r.started = true
	cal, err := r.calibration(ctx, c)
	if err != nil {
		return err
	}
	var methods []Fixed
	var last pdq.Config
	for _, w := range r.Bits {
		for _, m := range r.Methods {
			if last, _, err = r.Config(Cell{c.Subject, w, m, c.Seed}); err != nil {
				return err
			}
			methods = append(methods, Fixed{m.Name, last})
		}
	}
	record, err := r.record(c.Subject, cal, methods)
	if err != nil {
		return err
	}
	q, err := pdq.New(r.Backend, c.Subject.problem(cal), last)
	if err != nil {
		return err
	}
	record.Plan = q.Plan()
	record = r.after(record)
	if r.Start != nil {
		r.Start(record, q)
	}
	return r.folder.WriteJSON(RecordFile, record)
}

// after returns record as it follows the folder's: that of the same command keeps its beginning.
func (r *gridRun) after(record Record) Record {
	var old Record
	err := r.folder.ReadJSON(RecordFile, &old)
	if errors.Is(err, fs.ErrNotExist) {
		return record
	}
	if err != nil {
		r.warn(err.Error() + "; it is written anew")
		return record
	}
	if old.Threads != record.Threads {
		r.warn(fmt.Sprintf("the run began with %d threads and goes on with %d: sums may differ in their last bits",
			old.Threads, record.Threads))
	}
	if old.Command == record.Command {
		record.Started = old.Started
	}
	return record
}

// sameImages says whether two records are of the same network and test images, and as many calibration images of the
// same pool.
func (r Record) sameImages(o Record) bool {
	drawn := func(c CalibrationRecord) int { return len(c.Indices) + len(c.Skipped) }
	return r.TeacherHash == o.TeacherHash && r.TestHash == o.TestHash && r.Images == o.Images &&
		r.Calibration.Pool == o.Calibration.Pool && drawn(r.Calibration) == drawn(o.Calibration) &&
		(r.Source == nil || o.Source == nil || reflect.DeepEqual(r.Source, o.Source))
}

// Last returns the folder's results of the last method of r, which is the folder's Record: one of each seed, none if
// that method isn't finished.
func (f Folder) Last(r Record) ([]Result, error) {
	results, err := f.Results()
	if err != nil || len(r.Methods) == 0 {
		return nil, err
	}
	config := r.Methods[len(r.Methods)-1].Config
	var last []Result
	for _, x := range results {
		k, err := f.kept(x.stem())
		if errors.Is(err, fs.ErrNotExist) || err == nil && len(k.Record.Methods) == 0 { // the latter: in full precision
			continue
		}
		if err != nil {
			return nil, err
		}
		if config.Seed = x.Seed; k.Record.sameImages(r) && k.Record.Methods[0].Config.Differs(config) == "" {
			last = append(last, x)
		}
	}
	return last, nil
}
