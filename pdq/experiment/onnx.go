package experiment

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/pdquant/pdquant/datasets"
	"github.com/pdquant/pdquant/models/arch"
	"github.com/pdquant/pdquant/models/onnx"
	"github.com/pdquant/pdquant/pdq"
)

// IsONNX says whether name is that of an ONNX file.
func IsONNX(name string) bool { return strings.EqualFold(filepath.Ext(name), ".onnx") }

// openONNX is open for an ONNX file. It says what images it takes; images of another size are refused.
func (src Source) openONNX() (Subject, error) {
	base := filepath.Base(src.Name)
	s := Subject{Name: strings.TrimSuffix(base, filepath.Ext(base)), Tested: "test images"}
	if src.Data == "" && src.Set == "" {
		return s, fmt.Errorf("experiment: %s comes with no images; give them with data=", base)
	}
	m, o, err := src.readONNX()
	if errors.Is(err, fs.ErrNotExist) {
		return s, missing(err)
	} else if err != nil {
		return s, err
	}
	m.Network.Name = s.Name
	s.Network, s.Weights, s.Notes = m.Network, m.Weights, m.Notes
	s.File = File{Path: src.Name, SHA256: m.SHA256, Options: o}
	s.Origin = fmt.Sprintf("ONNX file %s (opset %d, SHA-256 %.12s)", base, m.Opset, m.SHA256)
	var reason string
	s.Design, reason = pdq.Family(s.Network)
	if src.Like == "" {
		s.Notes = append(s.Notes, fmt.Sprintf("settings as for %s: %s; like= takes another's of %s", s.Design, reason,
			strings.Join(pdq.Families(), ", ")))
	}
	if h, w := src.Images.Height, src.Images.Width; h > 0 && (h != s.Network.Height || w != s.Network.Width) {
		return s, fmt.Errorf("experiment: size is %dx%d, but %s takes images of %dx%d; leave out size=", h, w, s.Name,
			s.Network.Height, s.Network.Width)
	}
	file, err := s.preprocessing(filepath.Dir(src.Name))
	if err != nil {
		return s, err
	}
	if file != "" {
		s.Notes = append(s.Notes, "images as "+file+" says, but for what options say")
	}
	data, err := src.data(arch.Trained{}, s.Images)
	if err != nil {
		return s, err
	}
	if f, pictures := data.Pool.(datasets.Files); pictures && (f.Config.Mean == nil || f.Config.Std == nil) {
		lacking := "mean= and std="
		if f.Config.Mean != nil {
			lacking = "std= too"
		} else if f.Config.Std != nil {
			lacking = "mean= too"
		}
		return s, fmt.Errorf("experiment: nothing says what %s's images are normalised with; give %s, or put "+
			"preprocessor_config.json beside the file", base, lacking)
	}
	s.Data, s.About, s.Pool, s.Test = data.Name, data.String(), data.Pool, data.Test
	if data.Divided {
		s.Tested = "images that aren't calibrated on"
	}
	if err := fitsData(s, data); err != nil {
		return s, err
	}
	return src.split(s)
}

// File is an ONNX file that was read.
type File struct {
	Path    string // "": none was
	SHA256  string // in hex
	Options onnx.Options
}

// Open opens the file again, for its graph. It returns nil if there is none, and an error if it has changed.
func (f File) Open() (*onnx.Model, error) {
	if f.Path == "" {
		return nil, nil
	}
	m, err := onnx.Open(f.Path, f.Options)
	if err == nil && m.SHA256 != f.SHA256 {
		err = fmt.Errorf("experiment: %s has changed since the teacher was read from it", filepath.Base(f.Path))
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// readONNX reads the file, and returns the options with which it did. What it leaves open of the images' size is
// Images', else that of the file beside it or of the data set, if its images have one.
func (src Source) readONNX() (m *onnx.Model, o onnx.Options, err error) {
	o = onnx.Options{Input: src.Input, Output: src.Output, Units: src.Units, Height: src.Images.Height,
		Width: src.Images.Width}
	if m, err = onnx.Open(src.Name, o); !errors.Is(err, onnx.ErrOpen) {
		return m, o, err
	}
	data, err := src.data(arch.Trained{}, datasets.ImageNetConfig())
	if err != nil {
		return nil, o, err
	}
	o.Channels = data.Channels
	if _, pictures := data.Pool.(datasets.Files); !pictures {
		o.Height, o.Width = data.Height, data.Width
	} else if o.Height == 0 {
		beside, _, err := datasets.ReadPreprocessing(filepath.Dir(src.Name))
		if err != nil {
			return nil, o, err
		}
		o.Height, o.Width = beside.Height, beside.Width
	}
	m, err = onnx.Open(src.Name, o)
	return m, o, err
}

// preprocessing sets how images become those that the network takes: as a file in dir says, whose path it returns, or
// as ImageNet's usually do, without moments.
func (s *Subject) preprocessing(dir string) (file string, err error) {
	n := s.Network
	s.Images = datasets.ImageOptions{Height: n.Height, Width: n.Width}.Apply(datasets.ImageNetConfig())
	beside, file, err := datasets.ReadPreprocessing(dir)
	if err != nil || file == "" {
		return file, err
	}
	if beside.Height != n.Height || beside.Width != n.Width {
		return file, fmt.Errorf("experiment: %s makes images of %dx%d, but %s takes %dx%d; move the file away, or "+
			"export the network for its size", file, beside.Height, beside.Width, s.Name, n.Height, n.Width)
	}
	s.Images = beside
	return file, nil
}

// fitsData is an error if a network can't read the data set's images or has other classes.
func fitsData(s Subject, d datasets.Data) error {
	n := s.Network
	if n.Channels != d.Channels || n.Height != d.Height || n.Width != d.Width {
		remedy := "give images of its size"
		if n.Channels == d.Height && n.Height == d.Width && n.Width == d.Channels {
			remedy = "export it with channels first (tf2onnx: --inputs-as-nchw)"
		}
		return fmt.Errorf("experiment: %s takes images of %dx%dx%d, but those of %s are %dx%dx%d; %s", s.Name, n.Channels,
			n.Height, n.Width, d.Name, d.Channels, d.Height, d.Width, remedy)
	}
	if n.Classes != len(d.Classes) && !(d.Numbered() && len(d.Classes) < n.Classes) {
		return fmt.Errorf("experiment: %s has %d classes, but %s has %d; give the data set that it was trained for", s.Name,
			n.Classes, d.Name, len(d.Classes))
	}
	return nil
}
