package main

import (
	"fmt"
	"runtime"
	"time"

	"github.com/pdquant/pdquant/internal/tsv"
	"github.com/pdquant/pdquant/pdq/experiment"
)

// columns lists the cells of r by their names.
func (r row) columns() [][2]string {
	c, w := r.compared, r.written
	percent := func(a experiment.Accuracy) string { return fmt.Sprintf("%.2f", a.Percent()) }
	return [][2]string{
		{"network", r.network}, {"bits", r.widths}, {"data", r.data}, {"test_images", fmt.Sprint(len(c.Model.Top1))},
		{"teacher_top1_percent", percent(r.teacher)},
		{"student_top1_percent", percent(experiment.AccuracyOf(c.Student))},
		{"file_top1_percent", percent(experiment.AccuracyOf(c.Model))},
		{"same_predictions", fmt.Sprint(c.Same)},
		{"close_logits", fmt.Sprint(c.Close)}, // of how many images all logits differ by 1e-4 at most
		{"largest_difference", fmt.Sprintf("%.2g", c.Largest)},
		{"float_file_bytes", fmt.Sprint(r.floatBytes)}, {"packed_file_bytes", fmt.Sprint(w.Bytes)},
		{"float_weight_bytes", fmt.Sprint(w.FloatWeights)}, {"packed_weight_bytes", fmt.Sprint(w.Weights)},
		{"opset", fmt.Sprint(w.Opset)}, {"images", fmt.Sprint(r.images)}, {"settings", r.settings},
		{"seconds", fmt.Sprintf("%.0f", r.seconds)}, {"onnx_runtime", r.runtime}, {"go", runtime.Version()},
		{"date", time.Now().UTC().Format(time.DateOnly)},
	}
}

// append adds r to the table at path.
func (r row) append(path string) error {
	var names, cells []string
	for _, c := range r.columns() {
		names, cells = append(names, c[0]), append(cells, c[1])
	}
	return tsv.Append(path, names, cells)
}
