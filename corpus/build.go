package corpus

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// builder turns parsed files into a corpus and collects everything that is wrong with them, so that
// an author sees all of it at once.
type builder struct {
	corpus    *Corpus
	errs      []error
	intents   map[string]string // name -> where it stands
	topics    map[string]string // topic -> file
	phrasings map[string]place  // by normalised phrasing
}

// place is where a phrasing stands. Spellings of one phrasing may share a family, never more.
type place struct {
	where  string
	family string // which family of which intent
}

var namePattern = regexp.MustCompile(`^[a-z][a-z0-9_]{1,47}$`)

func build(files []file) (*Corpus, error) {
	b := builder{
		corpus:    &Corpus{byName: map[string]int{}},
		intents:   map[string]string{},
		topics:    map[string]string{},
		phrasings: map[string]place{},
	}
	for _, f := range files {
		if other, ok := b.topics[f.topic.value]; ok {
			b.fail(f, f.topic.line, "the topic %q is already that of %s", f.topic.value, other)
		}
		b.topics[f.topic.value] = f.name
		for _, raw := range f.intents {
			b.intent(f, raw)
		}
	}
	b.references(files)
	if err := errors.Join(b.errs...); err != nil {
		return nil, err
	}
	return b.corpus, nil
}

func (b *builder) fail(f file, line int, format string, args ...any) {
	b.errs = append(b.errs, &Error{File: f.name, Line: line, Message: fmt.Sprintf(format, args...)})
}

func (b *builder) intent(f file, raw rawIntent) {
	if !namePattern.MatchString(raw.name.value) {
		b.fail(f, raw.line, "an intent needs a name of lower-case letters, digits and underscores, not %q", raw.name.value)
		return
	}
	if other, ok := b.intents[raw.name.value]; ok {
		b.fail(f, raw.name.line, "the intent %q stands already at %s", raw.name.value, other)
		return
	}
	b.intents[raw.name.value] = where(f, raw.name.line)

	in := Intent{Name: raw.name.value, Topic: f.topic.value, Kind: Kind(raw.kind.value)}
	switch in.Kind {
	case "":
		in.Kind = Answer
	case Answer, Account, LookAlike, Refusal, OutOfScope, SmallTalk:
	default:
		b.fail(f, raw.kind.line, "unknown kind %q", in.Kind)
	}
	for _, name := range raw.after {
		in.After = append(in.After, name.value)
	}
	b.answers(f, raw, &in)
	b.context(f, raw, &in)
	b.families(f, raw, &in)

	b.corpus.byName[in.Name] = len(b.corpus.Intents)
	if in.Context != nil {
		b.corpus.contexts = append(b.corpus.contexts, len(b.corpus.Intents))
	}
	b.corpus.Intents = append(b.corpus.Intents, in)
}

func (b *builder) answers(f file, raw rawIntent, in *Intent) {
	if len(raw.answers) == 0 {
		b.fail(f, raw.line, "the intent %q has no answers", in.Name)
	}
	for _, fact := range raw.facts {
		alternatives := splitAlternatives(fact.value)
		if slices.Contains(alternatives, "") {
			b.fail(f, fact.line, "the fact %q has an empty alternative", fact.value)
		}
		in.Facts = append(in.Facts, alternatives)
	}
	for _, t := range raw.forbidden {
		in.Forbidden = append(in.Forbidden, strings.ToLower(t.value))
	}
	for _, answer := range raw.answers {
		b.checkText(f, answer, answerLimit)
		if len(slots(answer.value)) > 0 {
			b.fail(f, answer.line, "an answer without a context cannot have slots: %q", answer.value)
		}
		b.checkFigures(f, answer)
		for _, problem := range missing(in.Facts, in.Forbidden, answer.value) {
			b.fail(f, answer.line, "the answer %q %s", answer.value, problem)
		}
		in.Answers = append(in.Answers, answer.value)
	}
}

func (b *builder) context(f file, raw rawIntent, in *Intent) {
	if !raw.hasContext {
		if in.Kind == Account {
			b.fail(f, raw.line, "the intent %q is of kind account and has no context", in.Name)
		}
		return
	}
	if !namePattern.MatchString(raw.contextFact.value) || len(raw.contextLines) == 0 || len(raw.contextAnswers) == 0 {
		b.fail(f, raw.contextLine, "a context needs a fact's name, lines and answers")
		return
	}
	ctx := &Context{Fact: raw.contextFact.value}
	have := slots(raw.contextLines[0].value)
	for _, line := range raw.contextLines {
		b.checkText(f, line, answerLimit)
		given := slots(line.value)
		have = slices.DeleteFunc(have, func(slot string) bool { return !slices.Contains(given, slot) })
		ctx.Lines = append(ctx.Lines, line.value)
	}
	ctx.Slots = slots(raw.contextAnswers[0].value)
	if len(ctx.Slots) == 0 {
		b.fail(f, raw.contextAnswers[0].line, "the answer copies nothing from its context")
	}
	for _, answer := range raw.contextAnswers {
		b.checkText(f, answer, answerLimit)
		b.checkFigures(f, answer)
		used := slots(answer.value)
		if !slices.Equal(used, ctx.Slots) {
			b.fail(f, answer.line, "the answer has other slots than the first answer: %q", answer.value)
		}
		for _, slot := range used {
			if !slices.Contains(have, slot) {
				b.fail(f, answer.line, "the answer uses {%s}, which not every line of its context gives", slot)
			}
		}
		ctx.Answers = append(ctx.Answers, answer.value)
	}
	in.Context = ctx
}

func (b *builder) families(f file, raw rawIntent, in *Intent) {
	if len(raw.families) == 0 {
		b.fail(f, raw.line, "the intent %q has no families", in.Name)
	}
	for i, phrasings := range raw.families {
		if len(phrasings) == 0 {
			b.fail(f, raw.line, "the intent %q has a family without phrasings", in.Name)
			continue
		}
		family := Family{ID: in.Name + "/" + strings.ReplaceAll(normalise(phrasings[0].value), " ", "-")}
		number := fmt.Sprintf("%s number %d", in.Name, i)
		for _, phrasing := range phrasings {
			b.checkText(f, phrasing, phrasingLimit)
			key := normalise(phrasing.value)
			if key == "" {
				b.fail(f, phrasing.line, "the phrasing %q has no letters", phrasing.value)
				continue
			}
			// Follow-ups are told apart by what came before them, so they are unique per intent only.
			if len(in.After) > 0 {
				key = in.Name + " " + key
			}
			other, ok := b.phrasings[key]
			if ok && (other.family != number || slices.Contains(family.Phrasings, phrasing.value)) {
				b.fail(f, phrasing.line, "the phrasing %q stands already at %s", phrasing.value, other.where)
			}
			b.phrasings[key] = place{where: where(f, phrasing.line), family: number}
			family.Phrasings = append(family.Phrasings, phrasing.value)
		}
		in.Families = append(in.Families, family)
	}
}

// references checks what can only be checked once every intent is known.
func (b *builder) references(files []file) {
	for _, f := range files {
		for _, raw := range f.intents {
			for _, name := range raw.after {
				i, ok := b.corpus.byName[name.value]
				if !ok {
					b.fail(f, name.line, "there is no intent %q to come after", name.value)
				} else if before := b.corpus.Intents[i]; len(before.After) > 0 || before.Context != nil {
					b.fail(f, name.line, "the intent %q is a follow-up or an account question itself", name.value)
				}
			}
		}
	}
}

func where(f file, line int) string { return fmt.Sprintf("%s:%d", f.name, line) }

func splitAlternatives(fact string) []string {
	var out []string
	for alternative := range strings.SplitSeq(fact, "|") {
		out = append(out, strings.ToLower(strings.TrimSpace(alternative)))
	}
	return out
}
