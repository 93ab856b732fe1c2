package pdq

import (
	"errors"
	"fmt"
	"slices"

	"github.com/pdquant/pdquant/pdq/internal/exec"
)

// canUse returns an error unless d is the data of a unit of q, with the caches that a step needs. Those that are there
// must be in use, of one number of images, and of the unit's sizes.
func (q *Quantizer) canUse(d *UnitData, needs ...string) error {
	if d == nil {
		return errors.New("the unit's data is nil; give what Observe or Units returns")
	}
	if d.Unit < 0 || d.Unit >= len(q.folded.Units) {
		return fmt.Errorf("the data is of unit %d; %s has units 0 to %d", d.Unit, q.folded.Name, len(q.folded.Units)-1)
	}
	n, unit := q.p.Network, q.p.Network.Units[d.Unit]
	in, out := exec.Product(n.InputShape(unit.First)), exec.Product(n.Shapes()[unit.Last])
	images := -1
	for _, c := range []struct {
		name  string
		cache *Cache
		size  int
	}{
		{"StudentIn", d.StudentIn, in}, {"TeacherIn", d.TeacherIn, in}, {"TeacherOut", d.TeacherOut, out},
		{"CorrectedIn", d.CorrectedIn, in}, {"Target", d.Target, out}, {"Logits", d.Logits, n.Classes},
	} {
		if images < 0 && c.cache != nil {
			images = c.cache.Len()
		}
		switch {
		case c.cache == nil && !slices.Contains(needs, c.name):
		case c.cache == nil:
			return fmt.Errorf("the unit's %s is missing; give what Observe or Units returns", c.name)
		case c.cache.Freed():
			return fmt.Errorf("the unit's %s was freed; free unit data and the teacher after their last use", c.name)
		case c.cache.Len() != images || c.cache.PerImage() != c.size:
			return fmt.Errorf("the unit's %s has %d images of %d numbers; it should have %d of %d",
				c.name, c.cache.Len(), c.cache.PerImage(), images, c.size)
		}
	}
	return nil
}

// canUseTeacher returns an error unless t holds logits that are in use.
func canUseTeacher(t *Teacher) error {
	if t == nil || t.Logits == nil {
		return errors.New("the teacher's logits are missing; give what Quantizer.Teacher returns")
	}
	if t.Logits.Freed() {
		return errors.New("the teacher was freed; free it after the last unit, or run Teacher again")
	}
	return nil
}

// roundingNeeds lists what of a unit's data rounding reads.
func roundingNeeds() []string {
	return []string{"StudentIn", "CorrectedIn", "Target", "Logits"}
}
