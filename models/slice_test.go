package models

import (
	"slices"
	"testing"
)

func TestSliceOps(t *testing.T) {
	var cases []opCase
	for _, s := range []struct {
		name              string
		start, stop, step int
		at                []int // of 7 positions
	}{
		{"slice", 2, 5, 1, []int{2, 3, 4}},
		{"slice of all", 0, 7, 1, []int{0, 1, 2, 3, 4, 5, 6}},
		{"slice, step 2", 1, 7, 2, []int{1, 3, 5}},
		{"slice, step 3, from the start", 0, 7, 3, []int{0, 3, 6}},
		{"slice, step 3, cut", 0, 6, 3, []int{0, 3}},
		{"slice, step beyond the end", 5, 7, 9, []int{5}},
		{"slice backwards", 4, 1, -1, []int{4, 3, 2}},
		{"slice backwards, all", 6, -1, -1, []int{6, 5, 4, 3, 2, 1, 0}},
		{"slice backwards, step 2", 5, -1, -2, []int{5, 3, 1}},
		{"slice backwards, step 3", 6, 0, -3, []int{6, 3}},
	} {
		op := Slicing{Axis: 1, Start: s.start, Stop: s.stop, Step: s.step}
		cases = append(cases, pickCase(s.name, op, []int{2, 7, 3}, []int{2, len(s.at), 3},
			func(i []int) []int { return []int{i[0], s.at[i[1]], i[2]} }))
	}
	for _, g := range []struct {
		name string
		at   []int // of 3 positions
	}{
		{"gather one", []int{1}},
		{"gather a range", []int{1, 2}},
		{"gather backwards", []int{2, 1, 0}},
		{"gather one twice", []int{1, 1}},
		{"gather each twice", []int{0, 0, 1, 1, 2, 2}},
		{"gather each many times", slices.Concat(slices.Repeat([]int{0}, 9), slices.Repeat([]int{1}, 9),
			slices.Repeat([]int{2}, 9))},
		{"gather in any order", []int{2, 0, 0, 1, 2, 2, 0}},
		{"gather some", []int{0, 2, 0}},
	} {
		for axis := range 3 {
			in, out := []int{3, 3, 3}, []int{3, 3, 3}
			out[axis] = len(g.at)
			cases = append(cases, pickCase(g.name, Gathering{Axis: axis, Indices: g.at}, in, out, func(i []int) []int {
				from := append([]int{}, i...)
				from[axis] = g.at[i[axis]]
				return from
			}))
		}
	}
	cases = append(cases, pickCase("gather one, dropped", Gathering{Axis: 1, Indices: []int{2}, Drop: true},
		[]int{2, 3, 4}, []int{2, 4}, func(i []int) []int { return []int{i[0], 2, i[1]} }))
	compareOps(t, cases)
}

func TestSliceErrors(t *testing.T) {
	refuse(t, []refusal{
		{Slicing{Start: 1, Stop: 2}, nil, "takes positions 1 to 2 in steps of 0; that must be one position or more"},
		{Slicing{Start: 2, Stop: 2, Step: 1}, nil, "takes positions 2 to 2 in steps of 1"},
		{Slicing{Start: 1, Stop: 2, Step: -1}, nil, "takes positions 1 to 2 in steps of -1"},
		{Slicing{Start: -1, Stop: 2, Step: 1}, nil, "takes positions -1 to 2"},
		{Slicing{Start: 1, Stop: -2, Step: -1}, nil, "takes positions 1 to -2"},
		{Slicing{Axis: 1, Stop: 1, Step: 1}, [][]int{{3}}, "works on axis 1, but its input has shape [3]"},
		{Slicing{Stop: 4, Step: 1}, [][]int{{3}}, "takes positions 0 to 4 of axis 0, which has 3"},
		{Slicing{Start: 3, Stop: -1, Step: -1}, [][]int{{3}}, "takes positions 3 to -1 of axis 0, which has 3"},
		{Gathering{}, nil, "takes 0 positions; it takes 1 or more"},
		{Gathering{Indices: []int{0, 1}, Drop: true}, nil, "takes 2 positions"},
		{Gathering{Axis: -1, Indices: []int{0}}, [][]int{{3}}, "works on axis -1"},
		{Gathering{Indices: []int{0, 3}}, [][]int{{3}}, "takes position 3 of axis 0, which has 3"},
		{Gathering{Indices: []int{-1}}, [][]int{{3}}, "takes position -1 of axis 0, which has 3"},
		{Gathering{Indices: []int{0}, Drop: true}, [][]int{{3}}, "drops the only axis of shape [3]"},
	})
}
