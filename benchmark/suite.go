package benchmark

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
)

// Suite is a set of cases with different ids.
type Suite struct {
	Name string
	// Hash is the SHA-256 of what is asked and how it is graded, in hex. Two runs of one hash can be compared case by
	// case. Layout, comments, descriptions and the order of cases and files don't count.
	Hash  string
	Cases []Case // in the files' order
	// Notes say what in the files was left out of account, such as promptfoo's providers.
	Notes []string
}

func newSuite(name string, cases []Case, notes []string) Suite {
	return Suite{Name: name, Hash: hashOf(cases), Cases: cases, Notes: notes}
}

func hashOf(cases []Case) string {
	sorted := slices.Clone(cases)
	slices.SortFunc(sorted, func(a, b Case) int { return strings.Compare(a.ID, b.ID) })
	h := sha256.New()
	lines := json.NewEncoder(h)
	for _, c := range sorted {
		c.Description = ""
		if err := lines.Encode(c); err != nil {
			panic("benchmark: a case is not JSON: " + err.Error()) // only texts, finite numbers and checked JSON
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Order gives the order in which a suite's cases are asked: their indices, shuffled by seed, so that categories are interleaved and
// every model meets the same case under the same load.
func Order(cases int, seed uint64) []int {
	return rand.New(rand.NewPCG(seed, 0)).Perm(cases)
}

// NeedsJudge tells whether a case of the suite has to be graded by a model.
func (s Suite) NeedsJudge() bool { return slices.ContainsFunc(s.Cases, Case.NeedsJudge) }

// WithoutJudge is the suite without what only a model can grade: its rubrics, and the cases that have nothing else,
// whose number it gives as dropped.
func (s Suite) WithoutJudge() (suite Suite, dropped int) {
	if !s.NeedsJudge() {
		return s, 0
	}
	var cases []Case
	for _, c := range s.Cases {
		c.Assert = slices.DeleteFunc(slices.Clone(c.Assert), func(a Assertion) bool { return a.Type == typeRubric })
		if len(c.Assert) > 0 {
			cases = append(cases, c)
		}
	}
	return newSuite(s.Name, cases, s.Notes), len(s.Cases) - len(cases)
}
