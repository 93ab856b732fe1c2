// Package experiment compares ways to quantise networks: it runs them, keeps what they give, and says what the
// numbers mean.
//
// A Subject is what is quantised: a network with its weights, images to calibrate on and images to test on. A
// Method turns a preset's pdq.Config into the one to run; Recipes is the table of those that have names. A Grid is
// subjects × bits × methods × seeds. Its results are rows of one table, results.tsv, in a run Folder:
//
//	subject, err := experiment.Open(experiment.Source{Name: "resnet8"})
//	methods, err := experiment.ParseMethods("nearest; mse; pd-quant; best FineTune.Steps=300")
//	grid := experiment.Grid{Subjects: []experiment.Subject{subject}, Bits: []experiment.Width{{2, 2}}, Methods: methods,
//		Seeds: experiment.Seeds(3), Images: 256, Preset: "quick", Backend: backend, Note: note}
//	results, err := grid.Run(ctx, folder)
//	table := experiment.Compare(results)
//
// Run goes on where an earlier Run in the folder stopped, within a unit too. What two methods share is computed once,
// and seeds that calibrate on the same images (Given) run side by side, with one distribution correction. ReadResults
// reads a table. Top1, Difference and Verdict are the statistics that all tables use.
//
// How a table is drawn on a terminal or a page doesn't belong here, nor do steps of the algorithm, which are
// package pdq's.
package experiment
