package pdq

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/nlpodyssey/safetensors"
)

// A sealed file has, in its metadata, the SHA-256 of the whole file in which that sum's own digits are zeros. A
// byte that changed anywhere is found, and a file cut short.

// sealKey is the sum's name among the metadata, and unsealed what stands there while the sum is taken.
const sealKey = "sha256"

func unsealed() string { return strings.Repeat("0", 2*sha256.Size) }

// writeSealed writes blobs and metadata to w as a sealed safetensors file.
func writeSealed(w io.Writer, blobs map[string]blob, metadata map[string]string) error {
	metadata[sealKey] = unsealed()
	var file bytes.Buffer
	if err := safetensors.SerializeToWriter(blobs, metadata, &file); err != nil {
		return err
	}
	seal(file.Bytes())
	_, err := file.WriteTo(w)
	return err
}

// seal puts the sum in the place of the zeros that stand for it.
func seal(data []byte) {
	sum := sha256.Sum256(data)
	copy(data[sealAt(data, unsealed()):], hex.EncodeToString(sum[:]))
}

// readSealed returns the tensors and metadata of a sealed safetensors file of that format.
func readSealed(data []byte, format string) (map[string]blob, map[string]string, error) {
	file, err := safetensors.Deserialize(data)
	if err != nil {
		return nil, nil, fmt.Errorf("isn't whole: %w", err)
	}
	_, meta, err := safetensors.ReadMetadata(data)
	if err != nil {
		return nil, nil, fmt.Errorf("isn't whole: %w", err)
	}
	if got := meta.Metadata()["format"]; got != format {
		return nil, nil, fmt.Errorf("is of format %q; this version reads %q", got, format)
	}
	if err := checkSeal(data, meta.Metadata()[sealKey]); err != nil {
		return nil, nil, err
	}
	blobs := map[string]blob{}
	for _, t := range file.Tensors() {
		blobs[t.Name] = blob{t.TensorView.DType(), 0, t.TensorView.Data()}
	}
	return blobs, meta.Metadata(), nil
}

// checkSeal reports a file whose bytes aren't those whose sum it holds.
func checkSeal(data []byte, sum string) error {
	at := sealAt(data, sum)
	if len(sum) != 2*sha256.Size || at < 0 {
		return errors.New("has no checksum")
	}
	h := sha256.New()
	h.Write(data[:at])
	h.Write([]byte(unsealed()))
	h.Write(data[at+len(sum):])
	if hex.EncodeToString(h.Sum(nil)) != sum {
		return errors.New("is damaged: its checksum is another")
	}
	return nil
}

// sealAt is where the sum's digits are, at the last place that could have them; -1: nowhere.
func sealAt(data []byte, seal string) int {
	for _, key := range []string{`"` + sealKey + `":"`, `"` + sealKey + `": "`} {
		if at := bytes.LastIndex(data, []byte(key+seal)); at >= 0 {
			return at + len(key)
		}
	}
	return -1
}
