package pdq

import (
	"strings"
	"testing"
)

// TestEmptyTerm: a term without a graph is an error that names it.
func TestEmptyTerm(t *testing.T) {
	q, err := New(anyBackend(t), tinyProblem(t, 8), tinyConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	s, d := prepare(t, q, 0)
	q.Terms = append(q.Terms, Term{Name: "mine", Weight: 1})
	if _, err := q.NewRounder(s, d); err == nil || !strings.Contains(err.Error(), `the term "mine" has neither`) {
		t.Errorf("error %v", err)
	}
}
