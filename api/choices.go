package api

import (
	"fmt"
	"strings"

	"teller/llm"
)

// checkChoices refuses a list that no model can choose from. nil is no list; an empty one is a mistake of the caller's.
func checkChoices(choices []string) *problem {
	if choices == nil {
		return nil
	}
	if len(choices) < 2 || len(choices) > llm.MaxChoices {
		return invalid("choices", fmt.Sprintf("choices are %d texts and must be from 2 to %d", len(choices), llm.MaxChoices))
	}
	seen := make(map[string]int, len(choices))
	for i, choice := range choices {
		param := fmt.Sprintf("choices[%d]", i)
		before, twice := seen[choice]
		switch {
		case choice == "":
			return invalid(param, param+" is empty")
		case len(choice) > llm.MaxChoiceBytes:
			return invalid(param, fmt.Sprintf("%s is %d bytes long and must be at most %d", param, len(choice), llm.MaxChoiceBytes))
		case strings.ContainsRune(choice, 0):
			return invalid(param, param+" must not hold a NUL character")
		case twice:
			return invalid(param, fmt.Sprintf("%s is the same as choices[%d]", param, before))
		}
		seen[choice] = i
	}
	return nil
}
