package pdq

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/pdquant/pdquant/pdq/internal/exec"
)

// Config holds all settings of a run. A zero switches its term off; it never means "default". Start from a preset, see
// Preset, and change fields.
type Config struct {
	Bits       Bits
	Scales     ScaleConfig
	Correction CorrectionConfig
	Rounding   RoundingConfig
	Loss       LossConfig
	FineTune   FineTuneConfig
	Machine    MachineConfig
	// Units are also fitted to a mirrored copy of each calibration image; the reference: false
	Mirror bool
	Seed   uint64 // of the random numbers of each unit, step and image
}

// Bits are the widths of weights and activations, 2 to 8, and the tensors with other widths.
type Bits struct {
	W int // of weights
	A int // of activations
	// Tensors with 8 bits: all-low none; qdrop first and last weights, last input (the reference); brecq the first
	// output too
	Rule Rule
	// Widths that differ from the rule's, as "conv1.weight=4 layer1.0.relu1.output=3"; 0 bits: full precision; "":
	// none. Following makes them from a Plan; the reference has none.
	Except string `json:",omitempty"`
}

// Rule is a convention for the widths of first and last layers.
type Rule int

// The conventions.
const (
	AllLow Rule = iota // no exception
	QDrop              // first and last weights, last input: 8 bits (the reference)
	BRECQ              // as QDrop, and the first layer's output
)

// Choices lists the names of rules.
func (Rule) Choices() []string { return ruleNames() }

func ruleNames() []string { return []string{"all-low", "qdrop", "brecq"} }

// String returns the rule's name.
func (r Rule) String() string { return enumName(ruleNames(), int(r)) }

// MarshalText returns the rule's name.
func (r Rule) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText sets r to the rule called text. The error lists the names.
func (r *Rule) UnmarshalText(text []byte) error { return enumValue(ruleNames(), text, (*int)(r)) }

// Metric is what a scale search minimises.
type Metric int

// The metrics.
const (
	LpNorm Metric = iota // mean |x-x_q|^Power
	Cosine               // 1 - cosine similarity of x and x_q
	PD                   // prediction difference, with what follows the activation in full precision
)

// Choices lists the names of metrics.
func (Metric) Choices() []string { return metricNames() }

func metricNames() []string { return []string{"lp", "cosine", "pd"} }

// String returns the metric's name.
func (m Metric) String() string { return enumName(metricNames(), int(m)) }

// MarshalText returns the metric's name.
func (m Metric) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText sets m to the metric called text. The error lists the names.
func (m *Metric) UnmarshalText(text []byte) error { return enumValue(metricNames(), text, (*int)(m)) }

// enumName returns the name of value i, or i as text if it has none.
func enumName(names []string, i int) string {
	if i < 0 || i >= len(names) {
		return strconv.Itoa(i)
	}
	return names[i]
}

// enumValue sets to to the value called text. The error lists the names.
func enumValue(names []string, text []byte, to *int) error {
	i := slices.Index(names, string(text))
	if i < 0 {
		return fmt.Errorf("pdq: %q is unknown; choose one of %s", text, strings.Join(names, ", "))
	}
	*to = i
	return nil
}

// ScaleConfig sets the search of weight and activation scales.
type ScaleConfig struct {
	Metric     Metric  // of activation scales; weight scales always minimise LpNorm
	Power      float64 // exponent p of mean |x-x_q|^p, > 0; reference 2.4
	Candidates int     // ranges tried per tensor, >= 1; reference 100
	Images     int     // calibration images for activation scales, at most; reference 256
	// Zero points of weights are the middle level, 2^(bits-1), as runtimes with signed integers want; reference false
	SymmetricWeights bool `json:",omitempty"`
}

// CorrectionConfig sets distribution correction (DC).
type CorrectionConfig struct {
	Steps        int     // Adam steps on the input; 0: no correction; reference 500
	LearningRate float64 // of Adam, > 0; reference 1e-3
	MinRate      float64 // the rate is not cut below this, in [0,LearningRate]; reference 1e-5
	Patience     int     // steps without progress before the rate is cut to a tenth, >= 0; reference 100
	// Stop once ten steps lower the loss by less than this fraction, in [0,1); 0: take all Steps, as the reference
	Tolerance float64
	Group     int     // images that share the rate, its cuts and the stop, >= 1; reference 32, its batch
	Weight    float64 // of |x-x0|², >= 0; 1/λc of the paper (λc 0.02 is Weight 50)
}

// RoundingConfig sets the joint optimisation of rounding variables and activation scales.
type RoundingConfig struct {
	Steps             int     // 0: round to nearest, keep the searched scales; reference 20000
	BatchSize         int     // images per step, >= 1; reference 32
	LearningRate      float64 // Adam on the rounding variables α; 0: rounding stays nearest; reference 3e-3
	ScaleLearningRate float64 // Adam on activation scales, cosine to 0; 0: scales stay; reference 4e-5
	InputDrop         float64 // probability, in [0,1], that an input element is the corrected teacher's; reference 0.5
	ActDrop           float64 // probability, in [0,1], that an activation isn't quantised; reference 0.5
	Weight            float64 // of Σ(1-|2h-1|^β), >= 0; per architecture, ResNets 0.01
	BetaStart         float64 // β until that term begins, > 0; reference 20
	BetaEnd           float64 // β at the last step, > 0; reference 2
	Warmup            float64 // the term begins after this fraction of Steps, in [0,1); reference 0.2
	ActEdges          Edges   // outermost levels of activations that block the gradient; reference pass, see Edges
	WeightEdges       Edges   // the same of soft weights and of h(α); reference pass
}

// LossConfig sets the prediction-difference term.
type LossConfig struct {
	PD float64 // weight of the PD term, 1/λr of the paper (λr 0.1 is PD 10); 0: MSE only
	// Whether PD is relative to the weight at which both terms' gradients are equally large when a unit starts; the
	// reference: false
	Balanced    bool
	Temperature float64 // T of the softened predictions, > 0; ResNets 4
	// Fraction, in [0,1), of a step's images whose prediction difference isn't computed, which saves most of its time;
	// the mean is over the others. 0: all count, as in the reference
	Skip float64
	// Whether images that Skip leaves out count with the gradient for the unit's output that was last computed for them;
	// those with the oldest gradients are computed first. With Skip 0.75, each is computed at about every fourth visit.
	// The reference: false
	Reuse bool `json:",omitempty"`
	// PD is computed in the first of this many steps, with so many times its weight, so that its gradients have the same
	// sum; Adam's steps from it are smaller, as their size goes by the root mean square. 0 and 1: in all, as in the
	// reference
	Every int `json:",omitempty"`
}

// FineTuneConfig sets the fine-tuning of the whole network after the units: all levels, scales and biases are trained
// together to keep the predictions. It isn't part of the paper.
type FineTuneConfig struct {
	Steps        int     // 0: no fine-tuning
	BatchSize    int     // images per step, >= 1
	LearningRate float64 // Adam on the weights' positions between levels, in levels, cosine to 0; 0: levels stay
	// Adam on the logarithms of all scales, as the shift of the outermost level in levels, cosine to 0; 0: scales stay
	ScaleLearningRate float64
	BiasLearningRate  float64 // Adam on biases, in units of their layer's root mean square, cosine to 0; 0: biases stay
	Features          float64 // weight of the squared relative error of the last unit's input, >= 0; 0: no such term
	Warmup            float64 // the rates rise from 0 over this fraction of Steps, in [0,1)
	Flip              float64 // probability, in [0,1], that an image is mirrored
	Shift             int     // largest shift of an image along each axis, in pixels, >= 0; its border is repeated
	Zoom              float64 // largest change of an image's size, as a fraction, in [0,1)
	Turn              float64 // largest rotation of an image, in radians, >= 0
	// Largest change of the contrast, as a fraction, in [0,1]; half of it is the largest change of the brightness, as a
	// fraction of the largest value
	Light       float64
	Mix         float64 // probability, in [0,1], that a rectangle of an image is another image's (CutMix)
	ActEdges    Edges   // outermost levels of activations that block the gradient, see Edges
	WeightEdges Edges   // the same of weights; a weight there moves no more if its level blocks
}

// MachineConfig sets how a run is computed. Only the last bits of the results depend on it.
type MachineConfig struct {
	// Graphs computed at the same time, each on its part of the images. 0 and 1: one at a time, for a backend that uses
	// the whole machine for one. backend.Workers returns the best number for a backend.
	Workers int
	// Devices of the backend, from the first on, that divide calibration, correction and evaluation among them, in whole
	// batches; rounding and fine-tuning take the first. 0 and 1: the first alone. backend.Devices returns the best number.
	Devices int `json:",omitempty"`
	// Bytes of memory for a part of a batch in a step of optimisation, by an estimate. Larger parts are cut, down to one
	// image. 0: one part for each worker. backend.PartLimit returns the best limit for a backend.
	PartLimit int64
	// Bytes of memory for the whole process, by Quantizer.PeakMemory. Batches are cut into parts that take half of it,
	// and caches that don't fit beside are kept in a file. Garbage comes on top, which debug.SetMemoryLimit bounds. 0: no
	// limit.
	MemoryLimit int64
	CacheDir    string // folder for that file; "": the system's for temporary files
}

func (m MachineConfig) crew() exec.Crew { return exec.Crew{Workers: m.Workers, Devices: m.Devices} }

// Nearest returns c as the baseline that rounds to nearest, with searched scales.
func (c Config) Nearest() Config {
	c = c.MSEOnly()
	c.Rounding.Steps = 0
	return c
}

// MSEOnly returns c as the baseline without prediction difference, correction, fine-tuning and mirrored images, similar
// to QDrop. If c searches scales by PD, the baseline searches them by LpNorm.
func (c Config) MSEOnly() Config {
	c.Correction.Steps, c.Loss.PD, c.FineTune.Steps, c.Mirror = 0, 0, 0, false
	if c.Scales.Metric == PD {
		c.Scales.Metric = LpNorm
	}
	return c
}

// Validate reports all fields that are out of range, joined.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("pdq: "+format, args...))
		}
	}
	r, d, f := c.Rounding, c.Correction, c.FineTune
	for _, n := range c.numbers() {
		check(!math.IsNaN(n.value) && !math.IsInf(n.value, 0), "%s is %g; it must be finite", n.name, n.value)
	}
	check(c.Bits.W >= 2 && c.Bits.W <= 8, "weights of %d bits; choose 2 to 8", c.Bits.W)
	check(c.Bits.A >= 2 && c.Bits.A <= 8, "activations of %d bits; choose 2 to 8", c.Bits.A)
	check(c.Bits.Rule >= AllLow && c.Bits.Rule <= BRECQ, "unknown Bits.Rule %d", int(c.Bits.Rule))
	for _, x := range strings.Fields(c.Bits.Except) {
		if _, _, err := parseException(x); err != nil {
			errs = append(errs, err)
		}
	}
	check(c.Scales.Metric >= LpNorm && c.Scales.Metric <= PD, "unknown Scales.Metric %d", int(c.Scales.Metric))
	check(c.Scales.Power > 0 && c.Scales.Power <= mostPower, "Scales.Power is %g; it must be in (0,%d]", c.Scales.Power,
		mostPower)
	check(c.Scales.Candidates >= 1, "Scales.Candidates is %d; it must be >= 1", c.Scales.Candidates)
	check(c.Scales.Images >= 1, "Scales.Images is %d; it must be >= 1", c.Scales.Images)
	check(d.Steps >= 0, "Correction.Steps is %d; it must be >= 0", d.Steps)
	check(d.Steps == 0 || d.LearningRate > 0, "Correction.LearningRate is %g; it must be > 0", d.LearningRate)
	check(d.Steps == 0 || (d.MinRate >= 0 && d.MinRate <= d.LearningRate),
		"Correction.MinRate is %g; it must be in [0,LearningRate], which is %g", d.MinRate, d.LearningRate)
	check(d.Tolerance >= 0 && d.Tolerance < 1, "Correction.Tolerance is %g; it must be in [0,1)", d.Tolerance)
	check(d.Patience >= 0, "Correction.Patience is %d; it must be >= 0", d.Patience)
	check(d.Steps == 0 || d.Group >= 1, "Correction.Group is %d; it must be >= 1", d.Group)
	check(d.Weight >= 0, "Correction.Weight is %g; it must be >= 0", d.Weight)
	check(r.Steps >= 0, "Rounding.Steps is %d; it must be >= 0", r.Steps)
	check(r.Steps == 0 || r.BatchSize >= 1, "Rounding.BatchSize is %d; it must be >= 1", r.BatchSize)
	check(r.LearningRate >= 0 && r.ScaleLearningRate >= 0,
		"Rounding's learning rates are %g and %g; they must be >= 0", r.LearningRate, r.ScaleLearningRate)
	check(r.InputDrop >= 0 && r.InputDrop <= 1, "Rounding.InputDrop is %g; it must be in [0,1]", r.InputDrop)
	check(r.ActDrop >= 0 && r.ActDrop <= 1, "Rounding.ActDrop is %g; it must be in [0,1]", r.ActDrop)
	check(r.Weight == 0 || (r.BetaStart > 0 && r.BetaEnd > 0),
		"Rounding.BetaStart and BetaEnd are %g and %g; they must be > 0", r.BetaStart, r.BetaEnd)
	check(r.Warmup >= 0 && r.Warmup < 1, "Rounding.Warmup is %g; it must be in [0,1)", r.Warmup)
	check(r.Weight >= 0, "Rounding.Weight is %g; it must be >= 0", r.Weight)
	for _, e := range []struct {
		name  string
		value Edges
	}{{"Rounding.ActEdges", r.ActEdges}, {"Rounding.WeightEdges", r.WeightEdges},
		{"FineTune.ActEdges", f.ActEdges}, {"FineTune.WeightEdges", f.WeightEdges}} {
		check(e.value >= Pass && e.value <= BlockHighest, "unknown %s %d", e.name, int(e.value))
	}
	check(f.Steps >= 0, "FineTune.Steps is %d; it must be >= 0", f.Steps)
	check(f.Steps == 0 || f.BatchSize >= 1, "FineTune.BatchSize is %d; it must be >= 1", f.BatchSize)
	check(f.LearningRate >= 0 && f.ScaleLearningRate >= 0 && f.BiasLearningRate >= 0,
		"FineTune's learning rates are %g, %g and %g; they must be >= 0",
		f.LearningRate, f.ScaleLearningRate, f.BiasLearningRate)
	check(f.Features >= 0, "FineTune.Features is %g; it must be >= 0", f.Features)
	check(f.Flip >= 0 && f.Flip <= 1, "FineTune.Flip is %g; it must be in [0,1]", f.Flip)
	check(f.Zoom >= 0 && f.Zoom < 1, "FineTune.Zoom is %g; it must be in [0,1)", f.Zoom)
	check(f.Turn >= 0 && !math.IsInf(f.Turn, 1), "FineTune.Turn is %g; it must be >= 0", f.Turn)
	check(f.Light >= 0 && f.Light <= 1, "FineTune.Light is %g; it must be in [0,1]", f.Light)
	check(f.Mix >= 0 && f.Mix <= 1, "FineTune.Mix is %g; it must be in [0,1]", f.Mix)
	check(f.Warmup >= 0 && f.Warmup < 1, "FineTune.Warmup is %g; it must be in [0,1)", f.Warmup)
	check(f.Shift >= 0, "FineTune.Shift is %d; it must be >= 0", f.Shift)
	check(f.Steps == 0 || c.Loss.Temperature > 0, "Loss.Temperature is %g; it must be > 0", c.Loss.Temperature)
	check(c.Machine.Workers >= 0, "Machine.Workers is %d; it must be >= 0", c.Machine.Workers)
	check(c.Machine.Devices >= 0, "Machine.Devices is %d; it must be >= 0", c.Machine.Devices)
	check(c.Machine.PartLimit >= 0, "Machine.PartLimit is %d; it must be >= 0", c.Machine.PartLimit)
	check(c.Machine.MemoryLimit >= 0, "Machine.MemoryLimit is %d; it must be >= 0", c.Machine.MemoryLimit)
	for _, n := range c.limits() {
		check(n.value <= n.most, "%s is %d; it may be at most %d", n.name, n.value, n.most)
	}
	check(c.Loss.Skip >= 0 && c.Loss.Skip < 1, "Loss.Skip is %g; it must be in [0,1)", c.Loss.Skip)
	check(!c.Loss.Reuse || c.Loss.Skip > 0,
		"Loss.Reuse is set, but Loss.Skip is 0, so that no image is left out; set Loss.Skip, as to 0.75")
	check(c.Loss.Every >= 0, "Loss.Every is %d; it must be >= 0", c.Loss.Every)
	check(c.Loss.PD >= 0, "Loss.PD is %g; it must be >= 0", c.Loss.PD)
	check((c.Loss.PD == 0 && c.Scales.Metric != PD) || c.Loss.Temperature > 0,
		"Loss.Temperature is %g; it must be > 0", c.Loss.Temperature)
	return errors.Join(errs...)
}

// limit is the largest value of a setting that decides how much memory is allocated, or how long a step takes that
// can't be interrupted.
type limit struct {
	name        string
	value, most int
}

// mostPower is the largest Scales.Power: with far larger ones, small errors become 0, so that all ranges tie.
const mostPower = 32

// mostCandidates is the largest Scales.Candidates.
const mostCandidates = 10_000

func (c Config) limits() []limit {
	const steps, batch = 1_000_000_000, 1 << 16
	return []limit{
		{"Scales.Candidates", c.Scales.Candidates, mostCandidates}, {"Scales.Images", c.Scales.Images, 1 << 24},
		{"Correction.Steps", c.Correction.Steps, steps},
		{"Rounding.Steps", c.Rounding.Steps, steps}, {"Rounding.BatchSize", c.Rounding.BatchSize, batch},
		{"FineTune.Steps", c.FineTune.Steps, steps}, {"FineTune.BatchSize", c.FineTune.BatchSize, batch},
		{"FineTune.Shift", c.FineTune.Shift, 1024}, {"Machine.Workers", c.Machine.Workers, 4096},
		{"Loss.Every", c.Loss.Every, steps},
		{"Machine.Devices", c.Machine.Devices, 4096},
	}
}
