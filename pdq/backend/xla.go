package backend

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gomlx/compute"
)

const xlaRemedy = "install one with go-xla's pjrt_installer, or name its file: xla:/path/plugin.so"

func openXLA(options string) (compute.Backend, string, error) {
	if !native {
		return nil, "", &openError{"xla", errors.New("built without cgo"), nativeRemedy}
	}
	plugin, options, _ := strings.Cut(options, ",")
	plugin, err := findPlugin(plugin)
	if err != nil {
		return nil, "", &openError{"xla", err, xlaRemedy}
	}
	b, err := newXLA(strings.TrimSuffix(plugin+","+options, ","))
	if err != nil {
		return nil, "", &openError{"xla", fmt.Errorf("plugin %s: %w", plugin, err), ""}
	}
	note := "xla: " + strings.TrimPrefix(b.Description(), "xla:")
	if options != "" {
		note += ", " + options
	}
	return b, note, nil
}

// findPlugin returns the PJRT plugin called name: a file, or an installed plugin by its name with or without its
// version. For "" it returns the best installed plugin.
func findPlugin(name string) (string, error) {
	if isLibrary(name) {
		return checkLibrary(name)
	}
	plugins, err := installedPlugins()
	if err != nil {
		return "", err
	}
	for _, p := range plugins {
		if base, _, _ := strings.Cut(p, "_v"); name == "" || name == p || name == base {
			return p, nil
		}
	}
	if len(plugins) == 0 {
		return "", errors.New("no PJRT plugin is installed")
	}
	return "", fmt.Errorf("no PJRT plugin %q is installed and usable, only %s", name, strings.Join(plugins, ", "))
}

// installedPlugins lists the PJRT plugins that load here, best first.
func installedPlugins() (plugins []string, err error) {
	defer func() {
		if e := panicError(recover()); e != nil {
			plugins, err = nil, fmt.Errorf("a PJRT plugin in the search path doesn't load: %w", e)
		}
	}()
	plugins = pjrtPlugins()
	slices.SortFunc(plugins, comparePlugins)
	return plugins, nil
}

// comparePlugins orders plugins: cuda, rocm, cpu, then others, and the newest first among those of one kind.
func comparePlugins(p, q string) int {
	return cmp.Or(cmp.Compare(pluginRank(p), pluginRank(q)), cmp.Compare(q, p))
}

func pluginRank(name string) int {
	base, _, _ := strings.Cut(name, "_v")
	order := []string{"cuda", "rocm", "cpu"}
	if i := slices.Index(order, base); i >= 0 {
		return i
	}
	return len(order)
}
