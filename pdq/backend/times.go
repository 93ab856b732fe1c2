package backend

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/pdquant/pdquant/internal/atomicfile"
)

// Times has the milliseconds of a step of rounding for kinds of networks and the backends of the processor, which are
// named as Available names them.
type Times map[string]map[string]float64

// shippedTimes returns the times that Open goes by where KeepTimes has kept none; that of ONNX Runtime is 1. They were
// measured on two cores of a Xeon with AVX-512: testdata/benchmarks.tsv has ONNX Runtime and Go; XLA took 1.4 to 3.2
// times as long as ONNX Runtime, most with depthwise convolutions.
func shippedTimes() Times {
	return Times{
		"convolutions":           {"onnx": 1, "xla:cpu": 1.4, "go": 5.5}, // resnet20-first
		"depthwise convolutions": {"onnx": 1, "xla:cpu": 3.2, "go": 6.9}, // mobilenetv2-depthwise
	}
}

// order lists the backends, fastest first by the mean of logarithms over the kinds of networks.
func (t Times) order() []string {
	sum := map[string]float64{}
	for _, of := range t {
		for name, ms := range of {
			sum[name] += math.Log(ms)
		}
	}
	return slices.SortedFunc(maps.Keys(sum), func(p, q string) int { return cmp.Compare(sum[p], sum[q]) })
}

// keptTimes is the file that KeepTimes writes.
type keptTimes struct {
	Date string // 2026-11-29
	Times
}

// timesPath returns the path of keptTimes, which lies in the user's cache folder.
func timesPath() (string, error) {
	cache, err := os.UserCacheDir()
	return filepath.Join(cache, "pdquant", "steps.json"), err
}

// KeepTimes makes Open go by t on this machine from now on, which internal/bench has measured. It keeps the kinds of
// networks that all backends of t were measured with, and nothing if these are less than two backends. Backends whose
// order isn't one of times, as CUDA's, are left out. It returns the path of the file, or "" for nothing.
func KeepTimes(t Times) (string, error) {
	ordered, complete := shippedTimes().order(), Times{}
	for kind, of := range t {
		complete[kind] = maps.Clone(of)
		maps.DeleteFunc(complete[kind], func(name string, _ float64) bool { return !slices.Contains(ordered, name) })
	}
	all := len(complete.order())
	maps.DeleteFunc(complete, func(_ string, of map[string]float64) bool { return len(of) < all })
	if all < 2 || len(complete) == 0 {
		return "", nil
	}
	path, err := timesPath()
	if err != nil {
		return "", fmt.Errorf("backend: %w", err)
	}
	data, err := json.MarshalIndent(keptTimes{time.Now().UTC().Format(time.DateOnly), complete}, "", "\t")
	if err == nil {
		err = errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), atomicfile.WriteBytes(path, data))
	}
	return path, err
}

// byTime lists the backends of the processor in the order in which Open tries them, and says whose times these are: ""
// for the shipped ones, which also order the backends that weren't measured here, after those that were.
func byTime() (kinds []string, whose string) {
	shipped := shippedTimes().order()
	path, err := timesPath()
	if err != nil {
		return shipped, ""
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return shipped, ""
	}
	var kept keptTimes
	if err == nil {
		err = json.Unmarshal(data, &kept)
	}
	for _, of := range kept.Times {
		for name, ms := range of {
			if !(ms > 0) || !slices.Contains(shipped, name) {
				err = fmt.Errorf("%g ms for backend %q", ms, name)
			}
		}
	}
	if err != nil {
		return shipped, fmt.Sprintf("%s can't be used: %v; remove it", path, err)
	}
	kinds = kept.order()
	for _, name := range shipped {
		if !slices.Contains(kinds, name) {
			kinds = append(kinds, name)
		}
	}
	return kinds, "as measured here on " + kept.Date
}
