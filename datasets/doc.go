// Package datasets brings images in: as bytes with labels, from files or from the
// part of Fashion-MNIST that is built into the package, and draws calibration sets.
//
// [Images] is the one type every data set is read into. [FashionMNISTTest] and
// [FashionMNISTCalibration] need no files; [FashionMNIST] reads the whole set from a
// folder that [DownloadFashionMNIST] or the Debian package dataset-fashion-mnist
// fills. [ReadIDXFile] and [JoinIDX] read other sets of the MNIST family, [CIFAR10] and [OpenCIFAR10]
// CIFAR-10, [OpenImageNet] lists folders of files that [Files] decodes. [Sets] has one name for each
// of these. [Calibrate] draws a calibration set and records what was drawn:
//
//	pool, err := datasets.FashionMNISTCalibration()
//	cal, err := datasets.Calibrate(pool, 1024, 7)
//	x := cal.Floats(0, 32) // [32,1,28,28], as the teacher expects it
//
// Pixels stay bytes until [Images.Floats] normalises the images asked for. Nothing is
// cached: each call of a reader reads again and returns memory of its own.
package datasets
