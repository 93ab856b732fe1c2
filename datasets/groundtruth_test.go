package datasets

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// ilsvrc writes n validation images as ILSVRC names them, and returns their folder.
func ilsvrc(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	pictures(t, n, dir, "val")
	for i := range n {
		at := filepath.Join(dir, "val")
		err := os.Rename(filepath.Join(at, string(rune('a'+i))+".png"),
			filepath.Join(at, fmt.Sprintf("ILSVRC2012_val_%08d.JPEG", i+1)))
		if err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "val")
}

// kit writes a ground truth with the files beside it, and returns its path.
func kit(t *testing.T, truth string, beside map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	put(t, []byte(truth), dir, "ILSVRC2012_validation_ground_truth.txt")
	for name, text := range beside {
		put(t, []byte(text), dir, name)
	}
	return filepath.Join(dir, "ILSVRC2012_validation_ground_truth.txt")
}

// TestGroundTruth: ILSVRC's numbers become the ranks of the synsets' names, by each of the files that say which is
// which. Number 1 is n02119789 and 2 is n02100735 in the development kit; both come after n01440764.
func TestGroundTruth(t *testing.T) {
	meta, err := os.ReadFile("testdata/meta.mat") // of three classes and a synset above them
	if err != nil {
		t.Fatal(err)
	}
	sorted := []string{"n01440764", "n02100735", "n02119789"}
	dir := ilsvrc(t, 4)
	for name, text := range map[string]string{
		"meta.mat":       string(meta),
		"map_clsloc.txt": "n02119789 1 kit_fox\nn02100735 2 English_setter\nn01440764 3 tench\n",
		"synsets.txt":    "3 n01440764\r\n1 n02119789\n\n2\tn02100735\n",
	} {
		truth := kit(t, "1\n3\n2\n1\n", map[string]string{name: text})
		f, err := OpenLabelled(dir, truth, nil)
		if err != nil || !slices.Equal(f.Classes, sorted) || !slices.Equal(f.Labels, []int32{2, 0, 1, 2}) ||
			filepath.Base(f.Files[3]) != "ILSVRC2012_val_00000004.JPEG" {
			t.Errorf("%s: %+v, error %v", name, f, err)
		}
		f, err = OpenLabelled(dir, truth, append(sorted, "n09"))
		if err != nil || !slices.Equal(f.Labels, []int32{2, 0, 1, 2}) || len(f.Classes) != 4 {
			t.Errorf("%s, with classes: %+v, error %v", name, f, err)
		}
	}
	o := OpenOptions{Images: ImageConfig{Height: 8, Width: 8, Resize: 9},
		Labels: kit(t, "1\n3\n\n", map[string]string{"meta.mat": string(meta)})}
	d, err := Open(dir, o)
	want := "val (images with a file of labels): 1 calibration and 1 test images of 3x8x8 in 3 classes" + divided +
		"; left out: 2 other files (ILSVRC2012_val_00000003.JPEG, ILSVRC2012_val_00000004.JPEG)"
	if err != nil || d.String() != want {
		t.Errorf("%v, error %v; want %s", d, err, want)
	}
}

// TestGroundTruthErrors: what is missing or wrong is named, and nothing is guessed.
func TestGroundTruthErrors(t *testing.T) {
	dir := ilsvrc(t, 2)
	const good = "1 n02119789\n2 n02100735\n"
	for _, c := range []struct {
		truth  string
		beside map[string]string
		want   []string
	}{
		{"1\n2\n", nil, []string{"ground_truth.txt:1: bare numbers are read as ILSVRC's", "meta.mat or map_clsloc.txt beside",
			"synsets.txt with lines \"1 n02119789\""}},
		{"1\n3\n", map[string]string{"synsets.txt": good}, []string{`:2: "3" is none of ILSVRC's numbers`, "1 to 2"}},
		{"0\n1\n", map[string]string{"synsets.txt": good}, []string{`:1: "0" is none`}},
		{"1\nx.png n02119789\n", map[string]string{"synsets.txt": good}, []string{`:2: "x.png n02119789" is none`}},
		{"1\n\n2\n", map[string]string{"synsets.txt": good}, []string{":2: a blank line"}},
		{"1\n2\n1\n", map[string]string{"synsets.txt": good}, []string{":3: ", "ILSVRC2012_val_00000003.JPEG",
			"or give a list of names and classes of the images that are there"}},
		{"1\n", map[string]string{"synsets.txt": "n01440764\nn01443537\n"}, []string{"synsets.txt: line 1: \"n01440764\""}},
		{"1\n", map[string]string{"synsets.txt": "n01440764 tench\n"}, []string{"1: \"n01440764 tench\" is not a number"}},
		{"1\n", map[string]string{"synsets.txt": "1 2\n"}, []string{"is not a number and a synset"}},
		{"1\n", map[string]string{"synsets.txt": "1 a\n1 b\n"}, []string{"line 2: number 1 is a and b"}},
		{"1\n", map[string]string{"synsets.txt": "1 a\n2 a\n"}, []string{"a has numbers 1 and 2"}},
		{"1\n", map[string]string{"synsets.txt": "2 a\n3 b\n"}, []string{"none has number 1"}},
		{"1\n", map[string]string{"synsets.txt": "\n"}, []string{"it has no synsets"}},
		{"1\n", map[string]string{"meta.mat": strings.Repeat("x", 200), "synsets.txt": good}, []string{"meta.mat: matlab: "}},
	} {
		if _, err := OpenLabelled(dir, kit(t, c.truth, c.beside), nil); lacks(err, c.want...) {
			t.Errorf("%q with %q: error %v, want %q", c.truth, c.beside, err, c.want)
		}
	}
	truth := kit(t, "1\n2\n", map[string]string{"synsets.txt": good})
	others := []string{"n01440764", "n02119789"}
	if _, err := OpenLabelled(dir, truth, others); lacks(err, `:2: class "n02100735" is none`) {
		t.Errorf("classes of other training images: error %v", err)
	}
}
