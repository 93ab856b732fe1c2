package datasets

import "strings"

// lacks says whether err is nil or its text lacks one of texts.
func lacks(err error, texts ...string) bool {
	if err == nil {
		return true
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			return true
		}
	}
	return false
}
