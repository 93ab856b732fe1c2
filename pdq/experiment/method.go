package experiment

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pdquant/pdquant/pdq"
)

// Method is a way to quantise: what it changes in a preset's Config, under the name it has in tables.
type Method struct {
	Name   string
	Change func(preset pdq.Config) (pdq.Config, error)
}

// Recipe is a Method known by a word, as ParseMethods takes it.
type Recipe struct {
	Word   string
	Name   string // in tables
	Help   string
	change func(pdq.Config) pdq.Config
	// What change keeps, and is 0 in some presets: without it, the method would be another one under this name.
	pd, correction bool
}

// FullPrecision is the name under which tables have the network that isn't quantised.
const FullPrecision = "full precision"

// Recipes is the table of methods known by a word, from the simplest on.
func Recipes() []Recipe {
	return []Recipe{
		{Word: "nearest", Name: "nearest rounding", Help: "rounds to nearest, with scales that a search finds",
			change: pdq.Config.Nearest},
		{Word: "mse", Name: "MSE only", Help: "optimises each unit's squared error: no prediction difference, no " +
			"correction (like QDrop)", change: pdq.Config.MSEOnly},
		{Word: "pd", Name: "PD without DC", Help: "adds the prediction difference to the squared error", pd: true,
			change: func(c pdq.Config) pdq.Config {
				c.Correction.Steps, c.FineTune.Steps = 0, 0
				return c
			}},
		{Word: "dc", Name: "DC without PD", Help: "corrects the distribution of activations, with the squared error only",
			correction: true, change: func(c pdq.Config) pdq.Config {
				c.Loss.PD, c.FineTune.Steps = 0, 0
				return c
			}},
		{Word: "pd-quant", Name: "PD-Quant", Help: "the paper: prediction difference and distribution correction",
			pd: true, correction: true, change: func(c pdq.Config) pdq.Config {
				c.FineTune.Steps = 0
				return c
			}},
		{Word: "best", Name: "best", Help: "MSE only, then fine-tunes the whole network to keep the prediction (not in " +
			"the paper)", change: func(c pdq.Config) pdq.Config {
			steps := c.FineTune.Steps
			if c = c.MSEOnly(); steps == 0 {
				steps = pdq.BestSteps
			}
			c.FineTune.Steps = steps
			return c
		}},
	}
}

// Method returns the recipe as a Method. It is an error where the preset lacks what the recipe is named after.
func (r Recipe) Method() Method {
	return Method{r.Name, func(c pdq.Config) (pdq.Config, error) {
		switch {
		case r.pd && c.Loss.PD == 0:
			return c, fmt.Errorf("experiment: %s, but Loss.PD is 0; take another preset, or set it for all methods", r.Word)
		case r.correction && c.Correction.Steps == 0:
			return c, fmt.Errorf("experiment: %s, but Correction.Steps is 0; take another preset, or set it for all methods",
				r.Word)
		}
		return r.change(c), nil
	}}
}

// ParseMethods reads methods separated by semicolons, each a recipe's word and perhaps settings, as
// "mse; best; pd Loss.PD=2 temperature=1".
func ParseMethods(text string) ([]Method, error) {
	var methods []Method
	for part := range strings.SplitSeq(text, ";") {
		words := strings.Fields(part)
		if len(words) == 0 {
			continue
		}
		i := slices.IndexFunc(Recipes(), func(r Recipe) bool { return r.Word == words[0] })
		if i < 0 {
			return nil, fmt.Errorf("experiment: no method %q; choose from %s", words[0], strings.Join(recipeWords(), ", "))
		}
		settings, err := ParseSettings(strings.Join(words[1:], " "))
		if err != nil {
			return nil, err
		}
		m := Recipes()[i].Method()
		methods = append(methods, m.With(settings))
	}
	if len(methods) == 0 {
		return nil, fmt.Errorf("experiment: no methods; give some of %s, separated by semicolons",
			strings.Join(recipeWords(), ", "))
	}
	return methods, nil
}

func recipeWords() []string {
	var words []string
	for _, r := range Recipes() {
		words = append(words, r.Word)
	}
	return words
}

// With returns m with settings after its own, which its name then tells.
func (m Method) With(s Settings) Method {
	if len(s) == 0 {
		return m
	}
	return Method{m.Name + " " + s.String(), func(c pdq.Config) (pdq.Config, error) {
		c, err := m.Change(c)
		if err != nil {
			return c, err
		}
		return s.Set(c)
	}}
}

// Changed returns m with a change of its Config under another name.
func (m Method) Changed(name string, change func(c *pdq.Config)) Method {
	return Method{name, func(c pdq.Config) (pdq.Config, error) {
		c, err := m.Change(c)
		change(&c)
		return c, err
	}}
}

// Setting is a field of pdq.Config with a value, as text.
type Setting struct{ Field, Value string }

// Settings are fields of pdq.Config with values, to be set in their order.
type Settings []Setting

// String returns the settings as ParseSettings reads them.
func (s Settings) String() string {
	var words []string
	for _, x := range s {
		words = append(words, x.Field+"="+x.Value)
	}
	return strings.Join(words, " ")
}

// Set returns c with the settings.
func (s Settings) Set(c pdq.Config) (pdq.Config, error) {
	for _, x := range s {
		var err error
		if c, err = c.Set(x.Field, x.Value); err != nil {
			return c, err
		}
	}
	return c, nil
}

// ParseSettings reads words such as "Loss.PD=2 temperature=1". The last part of a field's name suffices where only
// one field ends with it; case doesn't matter.
func ParseSettings(text string) (Settings, error) {
	fields, err := pdq.Fields()
	if err != nil {
		return nil, err
	}
	var settings Settings
	for word := range strings.FieldsSeq(text) {
		name, value, ok := strings.Cut(word, "=")
		if !ok || value == "" {
			return nil, fmt.Errorf("experiment: %q; give a field and its value as Loss.PD=2", word)
		}
		field, err := findField(fields, name)
		if err != nil {
			return nil, err
		}
		if field == "Bits.W" || field == "Bits.A" || field == "Seed" || strings.HasPrefix(field, "Machine.") {
			return nil, fmt.Errorf("experiment: %s is no setting of a method: bits, seeds and the machine are those of all "+
				"methods, each by its own option", field)
		}
		if _, err := (pdq.Config{}).Set(field, value); err != nil {
			return nil, err
		}
		settings = append(settings, Setting{field, value})
	}
	return settings, nil
}

func findField(fields []pdq.Field, name string) (string, error) {
	var found []string
	for _, f := range fields {
		if strings.EqualFold(f.Name, name) {
			return f.Name, nil
		}
		if strings.HasSuffix(strings.ToLower(f.Name), "."+strings.ToLower(name)) {
			found = append(found, f.Name)
		}
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("experiment: Config has no field %q", name)
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("experiment: %q may be %s; give more of the name", name, strings.Join(found, ", "))
}

// settingsOf returns the fields in which c differs from the preset's Config, but for bits, seed and machine:
// together with the preset they say what was run.
func settingsOf(preset, c pdq.Config) (Settings, error) {
	fields, err := pdq.Fields()
	if err != nil {
		return nil, err
	}
	var settings Settings
	for _, f := range fields {
		if f.Name == "Bits.W" || f.Name == "Bits.A" || f.Name == "Seed" || strings.HasPrefix(f.Name, "Machine.") {
			continue
		}
		was, err := preset.Get(f.Name)
		if err != nil {
			return nil, err
		}
		if is, _ := c.Get(f.Name); is != was { // it was just read from the preset
			settings = append(settings, Setting{f.Name, strings.ReplaceAll(is, " ", ",")})
		}
	}
	return settings, nil
}

// Width is a number of bits for weights and one for activations.
type Width struct{ W, A int }

// String returns the width as tables have it.
func (w Width) String() string { return fmt.Sprintf("W%dA%d", w.W, w.A) }

// ParseWidths reads widths such as "2/2,4/2": bits of weights and activations.
func ParseWidths(text string) ([]Width, error) {
	var widths []Width
	for part := range strings.SplitSeq(text, ",") {
		var w Width
		weights, acts, _ := strings.Cut(strings.TrimSpace(part), "/")
		var err, failed error
		w.W, err = strconv.Atoi(weights)
		if w.A, failed = strconv.Atoi(acts); err != nil || failed != nil {
			return nil, fmt.Errorf("experiment: bits %q; give those of weights and activations as 2/4, several as 2/4,4/4", part)
		}
		widths = append(widths, w)
	}
	return widths, nil
}

// Seeds returns the seeds 1 to n.
func Seeds(n int) []uint64 {
	var seeds []uint64
	for i := range n {
		seeds = append(seeds, uint64(i+1))
	}
	return seeds
}

// maxSeeds bounds how many seeds a text may ask for.
const maxSeeds = 1000

// ParseSeeds reads seeds: a number n alone is 1 to n; "2,5" those two; "7..9" a range; "7..7" the seed 7.
func ParseSeeds(text string) ([]uint64, error) {
	if n, err := strconv.Atoi(text); err == nil {
		if n < 1 || n > maxSeeds {
			return nil, fmt.Errorf("experiment: %d seeds; give 1 to %d", n, maxSeeds)
		}
		return Seeds(n), nil
	}
	var seeds []uint64
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(strings.TrimSpace(part), "..")
		if !isRange {
			to = from
		}
		lo, err := strconv.ParseUint(from, 10, 64)
		hi, err2 := strconv.ParseUint(to, 10, 64)
		if err != nil || err2 != nil || lo > hi || hi-lo >= maxSeeds {
			return nil, fmt.Errorf("experiment: seeds %q; give how many, as 3, or which, as 2,5 or 7..9", text)
		}
		for i := range hi - lo + 1 {
			if slices.Contains(seeds, lo+i) {
				return nil, fmt.Errorf("experiment: seeds %q have %d twice", text, lo+i)
			}
			seeds = append(seeds, lo+i)
		}
	}
	return seeds, nil
}

// Fixed is a configuration under a name.
type Fixed struct {
	Name   string
	Config pdq.Config
}

// Method returns the method that f is, whatever the preset. Seed and machine are the grid's.
func (f Fixed) Method() Method {
	return Method{f.Name, func(pdq.Config) (pdq.Config, error) { return f.Config, nil }}
}
