package datasets

import (
	"path/filepath"
	"slices"
	"strings"
)

// byPart sorts files into those to calibrate on and those to test on: a word of the name of the latter begins with
// "test", "t10k" or "val", as in test_batch.bin and t10k-images-idx3-ubyte.
func byPart(files []string) (train, test []string) {
	for _, f := range files {
		words := strings.FieldsFunc(filepath.Base(f), func(r rune) bool { return strings.ContainsRune("-_. ", r) })
		if slices.ContainsFunc(words, func(w string) bool { return anyPrefix(w, "test", "t10k", "val") }) {
			test = append(test, f)
		} else {
			train = append(train, f)
		}
	}
	return train, test
}

// prefer returns the files whose names begin with the first of prefixes that any name begins with. The prefix "" stands
// for all.
func prefer(files []string, prefixes ...string) []string {
	for _, p := range prefixes {
		var found []string
		for _, f := range files {
			if strings.HasPrefix(filepath.Base(f), p) {
				found = append(found, f)
			}
		}
		if found != nil {
			return found
		}
	}
	return nil
}
