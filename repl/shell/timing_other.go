//go:build !unix

package shell

import "time"

// processorTime is unknown here: 0.
func processorTime() time.Duration { return 0 }
