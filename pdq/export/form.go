package export

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Form is how a model holds levels.
type Form int

// The forms. All compute the same, but for the order of sums.
const (
	// Packed stores weights in 2, 4 or 8 bits, in the narrowest that has enough, but those of Linear in 4 or 8. 2 bits
	// need opset 25, 4 bits opset 21. Activations are quantised as in QCDQ.
	Packed Form = iota
	// QCDQ stores weights in 8 bits, and clips activations to their levels between QuantizeLinear and DequantizeLinear.
	QCDQ
	// Float stores weights on their levels in float32, and quantises activations with Div, Round, Clip and Mul. It holds
	// any zero point.
	Float
)

// Choices lists the names of forms.
func (Form) Choices() []string { return formNames() }

func formNames() []string { return []string{"packed", "qcdq", "float"} }

// String returns the form's name.
func (f Form) String() string {
	if f < 0 || int(f) >= len(formNames()) {
		return strconv.Itoa(int(f))
	}
	return formNames()[f]
}

// MarshalText returns the form's name.
func (f Form) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText sets f to the form called text. The error lists the names.
func (f *Form) UnmarshalText(text []byte) error {
	i := slices.Index(formNames(), string(text))
	if i < 0 {
		return fmt.Errorf("export: form %q is unknown; choose one of %s", text, strings.Join(formNames(), ", "))
	}
	*f = Form(i)
	return nil
}
