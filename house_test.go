// Package pdquant_test states the rules of the house and checks that the tree obeys them.
package pdquant_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

const module = "github.com/pdquant/pdquant/"

// mayImport is policy: change the code, not this table. A folder may import the folders listed for it, itself, and the
// root's internal folder, which has helpers.
var mayImport = map[string][]string{
	"datasets":  {},
	"models":    {"datasets"},
	"pdq":       {"models", "datasets"},
	"repl":      {"pdq", "models", "datasets"},
	"notebooks": {"pdq", "models", "datasets"},
	"internal":  {"pdq", "models", "datasets"},
}

// below lists, for packages within a folder, the packages of that folder that build on them, and that they may not
// import.
var below = map[string][]string{
	"models":            {"models/arch", "models/checkpoint"},
	"models/checkpoint": {"models/arch"},
	"pdq":               {"pdq/look", "pdq/experiment", "pdq/export", "pdq/backend", "pdq/plot"},
	"pdq/internal/exec": {"pdq", "pdq/look", "pdq/experiment", "pdq/export"},
	"pdq/look":          {"pdq/experiment"},
	"pdq/backend":       {"pdq"},
	"pdq/plot":          {"pdq"},
}

// strict lists packages that may import fewer of our packages than their folder may.
var strict = map[string][]string{
	"repl/shell":  {}, // knows nothing of pdq
	"repl/kernel": {"repl/shell", "repl/kernel/zmtp"},
}

// generated lists pages that programs write.
var generated = []string{"repl/MANUAL.md"}

type pkg struct {
	ImportPath, Dir         string
	GoFiles, IgnoredGoFiles []string // files built here, and files that build tags leave out
	Imports                 []string
}

func packages(t *testing.T) (ps []pkg) {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,GoFiles,IgnoredGoFiles,Imports", "./...")
	cmd.Env = append(os.Environ(), "GOTOOLCHAIN=auto", "GOEXPERIMENT=simd")
	out, err := cmd.Output()
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		t.Fatalf("go list: %v\n%s", err, e.Stderr)
	} else if err != nil {
		t.Fatal(err)
	}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return ps
		} else if err != nil {
			t.Fatal(err)
		}
		ps = append(ps, p)
	}
}

// top returns the first folder in the import path of one of our packages, "" for others.
func top(path string) string {
	rest, ok := strings.CutPrefix(path, module)
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, "/")
	return name
}

// TestImports: imports point one way, repl → pdq → models → datasets.
func TestImports(t *testing.T) {
	for _, p := range packages(t) {
		from := top(p.ImportPath)
		if from == "" {
			continue // this folder
		}
		allowed, ok := mayImport[from]
		if !ok {
			t.Errorf("%s: no rule for this folder in mayImport", p.ImportPath)
		}
		for _, imp := range p.Imports {
			if to := top(imp); to != "" && to != from && to != "internal" && !slices.Contains(allowed, to) {
				t.Errorf("%s imports %s; %s may import only %v", p.ImportPath, imp, from, allowed)
			}
			name := strings.TrimPrefix(p.ImportPath, module)
			only, ok := strict[name]
			if to := top(imp); ok && to != "" && to != "internal" && !slices.Contains(only, strings.TrimPrefix(imp, module)) {
				t.Errorf("%s imports %s; of our packages it may import only %v", name, imp, only)
			}
			if slices.Contains(below[name], strings.TrimPrefix(imp, module)) {
				t.Errorf("%s imports %s, which builds on it", name, imp)
			}
		}
	}
}

// TestSource checks the files of all packages and commands: exported names and packages have comments, functions are
// short, and there are no package variables and no init functions.
func TestSource(t *testing.T) {
	fset := token.NewFileSet()
	for _, p := range packages(t) {
		documented := len(p.GoFiles) == 0
		for _, name := range slices.Concat(p.GoFiles, p.IgnoredGoFiles) {
			f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			documented = documented || f.Doc != nil
			for _, complaint := range check(fset, f) {
				t.Error(complaint)
			}
		}
		if !documented {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}

// TestCheck gives check a file that breaks each rule and has all exceptions.
func TestCheck(t *testing.T) {
	const src = `package p
var state int
var errKnown = 1
//go:embed a.txt
var embedded []byte
var (
	//go:embed b.txt
	grouped []byte
	other string
)
type T struct{}
// U has a comment.
type U struct{}
type (
	// V has one in a group.
	V int
	W int
)
func F() {}
func (T) M() {}
func (*T) String() string { return "" }
func (t *T) N() {}
func (g *G[K]) O() {}
type G[K any] struct{}
type hidden struct{}
func (hidden) M() {}
func init() {}
`
	short := "func short() {" + strings.Repeat("\n", 79) + "}\n"
	long := "func long() {" + strings.Repeat("\n", 80) + "}\n"
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "p.go", src+short+long, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	got := check(fset, f)
	for _, want := range []string{"variable state", "variable other", "exported T ", "exported W ", "exported F ",
		"exported M ", "exported N ", "exported O ", "exported G ", "init function", "long has more than 80"} {
		i := slices.IndexFunc(got, func(s string) bool { return strings.Contains(s, want) })
		if i < 0 {
			t.Errorf("no complaint about %q", want)
			continue
		}
		got = slices.Delete(got, i, i+1)
	}
	if len(got) > 0 {
		t.Errorf("false complaints: %q", got)
	}
}

// check returns a complaint for each place in f that breaks a rule.
func check(fset *token.FileSet, f *ast.File) (complaints []string) {
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			complaints = append(complaints, checkFunc(fset, d)...)
		case *ast.GenDecl:
			for _, s := range d.Specs {
				pos := fset.Position(s.Pos()).String()
				switch s := s.(type) {
				case *ast.TypeSpec:
					if s.Name.IsExported() && s.Doc == nil && (d.Doc == nil || d.Lparen.IsValid()) {
						complaints = append(complaints, pos+": exported "+s.Name.Name+" has no doc comment")
					}
				case *ast.ValueSpec:
					if d.Tok == token.VAR && !embeds(d.Doc) && !embeds(s.Doc) {
						complaints = append(complaints, checkVars(pos, s)...)
					}
				}
			}
		}
	}
	return complaints
}

func checkFunc(fset *token.FileSet, d *ast.FuncDecl) (complaints []string) {
	pos := fset.Position(d.Pos())
	if n := fset.Position(d.End()).Line - pos.Line + 1; n > 80 {
		complaints = append(complaints, pos.String()+": "+d.Name.Name+" has more than 80 lines")
	}
	known := slices.Contains([]string{"String", "Error", "Unwrap"}, d.Name.Name) // readers know what these do
	if d.Name.IsExported() && d.Doc == nil && (d.Recv == nil || receiverExported(d) && !known) {
		complaints = append(complaints, pos.String()+": exported "+d.Name.Name+" has no doc comment")
	}
	if d.Recv == nil && d.Name.Name == "init" {
		complaints = append(complaints, pos.String()+": init function")
	}
	return complaints
}

// checkVars allows error values and nothing else.
func checkVars(pos string, s *ast.ValueSpec) (complaints []string) {
	for _, n := range s.Names {
		if n.Name != "_" && !strings.HasPrefix(strings.ToLower(n.Name), "err") {
			complaints = append(complaints, pos+": package variable "+n.Name)
		}
	}
	return complaints
}

// embeds says whether a comment has a go:embed directive. Such a variable is a file, read at build time.
func embeds(doc *ast.CommentGroup) bool {
	return doc != nil && slices.ContainsFunc(doc.List,
		func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") })
}

// receiverExported says whether the method's type is exported.
func receiverExported(d *ast.FuncDecl) bool {
	typ := d.Recv.List[0].Type
	for {
		switch t := typ.(type) {
		case *ast.StarExpr:
			typ = t.X
		case *ast.IndexExpr: // T[P]
			typ = t.X
		case *ast.IndexListExpr: // T[P, Q]
			typ = t.X
		case *ast.Ident:
			return t.IsExported()
		default:
			return false
		}
	}
}

// TestLines: no line of a Go file and no prose line of a Markdown file has more than 120 characters.
func TestLines(t *testing.T) {
	err := filepath.WalkDir(".", func(path string, e fs.DirEntry, err error) error {
		path = filepath.ToSlash(path)
		switch {
		case err != nil:
			return err
		case path != "." && strings.HasPrefix(e.Name(), "."):
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		case e.IsDir() || slices.Contains(generated, path):
			return nil
		}
		long := longLines
		switch filepath.Ext(path) {
		case ".go":
		case ".md":
			long = longProse
		default:
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, number := range long(string(text)) {
			t.Errorf("%s:%d: more than 120 characters", path, number)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestLongLines gives longLines and longProse lines of 120 and 121 characters, and the exceptions of Markdown.
func TestLongLines(t *testing.T) {
	full, over := strings.Repeat("é", 120), strings.Repeat("é ", 60)+"e"
	if got, want := longLines(full+"\n"+over+"\n\t"+full+"\n"+over), []int{2, 3, 4}; !slices.Equal(got, want) {
		t.Errorf("long lines of code are %v, want %v", got, want)
	}
	page := []string{full, over, "| " + over + " |", "", "    " + over, "", "- text", "  " + over,
		"```", over, "```", over, "https://example.org/" + full, "- [a long link](" + full + ")", "# " + over}
	if got, want := longProse(strings.Join(page, "\n")), []int{2, 8, 12, 15}; !slices.Equal(got, want) {
		t.Errorf("long lines of prose are %v, want %v", got, want)
	}
}

// longLines returns the numbers of the lines that have more than 120 characters.
func longLines(text string) (numbers []int) {
	number := 0
	for line := range strings.Lines(text) {
		number++
		if utf8.RuneCountInString(strings.TrimRight(line, "\r\n")) > 120 {
			numbers = append(numbers, number)
		}
	}
	return numbers
}

// longProse returns the numbers of the long lines of a Markdown page that are prose: not code, not a row of a table,
// not a link alone.
func longProse(page string) (numbers []int) {
	exempt := regexp.MustCompile(`^(\s*\||    |\t|\s*([-*] )?(\S+|\[[^\]]*\]\(\S+\))\s*$)`)
	lines := strings.Split(page, "\n")
	fenced := false
	for i, line := range lines {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			fenced = !fenced
		}
		if fenced || exempt.MatchString(line) {
			lines[i] = ""
		}
	}
	return longLines(strings.Join(lines, "\n"))
}

// TestReadme: the README has at most 8 KB, and its lines of Go are in an example that runs.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	if len(readme) > 8<<10 {
		t.Errorf("the README has %d bytes; move parts to docs until it has at most 8192", len(readme))
	}
	examples, err := os.ReadFile("pdq/example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	statements := func(text []byte) (all []string) {
		for line := range strings.Lines(string(text)) {
			line, _, _ = strings.Cut(line, "//")
			all = append(all, strings.TrimSpace(line))
		}
		return all
	}
	shown := statements(examples)
	for i, block := range bytes.Split(readme, []byte("```")) {
		code, ok := bytes.CutPrefix(block, []byte("go\n"))
		if i%2 == 0 || !ok {
			continue
		}
		for _, line := range statements(code) {
			if !slices.Contains(shown, line) {
				t.Errorf("%q is in the README, but in no example of pdq", line)
			}
		}
	}
}
