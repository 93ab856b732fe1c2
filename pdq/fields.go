package pdq

import (
	_ "embed" // for the comments in config.go
	"encoding"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strconv"
	"strings"
)

//go:embed config.go
var configSource string

// Field describes one setting of a Config.
type Field struct {
	Name    string   // as in Go: "Rounding.Steps"
	Meaning string   // the field's comment
	Choices []string // values that it may have; nil: numbers or text
}

// Fields lists all fields of Config in their order, with their comments.
func Fields() ([]Field, error) {
	comments, err := fieldComments(configSource)
	if err != nil {
		return nil, fmt.Errorf("pdq: the comments of Config: %w", err)
	}
	var fields []Field
	config := reflect.TypeFor[Config]()
	for i := range config.NumField() {
		f := config.Field(i)
		if f.Type.Kind() != reflect.Struct {
			fields = append(fields, Field{f.Name, comments["Config."+f.Name], choicesOf(f.Type)})
			continue
		}
		for k := range f.Type.NumField() {
			field := f.Type.Field(k)
			fields = append(fields, Field{f.Name + "." + field.Name, comments[f.Type.Name()+"."+field.Name],
				choicesOf(field.Type)})
		}
	}
	return fields, nil
}

// number is a field that is one.
type number struct {
	name  string
	value float64
}

// numbers lists the fields of c that are floats, in their order.
func (c Config) numbers() (all []number) {
	config := reflect.ValueOf(c)
	for i := range config.NumField() {
		group := config.Field(i)
		for k := 0; group.Kind() == reflect.Struct && k < group.NumField(); k++ {
			if f := group.Field(k); f.CanFloat() {
				all = append(all, number{config.Type().Field(i).Name + "." + group.Type().Field(k).Name, f.Float()})
			}
		}
	}
	return all
}

// choicesOf lists the values of a type that has few.
func choicesOf(t reflect.Type) []string {
	if x, ok := reflect.Zero(t).Interface().(interface{ Choices() []string }); ok {
		return x.Choices()
	}
	if t.Kind() == reflect.Bool {
		return []string{"true", "false"}
	}
	return nil
}

// fieldComments returns the comments of struct fields by type and field. A comment stands behind its field, or above.
func fieldComments(source string) (map[string]string, error) {
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", source, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	comments := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		if s, ok := spec.Type.(*ast.StructType); ok {
			for _, f := range s.Fields.List {
				text := f.Comment.Text() + f.Doc.Text()
				for _, name := range f.Names {
					comments[spec.Name.Name+"."+name.Name] = strings.Join(strings.Fields(text), " ")
				}
			}
		}
		return true
	})
	return comments, nil
}

// Get returns the value of the field called name as text. Fields lists the names.
func (c Config) Get(name string) (string, error) {
	v, err := c.field(name)
	if err != nil {
		return "", err
	}
	return fmt.Sprint(v.Interface()), nil
}

// Set returns c with the field called name set to the value in text. It doesn't validate the result.
func (c Config) Set(name, text string) (Config, error) {
	v, err := (&c).field(name)
	if err != nil {
		return c, err
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if err := u.UnmarshalText([]byte(text)); err != nil {
			return c, fmt.Errorf("%s: %w", name, err)
		}
		return c, nil
	}
	switch v.Kind() {
	case reflect.Int, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return c, fmt.Errorf("pdq: %s=%s; give a whole number", name, text)
		}
		v.SetInt(n)
	case reflect.Uint64:
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return c, fmt.Errorf("pdq: %s=%s; give a whole number that isn't negative", name, text)
		}
		v.SetUint(n)
	case reflect.Float64:
		x, err := strconv.ParseFloat(text, 64)
		if err != nil || x-x != 0 {
			return c, fmt.Errorf("pdq: %s=%s; give a number", name, text)
		}
		v.SetFloat(x)
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		on, err := strconv.ParseBool(text)
		if err != nil {
			return c, fmt.Errorf("pdq: %s=%s; give true or false", name, text)
		}
		v.SetBool(on)
	default:
		return c, fmt.Errorf("pdq: %s is a %v, which has no text form", name, v.Kind())
	}
	return c, nil
}

// field returns the field called name of c.
func (c *Config) field(name string) (reflect.Value, error) {
	v := reflect.ValueOf(c).Elem()
	for part := range strings.SplitSeq(name, ".") {
		if v.Kind() != reflect.Struct || !v.FieldByName(part).IsValid() {
			return v, fmt.Errorf("pdq: Config has no field %q", name)
		}
		v = v.FieldByName(part)
	}
	if v.Kind() == reflect.Struct {
		return v, fmt.Errorf("pdq: %s is a group of fields; name one of them", name)
	}
	return v, nil
}

// Differs returns the first field in which c and other differ, as "Loss.PD=10, now 3", or "" if there is none. It
// ignores Machine, which changes at most the last bits of results.
func (c Config) Differs(other Config) string {
	c.Machine, other.Machine = MachineConfig{}, MachineConfig{}
	if c == other {
		return ""
	}
	fields, err := Fields()
	if err != nil {
		return err.Error()
	}
	for _, f := range fields {
		was, _ := c.Get(f.Name) // no error: Fields lists names that Get knows
		if is, _ := other.Get(f.Name); was != is {
			return fmt.Sprintf("%s=%s, now %s", f.Name, was, is)
		}
	}
	return "the first and last layer's bits"
}
