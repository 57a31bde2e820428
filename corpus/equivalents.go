package corpus

import (
	_ "embed"

	"github.com/goccy/go-yaml/ast"
)

// Equivalents say, by data set and label, which intent asks for the same as a label of a public data set. Labels that no intent covers
// are not there.
type Equivalents map[string]map[string]string

//go:embed equivalents.yaml
var embeddedEquivalents []byte

const equivalentsFile = "corpus/equivalents.yaml"

// Equivalents gives those that ship with Teller, checked against the corpus: an intent that it lacks is an *Error. (A corpus of one's own
// has intents of its own, so there is nothing to look up for it.)
func (c *Corpus) Equivalents() (Equivalents, error) {
	return c.equivalents(equivalentsFile, embeddedEquivalents)
}

func (c *Corpus) equivalents(name string, data []byte) (Equivalents, error) {
	r := reader{name: name}
	body, err := r.document(data)
	if err != nil {
		return nil, err
	}
	out := Equivalents{}
	err = r.mapping(body, func(set text, labels ast.Node) error {
		out[set.value] = map[string]string{}
		return r.mapping(labels, func(label text, node ast.Node) error {
			intent, err := r.text(node)
			if err != nil {
				return err
			}
			if _, ok := c.Intent(intent.value); !ok {
				return r.fail(intent.line, "the label %s of %s goes to %q, which is no intent", label.value, set.value, intent.value)
			}
			out[set.value][label.value] = intent.value
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	if len(out) == 0 {
		return nil, &Error{File: name, Message: "names no data set"}
	}
	return out, nil
}
