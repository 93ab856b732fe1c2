package datasets

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
)

const (
	idxUint8 = 0x08          // the IDX type code of unsigned bytes
	idxLimit = math.MaxInt32 // most bytes of data ReadIDX accepts
	idxChunk = 1 << 20       // bytes allocated before the input has shown that it has them
	idxRatio = 100           // most bytes of data that a gzip'ed byte may stand for; images have up to 10
	idxFree  = 16 << 20      // bytes of data that may be packed more densely, as sorted labels are
)

// IDX is what a file of the IDX format holds, the format of MNIST and its family: an
// array of unsigned bytes (the format's other types are not read).
type IDX struct {
	Name  string  // of the file, for messages
	Sizes []int   // of the dimensions, outermost first, each > 0: [N,H,W] of images, [N] of labels
	Data  []uint8 // row-major
}

// ReadIDXFile reads an IDX file, gzip'ed or not: its content says which, not its name.
func ReadIDXFile(path string) (IDX, error) {
	f, err := openFile(path)
	if err != nil {
		return IDX{}, fmt.Errorf("datasets: %w", err)
	}
	defer f.Close() // only read from
	return ReadIDX(f, path)
}

// ReadIDX reads r, gzip'ed or not, to its end; name is for messages. Errors give the
// byte offset in the content, after decompression. Memory is at most 1 MiB plus three times the content that r
// has delivered, even if the header claims more. Content over 2 GiB is an error, and so is content over 16 MiB that
// gzip packed to less than a hundredth.
//
// The format: two zero bytes, the type code 8, the number of dimensions, each size as
// big-endian uint32, the data. Source: http://yann.lecun.com/exdb/mnist/, at the end.
func ReadIDX(r io.Reader, name string) (IDX, error) {
	x, err := readIDX(r)
	if err != nil {
		return IDX{}, fmt.Errorf("datasets: %s: %w", name, err)
	}
	x.Name = name
	return x, nil
}

// readIDX is ReadIDX without the name, in messages and result.
func readIDX(r io.Reader) (IDX, error) {
	packed := &counter{r: r}
	buffered := bufio.NewReader(packed)
	in := idxReader{r: buffered}
	if start, _ := buffered.Peek(2); bytes.Equal(start, []byte{0x1f, 0x8b}) { // an error comes back when read
		z, err := gzip.NewReader(buffered)
		if err != nil {
			return IDX{}, fmt.Errorf("byte 0: gzip: %w; fetch the file again", err)
		}
		in.r, in.packed = z, packed
	}
	sizes, total, err := in.header()
	if err != nil {
		return IDX{}, err
	}
	data, err := in.data(total)
	if err != nil {
		return IDX{}, err
	}
	return IDX{Sizes: sizes, Data: data}, in.end()
}

// idxReader reads and knows where it is.
type idxReader struct {
	r      io.Reader
	at     int64    // bytes read so far
	packed *counter // what r unpacks; nil: r reads the file
}

// counter counts the bytes that are read through it.
type counter struct {
	r io.Reader
	n int64
}

// Read reads from r.
func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// fill reads the whole of p or returns an error; what says what p is part of.
func (in *idxReader) fill(p []byte, what string) error {
	n, err := io.ReadFull(in.r, p)
	in.at += int64(n)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("byte %d: file ends within its %s; fetch it again", in.at, what)
	}
	if err != nil {
		return fmt.Errorf("byte %d: %w; fetch the file again", in.at, err)
	}
	return nil
}

// header reads magic and sizes; total is the sizes' product, at most idxLimit.
func (in *idxReader) header() (sizes []int, total int, err error) {
	var magic [4]byte
	if err := in.fill(magic[:], "header"); err != nil {
		return nil, 0, err
	}
	if magic[0] != 0 || magic[1] != 0 {
		return nil, 0, fmt.Errorf("byte 0: % x is not the start of an IDX file, 00 00; give another file", magic[:2])
	}
	if magic[2] != idxUint8 {
		return nil, 0, fmt.Errorf("byte 2: type code 0x%02x, only 0x%02x (unsigned bytes) is read; convert the file",
			magic[2], idxUint8)
	}
	if magic[3] == 0 {
		return nil, 0, errors.New("byte 3: no dimensions; give a file of images or labels")
	}
	product := int64(1)
	for i := range int(magic[3]) {
		var b [4]byte
		start := in.at
		if err := in.fill(b[:], "header"); err != nil {
			return nil, 0, err
		}
		size := int64(binary.BigEndian.Uint32(b[:]))
		if product *= size; product == 0 || product > idxLimit { // below 1<<63: the factors are below 1<<31 and 1<<32
			return nil, 0, fmt.Errorf("byte %d: size %d of dimension %d makes %d bytes, not 1 to %d; give another file",
				start, size, i, product, idxLimit)
		}
		sizes = append(sizes, int(size))
	}
	return sizes, int(product), nil
}

// data reads total bytes, into memory that grows as they come.
func (in *idxReader) data(total int) ([]uint8, error) {
	what := fmt.Sprintf("%d bytes of data", total)
	var data []uint8
	for len(data) < total {
		if in.packed != nil && in.at > max(idxFree, idxRatio*in.packed.n) {
			return nil, fmt.Errorf("byte %d: gzip packed this to %d bytes, as it does no images; fetch the file again",
				in.at, in.packed.n)
		}
		grown := make([]uint8, min(total, max(idxChunk, 2*len(data))))
		from := copy(grown, data)
		if err := in.fill(grown[from:], what); err != nil {
			return nil, err
		}
		data = grown
	}
	return data, nil
}

// end returns an error unless nothing follows. For gzip it checks the checksum, too.
func (in *idxReader) end() error {
	var b [1]byte
	switch _, err := io.ReadFull(in.r, b[:]); err {
	case io.EOF:
		return nil
	case nil:
		return fmt.Errorf("byte %d: more data than the header says; fetch the file again", in.at)
	default:
		return fmt.Errorf("byte %d: at the end: %w; fetch the file again", in.at, err)
	}
}

// WriteIDX writes x as an IDX file, not compressed. It is an error unless there are 1 to 255 sizes, all > 0, and their
// product is the length of the data, at most 2 GiB.
func WriteIDX(w io.Writer, x IDX) error {
	rest := len(x.Data) // divided by each size in turn: their product may overflow
	for _, s := range x.Sizes {
		if s < 1 || rest%s != 0 {
			rest = 0
			break
		}
		rest /= s
	}
	if rest != 1 || len(x.Sizes) < 1 || len(x.Sizes) > 255 || len(x.Data) > idxLimit {
		return fmt.Errorf("datasets: writing IDX %s: %d bytes are not of sizes %v; set both together",
			x.Name, len(x.Data), x.Sizes)
	}
	header := []byte{0, 0, idxUint8, byte(len(x.Sizes))}
	for _, s := range x.Sizes {
		header = binary.BigEndian.AppendUint32(header, uint32(s))
	}
	for _, part := range [][]byte{header, x.Data} {
		if _, err := w.Write(part); err != nil {
			return fmt.Errorf("datasets: writing IDX %s: %w", x.Name, err)
		}
	}
	return nil
}

// sum returns the SHA-256 of x as WriteIDX writes it, in hex: that of the file x was read
// from, decompressed, since the format has one way to write an array.
func (x IDX) sum() (string, error) {
	h := sha256.New()
	if err := WriteIDX(h, x); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// JoinIDX makes grey images of pixels [N,H,W] and labels [N]. Pixels are shared, labels copied. Mean is 0 and Std is 1:
// set them to what the teacher was trained with, or to the training part's Moments. Errors give file and byte offset.
func JoinIDX(name string, pixels, labels IDX, classes []string) (Images, error) {
	if len(pixels.Sizes) != 3 {
		return Images{}, fmt.Errorf("datasets: %s: byte 3: %d dimensions, images have 3; give a file of images",
			pixels.Name, len(pixels.Sizes))
	}
	if len(labels.Sizes) != 1 {
		return Images{}, fmt.Errorf("datasets: %s: byte 3: %d dimensions, labels have 1; give a file of labels",
			labels.Name, len(labels.Sizes))
	}
	if n, m := pixels.Sizes[0], labels.Sizes[0]; n != m {
		return Images{}, fmt.Errorf("datasets: %s: byte 4: %d labels, but %s has %d images; give the two files of one part",
			labels.Name, m, pixels.Name, n)
	}
	im := Images{
		Name: name, Channels: 1, Height: pixels.Sizes[1], Width: pixels.Sizes[2],
		Pixels: pixels.Data, Labels: make([]int32, len(labels.Data)), Classes: classes,
		Mean: []float32{0}, Std: []float32{1},
	}
	for i, l := range labels.Data {
		if int(l) >= len(classes) {
			return Images{}, fmt.Errorf("datasets: %s: byte %d: label %d is not one of %d classes; "+
				"give the labels of this set", labels.Name, 8+i, l, len(classes))
		}
		im.Labels[i] = int32(l)
	}
	return im, im.Validate()
}
