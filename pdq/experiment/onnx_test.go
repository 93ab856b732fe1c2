package experiment

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/internal/onnxzoo"
)

// zooFile writes an architecture of the importer's tests with its weights.
func zooFile(t *testing.T, dir, name string) string {
	t.Helper()
	m, err := onnxzoo.Read(filepath.Join("..", "..", "models", "onnx", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestOpenONNX opens a network from an ONNX file with CIFAR-10, whose images it takes.
func TestOpenONNX(t *testing.T) {
	dir := t.TempDir()
	path, mobile := zooFile(t, dir, "vit_b_16.old.onnx"), zooFile(t, dir, "mobilenet_v2.old.onnx")
	data := t.TempDir()
	for _, file := range []string{"train.bin", "test.bin"} { // CIFAR-10, binary: a label and 3x32x32 pixels
		if err := os.WriteFile(filepath.Join(data, file), make([]byte, 20*3073), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Open(Source{Name: path, Data: data})
	if err != nil {
		t.Fatal(err)
	}
	if s.Name != "vit_b_16.old" || s.Architecture() != "resnet" || len(s.Network.Units) != 6 {
		t.Errorf("%s as %s with %d units", s.Name, s.Architecture(), len(s.Network.Units))
	}
	notes := strings.Join(s.Notes, "\n")
	for _, want := range []string{"settings as for resnet: no convolution is grouped", "no batch normalisation"} {
		if !strings.Contains(notes, want) {
			t.Errorf("notes %q lack %q", notes, want)
		}
	}
	if s, err = Open(Source{Name: path, Data: data, Like: "mnasnet"}); err != nil || s.Architecture() != "mnasnet" {
		t.Errorf("like mnasnet: %v, %s", err, s.Architecture())
	}
	for _, c := range []struct {
		src  Source
		want string
	}{
		{Source{Name: path}, "comes with no images; give them with data="},
		{Source{Name: "missing.onnx", Data: data}, "no such file"},
		{Source{Name: mobile, Data: data}, "takes images of 3x64x64, but those of"},
		{Source{Name: path, Data: data, Like: "vgg"}, `no settings for architecture "vgg"`},
		{Source{Name: path, Data: data, Output: "softmax"}, `has no output "softmax"`},
	} {
		if _, err := Open(c.src); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.src, err, c.want)
		}
	}
}

// TestOpenSize: what a file leaves open of its images' size, options, the file beside it or the data set say.
func TestOpenSize(t *testing.T) {
	dir, pictures := t.TempDir(), t.TempDir()
	path, fixed := zooFile(t, dir, "shufflenet_v2_x0_5.new-open.onnx"), zooFile(t, dir, "shufflenet_v2_x0_5.new.onnx")
	classes := strings.Fields("0 1 2 3 4 5 6 7 8 9")
	photos(t, 2, pictures, "train", classes...)
	photos(t, 2, pictures, "val", classes...)
	cifar := cifarFile(t, 20)
	ours := datasets.ImageOptions{Mean: []float32{0.5}, Std: []float32{0.5}}
	sized := ours
	sized.Height, sized.Width, sized.Resize = 96, 64, 80
	opens := func(src Source, height, width int) {
		t.Helper()
		s, err := Open(src)
		if err != nil {
			t.Fatal(err)
		}
		if n := s.Network; n.Height != height || n.Width != width {
			t.Errorf("%s takes images of %dx%d, want %dx%d", s.Name, n.Height, n.Width, height, width)
		}
	}
	fails := func(src Source, want string) {
		t.Helper()
		if _, err := Open(src); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	opens(Source{Name: path, Data: pictures, Images: sized}, 96, 64)
	opens(Source{Name: path, Data: cifar}, 32, 32)
	fails(Source{Name: path, Data: pictures, Images: ours}, "has no fixed height and width; give size=")
	fails(Source{Name: path, Data: cifar, Images: sized}, "of 3x96x64, but those of")
	fails(Source{Name: fixed, Data: pictures, Images: sized}, "size is 96x64, but shufflenet_v2_x0_5.new takes")
	beside := `{"image_processor_type": "ViTImageProcessor", "size": 48, "resample": 2,
		"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}`
	if err := os.WriteFile(filepath.Join(dir, "preprocessor_config.json"), []byte(beside), 0o666); err != nil {
		t.Fatal(err)
	}
	opens(Source{Name: path, Data: pictures}, 48, 48)
}
