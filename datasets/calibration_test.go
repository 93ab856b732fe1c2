package datasets

import (
	"fmt"
	"slices"
	"testing"
)

// TestDraw compares with testdata/draw.py, written independently of Draw. If an index changed, no recorded run could be
// repeated.
func TestDraw(t *testing.T) {
	for _, c := range []struct {
		n, from int
		seed    uint64
		last    []int // the end of the draw
	}{
		{8, 10, 0, []int{1, 4, 9, 8, 3, 6, 0, 2}},
		{8, 60000, 1, []int{36479, 41746, 37580, 20352, 15597, 54249, 42567, 55273}},
		{2048, 60000, 1, []int{24684, 38274, 34707}},
		{5, 1281167, 1<<64 - 1, []int{1082894, 672912, 426573, 549542, 991737}},
		{1, 1, 5, []int{0}}, // no choice
	} {
		got, err := Draw(c.n, c.from, c.seed)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != c.n || !slices.Equal(got[c.n-len(c.last):], c.last) {
			t.Errorf("Draw(%d, %d, %d) ends in %v, want %v", c.n, c.from, c.seed, got[max(0, len(got)-len(c.last)):], c.last)
		}
	}
}

func TestDrawPermutes(t *testing.T) {
	all, err := Draw(500, 500, 3)
	if err != nil {
		t.Fatal(err)
	}
	part, err := Draw(20, 500, 3)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(part, all[:20]) {
		t.Error("a smaller draw does not begin the larger one")
	}
	slices.Sort(all)
	for i, k := range all {
		if i != k {
			t.Fatalf("500 of 500 drawn, but the %d-th smallest is %d", i, k)
		}
	}
}

func TestDrawErrors(t *testing.T) {
	for _, c := range []struct {
		n, from int
		want    string
	}{
		{0, 5, "cannot draw 0 of 5 images; ask for 1 to 5"},
		{-1, 5, "cannot draw -1 of 5"},
		{6, 5, "cannot draw 6 of 5"},
		{1, 0, "cannot draw 1 of 0"},
		{1, -3, "cannot draw 1 of -3"},
	} {
		if _, err := Draw(c.n, c.from, 1); lacks(err, c.want) {
			t.Errorf("Draw(%d, %d): error %v, want one with %q", c.n, c.from, err, c.want)
		}
	}
}

func TestCalibrate(t *testing.T) {
	cal, err := Calibrate(small(), 2, 4)
	if err != nil {
		t.Fatal(err)
	}
	want, err := small().Select(cal.Indices)
	if err != nil {
		t.Fatal(err)
	}
	if cal.Len() != 2 || cal.Seed != 4 || cal.Hash() != want.Hash() {
		t.Errorf("Calibrate = %+v", cal)
	}
	if _, err := Calibrate(small(), 4, 1); lacks(err, "4 of 3", "small") {
		t.Errorf("Calibrate of too many: %v", err)
	}
}

func ExampleDraw() {
	indices, err := Draw(4, 60000, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(indices)
	_, err = Draw(70000, 60000, 1)
	fmt.Println(err)
	// Output:
	// [36479 41746 37580 20352]
	// datasets: cannot draw 70000 of 60000 images; ask for 1 to 60000
}

func ExampleCalibrate() {
	pool := Images{
		Name: "dots", Channels: 1, Height: 1, Width: 1,
		Pixels: []uint8{0, 51, 102, 153, 204, 255}, Labels: []int32{0, 0, 0, 1, 1, 1}, Classes: []string{"dark", "light"},
		Mean: []float32{0}, Std: []float32{1},
	}
	cal, err := Calibrate(pool, 3, 7)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(cal.Seed, cal.Indices)
	for i, x := range cal.Floats(0, cal.Len()) {
		fmt.Printf("%.1f %s\n", x, cal.Classes[cal.Labels[i]])
	}
	// Output:
	// 7 [0 2 3]
	// 0.0 dark
	// 0.4 dark
	// 0.6 light
}
