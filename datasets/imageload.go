package datasets

import (
	"context"
	"fmt"
	"image"
	"iter"
	"math"
	"math/rand/v2"
	"runtime"
)

// Crop is the part of a file that became an image.
type Crop struct {
	File string
	Box  image.Rectangle // of the file's pixels, after turning; empty: the centre of the resized image
	Flip bool            // mirrored, left to right
}

// Load decodes all of f. Each image is resized until its shorter side has c.Resize pixels, and its centre of
// c.Height x c.Width pixels is cut out. (Where Height and Width differ, the image is resized until it covers a frame of
// their proportions whose shorter side has c.Resize pixels. With c.Squash it becomes that frame.)
//
// Reference: torchvision's Resize, with Pillow's antialiased filters, and CenterCrop.
func (f ImageFolder) Load(ctx context.Context, c ImageConfig) (im Images, err error) {
	for part, err := range f.Batches(ctx, c, f.Len()) {
		if err != nil {
			return im, err
		}
		im = part
	}
	return im, nil
}

// LoadRandom decodes all of f for calibration as the reference does: it takes a random part of each image, of 8 to
// 100 % of its area and 3/4 to 4/3 as wide as high, resizes it to c.Height x c.Width, and mirrors half of them. What it
// takes of an image depends on seed and the image's place in f alone; crops records it.
//
// Reference: torchvision's RandomResizedCrop and RandomHorizontalFlip.
func (f ImageFolder) LoadRandom(ctx context.Context, c ImageConfig, seed uint64) (im Images, crops []Crop, err error) {
	if err := c.validate(); err != nil {
		return im, nil, err
	}
	im = f.images(c, f.Len())
	var last error
	for d := range f.decode(ctx, c, 1, func(k int, full *rgb) (*rgb, Crop) {
		rng := rand.New(rand.NewPCG(seed, uint64(k)))
		crop := Crop{f.Files[k], randomCrop(rng, full.w, full.h), rng.Uint64()>>63 == 1}
		part := resize(full.crop(crop.Box), c.Width, c.Height, c.Interpolation)
		if crop.Flip {
			part = part.flipped()
		}
		return part, crop
	}) {
		switch {
		case d.err == nil:
			im.append(d.im, f.Labels[d.k])
			crops = append(crops, d.crop)
		case c.SkipCorrupt:
			im.Skipped, last = append(im.Skipped, f.Files[d.k]), d.err
		default:
			return im, nil, d.err
		}
	}
	if err := ctx.Err(); err != nil {
		return im, nil, err
	}
	return im, crops, im.decoded(last)
}

// Batches decodes f as Load does, size images at a time; the last batch has the rest. It decodes one file per
// processor at once, about a batch before it is asked for, so that any number of images takes a bounded amount of
// memory. It ends after an error.
func (f ImageFolder) Batches(ctx context.Context, c ImageConfig, size int) iter.Seq2[Images, error] {
	return func(yield func(Images, error) bool) {
		err := c.validate()
		if err == nil && size < 1 {
			err = badBatch(size)
		}
		if err != nil {
			yield(Images{}, err)
			return
		}
		batch := f.images(c, min(size, f.Len()))
		var last error
		for d := range f.decode(ctx, c, size, func(k int, full *rgb) (*rgb, Crop) {
			w, h := full.covering(c)
			return resizePart(full, w, h, centre(w, h, c.Width, c.Height), c.Interpolation), Crop{File: f.Files[k]}
		}) {
			if d.err != nil {
				if !c.SkipCorrupt {
					yield(Images{}, d.err)
					return
				}
				batch.Skipped, last = append(batch.Skipped, f.Files[d.k]), d.err
				continue
			}
			if batch.Len() == size { // only now, as files after it may have been left out
				if !yield(batch, nil) {
					return
				}
				batch = f.images(c, min(size, f.Len()))
			}
			batch.append(d.im, f.Labels[d.k])
		}
		if err := ctx.Err(); err != nil {
			yield(Images{}, err)
		} else if f.Len() > 0 {
			yield(batch, batch.decoded(last))
		}
	}
}

// decoded is Validate's error, or says why no file could be decoded: last is the error of one.
func (im Images) decoded(last error) error {
	if im.Len() == 0 && last != nil {
		return fmt.Errorf("datasets: all %d files of %s were left out; the last: %w", len(im.Skipped), im.Name, last)
	}
	return im.Validate()
}

func badBatch(size int) error {
	return fmt.Errorf("datasets: batches of %d images; give 1 or more", size)
}

// images returns no images yet, with room for n.
func (f ImageFolder) images(c ImageConfig, n int) Images {
	mean, std := ImageNetMoments()
	mean, std = perChannel(c.Mean, mean), perChannel(c.Std, std)
	return Images{Name: f.Name, Channels: 3, Height: c.Height, Width: c.Width, Classes: f.Classes, Mean: mean, Std: std,
		Pixels: make([]uint8, 0, n*3*c.Height*c.Width)}
}

// append adds an image of the right size.
func (im *Images) append(x *rgb, label int32) {
	for c := range 3 {
		for i := c; i < len(x.pix); i += 3 {
			im.Pixels = append(im.Pixels, x.pix[i])
		}
	}
	im.Labels = append(im.Labels, label)
}

// decoded is image k, or why it can't be decoded.
type decoded struct {
	k    int
	im   *rgb
	crop Crop
	err  error
}

// decode decodes the files of f in their order and transforms them. It starts at least ahead files before they are
// asked for.
func (f ImageFolder) decode(ctx context.Context, c ImageConfig, ahead int,
	transform func(k int, full *rgb) (*rgb, Crop)) iter.Seq[decoded] {
	return func(yield func(decoded) bool) {
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		ahead = min(max(ahead, 2*runtime.GOMAXPROCS(0)), f.Len())
		queue := make(chan chan decoded, ahead) // of results, in order
		limit := make(chan struct{}, runtime.GOMAXPROCS(0))
		go func() {
			defer close(queue)
			for k := range f.Files {
				result := make(chan decoded, 1)
				select {
				case queue <- result:
				case <-ctx.Done():
					return
				}
				limit <- struct{}{}
				go func() {
					defer func() { <-limit }()
					d := decoded{k: k}
					full, err := decodeFile(f.Files[k], c.Orient)
					if err != nil {
						d.err = fmt.Errorf("datasets: %w; replace the file, or skip such files", err)
					} else {
						d.im, d.crop = transform(k, full)
					}
					result <- d
				}()
			}
		}()
		for result := range queue {
			if ctx.Err() != nil || !yield(<-result) {
				return
			}
		}
	}
}

// randomCrop draws a part of w x h pixels.
func randomCrop(rng *rand.Rand, w, h int) image.Rectangle {
	const least, narrow, wide = 0.08, 3.0 / 4, 4.0 / 3
	for range 10 {
		area := float64(w*h) * (least + (1-least)*rng.Float64())
		ratio := math.Exp(math.Log(narrow) + (math.Log(wide)-math.Log(narrow))*rng.Float64())
		cw, ch := int(math.RoundToEven(math.Sqrt(area*ratio))), int(math.RoundToEven(math.Sqrt(area/ratio)))
		if 0 < cw && cw <= w && 0 < ch && ch <= h {
			x, y := rng.IntN(w-cw+1), rng.IntN(h-ch+1)
			return image.Rect(x, y, x+cw, y+ch)
		}
	}
	cw, ch := w, h // the middle, as near to those ratios as it gets
	if ratio := float64(w) / float64(h); ratio < narrow {
		ch = int(math.RoundToEven(float64(w) / narrow))
	} else if ratio > wide {
		cw = int(math.RoundToEven(float64(h) * wide))
	}
	x, y := (w-cw)/2, (h-ch)/2
	return image.Rect(x, y, x+cw, y+ch)
}
