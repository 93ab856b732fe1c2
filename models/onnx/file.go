package onnx

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/gomlx/compute-onnx/support/protos"
	"google.golang.org/protobuf/proto"

	"github.com/pdquant/pdquant/models"
)

// maxFile is the most bytes of a file without external data: what a protobuf message can have.
const maxFile = 2 << 30

// The versions of the format that are read.
const (
	oldestOpset, newestOpset = 6, 25
	oldestIR, newestIR       = 3, 13
)

// Options choose what of a file is read. The zero Options read a file with one input and one output.
type Options struct {
	Input  string // the images; "": the only input
	Output string // the logits; "": the only output
	Units  string // how layers make units: a pattern or a file, as Cut takes them; "": by shortcuts and names

	Channels, Height, Width int // of an image, where the file leaves them open; 0: the file must fix them
}

// ErrOpen occurs where a file leaves axes of its images open, and Options don't say their sizes.
var ErrOpen = errors.New("leaves the size of its images open")

// Model is what a file holds.
type Model struct {
	Network *models.Network
	Weights models.Weights
	Opset   int                 // of ONNX's own operators
	Logits  string              // name of the output that is read
	SHA256  string              // of the file, hex; Open sets it
	Nodes   map[string][]string // for each layer, the names of the nodes that it stands for
	Places  map[string]Place    // for each layer, its tensors in the graph
	Notes   []string            // what the user should know, a line each

	// Proto is what was read, with the file's functions inlined. It has the data of weights even if they came from
	// another file.
	Proto *protos.ModelProto
}

// Open reads the classifier in the file at path. External data must lie in the file's folder. The error names the file
// and the node.
func Open(path string, o Options) (*Model, error) {
	m, err := open(path, o)
	if err != nil {
		return nil, fmt.Errorf("onnx: %s: %w", filepath.Base(path), err)
	}
	return m, nil
}

func open(path string, o Options) (*Model, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return nil, err
	} else if info.IsDir() {
		return nil, errors.New("is a folder; give a .onnx file")
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	m, err := parse(data)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	r, err := read(m, root, o)
	if err != nil {
		return nil, err
	}
	r.SHA256 = fmt.Sprintf("%x", sha256.Sum256(data))
	return r, nil
}

// Read reads the classifier in m, which holds all its data itself.
func Read(m *protos.ModelProto, o Options) (*Model, error) {
	r, err := read(m, nil, o)
	if err != nil {
		return nil, fmt.Errorf("onnx: %w", err)
	}
	return r, nil
}

// parse decodes a file.
func parse(data []byte) (*protos.ModelProto, error) {
	if len(data) > maxFile {
		return nil, errors.New("has more than 2 GiB; export it with its weights as external data")
	}
	m := &protos.ModelProto{}
	if err := proto.Unmarshal(data, m); err != nil {
		return nil, errors.New("isn't an ONNX file, or is cut short; export it again")
	}
	if m.GetGraph() == nil || len(m.GetGraph().GetNode()) == 0 {
		return nil, errors.New("has no graph: it isn't an ONNX file, or is cut short; export it again")
	}
	return m, nil
}

// read imports m. root is the folder of its external data, or nil.
func read(m *protos.ModelProto, root *os.Root, o Options) (*Model, error) {
	opset, err := versions(m)
	if err != nil {
		return nil, err
	}
	if m, err = withoutFunctions(m); err != nil {
		return nil, err
	}
	g, err := newGraph(m.GetGraph(), o)
	if err != nil {
		return nil, err
	}
	im := newImporter(g, root, opset)
	im.options = o
	if err := im.run(); err != nil {
		return nil, err
	}
	r, err := im.finish()
	if err == nil {
		r.Proto = m
	}
	return r, err
}

// versions returns the opset of m. The error says what is wrong with it or with the version of the format.
func versions(m *protos.ModelProto) (int, error) {
	if ir := m.GetIrVersion(); ir < oldestIR || ir > newestIR {
		return 0, fmt.Errorf("has IR version %d; versions %d to %d are read: export it for one of them", ir, oldestIR,
			newestIR)
	}
	opset := int64(0)
	var domains []string
	for _, s := range m.GetOpsetImport() {
		if isONNX(s.GetDomain()) {
			opset = max(opset, s.GetVersion())
		} else {
			domains = append(domains, s.GetDomain())
		}
	}
	if opset == 0 && len(domains) > 0 {
		return 0, fmt.Errorf("has no opset of ONNX's own operators, only of %s; a classifier of images is made of the former",
			strings.Join(domains, ", "))
	}
	if opset < oldestOpset || opset > newestOpset {
		return 0, fmt.Errorf("has opset %d; opsets %d to %d are read: export it with one of them", opset, oldestOpset,
			newestOpset)
	}
	return int(opset), nil
}

// isONNX says whether domain is that of ONNX's own operators.
func isONNX(domain string) bool { return domain == "" || domain == "ai.onnx" }
