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
		return s, fmt.Errorf("%w: %w", ErrMissing, err)
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
	file := ""
	if src.Images, file, err = src.preprocessing(s); err != nil {
		return s, err
	}
	if file != "" {
		s.Notes = append(s.Notes, "images as "+file+" says, but for what options say")
	}
	data, err := src.data(arch.Trained{})
	if err != nil {
		return s, err
	}
	if _, pictures := data.Pool.(datasets.Files); pictures && (src.Images.Mean == nil || src.Images.Std == nil) {
		return s, fmt.Errorf("experiment: nothing says what %s's images are normalised with; give mean= and std=, or put "+
			"preprocessor_config.json beside the file", base)
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
	data, err := src.data(arch.Trained{})
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

// preprocessing returns how images become those that the network takes. If a file beside it says so, it also returns
// that file's path. What src has wins.
func (src Source) preprocessing(s Subject) (datasets.ImageConfig, string, error) {
	c, n := src.Images, s.Network
	usual := func(c datasets.ImageConfig) int { return min(c.Height, c.Width) * 256 / 224 }
	beside, file, err := datasets.ReadPreprocessing(filepath.Dir(src.Name))
	if err != nil {
		return c, file, err
	}
	if c.Height > 0 && (c.Height != n.Height || c.Width != n.Width) {
		return c, "", fmt.Errorf("experiment: size is %dx%d, but %s takes images of %dx%d; leave out size=", c.Height,
			c.Width, s.Name, n.Height, n.Width)
	}
	asked := c.Resize != usual(c)
	if c.Height, c.Width = n.Height, n.Width; !asked {
		c.Resize = usual(c)
	}
	if file == "" {
		return c, "", nil
	}
	if beside.Height != n.Height || beside.Width != n.Width {
		return c, file, fmt.Errorf("experiment: %s makes images of %dx%d, but %s takes %dx%d; move the file away, or "+
			"export the network for its size", file, beside.Height, beside.Width, s.Name, n.Height, n.Width)
	}
	c.Interpolation = beside.Interpolation
	if !asked {
		c.Resize, c.Squash = beside.Resize, beside.Squash
	}
	if c.Mean == nil {
		c.Mean = beside.Mean
	}
	if c.Std == nil {
		c.Std = beside.Std
	}
	return c, file, nil
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
