package models

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestOps: Ops lists every type of this package that is an Op, and no two have the same kind.
func TestOps(t *testing.T) {
	var listed, kinds []string
	for _, op := range Ops() {
		listed = append(listed, reflect.TypeOf(op).Name())
		if slices.Contains(kinds, op.Kind()) {
			t.Errorf("two kinds are called %s", op.Kind())
		}
		kinds = append(kinds, op.Kind())
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			m, ok := d.(*ast.FuncDecl)
			if !ok || m.Recv == nil || m.Name.Name != "Kind" {
				continue
			}
			if name := m.Recv.List[0].Type.(*ast.Ident).Name; !slices.Contains(listed, name) {
				t.Errorf("%s isn't in Ops", name)
			}
		}
	}
}
