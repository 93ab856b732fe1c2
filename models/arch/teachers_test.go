package arch

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/pdquant/pdquant/models"
)

func TestLoadTeacher(t *testing.T) {
	if _, err := LoadTeacher("vgg"); err == nil ||
		!strings.Contains(err.Error(), `"vgg"; choose one of mobilenetv2, regnetx, resnet20, resnet8`) {
		t.Errorf("LoadTeacher(vgg): %v", err)
	}
	names := TeacherNames()
	for _, name := range Designs() {
		teacher, err := LoadTeacher(name)
		if !slices.Contains(names, name) {
			if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), name) {
				t.Errorf("LoadTeacher(%s), which isn't there: %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Error(err)
			continue
		}
		if err := teacher.Weights.Check(teacher.Network); err != nil {
			t.Error(err)
		}
		if len(teacher.Record) == 0 {
			t.Errorf("teacher %s has no record of its training", name)
		}
		if _, _, err := models.Fold(teacher.Network, teacher.Weights); err != nil {
			t.Error(err)
		}
	}
	for _, name := range names {
		if !slices.Contains(Designs(), name) {
			t.Errorf("teacher %s has no design", name)
		}
	}
}
