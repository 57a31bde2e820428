package benchmark

import (
	"fmt"

	"teller/llm"
)

// outcome of a case for a model.
type outcome uint8

const (
	unseen outcome = iota
	wrong
	right
	failed
)

// ledger holds what statistics need of the rows: for each case its family and category, for each model a few vectors. It keeps no
// text but ids, about 30 bytes a row.
type ledger struct {
	cases, families, categories index
	family, category            []int32 // by case
	models                      map[string]*account
}

// account is one model's vectors.
type account struct {
	outcomes                         []outcome // by case; may be shorter than the ledger's cases
	firstToken, interToken, endToEnd []float32
	confidence                       []float32
	confidentRight                   []bool
	rows, blocked                    int
	errorCodes                       map[llm.Code]int
	promptTokens, completionTokens   int64
	spent                            spent
	confidenceSum, endToEndSum       float64
}

// index numbers names in the order in which they come.
type index map[string]int32

func (x index) of(name string) int32 {
	i, ok := x[name]
	if !ok {
		i = int32(len(x))
		x[name] = i
	}
	return i
}

// readRows goes through rows once. It fails on a second result of one case and model.
func readRows(rows Rows) (*ledger, error) {
	l := &ledger{cases: index{}, families: index{}, categories: index{}, models: map[string]*account{}}
	for row, err := range rows {
		if err != nil {
			return nil, err
		}
		if err := l.add(row); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (l *ledger) add(row CaseResult) error {
	at := int(l.cases.of(row.CaseID))
	if at == len(l.family) {
		l.family = append(l.family, l.families.of(row.Family))
		l.category = append(l.category, l.categories.of(row.Category))
	}
	a := l.models[row.Model]
	if a == nil {
		a = &account{}
		l.models[row.Model] = a
	}
	for len(a.outcomes) <= at {
		a.outcomes = append(a.outcomes, unseen)
	}
	if a.outcomes[at] != unseen {
		return fmt.Errorf("the rows hold two results of the case %q and the model %q", row.CaseID, row.Model)
	}
	a.add(row, at)
	return nil
}

func (a *account) add(row CaseResult, at int) {
	a.rows++
	a.promptTokens += int64(row.Usage.PromptTokens)
	a.completionTokens += int64(row.Usage.CompletionTokens)
	if row.CostNanoUSD != nil {
		a.spent.nanoUSD += *row.CostNanoUSD // a failed call may have been charged too
	}
	if row.Failed() {
		a.outcomes[at] = failed
		if a.errorCodes == nil {
			a.errorCodes = map[llm.Code]int{}
		}
		a.errorCodes[row.ErrorCode]++
		return
	}
	a.outcomes[at] = wrong
	a.spent.answered++
	if row.Pass {
		a.outcomes[at] = right
		a.spent.right++
	}
	if row.CostNanoUSD != nil {
		a.spent.priced++
	}
	if row.ErrorCode == llm.Refused {
		a.blocked++
	}
	a.endToEnd = append(a.endToEnd, float32(row.EndToEndMS))
	a.endToEndSum += row.EndToEndMS
	if row.TimeToFirstTokenMS != nil {
		a.firstToken = append(a.firstToken, float32(*row.TimeToFirstTokenMS))
	}
	if row.InterTokenMS != nil {
		a.interToken = append(a.interToken, float32(*row.InterTokenMS))
	}
	if c := row.Confidence; c != nil && *c >= 0 && *c <= 1 {
		a.confidence = append(a.confidence, float32(*c))
		a.confidentRight = append(a.confidentRight, row.Pass)
		a.confidenceSum += *c
	}
}

// outcome of a case.
func (a *account) outcome(at int) outcome {
	if at >= len(a.outcomes) {
		return unseen
	}
	return a.outcomes[at]
}

// clusters counts a model's cases by family: those that are counted, and the hits among them. category -1 is all.
func (l *ledger) clusters(a *account, category int32, counts, hit func(outcome) bool) []cluster {
	out := make([]cluster, len(l.families))
	for at, o := range a.outcomes {
		if o == unseen || !counts(o) || category >= 0 && l.category[at] != category {
			continue
		}
		f := &out[l.family[at]]
		f.n++
		if hit(o) {
			f.count++
		}
	}
	return out
}

func answered(o outcome) bool { return o == right || o == wrong }
func asked(o outcome) bool    { return o != unseen }
func isRight(o outcome) bool  { return o == right }
func isFailed(o outcome) bool { return o == failed }

// pairsOf counts by family the cases that count for both series, which need not be of one ledger.
func pairsOf(l *ledger, a, b *account, indexInB func(at int) int, counts, hit func(outcome) bool) []pairs {
	out := make([]pairs, len(l.families))
	for at, x := range a.outcomes {
		inB := indexInB(at)
		if inB < 0 || !counts(x) {
			continue
		}
		y := b.outcome(inB)
		if !counts(y) {
			continue
		}
		f := &out[l.family[at]]
		f.n++
		switch {
		case hit(x) && !hit(y):
			f.onlyA++
		case hit(y) && !hit(x):
			f.onlyB++
		}
	}
	return out
}
