package datasets

import (
	"fmt"
	"image"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// imageNet writes a folder laid out as ImageNet is, with an image of each class in both parts, and returns it. From the
// ninth class on it has links, which are written faster.
func imageNet(t *testing.T, classes int) string {
	t.Helper()
	dir := t.TempDir()
	im := image.NewGray(image.Rect(0, 0, 12, 10))
	for i := range 2 * classes {
		class := filepath.Join(dir, []string{"train", "val"}[i%2], fmt.Sprintf("n%04d", i/2))
		if i >= 16 {
			link(t, fmt.Sprintf("n%04d", i/2%8), class)
			continue
		}
		if err := os.MkdirAll(class, 0o755); err != nil {
			t.Fatal(err)
		}
		writePNG(t, filepath.Join(class, "a.png"), im)
	}
	return dir
}

func TestOpenSets(t *testing.T) {
	c := ImageConfig{Height: 8, Width: 8, Resize: 9}
	dir := imageNet(t, 1000)
	d, err := Open("imagenet", OpenOptions{Dir: dir, Images: c})
	if err != nil {
		t.Fatal(err)
	}
	pool, test := d.Pool, d.Test
	name, hash := test.Describe()
	if pool.Len() != 1000 || test.Len() != 1000 || name != filepath.Base(dir)+"/val" || len(hash) != 64 {
		t.Errorf("%d and %d images of %s, hash %s", pool.Len(), test.Len(), name, hash)
	}
	cal, err := pool.Calibrate(t.Context(), 5, 3)
	if err != nil || cal.Len() != 5 || cal.Height != 8 || len(cal.Crops) != 5 || cal.Crops[0].Box.Empty() {
		t.Errorf("%d images, parts %v, error %v", cal.Len(), cal.Crops, err)
	}
	again, err := pool.Calibrate(t.Context(), 5, 3)
	if err != nil || again.Hash() != cal.Hash() {
		t.Errorf("the same seed gives other images, error %v", err)
	}
	d, err = Open("imagenet", OpenOptions{Dir: dir, Images: c, Centred: true})
	if err != nil {
		t.Fatal(err)
	}
	centred, err := d.Pool.Calibrate(t.Context(), 5, 3)
	if err != nil || !slices.Equal(centred.Indices, cal.Indices) || centred.Crops != nil {
		t.Errorf("centres: %v, parts %v, error %v", centred.Indices, centred.Crops, err)
	}
}

func TestOpenSetErrors(t *testing.T) {
	dir := imageNet(t, 4)
	flat := imageNet(t, 4)
	for _, class := range []string{"n0000", "n0001", "n0002", "n0003"} {
		if err := os.RemoveAll(filepath.Join(flat, "val", class)); err != nil {
			t.Fatal(err)
		}
	}
	other := imageNet(t, 4)
	if err := os.Rename(filepath.Join(other, "val", "n0002"), filepath.Join(other, "val", "n9")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		set, want string
		o         OpenOptions
	}{
		{"imagenet", "give its folder; register", OpenOptions{}},
		{"imagenet", "imagenet is in no folder", OpenOptions{Dir: dir + "/none"}},
		{"imagenet", "give the file that labels its images", OpenOptions{Dir: flat}},
		{"imagenet", "which are not the same", OpenOptions{Dir: other}},
		{"imagenet", "has 4 classes, ImageNet 1000", OpenOptions{Dir: dir}},
		{"cifar10", "give its folder", OpenOptions{}},
		{"cifar10", "has no files and 2 folders (train, val), but nothing of CIFAR-10", OpenOptions{Dir: dir}},
		{"cifar10", "which has its own; leave it out", OpenOptions{Dir: dir, Labels: "x"}},
		{"fashion-mnist", "train-images", OpenOptions{Dir: dir}},
	} {
		c.o.Images = ImageConfig{Height: 8, Width: 8, Resize: 9}
		if _, err := Open(c.set, c.o); lacks(err, c.want) {
			t.Errorf("%s of %+v: error %v, want %q", c.set, c.o, err, c.want)
		}
	}
	if _, err := FindSet("imagent"); lacks(err, "choose one of cifar10, fashion-mnist, imagenet") {
		t.Errorf("%v", err)
	}
}

func TestEvenly(t *testing.T) {
	im, err := FashionMNISTTest()
	if err != nil {
		t.Fatal(err)
	}
	part, err := im.Evenly(4)
	if err != nil || part.Len() != 4 {
		t.Fatalf("%d images, error %v", part.Len(), err)
	}
	for batch, err := range part.Batches(t.Context(), 3) {
		if err != nil || batch.Len() > 3 || !slices.Equal(batch.Pixels[:784], im.Pixels[:784]) && batch.Len() == 3 {
			t.Errorf("a batch of %d, error %v", batch.Len(), err)
		}
	}
	for _, n := range []int{0, im.Len(), im.Len() + 1} {
		if all, err := im.Evenly(n); err != nil || all.Len() != im.Len() {
			t.Errorf("Evenly(%d): %d images, error %v", n, all.Len(), err)
		}
	}
}
