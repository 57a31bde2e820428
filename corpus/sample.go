package corpus

import (
	"math/rand/v2"
	"strings"
)

// How often an example gets something that a real dialogue has beside the question. Without them a
// small model learns that a context always holds the answer, and that a dialogue has one turn.
const (
	bareContextShare   = 0.3  // a context without full stops
	strayContextShare  = 0.15 // a context that does not settle the question
	earlierTurnShare   = 0.10 // an earlier exchange about something else
	maxStrayFacts      = 4
	lowerCaseShare     = 0.10 // a question typed without capitals
	droppedPunctuation = 0.15 // a question or a context without its last mark
)

// Examples gives one example for each phrasing of a split, and a second one for account questions:
// with the fact in the context and without it. The order is the corpus's; the same seed gives the
// same examples.
func (c *Corpus) Examples(split Split, seed uint64) []Example {
	return c.draw(rand.New(rand.NewPCG(seed, 0)), split)
}

// draw gives an example for each phrasing and, for account questions, another with the fact in the
// context.
func (c *Corpus) draw(rng *rand.Rand, split Split) []Example {
	var out []Example
	for i := range c.Intents {
		in := &c.Intents[i]
		for _, family := range in.families(split) {
			for _, phrasing := range family.Phrasings {
				out = append(out, c.example(rng, split, in, family.ID, phrasing, false))
				if in.Context != nil {
					out = append(out, c.example(rng, split, in, family.ID, phrasing, true))
				}
			}
		}
	}
	return out
}

// Epoch gives the examples of one pass over a split, shuffled, with slots, answers and contexts drawn
// afresh. Account questions come once without their fact and once with it. Draw the next epoch from the
// same rng.
func (c *Corpus) Epoch(rng *rand.Rand, split Split) []Example {
	out := c.draw(rng, split)
	rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// Sample draws one example: an intent, one of its families and a phrasing, each evenly, so that
// intents with few phrasings are drawn as often as those with many.
func (c *Corpus) Sample(rng *rand.Rand, split Split) Example {
	for {
		in := &c.Intents[rng.IntN(len(c.Intents))]
		families := in.families(split)
		if len(families) == 0 {
			continue
		}
		family := pick(rng, families)
		settled := in.Context != nil && rng.IntN(2) == 0
		return c.example(rng, split, in, family.ID, pick(rng, family.Phrasings), settled)
	}
}

// example makes one dialogue. With settled, the context states the intent's fact and the answer
// copies it.
func (c *Corpus) example(rng *rand.Rand, split Split, in *Intent, family, phrasing string, settled bool) Example {
	e := Example{Intent: in.Name, Kind: in.Kind, Family: family}
	fill := newFiller(rng)
	question := typed(rng, fill.fill(phrasing))

	var answer string
	if settled {
		e.Dialogue = c.contextWith(rng, fill.fill(pick(rng, in.Context.Lines)), in.Context.Fact)
		answer = fill.fill(pick(rng, in.Context.Answers))
		for _, slot := range in.Context.Slots {
			e.Facts = append(e.Facts, []string{strings.ToLower(fill.values[slot])})
		}
	} else {
		if rng.Float64() < strayContextShare {
			fact := ""
			if in.Context != nil {
				fact = in.Context.Fact
			}
			e.Dialogue = c.contextWith(rng, "", fact)
		}
		answer = pick(rng, in.Answers)
		e.Facts = in.Facts
	}
	e.Forbidden = in.Forbidden
	e.Dialogue = append(e.Dialogue, c.earlier(rng, split, in, len(e.Dialogue) > 0)...)
	e.Dialogue = append(e.Dialogue, Message{RoleUser, question}, Message{RoleAssistant, answer})
	return e
}

// earlier is the exchange before the question: the one that a follow-up needs, or now and then an
// unrelated one. It comes from the same split. Beside a context it is never an account question, whose
// answer the context might contradict.
func (c *Corpus) earlier(rng *rand.Rand, split Split, in *Intent, context bool) []Message {
	var before *Intent
	switch {
	case len(in.After) > 0:
		before = &c.Intents[c.byName[pick(rng, in.After)]]
	case rng.Float64() < earlierTurnShare:
		before = &c.Intents[rng.IntN(len(c.Intents))]
		if len(before.After) > 0 || context && before.Context != nil {
			return nil
		}
	default:
		return nil
	}
	families := before.families(split)
	if len(families) == 0 {
		families = before.Families
	}
	fill := newFiller(rng)
	return []Message{
		{RoleUser, typed(rng, fill.fill(pick(rng, pick(rng, families).Phrasings)))},
		{RoleAssistant, pick(rng, before.Answers)},
	}
}

// contextWith is a system message with the given line, if any, among facts that have other names than
// except; nothing when that leaves no line.
func (c *Corpus) contextWith(rng *rand.Rand, line, except string) []Message {
	var lines []string
	if line != "" {
		lines = append(lines, line)
	}
	seen := map[string]bool{except: true}
	strays := rng.IntN(maxStrayFacts + 1)
	if line == "" {
		strays = 1 + rng.IntN(maxStrayFacts)
	}
	for range strays {
		other := c.Intents[pick(rng, c.contexts)].Context
		if seen[other.Fact] {
			continue
		}
		seen[other.Fact] = true
		lines = append(lines, newFiller(rng).fill(pick(rng, other.Lines)))
	}
	rng.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	if len(lines) == 0 {
		return nil
	}
	return []Message{{RoleSystem, written(rng, lines)}}
}

// written joins facts the way callers write them: as sentences, as lines, as a list, with and without
// full stops. A model that has seen one way only loses its footing on another.
func written(rng *rand.Rand, lines []string) string {
	if rng.Float64() < bareContextShare {
		for i := range lines {
			lines[i] = strings.TrimSuffix(lines[i], ".")
		}
		return strings.Join(lines, pick(rng, []string{"\n", "; ", "\n- "}))
	}
	separator := pick(rng, []string{" ", " ", "\n"})
	for _, line := range lines {
		if !strings.HasSuffix(line, ".") {
			separator = "\n"
		}
	}
	text := strings.Join(lines, separator)
	if rng.Float64() < droppedPunctuation {
		text = strings.TrimSuffix(text, ".")
	}
	return text
}

// typed is a question the way people type it: now and then without capitals or its last mark.
func typed(rng *rand.Rand, question string) string {
	if rng.Float64() < lowerCaseShare {
		question = strings.ToLower(question)
	}
	if rng.Float64() < droppedPunctuation {
		question = strings.TrimRight(question, "?.!")
	}
	return question
}
