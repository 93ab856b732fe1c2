package pickle

import (
	"bufio"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// printed reads the argument of an opcode of protocol 0, which is a line of text, and returns its value. ok says
// whether op is such an opcode.
func (u *Decoder) printed(op byte) (v any, ok bool, err error) {
	if !strings.ContainsRune("ILFSVPg", rune(op)) {
		return nil, false, nil
	}
	line, whole, err := u.line(max(u.Text, MaxText))
	if err != nil || !whole {
		return &Object{Class: "a long string"}, true, err
	}
	switch op {
	case 'I': // INT
		if line == "00" || line == "01" {
			return line == "01", true, nil
		}
		v, err = integer(line)
	case 'L': // LONG
		v, err = integer(strings.TrimSuffix(line, "L"))
	case 'F': // FLOAT
		v, err = strconv.ParseFloat(line, 64)
	case 'S': // STRING
		v, err = unquoted(line)
	case 'V': // UNICODE
		v = unescaped(line)
	case 'P': // PERSID
		v, err = u.persistent(line)
	case 'g': // GET
		var key int64
		if key, err = memoKey(line); err == nil {
			v, err = u.get(key)
		}
	}
	if errors.Is(err, strconv.ErrSyntax) || errors.Is(err, strconv.ErrRange) {
		err = fmt.Errorf("%.50q is no number", line)
	}
	return v, true, err
}

// integer returns the integer with the decimal digits text, as an int64 or a Long.
func integer(text string) (any, error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, nil
	}
	if len(text) > maxClass { // time grows with the square of the length
		return nil, fmt.Errorf("an integer of %d digits, only %d are read", len(text), maxClass)
	}
	n, ok := new(big.Int).SetString(text, 10)
	if !ok {
		return nil, strconv.ErrSyntax
	}
	size := n.BitLen()/8 + 1 // with the sign
	if n.Sign() < 0 {
		n.Add(n, new(big.Int).Lsh(big.NewInt(1), uint(8*size)))
	}
	b := n.FillBytes(make([]byte, size))
	slices.Reverse(b)
	return Long(b), nil
}

// memoKey returns the number of a value in the memo.
func memoKey(text string) (int64, error) {
	key, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		err = fmt.Errorf("memo %.50q, which is no number", text)
	}
	return key, err
}

// unquoted returns the bytes of a string between quotes, as Python 2 prints it.
func unquoted(line string) (string, error) {
	if n := len(line); n < 2 || line[0] != line[n-1] || line[0] != '\'' && line[0] != '"' {
		return "", errors.New("a string without quotes")
	}
	quote, rest := line[0], line[1:len(line)-1]
	if !strings.Contains(rest, `\`) {
		return rest, nil
	}
	var b strings.Builder
	for rest != "" {
		if strings.HasPrefix(rest, `\'`) || strings.HasPrefix(rest, `\"`) { // whichever the quote is
			b.WriteByte(rest[1])
			rest = rest[2:]
			continue
		}
		if rest[0] != '\\' { // bytes that are no UTF-8 stay
			b.WriteByte(rest[0])
			rest = rest[1:]
			continue
		}
		c, _, tail, err := strconv.UnquoteChar(rest, quote)
		if err != nil {
			return "", fmt.Errorf("a string with %.4q", rest)
		}
		b.WriteByte(byte(c))
		rest = tail
	}
	return b.String(), nil
}

// unescaped returns text in which \uXXXX and \UXXXXXXXX stand for characters, and all other bytes are Latin-1.
func unescaped(line string) string {
	var b strings.Builder
	for i := 0; i < len(line); i++ {
		size := 0
		if line[i] == '\\' && i+1 < len(line) {
			size = map[byte]int{'u': 4, 'U': 8}[line[i+1]]
		}
		if size > 0 && i+2+size <= len(line) {
			if c, err := strconv.ParseUint(line[i+2:i+2+size], 16, 32); err == nil {
				b.WriteRune(rune(c))
				i += 1 + size
				continue
			}
		}
		b.WriteRune(rune(line[i]))
	}
	return b.String()
}

// line reads a line and removes its newline. If the line is longer than limit, it keeps only the start, and whole is
// false.
func (u *Decoder) line(limit int64) (line string, whole bool, err error) {
	var b strings.Builder
	for whole = true; ; {
		part, err := u.R.ReadSlice('\n')
		u.At += int64(len(part))
		if whole = whole && int64(b.Len()+len(part)) <= limit+1; whole {
			b.Write(part)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return strings.TrimSuffix(b.String(), "\n"), whole, u.ended(err)
		}
	}
}
