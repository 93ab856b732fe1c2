package datasets

import (
	"os"
	"path/filepath"
	"testing"
)

// TestCIFAR10Excerpt: a folder with some of the images, in files train*.bin and test*.bin, is CIFAR-10 too.
func TestCIFAR10Excerpt(t *testing.T) {
	dir := t.TempDir()
	for name, images := range map[string]int{"train_a.bin": 3, "train_b.bin": 2, "test.bin": 1} {
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, images*3073), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	train, test, err := OpenCIFAR10(dir)
	if err != nil || train.Len() != 5 || test.Len() != 1 || train.Name != "cifar10/train" {
		t.Errorf("%d and %d images, error %v", train.Len(), test.Len(), err)
	}
}
