package checkpoint_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"github.com/pdquant/pdquant/internal/nettest"
	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/models/checkpoint"
)

// TestLoadOthers loads the weights in nested.pth.tar from the files that testdata/others.py has made.
func TestLoadOthers(t *testing.T) {
	n := tiny(t)
	want, err := checkpoint.Load("testdata/nested.pth.tar", n)
	if err != nil {
		t.Fatal(err)
	}
	counter := "bn.num_batches_tracked"
	reports := map[string]checkpoint.Report{
		"swa.pth": {Under: []string{"model"}, Ignored: []string{"module." + counter, "n_averaged"}},
		"ema.pth": {Under: []string{"model_ema"}, Averages: true, Ignored: []string{"module." + counter, "n_averaged"}},
		"lightning.ckpt": {Under: []string{"state_dict"}, Ignored: []string{"criterion.weight", "ema.bn.bias",
			"ema.bn.num_batches_tracked", "ema.bn.running_mean", "ema.bn.running_var", "ema.bn.weight", "ema.conv.weight",
			"ema.linear.bias", "ema.linear.weight", "model." + counter}},
		"averages_beside.pth": {Under: []string{"weights"}, Ignored: []string{counter}},
		"newer_optimizer.pth": {Under: []string{"state_dict"}, Ignored: []string{counter}},
		"parts.pth":           {Ignored: []string{"args", counter}},
		"protocol0.pth":       {Ignored: []string{counter}},
		"protocol1.pth":       {Ignored: []string{counter}},
		"python2.pth.tar":     {Under: []string{"state_dict"}, Ignored: []string{"module." + counter}},
	}
	files, err := os.ReadDir("testdata/others")
	if err != nil || len(files) != len(reports) {
		t.Errorf("%d files, want %d (%v)", len(files), len(reports), err)
	}
	for name, report := range reports {
		path := filepath.Join("testdata", "others", name)
		w, got, err := checkpoint.LoadReport(path, n)
		if err == nil {
			err = nettest.SameWeights(w, want)
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !slices.Equal(got.Under, report.Under) || got.Averages != report.Averages ||
			!slices.Equal(got.Ignored, report.Ignored) {
			t.Errorf("%s: report %+v, want %+v", name, got, report)
		}
		all, err := checkpoint.Load(path, nil)
		if err != nil || len(all) < len(want) {
			t.Errorf("%s without a network: %d tensors, %v", name, len(all), err)
		}
	}
}

// TestNames loads weights whose names are those of wrappers.
func TestNames(t *testing.T) {
	n := tiny(t)
	want := models.Init(n, 1)
	one := tensors.FromValue([]float32{1})
	under := func(prefix string, more ...string) models.Weights {
		w := models.Weights{}
		for name, tensor := range want {
			w[prefix+name] = tensor
		}
		for _, name := range more {
			w[name] = one
		}
		return w
	}
	classifier := under("")
	flat := tensors.MustCopyFlatData[float32](want["fc.weight"])
	classifier["fc.weight"] = tensors.FromFlatDataAndDimensions(flat, 3, 2, 1, 1)
	for name, c := range map[string]struct {
		w       models.Weights
		ignored []string
	}{
		"compiled":            {under("_orig_mod."), nil},
		"compiled and module": {under("_orig_mod.module."), nil},
		"module, compiled":    {under("module._orig_mod."), nil},
		"module twice":        {under("module.module."), nil},
		"model":               {under("model."), nil},
		"some name":           {under("my_net.encoder.q."), nil},
		"name of a layer":     {under("conv."), nil},
		"counters": {under("net.", "total_ops", "net.conv.total_params", "n_averaged"),
			[]string{"n_averaged", "net.conv.total_params", "total_ops"}},
		"averages alone":         {under("ema."), nil},
		"convolution at its end": {classifier, nil},
	} {
		path := filepath.Join(t.TempDir(), "w.safetensors")
		if err := os.WriteFile(path, written(t, c.w, nil), 0o600); err != nil {
			t.Fatal(err)
		}
		got, report, err := checkpoint.LoadReport(path, n)
		if err == nil {
			err = nettest.SameWeights(got, want)
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !slices.Equal(report.Ignored, c.ignored) || report.Averages != (name == "averages alone") {
			t.Errorf("%s: report %+v, want %v ignored", name, report, c.ignored)
		}
	}
	for name, c := range map[string]struct {
		w    models.Weights
		want string
	}{
		"two prefixes": {under("a.", "b.conv.bias"), `no tensor "conv.weight"`},
		"normalisation": {under("model.", "mean"), `no tensor "conv.weight" of shape [2 1 3 3]; they are 8 tensors, ` +
			`among them "model.conv.weight"`},
		"an unknown counter": {under("", "steps_done"), `tiny has no tensor "steps_done", but the weights do, of shape [1]`},
	} {
		if _, err := readBytes(written(t, c.w, nil), n); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	other := maps.Clone(want)
	other["fc.weight"] = tensors.FromFlatDataAndDimensions(flat, 1, 3, 2)
	checkLoad(t, "ones in front", written(t, other, nil), n, `tensor "fc.weight" has shape [1 3 2], expected [3 2]`)
}

// TestStateDicts has dicts in which weights must be found.
func TestStateDicts(t *testing.T) {
	one := pickleInts(1)
	tensor := pickleTensor(2, 0, one, one)
	dict := func(keysAndValues ...string) string {
		s := "}("
		for i := 0; i < len(keysAndValues); i += 2 {
			s += pickleText(keysAndValues[i]) + keysAndValues[i+1]
		}
		return s + "u"
	}
	weights := dict("a", tensor, "b", tensor, "c", tensor)
	few := dict("d", tensor)
	for _, c := range []struct {
		name, object, under string
	}{
		{"alone", weights, ""},
		{"any key", dict("x", weights, "epoch", "K\x03"), "x"},
		{"deep", dict("x", dict("y", dict("z", weights))), "x.y.z"},
		{"usual key", dict("x", weights, "model", weights, "state_dict", weights), "state_dict"},
		{"usual key, few tensors", dict("x", weights, "net", few), "net"},
		{"the most tensors", dict("x", few, "y", weights), "y"},
		{"a best accuracy", dict("best", tensor, "y", weights), "y"},
		{"averages beside", dict("ema", weights, "y", weights), "y"},
		{"averages deep", dict("best", tensor, "EMA", dict("state_dict", weights)), "EMA.state_dict"},
		{"optimizer", dict("optimizer", dict("momenta", weights), "y", weights), "y"},
		{"extra state", dict("a", tensor, "b", tensor, "c", tensor, "_extra_state", dict("amax", tensor)), ""},
	} {
		path := filepath.Join(t.TempDir(), "w.pth")
		if err := os.WriteFile(path, legacyFile(c.object, 1, 2), 0o600); err != nil {
			t.Fatal(err)
		}
		w, report, err := checkpoint.LoadReport(path, nil)
		averages := strings.HasPrefix(c.under, "EMA")
		if under := strings.Join(report.Under, "."); err != nil || len(w) == 0 || under != c.under ||
			report.Averages != averages {
			t.Errorf("%s: %d tensors under %q, %v; want %q", c.name, len(w), under, err, c.under)
		}
	}
	_, err := readBytes(legacyFile(dict("encoder_q", weights, "encoder_k", weights), 1, 2), nil)
	if err == nil || !strings.Contains(err.Error(), `two dicts of 3 tensors, "encoder_q" and "encoder_k"`) {
		t.Errorf("two dicts: %v", err)
	}
}

// TestUnneeded has parts of an optimizer that aren't understood. They matter only if the rest of the file can't be
// read.
func TestUnneeded(t *testing.T) {
	one := pickleInts(1)
	tensor := pickleTensor(2, 0, one, one)
	beside := func(other string) string {
		return "}(" + pickleText("state_dict") + "}" + pickleText("a") + tensor + "s" + pickleText("optimizer") + other + "u"
	}
	for name, other := range map[string]string{
		"storage type": strings.Replace(strings.Replace(tensor, "FloatStorage", "NewStorage", 1), pickleText("0"),
			pickleText("1"), 1),
		"two types":          strings.Replace(tensor, "FloatStorage", "LongStorage", 1),
		"two sizes":          pickleTensor(1, 0, one, one),
		"size":               strings.Replace(pickleTensor(1<<40, 0, one, one), pickleText("0"), pickleText("1"), 1),
		"shape":              pickleTensor(2, 0, pickleInts(-1), one),
		"tensor":             "ctorch._utils\n_rebuild_tensor_v2\n)R",
		"persistent id":      ")Q",
		"other id":           pickleText("storage") + "\x85Q",
		"object in a tensor": "ctorch._tensor\n_rebuild_from_type_v2\nq\x01(h\x01h\x01h\x01tR",
		"text":               "P('storage', <class 'torch.FloatStorage'>, 'x', 'cpu', many, None)\n",
	} {
		w, err := readBytes(legacyFile(beside(other), 1, 2), nil)
		if err != nil || len(w) != 1 || w["a"] == nil {
			t.Errorf("%s: %d tensors, %v", name, len(w), err)
		}
	}
	n := tiny(t)
	module := "}(" + pickleText("module.extra") + "cargparse\nNamespace\n)\x81"
	for _, p := range n.Params() {
		var shape []int64
		for _, d := range p.Shape {
			shape = append(shape, int64(d))
		}
		zeros := pickleInts(make([]int64, len(shape))...)
		module += pickleText("module."+p.Name) + pickleTensor(2, 0, pickleInts(shape...), zeros)
	}
	path := filepath.Join(t.TempDir(), "w.pth")
	if err := os.WriteFile(path, legacyFile(module+"u", 1, 2), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, report, err := checkpoint.LoadReport(path, n); err != nil ||
		!slices.Equal(report.Ignored, []string{"module.extra"}) {
		t.Errorf("an object in a module: %+v, %v", report, err)
	}
	names := "}("
	for _, p := range n.Params() {
		names += pickleText(p.Name)
		if p.Name == "bn.weight" {
			names += "ctorch._utils\n_rebuild_qtensor\n)R"
			continue
		}
		names += pickleTensor(2, 0, one, one)
	}
	checkLoad(t, "needed object", legacyFile(names+"u", 1, 2), n,
		`tensor "bn.weight" is an object of "torch._utils._rebuild_qtensor", expected floats`)
}

func TestReportText(t *testing.T) {
	for want, r := range map[string]checkpoint.Report{
		"": {Ignored: []string{"bn.num_batches_tracked"}},
		"averages (EMA), of a.b, without c and 1 others": {Under: []string{"a", "b"}, Averages: true,
			Ignored: []string{"c", "d", "x.num_batches_tracked"}},
		"without c": {Ignored: []string{"c"}},
	} {
		if got := r.String(); got != want {
			t.Errorf("%+v is %q, want %q", r, got, want)
		}
	}
}
