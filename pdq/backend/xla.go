package backend

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/gomlx/compute"

	"github.com/pdquant/pdquant/pdq/backend/internal/pjrtlib"
)

const (
	xlaRemedy = `"make xla" installs one for the CPU, pip install "jax[cuda13]" one for CUDA; ` +
		"or name its file: xla:/path/plugin.so"
	pluginRemedy = `"make xla" installs one for the CPU that fits`
	cudaRemedy   = "install NVIDIA's driver, or take xla:cpu"
)

func openXLA(options string) (compute.Backend, string, error) {
	if !native {
		return nil, "", &openError{"xla", errors.New("built without cgo"), nativeRemedy}
	}
	name, options, _ := strings.Cut(options, ",")
	machine := pjrtlib.This()
	plugin, err := findPlugin(machine, name)
	if err != nil {
		return nil, "", &openError{"xla", err, xlaRemedy}
	}
	cuda := plugin.Kind() == "cuda"
	if cuda && !machine.HasNVIDIA() {
		return nil, "", &openError{"xla", fmt.Errorf("plugin %s: no NVIDIA driver", plugin.Path), cudaRemedy}
	}
	if err := pjrtlib.Check(plugin.Path); err != nil {
		return nil, "", &openError{"xla", err, pluginRemedy}
	}
	remark := ""
	if cuda {
		if remark, err = prepareCUDA(machine, plugin); err != nil {
			return nil, "", &openError{"xla", err, ""}
		}
	}
	b, version, err := newXLA(plugin.Path, options)
	if err != nil {
		err = fmt.Errorf("plugin %s: %w%s", plugin.Path, err, remark)
		return nil, "", &openError{"xla", err, "check the options; " + pluginRemedy}
	}
	note := fmt.Sprintf("%s: %s at %s, PJRT %s", strings.TrimSuffix("xla:"+plugin.Name, ":"),
		cmp.Or(plugin.From, "PJRT plugin"), plugin.Path, version)
	if options != "" {
		note += ", " + options
	}
	return b, note + remark, nil
}

// findPlugin returns the PJRT plugin called name: a file, or an installed plugin by its name with or without its
// version. For "" it returns the best installed plugin.
func findPlugin(m pjrtlib.Machine, name string) (pjrtlib.Plugin, error) {
	if !isLibrary(name) {
		p, err := m.Find(name)
		if err != nil {
			return p, err
		}
		name = p.Path
	}
	path, err := checkLibrary(name)
	return pjrtlib.At(path), err
}

// prepareCUDA sets the variables from which XLA learns where CUDA's parts are, and says which are missing.
func prepareCUDA(m pjrtlib.Machine, p pjrtlib.Plugin) (remark string, err error) {
	const flags, flag = "XLA_FLAGS", "--xla_gpu_cuda_data_dir="
	data, libraries := m.CUDA(p.Path)
	var missing []string
	if !libraries {
		missing = append(missing, "nvidia/*/lib")
	}
	if had := os.Getenv(flags); !strings.Contains(had, flag) {
		if data == "" {
			missing = append(missing, "nvvm/libdevice")
		} else if err := os.Setenv(flags, strings.TrimSpace(had+" "+flag+data)); err != nil {
			return "", err
		}
	}
	if len(missing) > 0 {
		remark = "; missing beside the plugin: " + strings.Join(missing, " and ") + `; pip install "jax[cuda13]" brings them`
	}
	return remark, os.Setenv("GOPJRT_CUDA_CHECKS", "no") // go-xla expects the libraries elsewhere and would warn
}
