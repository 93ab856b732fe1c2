package datasets

import (
	"path/filepath"
	"slices"
	"testing"
)

// TestOpenLists opens a folder by a list of images to calibrate on and one of images to test on.
func TestOpenLists(t *testing.T) {
	dir := t.TempDir()
	pictures(t, 4, dir, "flat") // a.png to d.png
	at := filepath.Join(dir, "flat")
	write := func(name, text string) string { return writeFile(t, name, []byte(text)) }
	first, second := write("half-a.txt", "a.png\t3\nb.png\t0\n"), write("half-b.txt", "c.png\t1\n")
	o := OpenOptions{Images: ImageConfig{Height: 8, Width: 8, Resize: 9}, Lists: Lists{first, second}}
	d, err := Open(at, o)
	if err != nil {
		t.Fatal(err)
	}
	want := "flat (images with a file of labels): 2 calibration and 1 test images of 3x8x8 in 4 classes; " +
		"left out: 1 other file (d.png)"
	pool, test := d.Pool.(Files).Folder, d.Test.(Files).Folder
	if d.String() != want || !slices.Equal(pool.Labels, []int32{3, 0}) || !slices.Equal(test.Labels, []int32{1}) ||
		pool.Name != "flat, half-a.txt" || test.Name != "flat, half-b.txt" || d.Divided || !d.Numbered() {
		t.Errorf("%v; %+v, %+v; want %s", d, pool, test, want)
	}
	for _, c := range []struct {
		path  string
		lists Lists
		want  []string
	}{
		{at, Lists{first, write("b", "c.png\t1\nb.png\t0\n")}, []string{":2: b.png is in ", "half-a.txt:2 too", "remove"}},
		{at, Lists{first, write("b", "c.png\t1\nd.png\t0\nc.png\t2\n")}, []string{":3: c.png is in line 1 already"}},
		{at, Lists{first, ""}, []string{`test "", labels ""; give two lists`}},
		{at, Lists{first, write("b", "e.png\t1\n")}, []string{":1: ", "e.png", "or remove the line"}},
		{at, Lists{first, filepath.Join(dir, "none")}, []string{"none"}},
		{at, Lists{write("a", ""), second}, []string{"has no lines"}},
		{dir, Lists{first, second}, []string{"give the folder that has the images"}},
		{"fashion-mnist", Lists{first, second}, []string{"lists of images are for a folder of images"}},
	} {
		o.Lists = c.lists
		if _, err := Open(c.path, o); lacks(err, c.want...) {
			t.Errorf("%+v: error %v, want %q", c, err, c.want)
		}
	}
	o.Lists, o.Labels = Lists{first, second}, first
	if _, err := Open(at, o); lacks(err, "or one file of labels") {
		t.Errorf("lists and labels: %v", err)
	}
}
