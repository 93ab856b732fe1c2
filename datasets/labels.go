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
func OpenLabelled(dir, labels string, classes []string) (ImageFolder, error) {
	names, err := readLabels(labels)
	if err != nil {
		return ImageFolder{Name: filepath.Base(dir)}, err
	}
	if classes == nil {
		classes = classesOf(names)
	}
	f, err := labelledImages(dir, labels, names, classes)
	if err != nil {
		return f, err
	}
	f.Others, err = unlabelled(dir, names)
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
	all := slices.Concat(first, second)
	classes := classesOf(all)
	if train, err = labelledImages(dir, calibration, first, classes); err != nil {
		return train, val, err
	}
	if val, err = labelledImages(dir, test, second, classes); err != nil {
		return train, val, err
	}
	line := map[string]int{}
	for i, path := range train.Files {
		line[path] = first[i].line
	}
	for i, path := range val.Files {
		if at := line[path]; at > 0 {
			return train, val, fmt.Errorf("datasets: %s:%d: %s is in %s:%d too, and would be both calibrated on and tested on; "+
				"remove one line", test, second[i].line, filepath.Base(path), calibration, at)
		}
	}
	train.Others, err = unlabelled(dir, all)
	return train, val, err
}

// labelledImages lists the images in dir that the lines of the file labels name.
func labelledImages(dir, labels string, names []labelled, classes []string) (ImageFolder, error) {
	f := ImageFolder{Name: filepath.Base(dir), Classes: classes}
	number := map[string]int{}
	for i, class := range classes {
		number[class] = i
	}
	for _, l := range names {
		label, known := number[l.class]
		if !known {
			return f, fmt.Errorf("datasets: %s:%d: class %q is none of the %d of the training images; "+
				"give the labels of the same data set", labels, l.line, l.class, len(classes))
		}
		path := filepath.Join(dir, filepath.Base(l.file))
		if _, err := os.Stat(path); err != nil {
			return f, fmt.Errorf("datasets: %s:%d: %w; complete the data, or remove the line", labels, l.line, err)
		}
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

// classesOf returns the classes that lines name: sorted, or all numbers up to the largest.
func classesOf(names []labelled) []string {
	var classes []string
	largest, numbers := 0, true
	for _, l := range names {
		classes = append(classes, l.class)
		n, err := strconv.Atoi(l.class)
		numbers = numbers && err == nil && n >= 0 && n < maxClassNumber && l.class == strconv.Itoa(n)
		largest = max(largest, n)
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

// readLabels reads lines of a file's name and a class. Where the first line has a comma, commas separate them.
func readLabels(path string) ([]labelled, error) {
	file, err := openFile(path)
	if err != nil {
		return nil, fmt.Errorf("datasets: %w", err)
	}
	defer file.Close() // only read from
	text := bufio.NewReader(file)
	if mark, _ := text.Peek(3); string(mark) == "\xef\xbb\xbf" { // byte-order mark; an error comes back when read
		_, _ = text.Discard(3)
	}
	start, _ := text.Peek(text.Size())
	first, _, _ := strings.Cut(strings.TrimSpace(string(start)), "\n")
	read := readWords
	if strings.Contains(first, ",") {
		read = readCSV
	}
	names, err := read(text)
	if err != nil {
		return nil, fmt.Errorf("datasets: %s:%w", path, err)
	}
	if len(names) > 1 && filepath.Ext(names[0].file) == "" && filepath.Ext(names[1].file) != "" {
		names = names[1:] // a header
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("datasets: %s has no lines; give one for each image", path)
	}
	return names, nil
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
		"a list of bare numbers doesn't say which file each is for", line, text, labelsLine)
}
