package datasets

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// link makes a link at the path below dir.
func link(t *testing.T, to, dir string, path ...string) {
	t.Helper()
	if err := os.Symlink(to, filepath.Join(append([]string{dir}, path...)...)); err != nil {
		t.Skip(err)
	}
}

// bases returns the last elements of paths.
func bases(paths []string) []string {
	var names []string
	for _, p := range paths {
		names = append(names, filepath.Base(p))
	}
	return names
}

// TestLinks: links to folders and files count as what they lead to, as in torchvision's ImageFolder.
func TestLinks(t *testing.T) {
	dir := t.TempDir()
	pictures(t, 1, dir, "set/n01", "store/two", "store/more", "store/deep/er")
	link(t, "../store/two", dir, "set", "n02")
	link(t, "../../store/deep", dir, "set", "n01", "deep")
	link(t, "../../store/deep/er", dir, "set", "n01", "again") // the same folder as deep/er
	link(t, "../../store/more/a.png", dir, "set", "n01", "z.png")
	f, err := OpenImageFolder(filepath.Join(dir, "set"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"n01/a.png", "n01/z.png", "n01/again/a.png", "n02/a.png"}
	for i := range want {
		want[i] = filepath.Join(dir, "set", want[i])
	}
	if !slices.Equal(f.Files, want) || !slices.Equal(f.Labels, []int32{0, 0, 0, 1}) {
		t.Errorf("files %v, labels %v, want %v", f.Files, f.Labels, want)
	}
	link(t, "..", dir, "set", "n01", "loop")
	if _, err := OpenImageFolder(filepath.Join(dir, "set")); lacks(err, "loop", "is a link to a folder that it is in") {
		t.Errorf("a loop: %v", err)
	}
	pictures(t, 1, dir, "gone/n01")
	link(t, "nowhere", dir, "gone", "n02")
	if _, err := OpenImageFolder(filepath.Join(dir, "gone")); lacks(err, "n02", "to which a link leads") {
		t.Errorf("a link that leads nowhere: %v", err)
	}
}

// TestLeftOut: hidden folders are no classes, and files that aren't read are named.
func TestLeftOut(t *testing.T) {
	dir := t.TempDir()
	pictures(t, 1, dir, "train/n01", "train/n02", "val/n01", "val/n02", "train/.ipynb_checkpoints",
		"val/n01/.ipynb_checkpoints")
	put(t, nil, dir, "train", "n02", "._a.png")
	put(t, nil, dir, "train", "n02", "notes.txt")
	put(t, nil, dir, "val", "n02", "b.gif")
	file, err := os.ReadFile("testdata/formats/lossy.webp")
	if err != nil {
		t.Fatal(err)
	}
	put(t, file, dir, "val", "n01", "c.webp")
	d, err := Open(dir, OpenOptions{Images: ImageConfig{Height: 8, Width: 8, Resize: 9}})
	if err != nil {
		t.Fatal(err)
	}
	want := filepath.Base(dir) + " (image folders): 2 calibration and 3 test images of 3x8x8 in 2 classes; " +
		"left out: 2 other files (notes.txt, b.gif)"
	if d.String() != want {
		t.Errorf("%v, want %s", d, want)
	}
	checkData(t, d)
	pictures(t, 1, dir, "train/extra", "val/other")
	if _, err := Open(dir, OpenOptions{}); lacks(err, "which are not the same; train alone has 1 class (extra); "+
		"val alone has 1 class (other); complete") {
		t.Errorf("a folder that is no class: %v", err)
	}
	put(t, []byte("a.png n01\n"), dir, "labels")
	pictures(t, 2, dir, "flat")
	f, err := OpenLabelled(filepath.Join(dir, "flat"), filepath.Join(dir, "labels"), nil)
	if err != nil || !slices.Equal(bases(f.Others), []string{"b.png"}) {
		t.Errorf("without a label: %v, error %v", f.Others, err)
	}
	put(t, nil, dir, "empty", "a", "b.txt")
	pictures(t, 1, dir, "empty/c")
	if _, err := OpenImageFolder(filepath.Join(dir, "empty")); lacks(err, "has no images (.jpg,", "complete the data") {
		t.Errorf("a class without images: %v", err)
	}
}
