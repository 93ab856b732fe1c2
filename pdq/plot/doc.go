// Package plot draws results for papers and notebooks.
//
// [Bars] compares the accuracy of a few methods:
//
//	err := plot.Bars("resnet8.png", "resnet8, W2A2, Fashion-MNIST", "10,000 test images, seed 1",
//		"Top-1 accuracy (%)", []plot.Bar{
//		{Label: "Full precision", Value: 91.8, Error: 0.3},
//		{Label: "Nearest rounding", Value: 23.1, Error: 0.4},
//		{Label: "PD-Quant", Value: 85.0, Error: 0.4},
//	})
//
// [Lines] draws losses over steps or scales, [Columns] a histogram.
//
// Colours differ in lightness as well as in hue, so charts survive a grey printer and
// colour-blind readers. The scale of Bars always starts at zero: differences of a point look
// as small as they are, and the numbers beside the bars tell them.
package plot
