package train

import (
	"math/rand/v2"
	"strings"
	"unicode"
)

var (
	openings = []string{"hi, ", "Hello, ", "Hi. ", "hey, ", "Please ", "OK, ", "so ", "Good morning. ", "Quick question: "}
	closings = []string{" please", " thanks", ", please", " thank you", "??", "!", " pls"}
)

// neighbours are keys beside each other on a keyboard.
const neighbours = "qwertyuiop asdfghjkl zxcvbnm"

// noisy rewords a question the way people mistype it. Words with figures in them stay as they are.
func noisy(rng *rand.Rand, text string) string {
	for range 1 + rng.IntN(2) {
		switch rng.IntN(8) {
		case 0, 1:
			text = mistype(rng, text)
		case 2, 3:
			text = dropWord(rng, text)
		case 4:
			text = openings[rng.IntN(len(openings))] + text
		case 5:
			text = strings.TrimRight(text, "?.!") + closings[rng.IntN(len(closings))]
		case 6:
			text = strings.TrimRight(strings.ReplaceAll(strings.ToLower(text), "'", ""), "?.!")
		case 7:
			if !strings.ContainsFunc(text, unicode.IsDigit) && rng.IntN(3) == 0 {
				text = strings.ToUpper(text)
			}
		}
	}
	return text
}

// mistype changes one letter of one word: swapped with the next, left out, doubled, or its neighbour on the keyboard.
func mistype(rng *rand.Rand, text string) string {
	words := strings.Split(text, " ")
	i := rng.IntN(len(words))
	w := []rune(words[i])
	if len(w) < 4 || strings.ContainsFunc(words[i], func(r rune) bool { return !unicode.IsLetter(r) }) {
		return text
	}
	p := 1 + rng.IntN(len(w)-2)
	switch rng.IntN(4) {
	case 0:
		w[p], w[p+1] = w[p+1], w[p]
	case 1:
		w = append(w[:p], w[p+1:]...)
	case 2:
		w = append(w[:p+1], w[p:]...)
	case 3:
		if at := strings.IndexRune(neighbours, w[p]); at >= 0 && at+1 < len(neighbours) && neighbours[at+1] != ' ' {
			w[p] = rune(neighbours[at+1])
		}
	}
	words[i] = string(w)
	return strings.Join(words, " ")
}

// dropWord leaves one word out of a question that has enough of them. It may be one that matters: a model that leans on a single word of
// a phrasing does not know the next phrasing.
func dropWord(rng *rand.Rand, text string) string {
	words := strings.Split(text, " ")
	i := rng.IntN(len(words))
	if len(words) < 4 || strings.ContainsFunc(words[i], unicode.IsDigit) {
		return text
	}
	return strings.Join(append(words[:i:i], words[i+1:]...), " ")
}
