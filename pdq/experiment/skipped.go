package experiment

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/pdquant/pdquant/datasets"
)

// skippedText says how many of n images were left out, and the first of them; "": none was.
func skippedText(skipped []string, what string, n int) string {
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

// noting is a Stream that notes what is left out of it.
type noting struct {
	datasets.Stream
	skipped []string
}

// Batches is that of the Stream. What is noted is that of the last time.
func (s *noting) Batches(ctx context.Context, size int) iter.Seq2[datasets.Images, error] {
	return func(yield func(datasets.Images, error) bool) {
		s.skipped = nil
		for batch, err := range s.Stream.Batches(ctx, size) {
			s.skipped = append(s.skipped, batch.Skipped...)
			if !yield(batch, err) {
				return
			}
		}
	}
}

// skipped tells of test images that were left out, and adds them to the folder's Record, once.
func (r *gridRun) skipped(test *noting) error {
	text := skippedText(test.skipped, "test images", test.Len())
	if text == "" || text == r.said {
		return nil
	}
	r.said = text
	r.warn(text)
	var record Record
	if err := r.folder.ReadJSON(RecordFile, &record); err != nil {
		return err
	}
	record.TestSkipped = test.skipped
	return r.folder.WriteJSON(RecordFile, record)
}
