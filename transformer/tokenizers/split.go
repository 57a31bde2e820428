package tokenizers

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// splitter cuts a text into pieces, which merges never cross.
type splitter interface {
	each(text string, yield func(piece string))
}

// The splits that tokenizer.json files write as regular expressions, and GGUF files name.
const (
	gpt2Pattern   = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
	llama3Pattern = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	qwen2Pattern  = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	tekkenPattern = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|` +
		`[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|` +
		`\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	digitPattern = `\p{N}`
)

// preTokenizers is the patterns behind GGUF's tokenizer.ggml.pre, applied one after the other.
var preTokenizers = map[string][]string{
	"gpt-2":     {gpt2Pattern},
	"llama-bpe": {llama3Pattern},
	"qwen2":     {qwen2Pattern},
	"smollm":    {digitPattern, gpt2Pattern},
	"tekken":    {tekkenPattern},
	// What llama.cpp does for files that name none.
	"default": {`[\p{P}\$\+<=>\^~\|]+`, gpt2Pattern, `\p{N}+`, `[0-9][0-9][0-9]`},
}

// aliases are other names of the same.
var aliases = map[string]string{
	"": "default", "llama3": "llama-bpe", "llama-v3": "llama-bpe", "falcon3": "llama-bpe", "pixtral": "llama-bpe", "dbrx": "llama-bpe",
	"smaug-bpe": "llama-bpe", "phi-2": "gpt-2", "mpt": "gpt-2", "olmo": "gpt-2", "mellum": "gpt-2", "starcoder": "smollm", "refact": "smollm", "command-r": "smollm",
	"codeshell": "smollm", "stablelm2": "qwen2", "deepseek-r1-qwen": "qwen2",
}

// skipsMerges names those whose pieces are looked up as a whole first.
var skipsMerges = map[string]bool{"llama-bpe": true, "tekken": true}

// preName finds the name of a list of patterns.
func preName(patterns []string) string {
	joined := strings.Join(patterns, "\x00")
	for name, known := range preTokenizers {
		if strings.Join(known, "\x00") == joined {
			return name
		}
	}
	return ""
}

// newSplitter compiles patterns that are applied one after the other, each to the pieces of the one before.
func newSplitter(patterns []string) (splitter, error) {
	var all chain
	for _, p := range patterns {
		one, err := compilePattern(p)
		if err != nil {
			return nil, fmt.Errorf("pattern %q: %w", p, err)
		}
		all = append(all, one)
	}
	if len(all) == 1 {
		return all[0], nil
	}
	return all, nil
}

type chain []*pattern

func (c chain) each(text string, yield func(string)) {
	if len(c) == 0 {
		yield(text)
		return
	}
	c[0].each(text, func(piece string) { c[1:].each(piece, yield) })
}

// pattern is a regular expression whose matches are pieces; so is what lies between two matches.
type pattern struct {
	re *regexp.Regexp
	// backOff tells that the only group of re stands for \s+(?!\S): white space up to, but without, its last rune where
	// something else follows.
	backOff bool
}

// lookahead is the one construct of these patterns that Go's regular expressions lack. Greedy \s+ ends before what is no space or at
// the end of the text; in the first case the lookahead makes it give one rune back, and fail if that was all, whereupon the
// \s+ that follows in every such pattern takes it.
const lookahead = `\s+(?!\S)`

// compilePattern translates a pattern of Oniguruma, which Hugging Face uses, to one of Go: linear in the text, whatever the pattern.
func compilePattern(source string) (*pattern, error) {
	p := &pattern{}
	if before, after, found := strings.Cut(source, lookahead); found {
		if (before != "" && !strings.HasSuffix(before, "|")) || (after != "" && after != `|\s+`) {
			return nil, errors.New("a lookahead is supported at the end only, as an alternative before \\s+")
		}
		p.backOff = true
		source = before + `(\s+)` + after
	}
	translated, err := unicodeClasses(source)
	if err != nil {
		return nil, err
	}
	if p.re, err = regexp.Compile(translated); err != nil {
		return nil, err
	}
	groups := 0
	if p.backOff {
		groups = 1
	}
	if p.re.NumSubexp() != groups {
		return nil, errors.New("groups are not supported")
	}
	return p, nil
}

// spaces is \s as Unicode has it; Go's is ASCII.
const spaces = `\t\n\v\f\r\x{85}\p{Z}`

// unicodeClasses widens \s, \S and \d to Unicode, inside brackets and outside.
func unicodeClasses(source string) (string, error) {
	var out strings.Builder
	inside := false
	for i := 0; i < len(source); i++ {
		switch c := source[i]; {
		case c == '\\' && i+1 < len(source):
			i++
			switch next := source[i]; {
			case next == 's' && inside:
				out.WriteString(spaces)
			case next == 's':
				out.WriteString("[" + spaces + "]")
			case next == 'S' && !inside:
				out.WriteString("[^" + spaces + "]")
			case next == 'd':
				out.WriteString(`\p{Nd}`)
			case strings.IndexByte("SDwWbBhH", next) >= 0:
				return "", fmt.Errorf(`\%c is not supported`, next)
			default:
				out.WriteByte('\\')
				out.WriteByte(next)
			}
		case c == '[' && inside, c == '&' && inside && strings.HasPrefix(source[i:], "&&"):
			return "", errors.New("classes inside classes are not supported")
		default:
			switch c {
			case '[':
				inside = true
			case ']':
				inside = false
			}
			out.WriteByte(c)
		}
	}
	return out.String(), nil
}

func (p *pattern) each(text string, yield func(string)) {
	for text != "" {
		found := p.find(text)
		if found == nil {
			yield(text)
			return
		}
		start, end := found[0], found[1]
		if p.backOff && found[2] >= 0 && end < len(text) {
			if _, last := utf8.DecodeLastRuneInString(text[start:end]); last < end-start {
				end -= last
			}
		}
		if start > 0 {
			yield(text[:start])
		}
		if end > start {
			yield(text[start:end])
		} else if end < len(text) { // an empty match would come again for ever
			_, size := utf8.DecodeRuneInString(text[end:])
			yield(text[end : end+size])
			end += size
		}
		text = text[end:]
	}
}

func (p *pattern) find(text string) []int {
	if p.backOff {
		return p.re.FindStringSubmatchIndex(text)
	}
	return p.re.FindStringIndex(text)
}
