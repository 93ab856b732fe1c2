package commands

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/pdquant/pdquant/models"
)

// TestStatistics: measured statistics stand in for the running ones, a session with them is saved and resumed, and the
// network's own come back.
func TestStatistics(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "session")
	sh, _ := testShell(t, "statistics 16", "run conv1", "save "+dir)
	added := func(sh *rig) (n int) {
		for _, l := range sh.State.teacher.Network.Layers {
			if _, ok := l.Op.(models.BatchNorm); ok && strings.HasSuffix(l.Name, ".statistics") {
				n++
			}
		}
		return n
	}
	if n := added(sh); n != 9 || sh.State.teacher.Name != "resnet8-statistics16" || !sh.State.units[0].corrected {
		t.Errorf("%s has %d measured normalisations; unit conv1 is %+v", sh.State.teacher.Name, n, sh.State.units[0])
	}
	again, _ := testShell(t, "resume "+dir)
	if n := added(again); n != 9 || again.State.finished() != 1 {
		t.Errorf("resumed: %d measured normalisations, %d units finished", n, again.State.finished())
	}
	if err := sh.Line(t.Context(), "statistics 0"); err != nil || added(sh) != 0 || sh.State.teacher.Name != "resnet8" {
		t.Errorf("statistics 0: %v, %s with %d measured normalisations", err, sh.State.teacher.Name, added(sh))
	}
	for line, want := range map[string]string{"statistics 5000": "5000 of 2048", "statistics x": "images",
		"statistics": "needs IMAGES"} {
		if err := sh.Line(t.Context(), line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", line, err, want)
		}
	}
}
