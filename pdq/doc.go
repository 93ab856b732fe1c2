// Package pdq quantises image classifiers after training, down to 2-bit weights and activations, by PD-Quant
// (arXiv 2212.07048, CVPR 2023). It chooses scales and rounding that keep the network's predictions, and corrects the
// activations it calibrates on towards the statistics of batch normalisation.
//
// A Problem is the input: a models.Network with weights, and calibration images without labels. A Config holds the
// settings; Paper, Quick and Best make one, and the baselines are Configs too. A Student is the result: quantisers of
// weights and activations. A Quantizer has a method for each step, most of which take a Student and return a new one:
//
//	q, err := pdq.New(backend, problem, config)
//	teacher, err := q.Teacher(ctx)                   // full-precision logits
//	s, err := q.WeightScales(ctx, pdq.Student{})     // scales of all weights
//	var d *pdq.UnitData
//	for u := range network.Units {                   // in order
//		before := d
//		d, err = q.Observe(ctx, s, teacher, u, d)    // what the unit sees
//		before.Free()
//		d, err = q.Correct(ctx, d)                   // distribution correction
//		s, err = q.ActivationScales(ctx, s, d)       // scales of the unit's activations
//		s, err = q.Round(ctx, s, d)                  // rounding and scales, jointly
//	}
//	s, err = q.FineTune(ctx, s)                      // all units together; not in the paper: 0 steps unless set
//	score, err := q.Evaluate(ctx, s, images)
//	d.Free()
//	teacher.Free()
//
// Quantizer.Quantize takes them all; the function Quantize takes them for several seeds side by side.
//
// # Symbols
//
//	s, z        Scale, Zero: a level k stands for the value (k-z)·s
//	α, h(α)     rounding variable, and the fraction by which it rounds up, 0 to 1
//	β           exponent of the term that drives h to 0 or 1
//	T           temperature of the softened predictions
//	λr, λc      of the paper; they divide: Loss.PD is 1/λr, Correction.Weight 1/λc
//
// # Repeating a run
//
// The same seed, backend, number of workers and kind of processor give the same bits. The number of workers matters
// because each works on a part of a batch, and their gradients are summed. The images of a step, and the elements that
// drop out, depend only on the seed, the unit and the step. Tests check the bits on the Go backend and on ONNX Runtime
// on the processor. XLA, above all on CUDA, may add in another order from run to run.
//
// QuantizeFrom resumes a run that ended early, to the same bits. WriteState and ReadState keep its state on disk.
//
// # Caveats
//
// Quantisation is simulated: values lie on the levels, but arithmetic is in float32. Images must be normalised as the
// teacher expects. One seed is one sample: report several.
//
// Package pdq/look shows the inside of a network. Package pdq/experiment compares methods and keeps runs in folders.
//
// "Reference" in comments means the authors' code, github.com/hustvl/PD-Quant; files are named by their path in it.
package pdq
