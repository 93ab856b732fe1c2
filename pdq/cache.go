package pdq

import (
	"fmt"
	"os"
	"slices"
	"unsafe"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/tensors"
)

// Cache holds float32 numbers for each calibration image, in memory or in a temporary file. Reading
// from several goroutines is safe.
type Cache struct {
	dims []int // [N,...]
	flat []float32
	file *os.File // nil: flat holds the numbers
}

// newCache returns a cache of zeros with N = dims[0], in a file in dir if inFile.
func newCache(dims []int, inFile bool, dir string) (*Cache, error) {
	c := &Cache{dims: slices.Clone(dims)}
	if !inFile {
		c.flat = make([]float32, product(dims))
		return c, nil
	}
	var err error
	if c.file, err = os.CreateTemp(dir, "pdquant-*.cache"); err != nil {
		return nil, fmt.Errorf("%w; set Machine.CacheDir to a folder that can be written", err)
	}
	_ = os.Remove(c.file.Name()) // where a file can't be removed while it is open, Free does it
	return c, nil
}

// cacheOf returns a cache in memory with these numbers, which it keeps.
func cacheOf(flat []float32, dims ...int) *Cache { return &Cache{dims: dims, flat: flat} }

func product(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}

// Dims returns the sizes [N,...].
func (c *Cache) Dims() []int { return slices.Clone(c.dims) }

// Len returns N, the number of images.
func (c *Cache) Len() int { return c.dims[0] }

// per is how many numbers an image has.
func (c *Cache) per() int { return product(c.dims[1:]) }

// Read copies the numbers of images from lo on to the slice to, which has room for whole images.
func (c *Cache) Read(to []float32, lo int) error {
	if c.file == nil {
		copy(to, c.flat[lo*c.per():])
		return nil
	}
	_, err := c.file.ReadAt(bytesOf(to), int64(lo)*int64(c.per())*4)
	return err
}

// write replaces the numbers of images from lo on.
func (c *Cache) write(from []float32, lo int) error {
	if c.file == nil {
		copy(c.flat[lo*c.per():], from)
		return nil
	}
	if _, err := c.file.WriteAt(bytesOf(from), int64(lo)*int64(c.per())*4); err != nil {
		return fmt.Errorf("%w; set Machine.CacheDir to a folder with room, or Machine.CacheLimit higher", err)
	}
	return nil
}

// bytesOf returns x's memory as bytes: a cache's file is read by the process that wrote it alone.
func bytesOf(x []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), 4*len(x))
}

// tensor returns images lo to hi-1 as a new tensor.
func (c *Cache) tensor(lo, hi int) (*tensors.Tensor, error) {
	t := tensors.FromShape(c.shape(hi - lo))
	return t, mutate(t, func(flat []float32) error { return c.Read(flat, lo) })
}

// shape is that of n images.
func (c *Cache) shape(n int) shapes.Shape {
	dims := c.Dims()
	dims[0] = n
	return shapes.Make(dtypes.Float32, dims...)
}

// gather copies the numbers of the images at indices to the slice to, in that order.
func (c *Cache) gather(to []float32, indices []int) error {
	per := c.per()
	for i, k := range indices {
		if err := c.Read(to[i*per:(i+1)*per], k); err != nil {
			return err
		}
	}
	return nil
}

// Free gives memory and file back. c, which may be nil, must not be used again.
func (c *Cache) Free() {
	if c == nil {
		return
	}
	c.flat = nil
	if c.file != nil {
		c.file.Close()               // nothing in it is needed any more
		_ = os.Remove(c.file.Name()) // gone already on most systems
		c.file = nil
	}
}

// mutate lets f write to t's values.
func mutate(t *tensors.Tensor, f func(flat []float32) error) error {
	var inner error
	if err := tensors.MutableFlatData(t, func(flat []float32) { inner = f(flat) }); err != nil {
		return err
	}
	return inner
}
