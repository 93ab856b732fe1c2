package experiment

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/pdquant/pdquant/datasets"
)

// SkippedText says how many of n images were left out, and the first of them; "": none was.
func SkippedText(skipped []string, what string, n int) string {
	if len(skipped) == 0 {
		return ""
	}
	const most = 4
	names := slices.Clone(skipped[:min(most, len(skipped))])
	if len(skipped) > most {
		names = append(names, "...")
	}
	return fmt.Sprintf("left out %d of %d %s, which can't be decoded: %s", len(skipped), n, what,
		strings.Join(names, ", "))
}

// Noting is a Stream that notes what is left out of it.
type Noting struct {
	datasets.Stream
	Skipped []string // paths of images that can't be decoded, of the last time that the Stream was gone through
}

// Batches is that of the Stream.
func (s *Noting) Batches(ctx context.Context, size int) iter.Seq2[datasets.Images, error] {
	return func(yield func(datasets.Images, error) bool) {
		s.Skipped = nil
		for batch, err := range s.Stream.Batches(ctx, size) {
			s.Skipped = append(s.Skipped, batch.Skipped...)
			if !yield(batch, err) {
				return
			}
		}
	}
}

// skipped tells of test images that were left out, and adds them to the folder's Record, once.
func (r *gridRun) skipped(test *Noting) error {
	text := SkippedText(test.Skipped, "test images", test.Len())
	if text == "" || text == r.said {
		return nil
	}
	r.said = text
	r.warn(text)
	var record Record
	if err := r.folder.ReadJSON(RecordFile, &record); err != nil {
		return err
	}
	record.TestSkipped = test.Skipped
	return r.folder.WriteJSON(RecordFile, record)
}
