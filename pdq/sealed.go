package pdq

import (
	"bytes"
	"fmt"
	"io"

	"github.com/nlpodyssey/safetensors"

	"github.com/pdquant/pdquant/internal/sealed"
)

// writeSealed writes blobs and metadata to w as a safetensors file with a checksum among its metadata.
func writeSealed(w io.Writer, blobs map[string]blob, metadata map[string]string) error {
	metadata[sealed.Key] = sealed.Placeholder()
	var file bytes.Buffer
	if err := safetensors.SerializeToWriter(blobs, metadata, &file); err != nil {
		return err
	}
	sealed.Seal(file.Bytes())
	_, err := file.WriteTo(w)
	return err
}

// readSealed returns the tensors and metadata of a file of the given format that writeSealed wrote.
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
	if err := sealed.Check(data, meta.Metadata()[sealed.Key]); err != nil {
		return nil, nil, err
	}
	blobs := map[string]blob{}
	for _, t := range file.Tensors() {
		blobs[t.Name] = blob{t.TensorView.DType(), 0, t.TensorView.Data()}
	}
	return blobs, meta.Metadata(), nil
}
