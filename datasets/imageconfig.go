package datasets

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ImageConfig says how image files become images of one size.
type ImageConfig struct {
	Height, Width int           // pixels of an image, > 0; ImageNet's networks take 224 and 224
	Resize        int           // pixels of the shorter side before the centre is cut out, >= that of Height, Width
	Squash        bool          // resize the longer side in proportion to Height and Width; false: to the image's sides
	Interpolation Interpolation // of resizing; the reference's is Bilinear
	Mean, Std     []float32     // [3], red first, that pixel/255 is normalised with; nil: ImageNetMoments
	Orient        bool          // turn images as EXIF says; false, as the reference: networks were trained without
	SkipCorrupt   bool          // leave out and count files that can't be decoded; false: they are errors
}

// ImageNetConfig returns the reference's: the centre of 224x224 pixels of images whose shorter side has 256.
func ImageNetConfig() ImageConfig { return ImageConfig{Height: 224, Width: 224, Resize: 256} }

// String describes c: "224x224 of 256, bilinear", with the moments if they aren't ImageNet's.
func (c ImageConfig) String() string {
	text := fmt.Sprintf("%dx%d of %d, %v", c.Height, c.Width, c.Resize, c.Interpolation)
	if c.Squash {
		text += ", squashed"
	}
	if c.Mean != nil || c.Std != nil {
		mean, std := ImageNetMoments()
		text += fmt.Sprintf(", mean %v, std %v", perChannel(c.Mean, mean), perChannel(c.Std, std))
	}
	return text
}

// ImageOptions are changes to an ImageConfig, such as the one that a network's images are made with. Zero fields change
// nothing.
type ImageOptions struct {
	Height, Width int            // pixels of an image; set both
	Resize        int            // pixels of the shorter side; 0: as much larger than Height and Width as before
	Interpolation *Interpolation // of resizing
	Mean, Std     []float32      // as in ImageConfig
	SkipCorrupt   bool           // leave out and count files that can't be decoded
}

// Apply returns c with the changes.
func (o ImageOptions) Apply(c ImageConfig) ImageConfig {
	if o.Height != 0 || o.Width != 0 {
		if short := min(c.Height, c.Width); short > 0 {
			c.Resize = min(o.Height, o.Width) * c.Resize / short
		}
		c.Height, c.Width = o.Height, o.Width
	}
	if o.Resize != 0 {
		c.Resize, c.Squash = o.Resize, false
	}
	if o.Interpolation != nil {
		c.Interpolation = *o.Interpolation
	}
	if o.Mean != nil {
		c.Mean = o.Mean
	}
	if o.Std != nil {
		c.Std = o.Std
	}
	c.SkipCorrupt = c.SkipCorrupt || o.SkipCorrupt
	return c
}

// ParseImageOptions reads ImageOptions from text. Size is "224" or height x width, as "32x40". Resize is a number of
// pixels, interpolation "bilinear" or "bicubic". Mean and std are three numbers, "0.485 0.456 0.406", or one that
// stands for all channels; commas may separate them. An empty text changes nothing.
func ParseImageOptions(size, resize, interpolation, mean, std string) (o ImageOptions, err error) {
	if size != "" {
		high, wide, ok := strings.Cut(size, "x")
		if !ok {
			wide = high
		}
		var notHigh, notWide error
		o.Height, notHigh = strconv.Atoi(high)
		o.Width, notWide = strconv.Atoi(wide)
		if notHigh != nil || notWide != nil || o.Height < 1 || o.Width < 1 {
			return o, fmt.Errorf("datasets: size %q is not a number of pixels; give one as 224, or height x width as 32x40",
				size)
		}
	}
	if resize != "" {
		if o.Resize, err = strconv.Atoi(resize); err != nil || o.Resize < 1 {
			return o, fmt.Errorf("datasets: resize %q is not a number of pixels; give one as 256", resize)
		}
	}
	if interpolation != "" {
		i, err := parseInterpolation(interpolation)
		if err != nil {
			return o, fmt.Errorf("datasets: %w; give one of these", err)
		}
		o.Interpolation = &i
	}
	if o.Mean, err = parseMoments("mean", mean); err != nil {
		return o, err
	}
	o.Std, err = parseMoments("std", std)
	return o, err
}

// parseMoments reads numbers that spaces or commas separate; nil if there are none.
func parseMoments(name, text string) ([]float32, error) {
	var numbers []float32
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' }) {
		x, err := strconv.ParseFloat(word, 32)
		if err != nil {
			return nil, fmt.Errorf("datasets: %s: %q is not a number; give one for each channel, as 0.485 0.456 0.406",
				name, word)
		}
		numbers = append(numbers, float32(x))
	}
	return numbers, nil
}

// perChannel returns the numbers given for each channel, or one that stands for all; usual if none are given.
func perChannel(given, usual []float32) []float32 {
	switch len(given) {
	case 0:
		return usual
	case 1:
		return slices.Repeat(given, len(usual))
	}
	return given
}

// validate returns an error unless the sizes fit together and the moments are those of three channels.
func (c ImageConfig) validate() error {
	if short := min(c.Height, c.Width); short < 1 || c.Resize < short {
		return fmt.Errorf("datasets: images of %dx%d pixels out of images whose shorter side has %d; "+
			"give a size > 0 that is not above what is resized to", c.Height, c.Width, c.Resize)
	}
	if c.Interpolation != Bilinear && c.Interpolation != Bicubic {
		return fmt.Errorf("datasets: interpolation %d; give %v or %v", int(c.Interpolation), Bilinear, Bicubic)
	}
	return c.validateMoments()
}

// validateMoments returns an error unless the moments are those of three channels.
func (c ImageConfig) validateMoments() error {
	mean, std := ImageNetMoments()
	black := Images{Name: "of files", Channels: 3, Height: 1, Width: 1, Pixels: make([]uint8, 3), Labels: make([]int32, 1),
		Classes: []string{"black"}, Mean: perChannel(c.Mean, mean), Std: perChannel(c.Std, std)}
	return black.Validate()
}
