package checkpoint

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/pdquant/pdquant/internal/pickle"
)

// entry is a tensor of a state dict.
type entry struct {
	name string
	*strided
}

// dict is a state dict in a file of torch.save.
type dict struct {
	under   []string // the keys under which the file has it
	entries []entry
	objects map[string]string // descriptions of values that are neither understood tensors nor numbers nor text, by key
}

// holder is a dict that may be a state dict.
type holder struct {
	keys    []string // the keys under which the file has it
	dict    *pickle.Dict
	tensors int // number of tensors directly in it
}

// stateDict returns the state dict that root is or has: the one under a usual key or, if there is none, the one with
// the most tensors. Moving averages are taken only if there is no other.
func stateDict(root any) (dict, error) {
	d, ok := root.(*pickle.Dict)
	if !ok {
		return dict{}, fmt.Errorf("the file holds %s, not a state dict; load it in Python and write it again: %s",
			describe(root), torchSave)
	}
	all := holders(d)
	var usual, averages, others []holder
	for _, h := range all {
		switch {
		case slices.ContainsFunc(h.keys, averaged):
			averages = append(averages, h)
		case len(h.keys) > 0 && !slices.ContainsFunc(h.keys, func(key string) bool { return usualKey(key) < 0 }):
			usual = append(usual, h)
		default:
			others = append(others, h)
		}
	}
	if len(usual) > 0 {
		return entriesOf(slices.MinFunc(usual, func(a, b holder) int {
			return slices.CompareFunc(a.keys, b.keys, func(a, b string) int { return usualKey(a) - usualKey(b) })
		}))
	}
	most := 0
	for _, h := range all {
		most = max(most, h.tensors)
	}
	few := func(h holder) bool { return 2*h.tensors <= most } // such as a dict with the best accuracy so far
	if others = slices.DeleteFunc(others, few); len(others) == 0 {
		others = slices.DeleteFunc(averages, few)
	}
	if len(others) == 0 {
		return entriesOf(holder{dict: d})
	}
	return largest(others)
}

// largest returns the state dict with the most tensors, or an error if there are two.
func largest(all []holder) (dict, error) {
	most := slices.MaxFunc(all, func(a, b holder) int { return a.tensors - b.tensors }) // the first of them
	for _, h := range all {
		if h.tensors == most.tensors && len(h.keys) == len(most.keys) && !slices.Equal(h.keys, most.keys) {
			return dict{}, fmt.Errorf("the file holds two dicts of %d tensors, %.100q and %.100q; write that of the network: "+
				"in Python, torch.save(dict, file)", h.tensors, strings.Join(most.keys, "."), strings.Join(h.keys, "."))
		}
	}
	return entriesOf(most)
}

// holders returns root and the dicts in it that have tensors, outer ones first, without those of optimizers.
func holders(root *pickle.Dict) []holder {
	const depth = 4
	var found []holder
	seen := map[*pickle.Dict]bool{root: true} // a dict may hold itself
	for queue := []holder{{dict: root}}; len(queue) > 0; queue = queue[1:] {
		h := queue[0]
		for i, key := range h.dict.Keys {
			name, ok := key.(string)
			if !ok || len(name) > torchName {
				continue
			}
			switch v := h.dict.Values[i].(type) {
			case *strided, unread:
				h.tensors++
			case *pickle.Dict:
				if !seen[v] && len(h.keys) < depth && !strings.HasPrefix(name, "optim") {
					seen[v] = true
					queue = append(queue, holder{keys: append(slices.Clone(h.keys), name), dict: v})
				}
			}
		}
		if h.tensors > 0 {
			found = append(found, h)
		}
	}
	return found
}

// usualKey returns the rank, from 0 on, of a key under which state dicts are usually saved, or -1 for another key.
func usualKey(key string) int {
	return slices.Index([]string{"state_dict", "model_state_dict", "model_state", "model", "net"}, key)
}

// averaged says whether a key or a part of a name is that of exponential moving averages, such as "model_ema".
func averaged(key string) bool {
	words := strings.FieldsFunc(key, func(r rune) bool { return !unicode.IsLetter(r) })
	return slices.ContainsFunc(words, func(word string) bool { return strings.EqualFold(word, "ema") })
}

// entriesOf returns the tensors of h.
func entriesOf(h holder) (dict, error) {
	d := dict{under: h.keys, objects: map[string]string{}}
	var others []string // descriptions of the first few values that aren't tensors
	seen := map[string]int{}
	for i, key := range h.dict.Keys {
		name, ok := key.(string)
		if !ok || len(name) > torchName {
			continue
		}
		t, ok := h.dict.Values[i].(*strided)
		if !ok {
			switch v := h.dict.Values[i].(type) {
			case *pickle.Object, pickle.Class, unread:
				d.objects[name] = describe(v)
			}
			if len(others) < 5 {
				others = append(others, fmt.Sprintf("%.100q, which is %s", name, describe(h.dict.Values[i])))
			}
			continue
		}
		if _, again := seen[name]; !again {
			seen[name] = len(d.entries)
			d.entries = append(d.entries, entry{})
		}
		d.entries[seen[name]] = entry{name, t}
	}
	if len(d.entries) == 0 {
		return dict{}, fmt.Errorf("no tensors in the dict of %d that the file holds (%s; nothing was run); "+
			"write it again: %s", len(h.dict.Keys), strings.Join(others, ", "), torchSave)
	}
	return d, nil
}

// describe describes a value for messages.
func describe(v any) string {
	switch v := v.(type) {
	case *pickle.Object:
		return fmt.Sprintf("an object of %.100q", v.Class)
	case pickle.Class:
		return fmt.Sprintf("the class %.100q", v)
	case *strided:
		return "a tensor"
	case unread:
		return fmt.Sprintf("a tensor that can't be read: %v", v.error)
	case *pickle.Tuple:
		return fmt.Sprintf("a list of %d", len(v.Items))
	case *pickle.Dict:
		return fmt.Sprintf("a dict of %d", len(v.Keys))
	case string:
		return fmt.Sprintf("the string %.100q", v)
	case bool, int64, float64:
		return fmt.Sprint("the value ", v)
	}
	return "nothing of use"
}
