package exec

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"unsafe"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/tensors"
)

// Cache holds float32 numbers for each image, in memory or in a temporary file. Goroutines may read it concurrently.
type Cache struct {
	dims []int // [N,...]
	flat []float32
	file *os.File // nil: flat holds the numbers

	freed bool
}

// NewCache returns a cache of zeros for dims[0] images. If inFile is set, it is in a file in dir.
func NewCache(dims []int, inFile bool, dir string) (*Cache, error) {
	c := &Cache{dims: slices.Clone(dims)}
	if !inFile {
		c.flat = make([]float32, Product(dims))
		return c, nil
	}
	var err error
	if c.file, err = os.CreateTemp(dir, "pdquant-*.cache"); err != nil {
		return nil, fmt.Errorf("%w; set Machine.CacheDir to a writable folder", err)
	}
	_ = os.Remove(c.file.Name()) // if the system doesn't remove open files, Free does
	return c, nil
}

// CacheOf returns a cache in memory that shares flat.
func CacheOf(flat []float32, dims ...int) *Cache { return &Cache{dims: dims, flat: flat} }

// Product returns the product of dims.
func Product(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}

// Dims returns the sizes [N,...].
func (c *Cache) Dims() []int { return slices.Clone(c.dims) }

// Len returns N, the number of images.
func (c *Cache) Len() int {
	if len(c.dims) == 0 {
		return 0 // the zero Cache
	}
	return c.dims[0]
}

// Freed says whether Free was called.
func (c *Cache) Freed() bool { return c.freed }

// PerImage returns the number of numbers for each image.
func (c *Cache) PerImage() int { return Product(c.dims[min(1, len(c.dims)):]) }

// Flat returns the numbers of a cache in memory, which it shares, or nil for a cache in a file.
func (c *Cache) Flat() []float32 { return c.flat }

// Read fills the slice to, whose length is a number of whole images, with the images from lo on.
func (c *Cache) Read(to []float32, lo int) error {
	if err := c.has(len(to), lo); err != nil {
		return err
	}
	if c.file == nil {
		copy(to, c.flat[lo*c.PerImage():])
		return nil
	}
	_, err := c.file.ReadAt(bytesOf(to), int64(lo)*int64(c.PerImage())*4)
	return err
}

// Write replaces the numbers of the images from lo on.
func (c *Cache) Write(from []float32, lo int) error {
	if err := c.has(len(from), lo); err != nil {
		return err
	}
	if c.file == nil {
		copy(c.flat[lo*c.PerImage():], from)
		return nil
	}
	if _, err := c.file.WriteAt(bytesOf(from), int64(lo)*int64(c.PerImage())*4); err != nil {
		return fmt.Errorf("%w; set Machine.CacheDir to a folder with room, or raise Machine.MemoryLimit", err)
	}
	return nil
}

// has returns an error unless c is in use and has n numbers from image lo on.
func (c *Cache) has(n, lo int) error {
	if c.freed {
		return errors.New("the cache was freed; free unit data and the teacher after their last use")
	}
	if per := c.PerImage(); lo < 0 || lo > c.Len() || n > (c.Len()-lo)*per {
		return fmt.Errorf("the cache has %d images; %d numbers from image %d on are out of range", c.Len(), n, lo)
	}
	return nil
}

// Put is Write for a tensor's values.
func (c *Cache) Put(t *tensors.Tensor, lo int) error {
	var inner error
	if err := tensors.ConstFlatData(t, func(flat []float32) { inner = c.Write(flat, lo) }); err != nil {
		return err
	}
	return inner
}

// bytesOf returns the memory of x as bytes. Byte order doesn't matter: only the process that writes a file reads it.
func bytesOf(x []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), 4*len(x))
}

// Tensor returns images lo to hi-1 as a new tensor.
func (c *Cache) Tensor(lo, hi int) (*tensors.Tensor, error) {
	if lo > hi {
		return nil, fmt.Errorf("images %d to %d of a cache; give them in order", lo, hi)
	}
	if err := c.has((hi-lo)*c.PerImage(), lo); err != nil {
		return nil, err
	}
	t := tensors.FromShape(c.Shape(hi - lo))
	return t, Mutate(t, func(flat []float32) error { return c.Read(flat, lo) })
}

// Shape returns the shape of n images.
func (c *Cache) Shape(n int) shapes.Shape {
	dims := c.Dims()
	dims[0] = n
	return shapes.Make(dtypes.Float32, dims...)
}

// Gather fills the slice to with the numbers of the images at indices, in that order.
func (c *Cache) Gather(to []float32, indices []int) error {
	per := c.PerImage()
	for i, k := range indices {
		if err := c.Read(to[i*per:(i+1)*per], k); err != nil {
			return err
		}
	}
	return nil
}

// Free gives memory and file back. The cache, which may be nil, must not be used again: its calls return an error.
func (c *Cache) Free() {
	if c == nil {
		return
	}
	c.flat, c.freed = nil, true
	if c.file != nil {
		c.file.Close()               // nothing in it is needed
		_ = os.Remove(c.file.Name()) // gone already on most systems
		c.file = nil
	}
}

// Mutate calls f with the values of t, which it may change.
func Mutate(t *tensors.Tensor, f func(flat []float32) error) error {
	var inner error
	if err := tensors.MutableFlatData(t, func(flat []float32) { inner = f(flat) }); err != nil {
		return err
	}
	return inner
}
