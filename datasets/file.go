package datasets

import (
	"fmt"
	"io/fs"
	"os"
)

// openFile opens a file to read. What isn't a regular file, after links, is an error: a pipe may have no end, or
// nobody who writes to it.
func openFile(path string) (*os.File, error) {
	info, err := os.Stat(path) // before it is opened, which for a pipe waits for a writer
	if err != nil {
		return nil, err
	}
	kind := "a device"
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return os.Open(path)
	case mode.IsDir():
		kind = "a folder"
	case mode&fs.ModeNamedPipe != 0:
		kind = "a pipe"
	case mode&fs.ModeSocket != 0:
		kind = "a socket"
	}
	return nil, fmt.Errorf("%s is %s, not a file", path, kind)
}
