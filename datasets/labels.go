package datasets

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// OpenLabelled lists the images in one folder by a file of labels. Its lines are a file's name and a class, separated
// by white space, "ILSVRC2012_val_00000001.JPEG n01751748", or by a comma; the first may be a header. classes are all
// classes in the order of the network's outputs, as OpenImageFolder lists those of train/; nil: those in the file,
// sorted, or where all are whole numbers from 0 on, the numbers of the network's outputs. Errors give the line.
//
// A file of bare numbers is ILSVRC's ground truth, ILSVRC2012_validation_ground_truth.txt: line k has the class of
// ILSVRC2012_val_0000000k.JPEG by ILSVRC's own number. Beside it must be a file that says which synset a number is:
// meta.mat or map_clsloc.txt of the development kit, or synsets.txt with lines "1 n02119789".
func OpenLabelled(dir, labels string, classes []string) (ImageFolder, error) {
	l, err := readLabels(labels)
	if err != nil {
		return ImageFolder{Name: filepath.Base(dir)}, err
	}
	if classes == nil {
		classes = classesOf(l)
	}
	f, err := l.images(dir, classes)
	if err != nil {
		return f, err
	}
	f.Others, err = unlabelled(dir, l.lines)
	return f, err
}

// OpenLists lists the images in one folder by two files of labels, as OpenLabelled takes them: those to calibrate on
// and those to test on. The classes are those of both files. It is an error if an image is in both.
func OpenLists(dir, calibration, test string) (train, val ImageFolder, err error) {
	first, err := readLabels(calibration)
	if err != nil {
		return train, val, err
	}
	second, err := readLabels(test)
	if err != nil {
		return train, val, err
	}
	classes := classesOf(first, second)
	if train, err = first.images(dir, classes); err != nil {
		return train, val, err
	}
	if val, err = second.images(dir, classes); err != nil {
		return train, val, err
	}
	line := map[string]int{}
	for i, path := range train.Files {
		line[path] = first.lines[i].line
	}
	for i, path := range val.Files {
		if at := line[path]; at > 0 {
			return train, val, fmt.Errorf("datasets: %s:%d: %s is in %s:%d too, and would be both calibrated on and tested on; "+
				"remove one line", test, second.lines[i].line, filepath.Base(path), calibration, at)
		}
	}
	train.Others, err = unlabelled(dir, slices.Concat(first.lines, second.lines))
	return train, val, err
}

// labels is a file of labels.
type labels struct {
	path    string
	lines   []labelled
	classes []string // all classes, sorted, of ILSVRC's ground truth; nil: the lines say which there are
}

// images lists the images in dir that the lines name.
func (l labels) images(dir string, classes []string) (ImageFolder, error) {
	f := ImageFolder{Name: filepath.Base(dir), Classes: classes}
	number := map[string]int{}
	for i, class := range classes {
		number[class] = i
	}
	at := map[string]int{}
	for _, line := range l.lines {
		label, known := number[line.class]
		if !known {
			return f, fmt.Errorf("datasets: %s:%d: class %q is none of the %d of the training images; "+
				"give the labels of the same data set", l.path, line.line, line.class, len(classes))
		}
		path := filepath.Join(dir, filepath.Base(line.file))
		if _, err := os.Stat(path); err != nil {
			remedy := "remove the line"
			if l.classes != nil { // later lines would be for other images
				remedy = "give a list of names and classes of the images that are there (lines " + labelsLine + ")"
			}
			return f, fmt.Errorf("datasets: %s:%d: %w; complete the data, or %s", l.path, line.line, err, remedy)
		}
		if first := at[path]; first > 0 {
			return f, fmt.Errorf("datasets: %s:%d: %s is in line %d already; remove one", l.path, line.line,
				filepath.Base(path), first)
		}
		at[path] = line.line
		f.Files, f.Labels = append(f.Files, path), append(f.Labels, int32(label))
	}
	return f, nil
}

// unlabelled returns the paths of images in dir that no line names.
func unlabelled(dir string, names []labelled) (others []string, err error) {
	used := map[string]bool{}
	for _, l := range names {
		used[filepath.Base(l.file)] = true
	}
	all, err := list(dir)
	if err != nil {
		return nil, fmt.Errorf("datasets: %w", err)
	}
	for _, name := range all.files {
		if isPicture(name) && !used[name] {
			others = append(others, filepath.Join(dir, name))
		}
	}
	return others, nil
}

// maxClassNumber is the largest number that stands for a class itself.
const maxClassNumber = 1 << 16

// classesOf returns the classes that files of labels name: all of ILSVRC's, those of their lines, sorted, or all
// numbers up to the largest.
func classesOf(files ...labels) []string {
	var classes []string
	largest, numbers := 0, true
	for _, file := range files {
		if file.classes != nil {
			return file.classes
		}
		for _, l := range file.lines {
			classes = append(classes, l.class)
			n, err := strconv.Atoi(l.class)
			numbers = numbers && err == nil && n >= 0 && n < maxClassNumber && l.class == strconv.Itoa(n)
			largest = max(largest, n)
		}
	}
	if !numbers {
		slices.Sort(classes)
		return slices.Compact(classes)
	}
	return numbered(largest + 1)
}

// numbered returns the names of n classes that are known by their numbers: "0", "1" and so on.
func numbered(n int) []string {
	classes := make([]string, n)
	for i := range classes {
		classes[i] = strconv.Itoa(i)
	}
	return classes
}

// labelsLine is a line of a file of labels, for messages.
const labelsLine = "as ILSVRC2012_val_00000001.JPEG n01751748"

// labelled is a line of a file of labels.
type labelled struct {
	file, class string
	line        int // from 1
}

// readLabels reads lines of a file's name and a class. Where the first line has a comma, commas separate them; where it
// is a number alone, the file is ILSVRC's ground truth.
func readLabels(path string) (labels, error) {
	l := labels{path: path}
	file, err := openFile(path)
	if err != nil {
		return l, fmt.Errorf("datasets: %w", err)
	}
	defer file.Close() // only read from
	text := bufio.NewReader(file)
	if mark, _ := text.Peek(3); string(mark) == "\xef\xbb\xbf" { // byte-order mark; an error comes back when read
		_, _ = text.Discard(3)
	}
	start, _ := text.Peek(text.Size())
	first, _, _ := strings.Cut(strings.TrimSpace(string(start)), "\n")
	switch {
	case bareNumber(first):
		l.lines, l.classes, err = groundTruth(path, text)
	case strings.Contains(first, ","):
		l.lines, err = readCSV(text)
	default:
		l.lines, err = readWords(text)
	}
	if err != nil {
		return l, fmt.Errorf("datasets: %s:%w", path, err)
	}
	if n := l.lines; len(n) > 1 && filepath.Ext(n[0].file) == "" && filepath.Ext(n[1].file) != "" {
		l.lines = n[1:] // a header
	}
	if len(l.lines) == 0 {
		return l, fmt.Errorf("datasets: %s has no lines; give one for each image", path)
	}
	return l, nil
}

// readWords reads lines of two words. Errors begin with the line.
func readWords(r io.Reader) (names []labelled, err error) {
	s := bufio.NewScanner(r)
	line := 1
	for ; s.Scan(); line++ {
		switch fields := strings.Fields(s.Text()); len(fields) {
		case 0:
		case 2:
			names = append(names, labelled{fields[0], fields[1], line})
		default:
			return nil, notLabelled(line, s.Text())
		}
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("%d: %w", line, err)
	}
	return names, nil
}

// readCSV reads lines of two fields, which a comma separates. Errors begin with the line.
func readCSV(r io.Reader) (names []labelled, err error) {
	lines := csv.NewReader(r)
	lines.FieldsPerRecord, lines.TrimLeadingSpace = -1, true
	for {
		fields, err := lines.Read()
		if errors.Is(err, io.EOF) {
			return names, nil
		}
		if err != nil {
			return nil, fmt.Errorf(" %w", err) // gives the line
		}
		if strings.TrimSpace(strings.Join(fields, "")) == "" {
			continue
		}
		line, _ := lines.FieldPos(0)
		if len(fields) != 2 || strings.TrimSpace(fields[0]) == "" || strings.TrimSpace(fields[1]) == "" {
			return nil, notLabelled(line, strings.Join(fields, ","))
		}
		names = append(names, labelled{strings.TrimSpace(fields[0]), strings.TrimSpace(fields[1]), line})
	}
}

// notLabelled is the error for a line that isn't a file's name and a class.
func notLabelled(line int, text string) error {
	return fmt.Errorf("%d: %.50q is not a file's name and a class (%s); "+
		"bare numbers are read where all lines are, as ILSVRC's ground truth", line, text, labelsLine)
}
