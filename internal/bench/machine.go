package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// mostLoad is the load of a machine on which times of two programs can be compared.
const mostLoad = 0.5

// comparable waits up to two minutes for other programs to end, and says so. If they don't, the comparison with PyTorch
// is left out, or with -busy marked by the returned text.
func (s *settings) comparable(ctx context.Context) (mark string, err error) {
	if s.python == "" || load() <= mostLoad {
		return "", nil
	}
	if s.busy {
		mark = fmt.Sprintf(", busy: load %.1f", load())
		fmt.Printf("other programs run%s; times are compared anyway\n", mark)
		return mark, nil
	}
	fmt.Printf("other programs run: load %.1f; waiting up to two minutes\n", load())
	for range 24 {
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(5 * time.Second):
		}
		if load() <= mostLoad {
			return "", nil
		}
	}
	fmt.Printf("other programs still run: load %.1f; PyTorch isn't measured. -busy compares anyway\n", load())
	s.python = ""
	return "", nil
}

// load returns the mean number of programs that computed during the last minute; 0: unknown.
func load() float64 {
	var l float64
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		fmt.Sscan(string(text), &l) // 0 after an error
	}
	return l
}

// machine returns the name and the number of the processors, and the operating system.
func machine() string {
	name := processor("model name")
	if name == "" {
		name = runtime.GOARCH
	}
	return fmt.Sprintf("%d x %s, %s", runtime.GOMAXPROCS(0), name, runtime.GOOS)
}

// features returns those of the processor's features that decide how fast it multiplies matrices.
func features() string {
	all, found := strings.Fields(processor("flags")), []string(nil)
	for _, f := range []string{"avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8"} {
		if slices.Contains(all, f) {
			found = append(found, f)
		}
	}
	if found == nil {
		return "features unknown"
	}
	return strings.Join(found, " ")
}

// processor returns what /proc/cpuinfo says of the first processor, or "".
func processor(what string) string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if name, v, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(name) == what {
			return strings.TrimSpace(v)
		}
	}
	return ""
}
