package corpus

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// Split is a part of the corpus.
type Split string

// The parts. Train and Validation share no family; All is both.
const (
	Train      Split = "train"
	Validation Split = "validation"
	All        Split = "all"
)

// validationShare is the share of families held out for validation.
const validationShare = 0.12

// families gives the intent's families in a split. A family's place depends on its ID alone, so that
// it stays when others are added; only where more than a third of an intent would be held out do the
// ones with the highest hashes go back to train.
func (in Intent) families(split Split) []Family {
	if split == All {
		return in.Families
	}
	heldOut := map[string]bool{}
	var below []Family
	for _, family := range in.Families {
		if hash(family.ID) < validationShare {
			below = append(below, family)
		}
	}
	slices.SortFunc(below, func(a, b Family) int {
		if hash(a.ID) < hash(b.ID) {
			return -1
		}
		return 1
	})
	for _, family := range below[:min(len(below), len(in.Families)/3)] {
		heldOut[family.ID] = true
	}
	var out []Family
	for _, family := range in.Families {
		if heldOut[family.ID] == (split == Validation) {
			out = append(out, family)
		}
	}
	return out
}

// hash maps an ID evenly onto [0, 1), the same on every machine and in every version.
func hash(id string) float64 {
	sum := sha256.Sum256([]byte(id))
	return float64(binary.BigEndian.Uint64(sum[:8])>>11) / (1 << 53)
}
