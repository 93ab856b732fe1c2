package plot

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"image/png"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var seedFlag = flag.Uint64("seed", 1, "seed of the random charts")

func four() []Bar {
	return []Bar{{"Full precision", 91.8, 0.27}, {"Nearest rounding", 23.1, 0.42}, {"MSE only", 84.2, 0.36},
		{"PD-Quant", 85, 0.36}}
}

func TestPNG(t *testing.T) {
	for _, c := range []struct {
		name string
		bars []Bar
		high int // pixels
	}{
		{"one.png", four()[3:], 278},
		{"four.PNG", four(), 500}, // the size of two columns' width that the chart was drawn for
	} {
		path := filepath.Join(t.TempDir(), c.name)
		if err := Bars(path, "resnet8, W2A2, Fashion-MNIST", "10,000 test images, seed 1", "Top-1 accuracy (%)",
			c.bars); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		im, err := png.Decode(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if size := im.Bounds().Size(); size.X != 1000 || size.Y != c.high {
			t.Errorf("%s is %v pixels, want 1000x%d", c.name, size, c.high)
		}
		blue := 0
		for y := range im.Bounds().Dy() {
			for x := range 1000 {
				if r, g, b, _ := im.At(x, y).RGBA(); r>>8 == 0x00 && g>>8 == 0x72 && b>>8 == 0xb2 {
					blue++
				}
			}
		}
		if blue < 10000 {
			t.Errorf("%s has %d pixels in the accent colour; the bar is missing", c.name, blue)
		}
	}
}

// texts returns the texts of an SVG, or why it isn't one.
func texts(svg []byte) (found []string, err error) {
	d := xml.NewDecoder(bytes.NewReader(svg))
	inside := false
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return nil, err
		}
		switch e := token.(type) {
		case xml.StartElement:
			inside = e.Name.Local == "text"
		case xml.EndElement:
			inside = false
		case xml.CharData:
			if inside {
				found = append(found, string(e))
			}
		}
	}
}

func TestSVG(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chart.svg")
	bars := append([]Bar{{`<b>"5 > 4" & more`, 100, 0}}, four()...)
	if err := Bars(path, "title\x00\x1b\n2", "sub \xff title", "Top-1 accuracy (%)", bars); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	found, err := texts(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"title 2", "sub title", "Top-1 accuracy (%)", `<b>"5 > 4" & more`, "PD-Quant", "85.0",
		"± 0.4", "100.0", "0", "20", "100"} {
		if !slices.Contains(found, want) {
			t.Errorf("no text %q among %q", want, found)
		}
	}
	if !strings.Contains(string(b), "Arial") {
		t.Error("no font that most machines have is named")
	}
}

// randomText returns up to n words, some long.
func randomText(rng *rand.Rand, n int) string {
	var words []string
	for range rng.IntN(n + 1) {
		words = append(words, strings.Repeat(string(rune('a'+rng.IntN(26))), 1+rng.IntN(1+rng.IntN(40))))
	}
	return strings.Join(words, " ")
}

// TestNothingOverlaps lays out random charts: every text is on the sheet, touches no other
// one, and lies on no bar.
func TestNothingOverlaps(t *testing.T) {
	t.Logf("seed %d", *seedFlag)
	rng := rand.New(rand.NewPCG(*seedFlag, 0))
	for range 200 {
		bars := make([]Bar, 1+rng.IntN(8))
		for i := range bars {
			bars[i] = Bar{randomText(rng, 8), 100 * rng.Float64(), 10 * rng.Float64()}
			if rng.IntN(3) == 0 {
				bars[i].Value, bars[i].Error = float64(100*rng.IntN(2)), float64(rng.IntN(2))/50
			}
		}
		title, subtitle, axis := randomText(rng, 20), randomText(rng, 40), randomText(rng, 15)
		s := layout(title, subtitle, axis, bars)
		if problem := overlap(s); problem != "" {
			t.Errorf("Bars(%q, %q, %q, %v): %s", title, subtitle, axis, bars, problem)
		}
	}
}

// overlap says what is wrong with the places of s's marks.
func overlap(s *sheet) string {
	const slack = 0.5 // a pixel, from rounding
	for i, m := range s.marks {
		if m.x < 0 || m.y < 0 || m.x+m.w > s.width || m.y+m.h > s.height {
			return fmt.Sprintf("%+v is not on the sheet", m)
		}
		for j, o := range s.marks {
			bar := o.text == "" && o.h == barHeight
			if m.text == "" || i == j || o.text == "" && !bar {
				continue
			}
			if min(m.x+m.w, o.x+o.w)-max(m.x, o.x) > slack && min(m.y+m.h, o.y+o.h)-max(m.y, o.y) > slack {
				return fmt.Sprintf("%q lies on %q (a bar, if empty)", m.text, o.text)
			}
		}
	}
	return ""
}

func TestBarLengths(t *testing.T) {
	s := layout("", "", "", []Bar{{"a", 100, 0}, {"b", 25, 0}, {"c", 0, 0}, {"d", 50, 0}})
	var lengths []float64
	for _, m := range s.marks {
		if m.text == "" && m.h == barHeight {
			lengths = append(lengths, m.w)
		}
	}
	if len(lengths) != 4 {
		t.Fatalf("%d bars, want 4", len(lengths))
	}
	for i, part := range []float64{1, 0.25, 0, 0.5} {
		if math.Abs(lengths[i]-part*lengths[0]) > 0.5 {
			t.Errorf("bar %d is %g points long, want %g of %g", i, lengths[i], part, lengths[0])
		}
	}
}

func TestNumbers(t *testing.T) {
	for _, c := range []struct {
		bars []Bar
		want string
	}{
		{[]Bar{{"", 85, 0.36}, {"", 9.96, 0}}, "85.0 ± 0.4, 10.0 "},
		{[]Bar{{"", 85, 0.06}, {"", 23.111, 2}}, "85.00 ± 0.06, 23.11 ± 2.00"},
		{[]Bar{{"", 100, 0}}, "100.0 "},
	} {
		var got []string
		for _, n := range numbers(c.bars) {
			got = append(got, n.value+" "+n.spread)
		}
		if s := strings.Join(got, ", "); s != c.want {
			t.Errorf("numbers(%v) = %q, want %q", c.bars, s, c.want)
		}
	}
}

func TestErrors(t *testing.T) {
	dir := t.TempDir()
	ok := filepath.Join(dir, "chart.png")
	for _, c := range []struct {
		path string
		bars []Bar
		want []string
	}{
		{ok, nil, []string{"no bars", "at least one"}},
		{filepath.Join(dir, "chart.gif"), four(), []string{".gif", ".png, .svg"}},
		{filepath.Join(dir, "chart"), four(), []string{`""`, ".png, .svg"}},
		{ok, []Bar{{"PD-Quant", math.NaN(), 0}}, []string{"PD-Quant", "value NaN", "0 to 100"}},
		{ok, []Bar{{"PD-Quant", math.Inf(1), 0}}, []string{"PD-Quant", "+Inf"}},
		{ok, []Bar{{"a", 1, 0}, {"b", -1, 0}}, []string{"bar 1 (b)", "-1"}},
		{ok, []Bar{{"a", 100.1, 0}}, []string{"100.1"}},
		{ok, []Bar{{"a", 1, math.NaN()}}, []string{"error NaN"}},
		{ok, []Bar{{"a", 1, -0.1}}, []string{"error -0.1"}},
		{filepath.Join(dir, "missing", "chart.png"), four(), []string{"missing", "no such file"}},
	} {
		err := Bars(c.path, "t", "s", "a", c.bars)
		if err == nil {
			t.Errorf("Bars(%s, %v) is no error, want one with %q", c.path, c.bars, c.want)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("Bars(%s, %v): %v; want %q in it", c.path, c.bars, err, want)
			}
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("failed calls left %v (%v)", entries, err)
	}
}

// TestUnwritable has path taken by a folder: the last step, the renaming, fails.
func TestUnwritable(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "chart.png")
	if err := os.MkdirAll(filepath.Join(path, "full"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Bars(path, "", "", "", four()); err == nil {
		t.Error("a folder was overwritten")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("the failed call left %v (%v)", entries, err)
	}
	if err := os.Mkdir(filepath.Join(dir, "locked"), 0o555); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		return // to root nothing is locked
	}
	if err := Bars(filepath.Join(dir, "locked", "chart.png"), "", "", "", four()); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("in a folder without permission: %v", err)
	}
}

func TestOverwrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chart.svg")
	for _, title := range []string{"old", "new"} {
		if err := Bars(path, title, "", "", four()); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if found, err := texts(b); err != nil || found[0] != "new" {
		t.Errorf("texts %q (%v), want new first", found, err)
	}
}

func ExampleBars() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "resnet8.png")
	err = Bars(path, "resnet8, W2A2, Fashion-MNIST", "10,000 test images, seed 1", "Top-1 accuracy (%)", []Bar{
		{Label: "Full precision", Value: 91.8, Error: 0.27},
		{Label: "Nearest rounding", Value: 23.1, Error: 0.42},
		{Label: "PD-Quant", Value: 85.0, Error: 0.36},
	})
	fmt.Println(err)
	fmt.Println(Bars("resnet8.bmp", "", "", "", []Bar{{Label: "PD-Quant", Value: 85}}))
	// Output:
	// <nil>
	// plot: resnet8.bmp: no charts with the extension ".bmp"; choose one of .png, .svg
}
