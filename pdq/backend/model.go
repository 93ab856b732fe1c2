//go:build cgo && (linux || darwin)

package backend

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	ort "github.com/yalue/onnxruntime_go"
)

// Model is an ONNX model that ONNX Runtime has loaded on the CPU. It isn't for concurrent use.
type Model struct {
	session *ort.DynamicAdvancedSession
	shape   []int64 // of the input; negative: any; none: not known
}

// OpenModel loads the content of an ONNX file into ONNX Runtime: into the library that a backend has loaded, else into
// that of the backend "onnx". It is an error if the model has several inputs, or several outputs and the options name
// none, or if these aren't float32. The caller closes the model.
func OpenModel(onnx []byte, o ModelOptions) (*Model, error) {
	return openModel(o, loading{
		func() (in, out []ort.InputOutputInfo, err error) { return ort.GetInputOutputInfoWithONNXData(onnx) },
		func(in, out []string, s *ort.SessionOptions) (*ort.DynamicAdvancedSession, error) {
			return ort.NewDynamicAdvancedSessionWithONNXData(onnx, in, out, s)
		}})
}

// OpenModelFile is OpenModel for a file, whose weights may lie in other files of its folder.
func OpenModelFile(path string, o ModelOptions) (*Model, error) {
	return openModel(o, loading{
		func() (in, out []ort.InputOutputInfo, err error) { return ort.GetInputOutputInfo(path) },
		func(in, out []string, s *ort.SessionOptions) (*ort.DynamicAdvancedSession, error) {
			return ort.NewDynamicAdvancedSession(path, in, out, s)
		}})
}

// loading is what ONNX Runtime does with a file's content, or with its path.
type loading struct {
	info    func() (in, out []ort.InputOutputInfo, err error)
	session func(in, out []string, s *ort.SessionOptions) (*ort.DynamicAdvancedSession, error)
}

func openModel(o ModelOptions, l loading) (m *Model, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("backend: ONNX model: %w", err)
		}
	}()
	if err := startRuntime(); err != nil {
		return nil, err
	}
	in, out, err := l.info()
	if err != nil {
		return nil, err
	}
	if len(in) != 1 {
		return nil, fmt.Errorf("it has %d inputs, %s; only models of images alone can be run", len(in), namesOf(in))
	}
	image, err := pick("input", "", in)
	if err != nil {
		return nil, err
	}
	logits, err := pick("output", o.Output, out)
	if err != nil {
		return nil, err
	}
	options, err := ort.NewSessionOptions()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, options.Destroy()) }()
	if o.Threads > 0 {
		if err := options.SetIntraOpNumThreads(o.Threads); err != nil {
			return nil, err
		}
	}
	s, err := l.session([]string{image.Name}, []string{logits.Name}, options)
	if err != nil {
		return nil, err
	}
	return &Model{s, image.Dimensions}, nil
}

// pick returns the input or output called name, or the only one.
func pick(what, name string, all []ort.InputOutputInfo) (ort.InputOutputInfo, error) {
	i := slices.IndexFunc(all, func(x ort.InputOutputInfo) bool { return x.Name == name })
	switch {
	case i < 0 && name != "":
		return ort.InputOutputInfo{}, fmt.Errorf("no %s is called %q; choose one of %s", what, name, namesOf(all))
	case i < 0 && len(all) != 1:
		return ort.InputOutputInfo{}, fmt.Errorf("it has %d %ss, %s; choose one with %s=", len(all), what, namesOf(all), what)
	}
	x := all[max(i, 0)]
	if x.OrtValueType != ort.ONNXTypeTensor || x.DataType != ort.TensorElementDataTypeFloat {
		return x, fmt.Errorf("%s %s is no tensor of float32 (%v); export the model in float32", what, x.Name, &x)
	}
	return x, nil
}

func namesOf(all []ort.InputOutputInfo) string {
	var names []string
	for _, x := range all {
		names = append(names, x.Name)
	}
	return strings.Join(names, ", ")
}

// batch returns the shape of an input of n images.
func (m *Model) batch(n int) ([]int, error) {
	dims := []int{n}
	for _, d := range m.shape[min(1, len(m.shape)):] {
		if d <= 0 {
			return nil, fmt.Errorf("backend: ONNX model: its input has the shape %s, which doesn't say how large images are; "+
				"export it for one size", shapeText(m.shape))
		}
		dims = append(dims, int(d))
	}
	return dims, nil
}

// LoadRuntime loads ONNX Runtime, as OpenModel does, unless the process has.
func LoadRuntime() error {
	if err := startRuntime(); err != nil {
		return fmt.Errorf("backend: ONNX model: %w", err)
	}
	return nil
}

// startRuntime loads the library, unless the process has.
func startRuntime() error {
	if ort.IsInitialized() {
		return nil
	}
	path := loadedLibrary()
	if path == "" {
		var err error
		if path, err = findONNX(); err != nil {
			return fmt.Errorf("%w; %s", err, onnxRemedy)
		}
	}
	if err := switchTelemetryOff(); err != nil {
		return err
	}
	ort.SetSharedLibraryPath(path)
	return ort.InitializeEnvironment(ort.WithLogLevelError())
}

// Run computes the output for an input of shape dims, whose first axis is the images. A model that takes another number
// of them runs on as many at a time, the last ones filled up with zeros.
func (m *Model) Run(x []float32, dims ...int) (y []float32, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("backend: ONNX model: %w", err)
		}
	}()
	if err := m.fits(dims); err != nil {
		return nil, err
	}
	if len(m.shape) == 0 || m.shape[0] <= 0 || m.shape[0] == int64(dims[0]) {
		return m.run(x, dims)
	}
	fixed, n, size := int(m.shape[0]), dims[0], len(x)/dims[0]
	dims = append([]int{fixed}, dims[1:]...)
	for lo := 0; lo < n; lo += fixed {
		part := make([]float32, fixed*size)
		taken := copy(part, x[lo*size:]) / size
		out, err := m.run(part, dims)
		if err != nil {
			return nil, err
		}
		if len(out)%fixed != 0 {
			return nil, fmt.Errorf("%d numbers for %d images; choose another output", len(out), fixed)
		}
		y = append(y, out[:len(out)/fixed*taken]...)
	}
	return y, nil
}

// fits is an error if the model doesn't take inputs of shape dims, but for their first axis.
func (m *Model) fits(dims []int) error {
	ok := len(dims) > 0 && dims[0] > 0 && (len(m.shape) == 0 || len(dims) == len(m.shape))
	for i := 1; ok && i < len(m.shape); i++ {
		ok = m.shape[i] < 0 || m.shape[i] == int64(dims[i])
	}
	if ok {
		return nil
	}
	return fmt.Errorf("it takes an input of shape %s, but the images' is %s; give other images, or another model",
		shapeText(m.shape), shapeText(dims))
}

// shapeText returns a shape as [N 3 32 32]. Its first axis is the images.
func shapeText[T int | int64](dims []T) string {
	texts := []string{"N"}
	for _, d := range dims[min(1, len(dims)):] {
		if texts = append(texts, "?"); d >= 0 {
			texts[len(texts)-1] = fmt.Sprint(d)
		}
	}
	return "[" + strings.Join(texts[:len(dims)], " ") + "]"
}

func (m *Model) run(x []float32, dims []int) (y []float32, err error) {
	shape := make(ort.Shape, len(dims))
	for i, d := range dims {
		shape[i] = int64(d)
	}
	in, err := ort.NewTensor(shape, x)
	if err != nil {
		return nil, fmt.Errorf("input: %w", err)
	}
	defer func() { err = errors.Join(err, in.Destroy()) }()
	outs := []ort.Value{nil}
	if err := m.session.Run([]ort.Value{in}, outs); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, outs[0].Destroy()) }()
	out, ok := outs[0].(*ort.Tensor[float32])
	if !ok {
		return nil, errors.New("the output isn't a tensor of float32")
	}
	return slices.Clone(out.GetData()), nil
}

// Close frees what the model holds in ONNX Runtime.
func (m *Model) Close() error { return m.session.Destroy() }

// RuntimeVersion returns the version of ONNX Runtime that models are loaded into, or "" before the first.
func RuntimeVersion() string {
	if !ort.IsInitialized() {
		return ""
	}
	return ort.GetVersion()
}

func switchTelemetryOff() error {
	if _, set := os.LookupEnv(telemetryEnv); set {
		return nil
	}
	return os.Setenv(telemetryEnv, "1")
}
