package train

import (
	"math/rand/v2"
	"slices"
	"strings"
	"unicode"
)

// heldOutShare is the share of each label's rows that is held out of training for validation.
const heldOutShare = 0.1

// sameWords is the Jaccard similarity of two questions' words from which on they count as near-duplicates.
const sameWords = 0.7

// Split parts the rows into those to train on and those held out: of each label about a tenth, drawn from seed, with near-duplicates
// always on one side. Extra rows are trained on.
func (d Dataset) Split(seed uint64) (training, heldOut []Row) {
	clusters := nearDuplicates(d.Rows)
	byLabel := map[string][][]int{}
	for _, cluster := range clusters {
		// A cluster with several labels goes by its first row's; all of it lands on one side.
		label := d.Rows[cluster[0]].Expected
		byLabel[label] = append(byLabel[label], cluster)
	}
	rng := rand.New(rand.NewPCG(seed, streamHoldout))
	out := make([]bool, len(d.Rows))
	for _, label := range d.labels().Names {
		groups := byLabel[label]
		rng.Shuffle(len(groups), func(i, j int) { groups[i], groups[j] = groups[j], groups[i] })
		total, taken := 0, 0
		for _, g := range groups {
			total += len(g)
		}
		for _, g := range groups {
			if wanted := int(heldOutShare*float64(total) + 0.5); taken+len(g) <= wanted {
				taken += len(g)
				for _, i := range g {
					out[i] = true
				}
			}
		}
	}
	for i, row := range d.Rows {
		if out[i] {
			heldOut = append(heldOut, row)
		} else {
			training = append(training, row)
		}
	}
	return append(training, d.Extra...), heldOut
}

// nearDuplicates groups rows whose words are nearly the same, directly or through others; each group, and the groups by their first row,
// in the order of the rows.
func nearDuplicates(rows []Row) [][]int {
	words := map[string]int32{}
	sets := make([][]int32, len(rows))
	for i, row := range rows {
		for _, w := range strings.FieldsFunc(strings.ToLower(row.Input), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
			id, ok := words[w]
			if !ok {
				id = int32(len(words))
				words[w] = id
			}
			sets[i] = append(sets[i], id)
		}
		slices.Sort(sets[i])
		sets[i] = slices.Compact(sets[i])
	}
	parent := make([]int, len(rows))
	for i := range parent {
		parent[i] = i
	}
	root := func(i int) int {
		for parent[i] != i {
			parent[i] = parent[parent[i]]
			i = parent[i]
		}
		return i
	}
	similar := make([][]int, len(rows)) // of each row, the later ones like it
	parallel(len(rows), func(i int) {
		for j := i + 1; j < len(rows); j++ {
			if jaccardAtLeast(sets[i], sets[j], sameWords) {
				similar[i] = append(similar[i], j)
			}
		}
	})
	for i, others := range similar {
		for _, j := range others {
			a, b := root(i), root(j)
			parent[max(a, b)] = min(a, b)
		}
	}
	groups := map[int][]int{}
	var order []int
	for i := range rows {
		r := root(i)
		if groups[r] == nil {
			order = append(order, r)
		}
		groups[r] = append(groups[r], i)
	}
	out := make([][]int, len(order))
	for k, r := range order {
		out[k] = groups[r]
	}
	return out
}

// jaccardAtLeast tells whether two sorted sets share at least the given part of their union. Two empty sets are the same.
func jaccardAtLeast(a, b []int32, least float64) bool {
	small, large := min(len(a), len(b)), max(len(a), len(b))
	if float64(small) < least*float64(large) {
		return false
	}
	shared := 0
	for i, j := 0, 0; i < len(a) && j < len(b); {
		switch {
		case a[i] < b[j]:
			i++
		case a[i] > b[j]:
			j++
		default:
			shared, i, j = shared+1, i+1, j+1
		}
	}
	return float64(shared) >= least*float64(len(a)+len(b)-shared)
}
