package datasets

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/pdquant/pdquant/internal/pickle"
)

// readCIFAR10Python returns the records, as in the binary form, of a file of the Python form: a pickled
// dict of "data", an array of uint8 [N,3072], and "labels", a list of N. Nothing in it is run.
func readCIFAR10Python(f *os.File, size int64) ([]byte, error) {
	u := &pickle.Decoder{R: bufio.NewReader(f), Call: numpyObject, Text: size}
	v, err := u.Value()
	if err != nil {
		return nil, err
	}
	batch, ok := v.(*pickle.Dict)
	if !ok {
		return nil, errors.New("the pickle isn't a dict")
	}
	pixels, err := numpyBytes(batch.Get("data"))
	if err != nil {
		return nil, fmt.Errorf(`"data": %w`, err)
	}
	labels, ok := batch.Get("labels").(*pickle.Tuple)
	if !ok || len(pixels) != len(labels.Items)*cifar10Pixels || len(labels.Items) == 0 {
		return nil, fmt.Errorf(`"labels" isn't a list with a label for each %d of the %d bytes of "data"`,
			cifar10Pixels, len(pixels))
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

// numpyObject makes objects that do nothing, except bytes, which Python 3 writes as Latin-1 text for Python 2.
func numpyObject(f pickle.Class, args []any) (any, error) {
	if f == "_codecs.encode" && len(args) > 0 {
		if text, ok := args[0].(string); ok {
			return latin1(text)
		}
	}
	if strings.HasSuffix(string(f), ".dtype") && len(args) > 0 && args[0] != "u1" {
		return nil, fmt.Errorf("an array of type %.20v, not of bytes", args[0])
	}
	return &pickle.Object{Class: f}, nil
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

// numpyBytes returns the numbers of a pickled array of uint8, row by row. Its state is version, shape,
// type, whether columns come first, and the bytes.
// Source: numpy's ndarray.__setstate__.
func numpyBytes(v any) (string, error) {
	array, ok := v.(*pickle.Object)
	if !ok || !strings.HasSuffix(string(array.Class), "._reconstruct") {
		return "", errors.New("not an array")
	}
	state, ok := array.State.(*pickle.Tuple)
	if !ok || len(state.Items) != 5 || state.Items[3] != false {
		return "", errors.New("not an array of rows")
	}
	if data, ok := state.Items[4].(string); ok {
		return data, nil
	}
	return "", errors.New("an array without bytes")
}

// isPickle says whether f begins as a pickle of protocol 2 or later does, and no record of CIFAR-10.
func isPickle(f io.ReaderAt) bool {
	var b [2]byte
	_, err := f.ReadAt(b[:], 0)
	return err == nil && b[0] == 0x80 && b[1] >= 2 && b[1] <= 5
}
