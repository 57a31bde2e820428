package benchmark

import "iter"

// Rows are the results of a run, in any order. They are ranged over as often as each function says; an error comes last.
type Rows = iter.Seq2[CaseResult, error]

// RowsOf are the rows of a slice.
func RowsOf(rows []CaseResult) Rows {
	return func(yield func(CaseResult, error) bool) {
		for _, row := range rows {
			if !yield(row, nil) {
				return
			}
		}
	}
}
