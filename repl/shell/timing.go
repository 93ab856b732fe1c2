package shell

import (
	"fmt"
	"time"
)

// timeCell is the first line of a script of which all that follows is timed.
const timeCell = "%%time"

// timed runs commands and shows how long they took, whether or not they failed.
func (sh *Shell[S]) timed(run func() error) error {
	began, used := time.Now(), processorTime()
	err := run()
	wall := time.Since(began).Seconds()
	r := Record{Line: fmt.Sprintf("wall %.2f s", wall), Fields: []Field{{"wall_seconds", Number{wall, "%.2f"}}}}
	if now := processorTime(); now > 0 {
		processor := (now - used).Seconds()
		r.Line += fmt.Sprintf(", processor %.2f s", processor)
		r.Fields = append(r.Fields, Field{"processor_seconds", Number{processor, "%.2f"}})
	}
	sh.show(sh.display, r)
	return err
}
