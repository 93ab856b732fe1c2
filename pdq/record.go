package pdq

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/internal/atomicfile"
	"github.com/pdquant/pdquant/models"
)

// Record says what a run was given, so that it can be repeated. It is a run folder's run.json.
type Record struct {
	Started     time.Time
	Command     string            // that started it
	Teacher     string            // network
	TeacherHash string            // hex SHA-256 of its weights
	Calibration CalibrationRecord // images it was fitted to
	Test        string            // images it was evaluated on
	TestHash    string
	Backend     string   // the note of backend.Open
	Threads     int      // GOMAXPROCS
	Machine     string   // operating system and processor architecture
	Versions    []string // Go and the modules that compute
	Methods     []Method
}

// CalibrationRecord says which images of a pool were drawn.
type CalibrationRecord struct {
	Pool, Hash string
	Seed       uint64
	Indices    []int
	Crops      []datasets.Crop `json:",omitempty"`
}

// NewRecord records a comparison of methods on n; the caller adds Command and Backend.
func NewRecord(n *models.Network, w models.Weights, cal datasets.Calibration, test datasets.Stream, methods []Method) (Record, error) {
	hash, err := w.Hash()
	testName, testHash := test.Describe()
	return Record{
		Started: time.Now().UTC().Truncate(time.Second), Teacher: n.Name, TeacherHash: hash,
		Calibration: CalibrationRecord{cal.Name, cal.Hash(), cal.Seed, cal.Indices, cal.Crops},
		Test:        testName, TestHash: testHash,
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

// Folder is a run's directory.
type Folder string

// CreateFolder makes the directory, if it isn't there, and checks that it can be written to.
func CreateFolder(path string) (Folder, error) {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return "", fmt.Errorf("pdq: run folder: %w; choose another", err)
	}
	f, err := os.CreateTemp(path, ".write-*")
	if err != nil {
		return "", fmt.Errorf("pdq: run folder %s can't be written to: %w; choose another", path, err)
	}
	return Folder(path), errors.Join(f.Close(), os.Remove(f.Name()))
}

// Path returns the path of the file called name.
func (f Folder) Path(name string) string { return filepath.Join(string(f), name) }

// Write writes the file called name, whole or not at all.
func (f Folder) Write(name string, data []byte) error {
	if err := atomicfile.WriteBytes(f.Path(name), data); err != nil {
		return fmt.Errorf("pdq: run folder: %w", err)
	}
	return nil
}

// WriteJSON writes v as the file called name.
func (f Folder) WriteJSON(name string, v any) error {
	data, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		return fmt.Errorf("pdq: run folder: %s: %w", name, err)
	}
	return f.Write(name, append(data, '\n'))
}
