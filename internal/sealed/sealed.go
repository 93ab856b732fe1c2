// Package sealed puts a checksum into files of any format. A sealed file has, under the key "sha256", the SHA-256 of
// the whole file with zeros in place of the sum's digits. So Check finds a changed byte, and a file that was cut off.
package sealed

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
)

// Key is the key of the checksum in a file.
const Key = "sha256"

// Placeholder returns the zeros that stand for the checksum until Seal writes it.
func Placeholder() string { return strings.Repeat("0", 2*sha256.Size) }

// Seal writes the checksum of data over its placeholder.
func Seal(data []byte) {
	sum := sha256.Sum256(data)
	copy(data[find(data, Placeholder()):], hex.EncodeToString(sum[:]))
}

// Check returns an error if data isn't a file that was sealed with the checksum sum, which is in data.
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
		return errors.New("is damaged: its checksum differs")
	}
	return nil
}

// find returns the last place of sum after its key in data, or -1 if there is none.
func find(data []byte, sum string) int {
	for _, key := range []string{`"` + Key + `":"`, `"` + Key + `": "`} {
		if at := bytes.LastIndex(data, []byte(key+sum)); at >= 0 {
			return at + len(key)
		}
	}
	return -1
}
