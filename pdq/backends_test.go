package pdq

import (
	"testing"

	"github.com/gomlx/compute"

	"github.com/pdquant/pdquant/internal/testbackend"
)

func eachBackend(t *testing.T, f func(t *testing.T, b compute.Backend)) { testbackend.Each(t, f) }
func oneBackend(t *testing.T, f func(t *testing.T, b compute.Backend))  { testbackend.One(t, f) }

func anyBackend(t testing.TB) compute.Backend {
	t.Helper()
	return testbackend.Any(t)
}
