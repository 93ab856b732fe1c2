package datasets

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/pdquant/pdquant/internal/pickle"
)

// readCIFAR10Python returns the records, as in the binary form, of a file of the Python form: a pickled
// dict of "data", an array of uint8 [N,3072], [N,3,32,32] or [N,32,32,3], and "labels", a list of N. Nothing in it is
// run.
func readCIFAR10Python(f *os.File, size int64) ([]byte, error) {
	objects := numpyObjects{left: size}
	u := &pickle.Decoder{R: bufio.NewReader(f), Call: objects.call, Text: size}
	v, err := u.Value()
	if err != nil {
		return nil, err
	}
	batch, ok := v.(*pickle.Dict)
	if !ok {
		return nil, errors.New("the pickle isn't a dict")
	}
	labels, ok := batch.Get("labels").(*pickle.Tuple)
	if !ok || len(labels.Items) == 0 {
		return nil, errors.New(`"labels" isn't a list with a label for each image`)
	}
	pixels, err := numpyImages(batch.Get("data"), len(labels.Items))
	if err != nil {
		return nil, fmt.Errorf(`"data": %w`, err)
	}
	records := make([]byte, 0, len(labels.Items)*cifar10Record)
	for i, l := range labels.Items {
		label, ok := l.(int64)
		if !ok || label < 0 || label > 9 {
			return nil, fmt.Errorf("label %v of image %d isn't 0 to 9", l, i)
		}
		records = append(append(records, byte(label)), pixels[i*cifar10Pixels:(i+1)*cifar10Pixels]...)
	}
	return records, nil
}

// numpyFromBuffer makes arrays of protocol 5 from bytes, type, shape and order.
const numpyFromBuffer = "._frombuffer"

// numpyObjects makes objects that do nothing, except bytes, which Python 3 writes as Latin-1 text for Python 2.
type numpyObjects struct {
	left int64 // bytes that may yet be made of text: a file may ask for the same again and again
}

// call returns what f of args makes.
func (o *numpyObjects) call(f pickle.Class, args []any) (any, error) {
	if f == "_codecs.encode" && len(args) > 0 {
		if text, ok := args[0].(string); ok {
			if o.left -= int64(len(text)); o.left < 0 {
				return nil, errors.New("more bytes made of text than the file has")
			}
			return latin1(text)
		}
	}
	if strings.HasSuffix(string(f), ".dtype") && len(args) > 0 && args[0] != "u1" {
		return nil, fmt.Errorf("an array of type %.20v, not of bytes", args[0])
	}
	made := &pickle.Object{Class: f}
	if strings.HasSuffix(string(f), numpyFromBuffer) {
		made.State = &pickle.Tuple{Items: args}
	}
	return made, nil
}

// latin1 returns the bytes that text stands for in Latin-1.
func latin1(text string) (string, error) {
	var b strings.Builder
	for _, r := range text {
		if r > 255 {
			return "", fmt.Errorf("character %U among bytes", r)
		}
		b.WriteByte(byte(r))
	}
	return b.String(), nil
}

// numpyImages returns the numbers [n,3,32,32] of a pickled array of n images.
func numpyImages(v any, n int) (string, error) {
	bytes, shape, err := numpyBytes(v)
	if err != nil {
		return "", err
	}
	images := int64(n)
	channelsLast := slices.Equal(shape, []int64{images, 32, 32, 3})
	if !channelsLast && !slices.Equal(shape, []int64{images, cifar10Pixels}) &&
		!slices.Equal(shape, []int64{images, 3, 32, 32}) {
		return "", fmt.Errorf("an array of shape %d and %d labels; give one of [%[2]d %d], [%[2]d 3 32 32] or "+
			"[%[2]d 32 32 3]", shape, n, cifar10Pixels)
	}
	if len(bytes) != n*cifar10Pixels {
		return "", fmt.Errorf("%d bytes, which aren't the %d of %d images", len(bytes), n*cifar10Pixels, n)
	}
	if channelsLast {
		bytes = planes(bytes)
	}
	return bytes, nil
}

// planes turns images [N,32,32,3] into [N,3,32,32].
func planes(pixels string) string {
	out := make([]byte, len(pixels))
	for i := range len(pixels) {
		image, pixel, c := i/cifar10Pixels, i%cifar10Pixels/3, i%3
		out[image*cifar10Pixels+c*32*32+pixel] = pixels[i]
	}
	return string(out)
}

// numpyBytes returns the numbers of a pickled array of uint8, row by row, and its shape. Its state is version, shape,
// type, whether columns come first, and the bytes; or, of protocol 5, bytes, type, shape and order.
// Source: numpy's ndarray.__setstate__ and numpy.core.numeric._frombuffer.
func numpyBytes(v any) (data string, shape []int64, err error) {
	array, ok := v.(*pickle.Object)
	if !ok {
		return "", nil, errors.New("not an array")
	}
	var bytes, sizes any
	state, _ := array.State.(*pickle.Tuple)
	switch class := string(array.Class); {
	case strings.HasSuffix(class, "._reconstruct") && state != nil && len(state.Items) == 5 && state.Items[3] == false:
		bytes, sizes = state.Items[4], state.Items[1]
	case strings.HasSuffix(class, numpyFromBuffer) && state != nil && len(state.Items) == 4 && state.Items[3] == "C":
		bytes, sizes = state.Items[0], state.Items[2]
	default:
		return "", nil, errors.New("not an array of rows")
	}
	if data, ok = bytes.(string); !ok {
		return "", nil, errors.New("an array without bytes")
	}
	dimensions, ok := sizes.(*pickle.Tuple)
	if !ok {
		return "", nil, errors.New("an array without a shape")
	}
	for _, d := range dimensions.Items {
		size, ok := d.(int64)
		if !ok {
			return "", nil, errors.New("an array without a shape")
		}
		shape = append(shape, size)
	}
	return data, shape, nil
}

// isPickle says whether f begins as a pickle of protocol 2 or later does, and no record of CIFAR-10.
func isPickle(f io.ReaderAt) bool {
	var b [2]byte
	_, err := f.ReadAt(b[:], 0)
	return err == nil && b[0] == 0x80 && b[1] >= 2 && b[1] <= 5
}
