package models

import "testing"

func TestPad(t *testing.T) {
	constant := PadAxes{Before: []int{1, 0, -1}, After: []int{0, -1, 2}, Value: 0.5}
	cases := []opCase{
		layerCase("pad", constant, []operand{normal(2, 2, 3, 4)}, picked([]int{2, 3, 4}, []int{3, 2, 5}, 0.5,
			func(at []int) []int {
				if at[0] == 0 || at[2] >= 3 {
					return nil
				}
				return []int{at[0] - 1, at[1], at[2] + 1}
			})),
		pickCase("pad by nothing", PadAxes{Before: []int{0}, After: []int{0}}, []int{3}, []int{3},
			func(at []int) []int { return at }),
	}
	// Values of numpy.pad(range(3), (4, 5), mode) and numpy.pad([0], (1, 2), mode).
	for mode, want := range map[PadMode][]int{
		PadReflect: {0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1},
		PadEdge:    {0, 0, 0, 0, 0, 1, 2, 2, 2, 2, 2, 2},
		PadWrap:    {2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1},
	} {
		op := PadAxes{Before: []int{0, 4}, After: []int{0, 5}, Mode: mode}
		cases = append(cases, pickCase(mode.String(), op, []int{2, 3}, []int{2, 12},
			func(at []int) []int { return []int{at[0], want[at[1]]} }))
		op = PadAxes{Before: []int{1}, After: []int{2}, Mode: mode}
		cases = append(cases, pickCase(mode.String()+" of one", op, []int{1}, []int{4},
			func([]int) []int { return []int{0} }))
	}
	compareOps(t, cases)
}

func TestPadErrors(t *testing.T) {
	refuse(t, []refusal{
		{PadAxes{Before: []int{1}}, nil, "adds [1] before and [] after by constant; both are for the same axes"},
		{PadAxes{Mode: 4}, nil, "by PadMode(4); both are for the same axes, and the mode constant, reflect, edge or wrap"},
		{PadAxes{Before: []int{-1}, After: []int{0}, Mode: PadEdge}, nil, "only the mode constant takes negative numbers"},
		{PadAxes{Before: []int{1}, After: []int{0}}, [][]int{{2, 3}}, "takes an input of 1 dimensions"},
		{PadAxes{Before: []int{-1}, After: []int{-2}}, [][]int{{3}}, "cuts 3 positions off axis 0, which has 3"},
	})
}
