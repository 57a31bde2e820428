package upstream

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"teller/llm"
)

// checkChoices says what is wrong with the choices of a request, "" when nothing is.
func checkChoices(choices []string) string {
	if len(choices) == 0 {
		return ""
	}
	if len(choices) < 2 || len(choices) > llm.MaxChoices {
		return fmt.Sprintf("choices are %d texts, must be from 2 to %d", len(choices), llm.MaxChoices)
	}
	seen := make(map[string]bool, len(choices))
	for _, choice := range choices {
		switch {
		case choice == "":
			return "a choice is empty"
		case len(choice) > llm.MaxChoiceBytes:
			return fmt.Sprintf("a choice is %d bytes long, %d are the most", len(choice), llm.MaxChoiceBytes)
		case !utf8.ValidString(choice):
			return "a choice is not valid UTF-8"
		case seen[choice]:
			return "two choices are the same"
		}
		seen[choice] = true
	}
	return ""
}

// ChoiceOf gives which of choices a provider's reply is, or false for none. White space around it, which some
// models add, does not count where that leaves no doubt.
func ChoiceOf(choices []string, reply string) (choice string, ok bool) {
	trimmed, found := strings.TrimSpace(reply), 0
	for _, c := range choices {
		if c == reply {
			return c, true
		}
		if strings.TrimSpace(c) == trimmed {
			choice = c
			found++
		}
	}
	return choice, found == 1
}

// ChoiceTokens bounds a reply that is one of choices: no token is shorter than a byte, a byte takes at most six
// characters in JSON, and around it stands a little more.
func ChoiceTokens(choices []string) int {
	longest := 0
	for _, c := range choices {
		longest = max(longest, len(c))
	}
	return 6*longest + 64
}
