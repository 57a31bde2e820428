package transformer

import (
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"teller/adapters/internal/upstream"
	"teller/llm"
	engine "teller/transformer"
)

// endlessFigure is a number that nobody should read as an amount: a small model that loses its thread in a
// figure writes digits to the end of its bound. No account number has as many.
var endlessFigure = regexp.MustCompile(`\d{32}`)

// reply makes a text of tokens as they come, and gives away what is sure to stay: not half a character, not what may
// be the beginning of a stop text, not digits that may turn out to be an endless figure, and nothing before the first
// letter, because a reply without one is no reply.
type reply struct {
	text   []byte // what the tokens say, up to now
	raw    []byte // bytes behind it that are no whole character yet
	broken bool   // text ends with what stands for bytes that are no character
	given  int    // bytes of text that were given away

	stops    []string
	emit     func(llm.Delta) // nil: nobody listens
	logProbs bool
	spell    func(id int, first bool) string

	tokens []tokenAt
	shown  int // tokens that were given away

	// Why the model need not go on.
	stopped bool // at a stop text, which text no longer holds
	failure *llm.Error
}

// tokenAt is a token and the piece of text that it is.
type tokenAt struct {
	from, to int
	engine.Token
}

func newReply(req llm.Request, spell func(id int, first bool) string, emit func(llm.Delta)) *reply {
	return &reply{stops: req.Stop, emit: emit, logProbs: req.LogProbs, spell: spell}
}

// add takes the next token. It tells whether the model should go on.
func (r *reply) add(t engine.Token) bool {
	from := len(r.text) + len(r.raw)
	r.raw = append(r.raw, r.spell(t.ID, len(r.tokens) == 0)...)
	r.settle(false)
	r.tokens = append(r.tokens, tokenAt{from, len(r.text) + len(r.raw), t})
	if at := r.stopAt(); at >= 0 {
		r.text, r.raw, r.stopped = r.text[:at], nil, true
	}
	if endlessFigure.Match(r.text[r.given:]) {
		r.failure = &llm.Error{Code: llm.BadReply, Message: "the model lost itself in a figure"}
	}
	if r.stopped || r.failure != nil {
		return false
	}
	r.give(r.sure())
	return true
}

// settle moves whole characters from raw to text; with all, what is left of it too. As in strings.ToValidUTF8, one
// U+FFFD stands for bytes that are none.
func (r *reply) settle(all bool) {
	for len(r.raw) > 0 && (all || utf8.FullRune(r.raw)) {
		char, size := utf8.DecodeRune(r.raw)
		invalid := char == utf8.RuneError && size == 1
		switch {
		case !invalid:
			r.text = append(r.text, r.raw[:size]...)
		case !r.broken:
			r.text = utf8.AppendRune(r.text, utf8.RuneError)
		}
		r.broken = invalid
		r.raw = r.raw[size:]
	}
}

// stopAt is where the first stop text begins; -1 without one.
func (r *reply) stopAt() int {
	first := -1
	for _, stop := range r.stops {
		if at := strings.Index(string(r.text[r.given:]), stop); at >= 0 && (first < 0 || r.given+at < first) {
			first = r.given + at
		}
	}
	return first
}

// sure is how much of the text will stay, whatever comes.
func (r *reply) sure() int {
	end := len(r.text)
	for end > r.given && r.text[end-1] >= '0' && r.text[end-1] <= '9' {
		end--
	}
	for _, stop := range r.stops {
		for n := min(len(stop)-1, len(r.text)-r.given); n > 0; n-- {
			if strings.HasSuffix(string(r.text[r.given:]), stop[:n]) {
				end = min(end, len(r.text)-n)
				break
			}
		}
	}
	if strings.TrimSpace(string(r.text[:end])) == "" {
		return 0
	}
	return end
}

// give gives the text away up to end, with the tokens that are said by then.
func (r *reply) give(end int) {
	if end <= r.given {
		return
	}
	d := llm.Delta{Text: string(r.text[r.given:end])}
	r.given = end
	for ; r.shown < len(r.tokens) && r.tokens[r.shown].to <= end; r.shown++ {
		if r.logProbs {
			d.LogProbs = append(d.LogProbs, r.logProb(r.tokens[r.shown].Token))
		}
	}
	if r.emit != nil {
		r.emit(d)
	}
}

// end takes the reply as complete and gives the rest of it away. Its error says why it is none.
func (r *reply) end() *llm.Error {
	if !r.stopped {
		r.settle(true)
	}
	if r.failure == nil && endlessFigure.Match(r.text[r.given:]) {
		r.failure = &llm.Error{Code: llm.BadReply, Message: "the model lost itself in a figure"}
	}
	if r.failure == nil && strings.TrimSpace(string(r.text)) == "" {
		r.failure = &llm.Error{Code: llm.EmptyReply, Message: "the model had nothing to say"}
	}
	if r.failure != nil {
		return r.failure
	}
	// What a stop text has cut away is no part of the reply. A token that is half inside is.
	r.tokens = slices.DeleteFunc(r.tokens, func(t tokenAt) bool { return r.stopped && t.from >= len(r.text) })
	for i := range r.tokens {
		r.tokens[i].to = min(r.tokens[i].to, len(r.text))
	}
	r.give(len(r.text))
	return nil
}

// confidence is that of the reply's tokens.
func (r *reply) confidence() (*float64, string) {
	said := engine.Result{}
	for _, t := range r.tokens {
		said.Tokens = append(said.Tokens, t.Token)
	}
	return upstream.Confidence(said.MeanLogProb())
}

// allLogProbs are those of the reply's tokens, where they were asked for.
func (r *reply) allLogProbs() (all []llm.TokenLogProb) {
	if !r.logProbs {
		return nil
	}
	for _, t := range r.tokens {
		all = append(all, r.logProb(t.Token))
	}
	return all
}

func (r *reply) logProb(t engine.Token) llm.TokenLogProb {
	out := llm.TokenLogProb{Token: r.word(t.ID), LogProb: t.LogProb}
	for _, other := range t.Top {
		out.Top = append(out.Top, llm.TokenLogProb{Token: r.word(other.ID), LogProb: other.LogProb})
	}
	return out
}

// word is a token's text. One that is a part of a character has no text of its own.
func (r *reply) word(id int) string { return strings.ToValidUTF8(r.spell(id, false), "\uFFFD") }
