package benchmark

import (
	"context"
	"fmt"

	"teller/llm"
)

// Reply is what a model made of a case. Times are in milliseconds.
type Reply struct {
	Text         string
	FinishReason llm.FinishReason
	// ErrorCode is why there is no reply; empty where there is one. llm.Refused counts as a reply: the provider's content
	// filter declined, which is right where a case wants a refusal.
	ErrorCode llm.Code
	// Confidence is the model's, in [0, 1]; nil where it has none.
	Confidence *float64
	// ChoiceProbabilities are those of the case's choices, in their order; nil where the model has none.
	ChoiceProbabilities []float64
	Usage               llm.Usage
	// TimeToFirstTokenMS is from sending the request to the first piece of the reply; nil where it did not come in pieces.
	TimeToFirstTokenMS *float64
	EndToEndMS         float64
	// CostNanoUSD is in billionths of a US dollar; nil where the model's tokens have no price.
	CostNanoUSD *int64
}

// Failed tells whether there is nothing to grade.
func (r Reply) Failed() bool { return r.ErrorCode != "" && r.ErrorCode != llm.Refused }

// Grade is what a reply is worth.
type Grade struct {
	Pass bool `json:"pass"`
	// Score is the weighted mean of the assertions' scores, 0 to 1.
	Score float64 `json:"score"`
	// Reasons say of each assertion that did not hold what was found instead. They quote the reply.
	Reasons []string `json:"reasons,omitempty"`
}

// Judge is a model that grades rubrics; an llm.Model is one.
type Judge interface {
	Complete(ctx context.Context, req llm.Request, emit func(llm.Delta)) (llm.Completion, error)
}

// grader tells how far a reply fulfils an assertion, 0 to 1, whether that is enough, and what was found.
type grader func(a *Assertion, c Case, reply Reply) (pass bool, score float64, found string)

var graders = map[string]grader{
	typeEquals:      gradeEquals,
	typeContains:    gradeContains,
	typeIContains:   gradeContains,
	typeContainsAny: gradeContains,
	typeIContainAny: gradeContains,
	typeContainsAll: gradeContainsAll,
	typeIContainAll: gradeContainsAll,
	typeStartsWith:  gradeStartsWith,
	typeRegex:       gradeRegex,
	typeIsJSON:      gradeIsJSON,
	typeHasJSON:     gradeContainsJSON,
	typeNumeric:     gradeNumeric,
	typeChoice:      gradeChoice,
	typeRefusal:     gradeRefusal,
	typeNoPII:       gradeNoPII,
	typeSimilarity:  gradeSimilarity,
	typeLatency:     gradeLatency,
	typeCost:        gradeCost,
	typeFinish:      gradeFinish,
}

// GradeReply grades a reply. judge may be nil for a case without rubrics (Case.NeedsJudge); the only errors are its own, and a
// rubric without a judge.
func GradeReply(ctx context.Context, c Case, reply Reply, judge Judge) (Grade, error) {
	if reply.Failed() {
		return Grade{Reasons: []string{fmt.Sprintf("no reply: %s", reply.ErrorCode)}}, nil
	}
	grade := Grade{Pass: true}
	sum, weights := 0.0, 0.0
	for i := range c.Assert {
		a := c.Assert[i]
		var pass bool
		var score float64
		var found string
		if a.Type == typeRubric {
			var err error
			if pass, score, found, err = gradeRubric(ctx, a, c, reply, judge); err != nil {
				return Grade{}, fmt.Errorf("grading %s: %w", c.ID, err)
			}
		} else {
			pass, score, found = graders[a.Type](&a, c, reply)
		}
		if a.Not {
			pass, score = !pass, 1-score
		}
		sum, weights = sum+score*a.weight(), weights+a.weight()
		if !pass {
			grade.Reasons = append(grade.Reasons, fmt.Sprintf("%s: %s", a, found))
			grade.Pass = grade.Pass && a.weight() == 0
		}
	}
	grade.Score = 1
	if weights > 0 {
		grade.Score = sum / weights
	}
	if c.Threshold != nil {
		grade.Pass = grade.Score >= *c.Threshold
	}
	return grade, nil
}

// Quoted texts are cut at this many characters.
const maxQuoted = 80

func quote(text string) string {
	if runes := []rune(text); len(runes) > maxQuoted {
		text = string(runes[:maxQuoted]) + "…"
	}
	return fmt.Sprintf("%q", text)
}

func scoreOf(pass bool) float64 {
	if pass {
		return 1
	}
	return 0
}
