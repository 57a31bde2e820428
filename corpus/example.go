package corpus

import (
	"fmt"
	"strings"
)

// The roles of a message, as in an OpenAI chat.
const (
	RoleSystem    = "system"
	RoleUser      = "user"
	RoleAssistant = "assistant"
)

// Message is one message of a dialogue.
type Message struct {
	Role string
	Text string
}

// Example is one dialogue with its slots filled.
type Example struct {
	Intent string
	Kind   Kind
	Family string // the ID of the family that the last question is from
	// Dialogue is an optional system message with facts about the account, optional earlier turns,
	// the question and, last, a good answer to it.
	Dialogue []Message
	// Facts are what any good answer carries: of each fact one alternative, ignoring case.
	Facts [][]string
	// Forbidden are texts that no good answer holds, ignoring case.
	Forbidden []string
}

// Prompt is the dialogue without the answer.
func (e Example) Prompt() []Message { return e.Dialogue[:len(e.Dialogue)-1] }

// Question is the message to answer.
func (e Example) Question() string { return e.Dialogue[len(e.Dialogue)-2].Text }

// Answer is one good answer.
func (e Example) Answer() string { return e.Dialogue[len(e.Dialogue)-1].Text }

// Check lists what is wrong with an answer to the example's prompt: facts that it lacks, texts that it
// must not hold, and figures that stand nowhere in the prompt, which are therefore invented. It is
// empty for a good answer.
func (e Example) Check(answer string) []string {
	problems := missing(e.Facts, e.Forbidden, answer)
	known := map[string]bool{}
	for _, message := range e.Prompt() {
		for _, figure := range figures.FindAllString(message.Text, -1) {
			known[figure] = true
		}
	}
	for _, figure := range figures.FindAllString(answer, -1) {
		if !known[figure] {
			problems = append(problems, fmt.Sprintf("invents the figure %s", figure))
		}
	}
	return problems
}

// missing lists the facts that an answer lacks and the forbidden texts that it holds.
func missing(facts [][]string, forbidden []string, answer string) []string {
	var problems []string
	low := strings.ToLower(answer)
	for _, alternatives := range facts {
		carried := false
		for _, alternative := range alternatives {
			carried = carried || strings.Contains(low, alternative)
		}
		if !carried {
			problems = append(problems, fmt.Sprintf("lacks the fact %q", strings.Join(alternatives, "|")))
		}
	}
	for _, text := range forbidden {
		if strings.Contains(low, text) {
			problems = append(problems, fmt.Sprintf("holds the forbidden %q", text))
		}
	}
	return problems
}
