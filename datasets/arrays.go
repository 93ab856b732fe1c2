package datasets

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pdquant/pdquant/internal/npz"
)

// array is an array in a file, by what its name says.
type array struct {
	npz.Stored
	at    string   // file, and name in an archive, for messages
	file  []string // words of the file's name, in lower case
	words []string // of the array's own name: in an archive its name there, else the file's
}

// String says what a is.
func (a array) String() string { return fmt.Sprintf("%s (%s %v)", a.at, a.Type, a.Shape) }

// named says whether one of words is in the array's own name.
func (a array) named(words ...string) bool {
	return slices.ContainsFunc(a.words, func(w string) bool { return slices.Contains(words, w) })
}

// integers says whether a is integers with this number of axes.
func (a array) integers(axes int) bool {
	return (a.Kind == 'i' || a.Kind == 'u') && len(a.Shape) == axes
}

// images says whether a can be images: floats with four axes.
func (a array) images() bool { return a.Kind == 'f' && len(a.Shape) == 4 }

// arrays opens files of NumPy's arrays: floats [N,C,H,W] as networks take them, and integer labels [N].
func (c contents) arrays(o OpenOptions) (Data, bool, error) {
	if len(c.files[arrayFile]) == 0 {
		return Data{}, false, nil
	}
	var all []array
	for _, path := range c.files[arrayFile] {
		f, err := openFile(path)
		if err != nil {
			return Data{}, false, fmt.Errorf("datasets: %w", err)
		}
		defer f.Close() // only read from
		found, err := arraysOf(f, path)
		if err != nil {
			return Data{}, false, fmt.Errorf("datasets: %s: %w", path, err)
		}
		all = append(all, found...)
	}
	switch pictures := len(c.files[pictureFile]) > 0; {
	case pictures && (o.Labels != "" || !slices.ContainsFunc(all, array.images)):
		return Data{}, false, nil // they are about these
	case o.Labels != "":
		return Data{}, false, ownLabels(c.path)
	case !slices.ContainsFunc(all, array.images):
		return Data{}, false, fmt.Errorf("datasets: %s: %s; give images as floats [N,C,H,W], as the network takes them",
			c.path, listedArrays(all))
	}
	train, test := parts(all)
	d, err := c.joinArrays(all, train, test, o)
	return d, true, err
}

// arraysOf lists the arrays of a file.
func arraysOf(f *os.File, path string) ([]array, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	stored, err := npz.Find(f, info.Size())
	if err != nil {
		return nil, err
	}
	base := filepath.Base(path)
	words := func(name string) []string {
		return strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return strings.ContainsRune("-_. /", r) })
	}
	all := make([]array, len(stored))
	for i, s := range stored {
		a := array{Stored: s, at: base, file: words(strings.TrimSuffix(base, filepath.Ext(base)))}
		if a.words = a.file; s.Name != "" {
			a.at, a.words = base+": "+s.Name, words(s.Name)
		}
		all[i] = a
	}
	return all, nil
}

// imageNames returns usual names of arrays of images.
func imageNames() []string { return []string{"images", "image", "x", "data"} }

// parts divides arrays by their names. Those to test on are of "test", or of "val" where there are none; those to
// calibrate on are of "calib", or all others where there are none.
func parts(all []array) (train, test []array) {
	by := map[string][]array{}
	for _, a := range all {
		name := "train"
		for _, w := range slices.Concat(a.file, a.words) {
			switch {
			case strings.HasPrefix(w, "calib"):
				name = "calib"
			case anyPrefix(w, "test", "t10k"):
				name = "test"
			case slices.Contains([]string{"val", "valid", "validation"}, w):
				name = "val"
			}
		}
		by[name] = append(by[name], a)
	}
	first := func(names ...string) []array {
		for _, name := range names {
			if slices.ContainsFunc(by[name], func(a array) bool { return a.images() || a.named(imageNames()...) }) {
				return by[name]
			}
		}
		return nil
	}
	return first("calib", "train"), first("test", "val")
}

// joinArrays reads the images and labels of both parts.
func (c contents) joinArrays(all, inTrain, inTest []array, o OpenOptions) (Data, error) {
	fail := func(err error) (Data, error) { return Data{}, fmt.Errorf("datasets: %s: %w", c.path, err) }
	train, err := readArrays(inTrain, c.name+"/train")
	if err != nil {
		return fail(err)
	}
	test, err := readArrays(inTest, c.name+"/test")
	if err != nil {
		return fail(err)
	}
	tested := test
	if len(inTest) == 0 {
		tested = train
	}
	if !tested.Labelled() {
		return fail(errors.New("the images to test on have no labels; add an array labels of integers [N]"))
	}
	classes, err := arrayClasses(all, train.Labels, test.Labels)
	if err != nil {
		return fail(err)
	}
	train.Classes, test.Classes = classes, classes
	d, err := inMemory(c.name, formatArrays, train, test, o)
	d.Unlabelled = !train.Labelled()
	return d, err
}

// listedArrays says which arrays there are.
func listedArrays(all []array) string {
	names := make([]string, len(all))
	for i, a := range all {
		names[i] = a.String()
	}
	return listed("array", "arrays", names)
}

// readArrays reads the images and labels of a part, of which there may be nothing. Classes are left out.
func readArrays(all []array, name string) (im Images, err error) {
	if len(all) == 0 {
		return im, nil
	}
	images, _, err := pick(all, array.images, "floats [N,C,H,W]", imageNames()...)
	if err != nil {
		return im, err
	}
	im = Images{Name: name, Channels: images.Shape[1], Height: images.Shape[2], Width: images.Shape[3]}
	if slices.Min(images.Shape) < 1 {
		return im, fmt.Errorf("%v has no images; give one or more", images)
	}
	if s := images.Shape; s[1] > 4 && s[2] > 4 && s[3] <= 4 {
		return im, fmt.Errorf("%v has channels last; save x.transpose(0, 3, 1, 2) of it", images)
	}
	oneAxis := func(a array) bool { return a.integers(1) }
	labels, found, err := pick(all, oneAxis, "integers [N]", "labels", "label", "y", "targets", "target")
	if err != nil {
		return im, err
	}
	if im.Labels = slices.Repeat([]int32{Unlabelled}, images.Shape[0]); found {
		if im.Labels, err = arrayLabels(labels, images.Shape[0]); err != nil {
			return im, err
		}
	}
	if im.Values, err = images.Floats(); err != nil {
		return im, fmt.Errorf("%v: %w", images, err)
	}
	for i, v := range im.Values {
		if v-v != 0 {
			return im, fmt.Errorf("%v: image %d has the value %g; leave it out", images, i/(len(im.Values)/len(im.Labels)), v)
		}
	}
	return im, nil
}

// pick returns the array with one of the usual names, or without such the only one that fits. It is an error if the
// named one doesn't fit; what says what fits. Without any, found is false.
func pick(all []array, fits func(array) bool, what string, usual ...string) (a array, found bool, err error) {
	only := func(in []array, keep func(array) bool) []array {
		return slices.DeleteFunc(slices.Clone(in), func(a array) bool { return !keep(a) })
	}
	fitting, named := only(all, fits), only(all, func(a array) bool { return a.named(usual...) })
	if len(named) > 0 {
		if fitting = only(named, fits); len(fitting) == 0 {
			return a, false, fmt.Errorf("%v isn't %s; save it as such", named[0], what)
		}
	}
	switch len(fitting) {
	case 0:
		return a, false, nil
	case 1:
		return fitting[0], true, nil
	}
	return a, false, fmt.Errorf("%s can be %s; leave one, called %s", listedArrays(fitting), what, usual[0])
}

// maxClasses is the largest number of classes that labels may stand for.
const maxClasses = 1 << 20

// arrayLabels reads the labels of n images.
func arrayLabels(a array, n int) ([]int32, error) {
	if a.Shape[0] != n {
		return nil, fmt.Errorf("%v has labels for %d images, of which there are %d; save both of one part",
			a, a.Shape[0], n)
	}
	numbers, err := a.Ints()
	if err != nil {
		return nil, fmt.Errorf("%v: %w", a, err)
	}
	labels := make([]int32, n)
	for i, l := range numbers {
		if l < 0 || l >= maxClasses {
			return nil, fmt.Errorf("%v: label %d of image %d is not 0 to %d; correct it", a, l, i, maxClasses-1)
		}
		labels[i] = int32(l)
	}
	return labels, nil
}

// arrayClasses returns names for the classes, "0", "1" and so on: as many as the array classes, an integer, says, or
// without it up to the largest label.
func arrayClasses(all []array, labels ...[]int32) ([]string, error) {
	n := int64(1 + slices.Max(append(slices.Concat(labels...), Unlabelled)))
	if at := slices.IndexFunc(all, func(a array) bool { return a.integers(0) && a.named("classes") }); at >= 0 {
		number, err := all[at].Ints()
		if err != nil {
			return nil, fmt.Errorf("%v: %w", all[at], err)
		}
		if number[0] < n || number[0] > maxClasses {
			return nil, fmt.Errorf("%v: %d classes, but labels up to %d; correct it", all[at], number[0], n-1)
		}
		n = number[0]
	}
	return numbered(int(n)), nil
}
