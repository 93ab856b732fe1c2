// Package sealed gives files a checksum of themselves. A sealed file holds, under the key "sha256", the SHA-256 of the
// whole file with zeros in the place of the sum's digits. So a changed byte is found, and a file that was cut short.
// What is in the files, and their formats, don't belong here.
package sealed

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
)

// Key is the name under which a file holds its checksum.
const Key = "sha256"

// Placeholder returns the zeros that stand in the place of the checksum until Seal writes it.
func Placeholder() string { return strings.Repeat("0", 2*sha256.Size) }

// Seal writes the checksum of data over its placeholder.
func Seal(data []byte) {
	sum := sha256.Sum256(data)
	copy(data[find(data, Placeholder()):], hex.EncodeToString(sum[:]))
}

// Check returns an error if data isn't what was sealed with the checksum sum, which data holds.
func Check(data []byte, sum string) error {
	at := find(data, sum)
	if len(sum) != 2*sha256.Size || at < 0 {
		return errors.New("has no checksum")
	}
	h := sha256.New()
	h.Write(data[:at])
	h.Write([]byte(Placeholder()))
	h.Write(data[at+len(sum):])
	if hex.EncodeToString(h.Sum(nil)) != sum {
		return errors.New("is damaged: its checksum is another")
	}
	return nil
}

// find returns where the digits of sum begin, at the last place that could hold them; -1: nowhere.
func find(data []byte, sum string) int {
	for _, key := range []string{`"` + Key + `":"`, `"` + Key + `": "`} {
		if at := bytes.LastIndex(data, []byte(key+sum)); at >= 0 {
			return at + len(key)
		}
	}
	return -1
}
