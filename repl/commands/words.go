package commands

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/pdq"
	"github.com/pdquant/pdquant/repl/shell"
)

// words are the kinds of words that help explains beside commands.
func words() []shell.Word[session] {
	return []shell.Word[session]{
		{Name: "unit", List: session.unitNames, Explain: explainUnit},
		{Name: "layer", List: session.layerNames, Explain: explainLayer},
		{Name: "student", List: session.studentNames, Explain: explainStudent},
		{Name: "field", List: func(session) []string { return allFields() }, Explain: explainField},
	}
}

// allFields lists the names of the configuration fields.
func allFields() []string {
	fields, _ := pdq.Fields() // no field to list if the table fails
	return fieldNames(fields)
}

// explainField shows the field, or the fields, that name stands for.
func explainField(s session, name string) shell.Value {
	fields, err := findFields(name)
	if err != nil {
		return nil
	}
	v, err := s.fieldsView(fields)
	if err != nil {
		return nil
	}
	return v
}

// fieldsView shows one field in lines, several in a table.
func (s session) fieldsView(fields []pdq.Field) (shell.Value, error) {
	t := shell.Table{Columns: []string{"field", "value", "default, if other", "meaning"}}
	for _, f := range fields {
		now, err := s.config.Get(f.Name)
		if err != nil {
			return nil, err
		}
		was, _ := s.base.Get(f.Name) // as now
		if was == now {
			was = ""
		}
		t.Rows = append(t.Rows, []any{f.Name, now, was, f.Meaning})
	}
	if len(t.Rows) != 1 {
		return t, nil
	}
	row := t.Rows[0]
	lines := []string{fmt.Sprintf("%s = %s", row[0], row[1])}
	if row[2] != "" {
		lines = append(lines, fmt.Sprintf("  default %s (preset %s)", row[2], s.preset))
	}
	lines = append(lines, fmt.Sprintf("  %s", row[3]))
	if choices := fields[0].Choices; choices != nil {
		lines = append(lines, "  one of "+strings.Join(choices, ", "))
	}
	return shell.Text(strings.Join(lines, "\n")), nil
}

// explainUnit shows how far the unit called name has come, and its layers.
func explainUnit(s session, name string) shell.Value {
	u := slices.Index(s.unitNames(), name)
	if u < 0 {
		return nil
	}
	unit := s.teacher.folded.Units[u]
	var layers [][]shell.Field
	for i := unit.First; i <= unit.Last; i++ {
		layers = append(layers, s.layerFields(i)[1:])
	}
	return tableOf(layers)
}

// explainLayer shows what the layer called name is, and how it is quantised.
func explainLayer(s session, name string) shell.Value {
	if s.teacher == nil {
		return nil
	}
	i := s.teacher.folded.Index(name)
	if i < 0 {
		return nil
	}
	return recordOf(s.layerFields(i))
}

// tableOf shows records that have the same fields, a row for each.
func tableOf(records [][]shell.Field) shell.Table {
	var t shell.Table
	for _, fields := range records {
		var row []any
		t.Columns = nil
		for _, f := range fields {
			t.Columns, row = append(t.Columns, f.Name), append(row, f.Value)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// recordOf shows fields, a line for each that isn't empty.
func recordOf(fields []shell.Field) shell.Record {
	var lines []string
	for _, f := range fields {
		if text := fmt.Sprint(f.Value); text != "" {
			lines = append(lines, fmt.Sprintf("%-14s %s", f.Name, text))
		}
	}
	return shell.Record{Line: strings.Join(lines, "\n"), Fields: fields}
}

// layerFields says what layer i of the folded network is and how it is quantised.
func (s session) layerFields(i int) []shell.Field {
	n := s.teacher.folded
	l := n.Layers[i]
	u := slices.IndexFunc(n.Units, func(unit models.Unit) bool { return i >= unit.First && i <= unit.Last })
	weight, output := "", ""
	if w, ok := s.student.Weights[l.Name]; ok {
		weight = fmt.Sprintf("%.4g to %.4g by channel", slices.Min(w.Scale), slices.Max(w.Scale))
	}
	if a, ok := s.student.Acts[l.Name]; ok {
		output = fmt.Sprintf("%.4g, zero point %g", a.Scale, a.Zero)
	}
	bits := "full precision"
	if lb, ok := s.bits()[l.Name]; ok {
		bits = bitsText(lb)
	}
	return []shell.Field{{Name: "unit", Value: s.unitName(u)}, {Name: "layer", Value: l.Name},
		{Name: "kind", Value: l.Op.Kind()}, {Name: "reads", Value: strings.Join(l.Inputs, ", ")},
		{Name: "output", Value: shapeText(n.Shapes()[i])}, {Name: "parameters", Value: shell.Count(parameters(n, i, i))},
		{Name: "bits", Value: bits}, {Name: "weight scale", Value: weight}, {Name: "output scale", Value: output},
		{Name: "state", Value: s.stateText(u)}}
}
