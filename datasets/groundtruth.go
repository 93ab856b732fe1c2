package datasets

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/pdquant/pdquant/internal/matlab"
)

// ILSVRC's ground truth is a file of bare numbers: line k has the number of the class of validation image k. The
// numbers are ILSVRC's own, from 1 on. They don't follow the names of the synsets, as the folders of train/ and the
// outputs of networks do: 1 is n02119789, the kit fox, which is 278 there. Only the development kit says which synset a
// number is.

// synsetFiles are the files that say so, beside the ground truth: those of the development kits of 2012 and 2015, and a
// plain one.
func synsetFiles() []string { return []string{"meta.mat", "map_clsloc.txt", "synsets.txt"} }

// groundTruth reads the rest of a file of bare numbers. classes are all synsets, sorted. Errors begin with the line.
func groundTruth(path string, r io.Reader) (names []labelled, classes []string, err error) {
	synsets, from, err := besideGroundTruth(path)
	if err != nil {
		return nil, nil, err
	}
	s := bufio.NewScanner(r)
	line := 1
	for ; s.Scan(); line++ {
		text := strings.TrimSpace(s.Text())
		if text == "" {
			if moreText(s) {
				return nil, nil, fmt.Errorf("%d: a blank line, so that it is open which image later lines are for; remove it",
					line)
			}
			break
		}
		id, err := strconv.Atoi(text)
		if err != nil || id < 1 || id > len(synsets) {
			return nil, nil, fmt.Errorf("%d: %.50q is none of ILSVRC's numbers of classes, 1 to %d as %s has them; "+
				"give the file as the development kit has it", line, text, len(synsets), from)
		}
		names = append(names, labelled{fmt.Sprintf("ILSVRC2012_val_%08d.JPEG", line), synsets[id-1], line})
	}
	if err := s.Err(); err != nil {
		return nil, nil, fmt.Errorf("%d: %w", line, err)
	}
	return names, slices.Sorted(slices.Values(synsets)), nil
}

// moreText says whether another line has text.
func moreText(s *bufio.Scanner) bool {
	for s.Scan() {
		if strings.TrimSpace(s.Text()) != "" {
			return true
		}
	}
	return false
}

// bareNumber says whether a line is a number alone.
func bareNumber(line string) bool {
	_, err := strconv.Atoi(strings.TrimSpace(line))
	return err == nil
}

// besideGroundTruth returns the synset of each of ILSVRC's numbers, that of number 1 first, and the file beside the
// ground truth that has them.
func besideGroundTruth(path string) (synsets []string, from string, err error) {
	for _, name := range synsetFiles() {
		from = filepath.Join(filepath.Dir(path), name)
		file, err := openFile(from)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, "", fmt.Errorf(" %w", err)
		}
		defer file.Close() // only read from
		read := synsetLines
		if filepath.Ext(name) == ".mat" {
			read = synsetStructs
		}
		synsets, err = read(file)
		if err != nil {
			return nil, "", fmt.Errorf(" %s: %w", from, err)
		}
		return synsets, from, nil
	}
	return nil, "", fmt.Errorf("1: bare numbers are read as ILSVRC's ground truth, whose numbers of classes aren't in "+
		"the order of the synsets' names; put the development kit's meta.mat or map_clsloc.txt beside it, or %s with "+
		"lines \"1 n02119789\" for all classes (other lists have lines %s)",
		filepath.Join(filepath.Dir(path), "synsets.txt"), labelsLine)
}

// synsetLines reads lines of a number and a synset, in either order; what follows them is left out.
func synsetLines(r io.Reader) ([]string, error) {
	byID := map[int]string{}
	s := bufio.NewScanner(r)
	line := 1
	for ; s.Scan(); line++ {
		fields := strings.Fields(s.Text())
		if len(fields) == 0 {
			continue
		}
		if len(fields) < 2 {
			return nil, fmt.Errorf("line %d: %.50q is not a number and a synset (as 1 n02119789)", line, s.Text())
		}
		number, synset := fields[0], fields[1]
		if bareNumber(synset) {
			number, synset = synset, number
		}
		id, err := strconv.Atoi(number)
		if err != nil || bareNumber(synset) {
			return nil, fmt.Errorf("line %d: %.50q is not a number and a synset (as 1 n02119789)", line, s.Text())
		}
		if err := addSynset(byID, id, synset); err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w", line, err)
	}
	return inOrder(byID)
}

// synsetStructs reads meta.mat, which has the synsets above the classes, too: those have children.
//
// Reference: torchvision's parse_meta_mat.
func synsetStructs(r io.Reader) ([]string, error) {
	all, err := matlab.Structs(r, "synsets")
	if err != nil {
		return nil, err
	}
	byID := map[int]string{}
	for i, s := range all {
		id, ok := s["ILSVRC2012_ID"].(float64)
		synset, named := s["WNID"].(string)
		children, counted := s["num_children"].(float64)
		if !ok || !named || !counted {
			return nil, fmt.Errorf("synset %d has no ILSVRC2012_ID, WNID or num_children; give the file of ILSVRC 2012", i+1)
		}
		if children != 0 {
			continue
		}
		if err := addSynset(byID, int(id), synset); err != nil {
			return nil, err
		}
	}
	return inOrder(byID)
}

// addSynset notes the synset of a number.
func addSynset(byID map[int]string, id int, synset string) error {
	if other, has := byID[id]; has {
		return fmt.Errorf("number %d is %s and %s", id, other, synset)
	}
	byID[id] = synset
	return nil
}

// inOrder returns the synsets of the numbers 1 to n. It is an error if a number is missing, or a synset has two.
func inOrder(byID map[int]string) ([]string, error) {
	synsets := make([]string, len(byID))
	number := map[string]int{}
	for i := range synsets {
		synset, has := byID[i+1]
		if !has {
			return nil, fmt.Errorf("%d synsets, but none has number %d; give those of all classes, with numbers from 1 on",
				len(byID), i+1)
		}
		if n, has := number[synset]; has {
			return nil, fmt.Errorf("%s has numbers %d and %d", synset, n, i+1)
		}
		synsets[i], number[synset] = synset, i+1
	}
	if len(synsets) == 0 {
		return nil, errors.New("it has no synsets")
	}
	return synsets, nil
}
