package benchmark

import (
	"fmt"
	"strings"

	"teller/evaluation"
)

// typographic maps what models write in place of plain quotes, hyphens and spaces; a case is written with those.
var typographic = strings.NewReplacer("’", "'", "‘", "'", "“", `"`, "”", `"`, "‐", "-", "‑", "-", "\u00a0", " ", "\u202f", " ", "\u2009", " ")

// plain is a text with plain quotes, hyphens and spaces, and no white space around it.
func plain(text string) string { return strings.TrimSpace(typographic.Replace(text)) }

// folded is a plain text in the case that the assertion compares in.
func (a *Assertion) folded(text string) string {
	if strings.HasPrefix(a.Type, "icontains") {
		text = strings.ToLower(text)
	}
	return plain(text)
}

func gradeEquals(a *Assertion, _ Case, reply Reply) (bool, float64, string) {
	pass := false
	if a.JSON != nil {
		pass = sameJSON(a.JSON, []byte(strings.TrimSpace(reply.Text)))
	} else {
		pass = plain(reply.Text) == plain(a.Texts[0])
	}
	return pass, scoreOf(pass), "the reply is " + quote(reply.Text)
}

func gradeContains(a *Assertion, _ Case, reply Reply) (bool, float64, string) {
	text := a.folded(reply.Text)
	for _, t := range a.Texts {
		if strings.Contains(text, a.folded(t)) {
			return true, 1, fmt.Sprintf("the reply holds %s", quote(t))
		}
	}
	return false, 0, fmt.Sprintf("the reply holds none of %s", quote(strings.Join(a.Texts, ", ")))
}

// gradeContainsAll scores the share of the texts that the reply holds.
func gradeContainsAll(a *Assertion, _ Case, reply Reply) (bool, float64, string) {
	text := a.folded(reply.Text)
	var missing []string
	for _, t := range a.Texts {
		if !strings.Contains(text, a.folded(t)) {
			missing = append(missing, t)
		}
	}
	if len(missing) == 0 {
		return true, 1, "the reply holds all of them"
	}
	return false, 1 - float64(len(missing))/float64(len(a.Texts)), fmt.Sprintf("the reply does not hold %s", quote(strings.Join(missing, ", ")))
}

func gradeStartsWith(a *Assertion, _ Case, reply Reply) (bool, float64, string) {
	pass := strings.HasPrefix(plain(reply.Text), plain(a.Texts[0]))
	return pass, scoreOf(pass), "the reply starts " + quote(reply.Text)
}

func gradeRegex(a *Assertion, _ Case, reply Reply) (bool, float64, string) {
	pattern, err := a.compiledPattern()
	if err != nil {
		return false, 0, err.Error()
	}
	found := pattern.FindString(plain(reply.Text))
	if pass := pattern.MatchString(plain(reply.Text)); pass {
		return true, 1, "the reply holds " + quote(found)
	}
	return false, 0, "nothing in the reply matches"
}

// gradeSimilarity scores the Jaccard index of character trigrams with the most similar of the texts: it sees wording, not meaning.
func gradeSimilarity(a *Assertion, _ Case, reply Reply) (bool, float64, string) {
	score := evaluation.NewTexts(a.Texts).Similarity(reply.Text)
	return score >= *a.Threshold, score, fmt.Sprintf("similarity %.2f where %.2f is asked for", score, *a.Threshold)
}

// gradeChoice compares the reply with the right choice; case and white space around it don't count, for models that wrote it
// freely.
func gradeChoice(a *Assertion, _ Case, reply Reply) (bool, float64, string) {
	pass := strings.EqualFold(plain(reply.Text), plain(a.Texts[0]))
	return pass, scoreOf(pass), fmt.Sprintf("%s was chosen, not %s", quote(reply.Text), quote(a.Texts[0]))
}

func gradeLatency(a *Assertion, _ Case, reply Reply) (bool, float64, string) {
	pass := reply.EndToEndMS <= *a.Threshold
	return pass, scoreOf(pass), fmt.Sprintf("%.0f ms where %.0f are allowed", reply.EndToEndMS, *a.Threshold)
}

// gradeCost fails a reply whose cost is unknown: nothing shows that it was cheap enough.
func gradeCost(a *Assertion, _ Case, reply Reply) (bool, float64, string) {
	if reply.CostNanoUSD == nil {
		return false, 0, "the model's tokens have no price"
	}
	usd := float64(*reply.CostNanoUSD) / 1e9
	pass := usd <= *a.Threshold
	return pass, scoreOf(pass), fmt.Sprintf("%g USD where %g are allowed", usd, *a.Threshold)
}

func gradeFinish(a *Assertion, _ Case, reply Reply) (bool, float64, string) {
	pass := string(reply.FinishReason) == a.Texts[0]
	return pass, scoreOf(pass), fmt.Sprintf("the reply ended for %q", reply.FinishReason)
}
