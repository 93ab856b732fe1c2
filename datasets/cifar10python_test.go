package datasets

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pdquant/pdquant/internal/fuzzed"
)

// pickledBatch is a batch as Python 2 wrote those of cifar-10-python.tar.gz: labels are opcodes.
func pickledBatch(pixels string, labels string) string {
	size := binary.LittleEndian.AppendUint32(nil, uint32(len(pixels)))
	shape := binary.LittleEndian.AppendUint16([]byte{'M'}, uint16(len(labels)/2))
	return "\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x07testingq\x03U\x06labelsq\x04]q\x05(" + labels + "eU\x04dataq\x06" +
		"cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85U\x01b\x87Rq\x09(K\x01" +
		string(shape) + "M\x00\x0c\x86cnumpy\ndtype\nq\x0aU\x02u1K\x00K\x01\x87Rq\x0b(K\x03U\x01|" +
		"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89" +
		"T" + string(size) + pixels + "tbU\x09filenamesq\x0c]q\x0du."
}

func TestCIFAR10Python(t *testing.T) {
	var pixels []byte
	for i := range 2 * cifar10Pixels {
		pixels = append(pixels, byte(i*7))
	}
	python2 := writeFile(t, "data_batch_1", []byte(pickledBatch(string(pixels), "K\x09K\x00")))
	for _, path := range []string{python2, "testdata/cifar10python/protocol2", "testdata/cifar10python/protocol4",
		"testdata/cifar10python/protocol5", shaped(t, pixels, "K\x03K K "), shaped(t, channelsLast(pixels), "K K K\x03")} {
		im, err := CIFAR10(path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
		} else if im.Name != "cifar10/"+filepath.Base(path) ||
			!slices.Equal(im.Labels, []int32{9, 0}) || !slices.Equal(im.Pixels, pixels) {
			t.Errorf("%s: %s, labels %v", path, im.Name, im.Labels)
		}
	}
	binary := writeFile(t, "test_batch.bin", record(3, 7, 8, 255))
	if im, err := CIFAR10(python2, binary); err != nil || im.Len() != 3 || im.Labels[2] != 3 {
		t.Errorf("both forms: %d images, error %v", im.Len(), err)
	}
}

// shaped writes a batch of two images whose array has these dimensions after the first.
func shaped(t *testing.T, pixels []byte, dimensions string) string {
	t.Helper()
	batch := strings.Replace(pickledBatch(string(pixels), "K\x09K\x00"),
		"M\x02\x00M\x00\x0c\x86", "(M\x02\x00"+dimensions+"t", 1)
	return writeFile(t, "data_batch_1", []byte(batch))
}

// channelsLast turns images [N,3,32,32] into [N,32,32,3].
func channelsLast(pixels []byte) []byte {
	out := make([]byte, 0, len(pixels))
	for image := range slices.Chunk(pixels, cifar10Pixels) {
		for i := range 32 * 32 {
			out = append(out, image[i], image[32*32+i], image[2*32*32+i])
		}
	}
	return out
}

// TestCIFAR10PythonMemory: text that is made into bytes again and again takes no more memory than the file has.
func TestCIFAR10PythonMemory(t *testing.T) {
	const size = 1 << 20
	text := "X" + string(binary.LittleEndian.AppendUint32(nil, size)) + strings.Repeat("x", size) + "q\x01"
	again := "c_codecs\nencode\nh\x01\x85R"
	path := writeFile(t, "data_batch_1", []byte("\x80\x02"+text+strings.Repeat(again, 1000)+"."))
	fuzzed.Within(t, 10*size, func() {
		if _, err := CIFAR10(path); lacks(err, "more bytes made of text than the file has") {
			t.Errorf("error %v", err)
		}
	})
}

func TestCIFAR10PythonErrors(t *testing.T) {
	image := strings.Repeat("x", cifar10Pixels)
	good := pickledBatch(image, "K\x05")
	for _, c := range []struct{ name, file, want string }{
		{"truncated", good[:len(good)-100], "the file ends within a pickle"},
		{"label", pickledBatch(image, "K\x0a"), "label 10 of image 0 isn't 0 to 9"},
		{"labels", pickledBatch(image, "K\x05K\x05"), `"data": 3072 bytes, which aren't the 6144 of 2 images`},
		{"shape", strings.Replace(good, "M\x00\x0c\x86", "K\x60K\x20\x87", 1),
			"an array of shape [1 96 32] and 1 labels"},
		{"no labels", pickledBatch("", ""), `"labels" isn't a list`},
		{"no data", strings.Replace(good, "U\x04data", "U\x04dota", 1), `"data": not an array`},
		{"floats", strings.Replace(good, "U\x02u1", "U\x02f4", 1), "an array of type f4, not of bytes"},
		{"columns", strings.Replace(good, "tb\x89T", "tb\x88T", 1), "not an array of rows"},
		{"list", "\x80\x02].", "isn't a dict"},
		{"code", "\x80\x02cos\nsystem\nU\x04exit\x85R.", "isn't a dict"}, // nothing runs
	} {
		path := writeFile(t, "data_batch_1", []byte(c.file))
		_, err := CIFAR10(path)
		if lacks(err, c.want, path) {
			t.Errorf("%s: error %v, want %q and the file", c.name, err, c.want)
		}
	}
}

func FuzzCIFAR10Python(f *testing.F) {
	f.Add([]byte(pickledBatch(strings.Repeat("x", cifar10Pixels), "K\x05")))
	f.Fuzz(func(t *testing.T, file []byte) {
		path := filepath.Join(t.TempDir(), "batch")
		if err := os.WriteFile(path, append([]byte("\x80\x02"), file...), 0o600); err != nil {
			t.Fatal(err)
		}
		fuzzed.Bounded(t, func() {
			if im, err := CIFAR10(path); err == nil && im.Len() == 0 {
				t.Error("no images and no error")
			}
		})
	})
}
