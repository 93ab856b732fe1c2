package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/pdquant/pdquant/pdq/backend"
	"github.com/pdquant/pdquant/pdq/experiment"
)

// own is pdquant's name among the peers.
const own = "pdquant"

// own quantises by pdquant, with the preset quick.
func (s settings) own(ctx context.Context, j job, subject experiment.Subject) (o outcome, err error) {
	g := experiment.Grid{Subjects: []experiment.Subject{subject}, Bits: []experiment.Width{{W: j.w, A: j.a}},
		Seeds: experiment.Seeds(1), Images: subject.Pool.Len(), Preset: "quick", Command: "go run ./internal/peers"}
	if g.Methods, err = experiment.ParseMethods(j.setting); err != nil {
		return o, err
	}
	if g.Backend, g.Note, err = backend.Open(s.backend); err != nil {
		return o, err
	}
	folder, err := experiment.CreateFolder(fmt.Sprintf("%s/%s half-%s", s.runs, own, s.half))
	if err != nil {
		return o, err
	}
	results, err := g.Run(ctx, folder)
	if err != nil {
		return o, err
	}
	r := results[len(results)-1]
	return outcome{Versions: strings.ReplaceAll(r.Versions, "\t", " "), Seconds: r.Seconds, Right: r.Right.Top1}, nil
}
