// Package pickle reads what Python's pickle module writes, but runs none of it.
package pickle

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"strings"
)

const (
	MaxOps   = 1 << 21 // most opcodes of one pickle: a value takes about 100 bytes, so 200 MB
	MaxText  = 1 << 16 // longest string that a Decoder keeps unless told otherwise; a tensor's name is far shorter
	maxClass = 1 << 10 // longest name of a class
	// Functions, classes and copies may make at most maxSlack bytes, plus maxGrowth times the bytes read, from memoised
	// text and pairs.
	maxGrowth, maxSlack = 4, 1 << 16
)

// The values of a pickle become nil, bool, int64, float64, string (for text and for bytes), or one of these types.
type (
	// Class is a class or function, "module.name".
	Class string
	// Tuple is a tuple, list or set.
	Tuple struct{ Items []any }
	// Dict is a dict or OrderedDict: a later key replaces an earlier one.
	Dict struct{ Keys, Values []any }
	// Long is an integer of more than 8 bytes, little-endian.
	Long string
	// Object stands for the result of an unknown class or function.
	Object struct {
		Class Class
		State any // what it was to be filled with; nil: nothing
	}
)

// Get returns the value of key, or nil if there is none.
func (d *Dict) Get(key string) any {
	for i := len(d.Keys) - 1; i >= 0; i-- {
		if d.Keys[i] == key {
			return d.Values[i]
		}
	}
	return nil
}

// Decoder reads pickles as Python's pickle module does, but knows no classes and runs nothing: Call returns the results
// of functions. Pickles have no jumps, and no opcode repeats work, so time and memory are bounded by the length of the
// input. Errors say at which byte.
//
// It reads all opcodes of protocols 0 to 5, except those for buffers outside the pickle and for copyreg's extension
// registry. Two libraries were tried instead. github.com/nlpodyssey/gopickle v0.3.0 always takes its own class for
// collections.OrderedDict, and refuses the pairs that Python 2 gives it, so checkpoints of that time can only be read
// by rewriting opcodes. It allocates what a length claims (9 bytes: 2 GB), panics on a long integer of no bytes (Python
// 2's 0) and on keys without a hash, and copies whole tuples and dicts for opcodes of a few bytes. Checks before it
// took 249 lines. github.com/kisielk/og-rek v1.3.0 has neither BUILD nor items of an OrderedDict, so it reads no state
// dict.
//
// Source: Python's Lib/pickletools.py, which describes every opcode.
type Decoder struct {
	R    *bufio.Reader
	Call func(f Class, args []any) (any, error) // what f of args is; an *Object is always right
	Load func(id []any) (any, error)            // what a persistent id, a tuple or a lone text, is; nil: there are none
	At   int64                                  // bytes read so far
	Text int64                                  // longest string that is kept; 0: MaxText. Longer ones become an Object

	stack []any
	marks []int // positions in stack
	memo  map[int64]any
	ops   int     // opcodes done
	start int64   // where the pickle starts
	made  int64   // bytes of what was made of values in the memo
	buf   [8]byte // of number
}

// Value reads one pickle.
func (u *Decoder) Value() (any, error) {
	u.stack, u.marks, u.memo, u.ops, u.start, u.made = nil, nil, map[int64]any{}, 0, u.At, 0
	for {
		start := u.At
		op, err := u.number(1)
		if err == nil && op == '.' {
			v, err := u.pop()
			return v, located(start, err)
		}
		if err == nil {
			err = u.step(byte(op))
		}
		if u.ops++; err == nil && u.ops > MaxOps {
			err = fmt.Errorf("a pickle of more than %d opcodes", MaxOps)
		}
		if err != nil {
			return nil, located(start, err)
		}
	}
}

// located adds the byte to err, which may be nil.
func located(at int64, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("byte %d: %w", at, err)
}

// step executes one opcode.
func (u *Decoder) step(op byte) error {
	v, ok, err := u.literal(op)
	if !ok {
		v, ok, err = u.printed(op)
	}
	if !ok {
		v, ok, err = u.compose(op)
	}
	if ok {
		u.stack = append(u.stack, v)
		return err
	}
	switch op {
	case 0x80: // PROTO
		version, err := u.number(1)
		if err == nil && version > 5 {
			err = fmt.Errorf("pickle protocol %d, only 0 to 5 are read", version)
		}
		return err
	case 0x95: // FRAME: its length is only of use to who reads ahead
		_, err := u.number(8)
		return err
	case '(': // MARK
		u.marks = append(u.marks, len(u.stack))
		return nil
	case '0': // POP
		_, err := u.pop()
		return err
	case '1': // POP_MARK
		_, err := u.popMark()
		return err
	case 'p', 'q', 'r', 0x94: // PUT, BINPUT, LONG_BINPUT, MEMOIZE
		return u.put(op)
	case 'a', 'e', 's', 'u', 0x90: // APPEND, APPENDS, SETITEM, SETITEMS, ADDITEMS
		return u.extend(op)
	case 'b': // BUILD: only of an Object is the state needed, not an OrderedDict's attributes
		state, err := u.pop()
		if err != nil {
			return err
		}
		to, err := u.top()
		if o, ok := to.(*Object); ok {
			o.State = state
		}
		return err
	}
	return fmt.Errorf("opcode 0x%02x is none that Python writes to a file", op)
}

// literal reads the argument of an opcode that pushes it. ok says whether op is such an opcode.
func (u *Decoder) literal(op byte) (v any, ok bool, err error) {
	switch op {
	case 'N':
		return nil, true, nil
	case 0x88, 0x89: // NEWTRUE, NEWFALSE
		return op == 0x88, true, nil
	case 'K': // BININT1
		v, err = u.number(1)
	case 'M': // BININT2
		v, err = u.number(2)
	case 'J': // BININT
		n, err := u.number(4)
		return int64(int32(n)), true, err
	case 0x8a: // LONG1
		v, err = u.long(1)
	case 0x8b: // LONG4
		v, err = u.long(4)
	case 'G': // BINFLOAT, the only number that is big-endian
		n, err := u.number(8)
		return math.Float64frombits(bits.ReverseBytes64(uint64(n))), true, err
	case 'U', 'C', 0x8c: // SHORT_BINSTRING, SHORT_BINBYTES, SHORT_BINUNICODE
		v, err = u.text(1)
	case 'T', 'B', 'X': // BINSTRING, BINBYTES, BINUNICODE
		v, err = u.text(4)
	case 0x8d, 0x8e, 0x96: // BINUNICODE8, BINBYTES8, BYTEARRAY8
		v, err = u.text(8)
	case 'h': // BINGET
		v, err = u.getNumbered(1)
	case 'j': // LONG_BINGET
		v, err = u.getNumbered(4)
	case 'c': // GLOBAL
		v, err = u.global()
	case '2': // DUP
		v, err = u.top()
	default:
		return nil, false, nil
	}
	return v, true, err
}

// compose makes one value of the topmost values. ok says whether op is an opcode that does that.
func (u *Decoder) compose(op byte) (v any, ok bool, err error) {
	var items []any
	switch op {
	case ')', ']', 0x8f: // EMPTY_TUPLE, EMPTY_LIST, EMPTY_SET
		return &Tuple{}, true, nil
	case '}': // EMPTY_DICT
		return &Dict{}, true, nil
	case 0x85, 0x86, 0x87: // TUPLE1, TUPLE2, TUPLE3
		items, err = u.popN(int(op) - 0x84)
		return &Tuple{items}, true, err
	case 't', 'l', 0x91: // TUPLE, LIST, FROZENSET
		items, err = u.popMark()
		return &Tuple{items}, true, err
	case 'd': // DICT
		if items, err = u.popMark(); err == nil {
			d := &Dict{}
			v, err = d, d.add(items)
		}
	case 'i': // INST
		if v, err = u.global(); err == nil {
			items, err = u.popMark()
		}
		if err == nil {
			v, err = u.reduce(v, &Tuple{items})
		}
	case 'o': // OBJ
		if items, err = u.popMark(); err == nil && len(items) == 0 {
			err = errors.New("an object without a class")
		}
		if err == nil {
			v, err = u.reduce(items[0], &Tuple{items[1:]})
		}
	case 'R', 0x81: // REDUCE, NEWOBJ
		if items, err = u.popN(2); err == nil {
			v, err = u.reduce(items[0], items[1])
		}
	case 0x92: // NEWOBJ_EX: keywords don't matter to an inert object
		if items, err = u.popN(3); err == nil {
			v, err = u.reduce(items[0], items[1])
		}
	case 0x93: // STACK_GLOBAL
		if items, err = u.popN(2); err == nil {
			v, err = u.named(items[0], items[1])
		}
	case 'Q': // BINPERSID
		if items, err = u.popN(1); err == nil {
			v, err = u.persistent(items[0])
		}
	default:
		return nil, false, nil
	}
	return v, true, err
}

// global reads the names of a module and of a class in it.
func (u *Decoder) global() (any, error) {
	module, isWhole, err := u.line(maxClass)
	if err != nil {
		return nil, err
	}
	name, areWhole, err := u.line(maxClass)
	if err == nil && !(isWhole && areWhole) {
		err = fmt.Errorf("a class whose name is longer than %d bytes", maxClass)
	}
	if err != nil {
		return nil, err
	}
	return u.named(module, name)
}

// named returns the class with the given module and name.
func (u *Decoder) named(module, name any) (any, error) {
	m, isText := module.(string)
	n, areTexts := name.(string)
	if !isText || !areTexts || len(m)+len(n) > maxClass {
		return nil, fmt.Errorf("a class whose name is not a string of up to %d bytes", maxClass)
	}
	return Class(m + "." + n), u.charge(len(m) + len(n))
}

// charge counts bytes made from values in the memo, which a pickle may use again and again.
func (u *Decoder) charge(bytes int) error {
	u.made += int64(bytes)
	if read := u.At - u.start; u.made > maxGrowth*read+maxSlack {
		return fmt.Errorf("a pickle that makes %d bytes of %d by copies of text or pairs", u.made, read)
	}
	return nil
}

// persistent returns the value that id stands for: id is a tuple or, in protocol 0, text.
func (u *Decoder) persistent(id any) (any, error) {
	if u.Load == nil {
		return nil, errors.New("a persistent id, where there are none")
	}
	if t, ok := id.(*Tuple); ok {
		return u.Load(t.Items)
	}
	return u.Load([]any{id})
}

// reduce returns the result of f, by Call.
func (u *Decoder) reduce(f, args any) (any, error) {
	a, ok := args.(*Tuple)
	if !ok {
		return nil, errors.New("arguments that are no tuple")
	}
	switch f := f.(type) {
	case Class:
		if f == "collections.OrderedDict" {
			return u.orderedDict(a.Items)
		}
		v, err := u.Call(f, a.Items)
		if text, ok := v.(string); ok && err == nil {
			err = u.charge(len(text))
		}
		return v, err
	case *Object: // what an unknown function returned
		return f, nil
	}
	return nil, errors.New("a call of what is no function")
}

// orderedDict makes an OrderedDict. Python 3 fills it later; Python 2 gives it a list of pairs here.
func (u *Decoder) orderedDict(args []any) (any, error) {
	d := &Dict{}
	if len(args) == 0 {
		return d, nil
	}
	pairs, ok := args[0].(*Tuple)
	if !ok {
		return nil, errors.New("an OrderedDict of what is no list")
	}
	if err := u.charge(32 * len(pairs.Items)); err != nil {
		return nil, err
	}
	for _, p := range pairs.Items {
		pair, ok := p.(*Tuple)
		if !ok || len(pair.Items) != 2 {
			return nil, errors.New("an OrderedDict of what are no pairs")
		}
		d.Keys, d.Values = append(d.Keys, pair.Items[0]), append(d.Values, pair.Items[1])
	}
	return d, nil
}

// extend adds the topmost values to the list, set or dict below them.
func (u *Decoder) extend(op byte) error {
	var items []any
	var err error
	switch op {
	case 'a':
		items, err = u.popN(1)
	case 's':
		items, err = u.popN(2)
	default:
		items, err = u.popMark()
	}
	if err != nil {
		return err
	}
	to, err := u.top()
	if err != nil {
		return err
	}
	pairs := op == 's' || op == 'u'
	switch to := to.(type) {
	case *Tuple:
		if !pairs {
			to.Items = append(to.Items, items...)
			return nil
		}
	case *Dict:
		if pairs {
			return to.add(items)
		}
	case *Object: // a list or dict of an unknown class
		return nil
	}
	return errors.New("items for what cannot hold them")
}

// add adds keys, each followed by its value.
func (d *Dict) add(items []any) error {
	if len(items)%2 != 0 {
		return errors.New("a key without a value")
	}
	for i := 0; i < len(items); i += 2 {
		d.Keys, d.Values = append(d.Keys, items[i]), append(d.Values, items[i+1])
	}
	return nil
}

// put keeps the topmost value in the memo.
func (u *Decoder) put(op byte) error {
	key, err := int64(len(u.memo)), error(nil)
	switch op {
	case 'p':
		var line string
		if line, _, err = u.line(maxClass); err == nil {
			key, err = memoKey(line)
		}
	case 'q':
		key, err = u.number(1)
	case 'r':
		key, err = u.number(4)
	}
	if err != nil {
		return err
	}
	u.memo[key], err = u.top()
	return err
}

// getNumbered returns the value in the memo whose key is the next size bytes.
func (u *Decoder) getNumbered(size int) (any, error) {
	key, err := u.number(size)
	if err != nil {
		return nil, err
	}
	return u.get(key)
}

// get returns the value in the memo with the given key.
func (u *Decoder) get(key int64) (any, error) {
	v, ok := u.memo[key]
	if !ok {
		return nil, fmt.Errorf("memo %d, which holds nothing", key)
	}
	return v, nil
}

// floor returns the position of the topmost mark in the stack. pop and top don't go below it.
func (u *Decoder) floor() int {
	if len(u.marks) == 0 {
		return 0
	}
	return u.marks[len(u.marks)-1]
}

func (u *Decoder) top() (any, error) {
	if len(u.stack) <= u.floor() {
		return nil, errors.New("nothing on the stack")
	}
	return u.stack[len(u.stack)-1], nil
}

func (u *Decoder) pop() (any, error) {
	v, err := u.top()
	if err == nil {
		u.stack = u.stack[:len(u.stack)-1]
	}
	return v, err
}

// popN removes and returns the n topmost values, the lowest first.
func (u *Decoder) popN(n int) ([]any, error) {
	from := len(u.stack) - n
	if from < u.floor() {
		return nil, fmt.Errorf("%d values on the stack, not %d", len(u.stack)-u.floor(), n)
	}
	items := append([]any(nil), u.stack[from:]...)
	u.stack = u.stack[:from]
	return items, nil
}

// popMark removes and returns the values above the topmost mark, and the mark.
func (u *Decoder) popMark() ([]any, error) {
	if len(u.marks) == 0 {
		return nil, errors.New("no mark on the stack")
	}
	items, err := u.popN(len(u.stack) - u.floor())
	u.marks = u.marks[:len(u.marks)-1]
	return items, err
}

// fill reads len(b) bytes into b.
func (u *Decoder) fill(b []byte) error {
	n, err := io.ReadFull(u.R, b)
	u.At += int64(n)
	return u.ended(err)
}

// ended turns io.EOF and the like into a message, and returns other errors as they are.
func (u *Decoder) ended(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the file ends within a pickle, after %d bytes", u.At)
	}
	return err
}

// number reads size bytes, 0 to 8, as an unsigned integer; one of 1<<63 or more is negative.
func (u *Decoder) number(size int) (int64, error) {
	u.buf = [8]byte{}
	err := u.fill(u.buf[:size])
	return int64(binary.LittleEndian.Uint64(u.buf[:])), err
}

// long reads a signed integer whose length is in its first size bytes.
func (u *Decoder) long(size int) (any, error) {
	v, err := u.text(size)
	b, ok := v.(string)
	if !ok || err != nil || len(b) > 8 {
		if ok {
			v = Long(b)
		}
		return v, err
	}
	var n int64
	for i := range len(b) {
		n |= int64(b[i]) << (8 * i)
	}
	unused := 64 - 8*len(b)
	return n << unused >> unused, nil // extends the sign
}

// text reads a string whose length is in its first size bytes. It skips a string that is too long to keep, and returns
// an Object for it.
func (u *Decoder) text(size int) (any, error) {
	n, err := u.number(size)
	if err != nil {
		return nil, err
	}
	if n >= 0 && n <= max(u.Text, MaxText) {
		var b strings.Builder // grows with what is there, whatever is claimed
		passed, err := io.CopyN(&b, u.R, n)
		u.At += passed
		return b.String(), u.ended(err)
	}
	passed, err := io.CopyN(io.Discard, u.R, max(n, 0))
	u.At += passed
	if n < 0 {
		err = io.EOF // no file is that long
	}
	return &Object{Class: "a long string"}, u.ended(err)
}
