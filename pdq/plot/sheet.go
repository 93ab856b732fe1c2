package plot

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"path/filepath"
	"strings"
	"unicode"

	xfont "golang.org/x/image/font"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/font/liberation"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// dpi gives two pixels per point.
const dpi = 144

// sheet is a picture to be drawn. Places are in points from the upper left corner. Later marks cover earlier ones.
type sheet struct {
	width, height                float64
	marks                        []mark
	title, strong, normal, small font.Face
}

// mark is a filled rectangle, a line of text in a rectangle, or a path.
type mark struct {
	x, y, w, h float64
	color      color.Color
	text       string // empty: a rectangle
	face       font.Face
	path       []point // not empty: a line through these points, of width w
}

// point is a place on a sheet.
type point struct{ x, y float64 }

func newSheet(width float64) *sheet {
	fonts := font.NewCache(liberation.Collection())
	face := func(weight xfont.Weight, size font.Length) font.Face {
		return fonts.Lookup(font.Font{Typeface: "Liberation", Variant: "Sans", Weight: weight}, size)
	}
	return &sheet{width: width, title: face(xfont.WeightBold, 14), strong: face(xfont.WeightBold, 11),
		normal: face(xfont.WeightNormal, 11), small: face(xfont.WeightNormal, 9.5)}
}

func width(f font.Face, text string) float64 { return f.Width(text).Points() }

func ascent(f font.Face) float64 { return f.Extents().Ascent.Points() }

func lineHeight(f font.Face) float64 {
	e := f.Extents()
	return (e.Ascent + e.Descent).Points()
}

// fill adds a rectangle, with its edges moved to whole pixels.
func (s *sheet) fill(x, y, w, h float64, c color.Color) {
	snap := func(v float64) float64 { return math.Round(v*dpi/72) / (dpi / 72) }
	left, top := snap(x), snap(y)
	s.marks = append(s.marks, mark{x: left, y: top, w: snap(x+w) - left, h: snap(y+h) - top, color: c})
}

// write adds a line of text and returns its height. y is its top; x is its left end if align is 0, its middle if 0.5,
// its right end if 1.
func (s *sheet) write(text string, f font.Face, x, y, align float64, c color.Color) float64 {
	if text != "" {
		w := width(f, text)
		s.marks = append(s.marks, mark{x: x - align*w, y: y, w: w, h: lineHeight(f), color: c, text: text, face: f})
	}
	return lineHeight(f)
}

// stroke adds a line through points.
func (s *sheet) stroke(points []point, width float64, c color.Color) {
	if len(points) > 1 {
		s.marks = append(s.marks, mark{w: width, color: c, path: points})
	}
}

// wrap breaks text into lines that are at most most wide: between words, or within words that are longer than a line.
// Characters that can't be drawn become spaces.
func wrap(text string, f font.Face, most float64) []string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar || r == '\ufffe' || r == '\uffff' {
			return ' '
		}
		return r
	}, text)
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && width(f, line+" "+word) <= most {
			line += " " + word
			continue
		}
		if line != "" {
			lines = append(lines, line)
		}
		line = ""
		for _, r := range word {
			if line != "" && width(f, line+string(r)) > most {
				lines, line = append(lines, line), ""
			}
			line += string(r)
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// draw puts the marks on a canvas of the sheet's size.
func (s *sheet) draw(c vg.CanvasSizer) {
	canvas := draw.New(c)
	canvas.SetColor(paper())
	canvas.Fill(canvas.Rectangle.Path())
	for _, m := range s.marks {
		canvas.SetColor(m.color)
		if len(m.path) > 0 {
			var path vg.Path
			for i, p := range m.path {
				at := vg.Point{X: vg.Length(p.x), Y: vg.Length(s.height - p.y)}
				if i == 0 {
					path.Move(at)
				} else {
					path.Line(at)
				}
			}
			canvas.SetLineWidth(vg.Length(m.w))
			canvas.Stroke(path)
			continue
		}
		if m.text != "" {
			canvas.FillString(m.face, vg.Point{X: vg.Length(m.x), Y: vg.Length(s.height - m.y - ascent(m.face))}, m.text)
			continue
		}
		bottom := s.height - m.y - m.h
		canvas.Fill(vg.Rectangle{Min: vg.Point{X: vg.Length(m.x), Y: vg.Length(bottom)},
			Max: vg.Point{X: vg.Length(m.x + m.w), Y: vg.Length(bottom + m.h)}}.Path())
	}
}

// encoderOf returns the function that encodes a sheet for path's extension.
func encoderOf(path string) (func(*sheet) ([]byte, error), error) {
	switch ext := filepath.Ext(path); strings.ToLower(ext) {
	case ".png":
		return (*sheet).png, nil
	case ".svg":
		return (*sheet).svg, nil
	default:
		return nil, fmt.Errorf("plot: %s: no charts with the extension %q; choose one of .png, .svg", path, ext)
	}
}

func (s *sheet) png() ([]byte, error) {
	c := vgimg.NewWith(vgimg.UseWH(vg.Length(s.width), vg.Length(s.height)), vgimg.UseDPI(dpi))
	s.draw(c)
	var out bytes.Buffer
	_, err := vgimg.PngCanvas{Canvas: c}.WriteTo(&out)
	return out.Bytes(), err
}

// svg encodes s. It names other fonts of the same widths, because few machines have Liberation Sans.
func (s *sheet) svg() ([]byte, error) {
	c := vgsvg.New(vg.Length(s.width), vg.Length(s.height))
	s.draw(c)
	var out bytes.Buffer
	_, err := c.WriteTo(&out)
	// Quotes in texts are escaped, so only attributes match.
	return bytes.ReplaceAll(out.Bytes(), []byte(`style="font-family:Liberation Sans;`),
		[]byte(`style="font-family:Liberation Sans,Arimo,Arial,Helvetica,sans-serif;`)), err
}
