// Package datasets reads images with their labels and draws calibration sets from them.
//
// [Open] opens any data set, by the name of one of [Sets] or by the path of a folder or file: CIFAR-10 (binary or
// Python), IDX files of the MNIST family, NumPy's arrays, or folders of images in files. It returns a [Data]: a [Pool]
// to calibrate on, a [Stream] to test on, and their shape and classes:
//
//	data, err := datasets.Open("photos/birds", datasets.OpenOptions{Images: datasets.ImageNetConfig()})
//	cal, err := data.Pool.Calibrate(ctx, 1024, 7)
//
// [Images] is a set of images in memory, [Files] one whose files are decoded as they are needed. The readers of each
// format can be called alone: [CIFAR10] and [OpenCIFAR10], [ReadIDXFile] and [JoinIDX], [FashionMNIST],
// [OpenImageFolder], [OpenLabelled] and [OpenImageNet]. [FashionMNISTTest] and [FashionMNISTCalibration] need no files:
// their images are built into the package. [Calibrate] draws a calibration set and records what was drawn:
//
//	pool, err := datasets.FashionMNISTCalibration()
//	cal, err := datasets.Calibrate(pool, 1024, 7)
//	x := cal.Floats(0, 32) // [32,1,28,28], as the teacher expects it
//
// Pixels stay bytes until [Images.Floats] normalises the images asked for; arrays of floats are used unchanged.
// [ReadPreprocessing] reads how image files are made into a network's input from the files beside a model.
//
// Nothing is cached: each call of a reader reads again and returns memory of its own.
package datasets
