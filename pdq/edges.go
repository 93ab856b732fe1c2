package pdq

// Edges says on which outermost levels of a quantiser its clip blocks the gradient. Beyond them it always does. With x
// rounded to r = round(x/s)+z,
//
//	∂clip(r, 0, n)/∂r = 1 for 0 <= r <= n (Pass), for 0 < r < n (Block), 0 elsewhere
//
// The trap: at 2 bits about half of all values lie on an outermost level, so that half of the gradient differs. Where
// it is blocked, the scale's gradient is the level instead of round(x/s)-x/s, and what comes before gets none.
//
// Sources: torch.clamp passes the gradient on its bounds from PyTorch 0.4.1 (pull request 7049) to 2.12 (issue 184574),
// so also when the reference was written, and blocks it there in 2.15.
type Edges int

// The choices.
const (
	Pass         Edges = iota // the gradient passes on both (PyTorch up to 2.12)
	Block                     // on neither (PyTorch 2.15)
	BlockLowest               // on the highest only
	BlockHighest              // on the lowest only
)

func (e Edges) lowest() bool  { return e == Block || e == BlockLowest }
func (e Edges) highest() bool { return e == Block || e == BlockHighest }

// Choices lists the names of the choices.
func (Edges) Choices() []string { return edgeNames() }

func edgeNames() []string { return []string{"pass", "block", "block-lowest", "block-highest"} }

// String returns the choice's name.
func (e Edges) String() string { return enumName(edgeNames(), int(e)) }

// MarshalText returns the choice's name.
func (e Edges) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText sets e to the choice called text. The error lists the names.
func (e *Edges) UnmarshalText(text []byte) error { return enumValue(edgeNames(), text, (*int)(e)) }
