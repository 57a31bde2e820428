package benchmark

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"teller/evaluation"
	"teller/llm"
)

func files(nameAndText ...string) fstest.MapFS {
	out := fstest.MapFS{}
	for i := 0; i < len(nameAndText); i += 2 {
		out[nameAndText[i]] = &fstest.MapFile{Data: []byte(nameAndText[i+1])}
	}
	return out
}

func mustLoad(t *testing.T, fsys fs.FS, name string) Suite {
	t.Helper()
	s, err := Load(fsys, name)
	require.NoError(t, err)
	return s
}

const two = `
- description: a sum
  vars:
    context: The balance is £300.
    message: What is left after paying £60?
  assert:
    - {type: numeric, value: 240, tolerance: 0.5}
    - type: not-icontains-any
      value: [sorry, cannot]
  metadata: {category: arithmetic, family: sums, id: sum-1}
- vars: {message: "I lost my card: what now?"}
  assert:
    - {type: choice, value: lost_card, choices: [lost_card, stolen_card]}
  metadata: {category: intent, family: lost, id: intent-1}
`

func TestLoad(t *testing.T) {
	s := mustLoad(t, files("suites/own.yaml", two), "suites/own.yaml")
	require.Equal(t, "own", s.Name)
	require.Len(t, s.Hash, 64)
	require.Empty(t, s.Notes)
	require.Len(t, s.Cases, 2)
	first := s.Cases[0]
	require.Equal(t, "suites/own.yaml:2", first.Place())
	require.Equal(t, []Assertion{{Type: "numeric", Value: 240, Tolerance: 0.5}, {Type: "icontains-any", Not: true, Texts: []string{"sorry", "cannot"}}}, first.Assert)
	require.Equal(t, "arithmetic/sums/sum-1", first.Category+"/"+first.Family+"/"+first.ID)
}

func TestTheSameCasesInAnyFormatHaveTheSameHash(t *testing.T) {
	yaml := mustLoad(t, files("own.yaml", two), "own.yaml")
	lines := `{"vars":{"message":"I lost my card: what now?"},"assert":[{"type":"choice","value":"lost_card","choices":["lost_card","stolen_card"]}],"metadata":{"category":"intent","family":"lost","id":"intent-1"}}

{"description":"another one","vars":{"context":"The balance is £300.","message":"What is left after paying £60?"},"assert":[{"type":"numeric","value":240,"tolerance":0.5},{"type":"not-icontains-any","value":["sorry","cannot"]}],"metadata":{"category":"arithmetic","family":"sums","id":"sum-1"}}
`
	jsonl := mustLoad(t, files("other.jsonl", lines), "other.jsonl")
	require.Equal(t, yaml.Hash, jsonl.Hash)
	require.Equal(t, 3, jsonl.Cases[1].line)
	list := "[" + strings.Replace(strings.TrimSpace(lines), "\n\n", ",\n", 1) + "]"
	array := mustLoad(t, files("other.json", list), "other.json")
	require.Equal(t, yaml.Hash, array.Hash)
	require.Equal(t, 2, array.Cases[1].line)

	changed := mustLoad(t, files("own.yaml", strings.Replace(two, "240", "241", 1)), "own.yaml")
	require.NotEqual(t, yaml.Hash, changed.Hash)
}

func TestLoadFolder(t *testing.T) {
	s := mustLoad(t, files("banking/a.yaml", two, "banking/deep/b.yml", `- {vars: {message: hi}, assert: [{type: contains, value: hello}]}`,
		"banking/README.md", "no suite"), "banking")
	require.Equal(t, "banking", s.Name)
	require.Len(t, s.Cases, 3)
	last := s.Cases[2]
	require.Equal(t, "deep/b.yml:1", last.ID)
	require.Equal(t, last.ID, last.Family)
	require.Equal(t, Uncategorised, last.Category)
}

func TestPromptfooConfiguration(t *testing.T) {
	s := mustLoad(t, files("promptfooconfig.yaml", `
description: an existing file
prompts:
  - "Answer the customer: {{question}}"
  - '[{"role":"system","content":"You work for {{bank}}."},{"role":"user","content":"{{ question }}"}]'
providers: [openai:gpt-4o]
defaultTest:
  vars: {bank: the bank}
  assert:
    - {type: latency, threshold: 5000}
assertionTemplates:
  polite: {type: not-icontains, value: stupid}
tests:
  - vars:
      question: [Where is my card?, Where is my PIN?]
    assert:
      - $ref: "#/assertionTemplates/polite"
      - {type: icontains, value: "{{bank}}", metric: named}
      - {type: similar, value: Look into the app.}
      - {type: contains-any, value: "app, branch"}
    metadata: {id: where, owner: someone}
  - file://more.jsonl
`, "more.jsonl", `{"vars":{"question":"What is a standing order?"},"assert":[{"type":"is-refusal"}]}`), "promptfooconfig.yaml")
	var ids []string
	for _, c := range s.Cases {
		ids = append(ids, c.ID)
		require.Equal(t, "latency", c.Assert[0].Type)
	}
	require.Equal(t, []string{"where#1", "where#2", "where#3", "where#4", "more.jsonl:1#1", "more.jsonl:1#2"}, ids)
	require.Equal(t, "Answer the customer: Where is my card?", s.Cases[0].Message)
	require.Equal(t, "Where is my PIN?", s.Cases[3].Message)
	require.Equal(t, "You work for the bank.", s.Cases[3].Context)
	require.Equal(t, "where", s.Cases[3].Family, "variants of a case are a family")
	a := s.Cases[0].Assert
	require.Equal(t, "not-icontains", a[1].String())
	require.Equal(t, []string{"the bank"}, a[2].Texts)
	require.Equal(t, DefaultSimilarity, *a[3].Threshold)
	require.Equal(t, []string{"app", "branch"}, a[4].Texts)
	require.Equal(t, "refusal", s.Cases[5].Assert[1].Type)
	require.Equal(t, []string{
		`promptfooconfig.yaml: the key "providers" is left out of account`,
		`promptfooconfig.yaml: the key "metric" of assertions is left out of account`,
	}, s.Notes)
}

func TestFilesWithoutMetadataOrPrompts(t *testing.T) {
	for _, name := range []string{"message", "prompt", "question", "input", "query"} {
		s := mustLoad(t, files("x.yaml", "tests:\n  - vars: {"+name+": Hi, amount: 3}\n    assert: [{type: contains, value: \"{{amount}}\"}]"), "x.yaml")
		require.Equal(t, "Hi", s.Cases[0].Message)
		require.Equal(t, "x.yaml:2", s.Cases[0].ID)
		require.Equal(t, []string{"3"}, s.Cases[0].Assert[0].Texts)
	}
}

func TestYAMLFeatures(t *testing.T) {
	s := mustLoad(t, files("x.yaml", `# anchors, merged keys, block texts
- &base
  vars:
    message: |
      First line.
      Second line.
  assert: &checks
    - {type: equals, value: !!str 12}
  metadata: {id: a}
- <<: *base
  assert: *checks
  metadata: {id: b}
`), "x.yaml")
	require.Equal(t, "First line.\nSecond line.\n", s.Cases[1].Message)
	require.Equal(t, s.Cases[0].Assert, s.Cases[1].Assert)
}

func TestLoadNamesFileAndLine(t *testing.T) {
	const ok = "assert: [{type: contains, value: x}]"
	for _, c := range []struct{ name, file, text, want string }{
		{"not YAML", "x.yaml", "- vars: {message: hi\n  assert: [", "x.yaml:"},
		{"not JSON", "x.jsonl", "{\"vars\":{\"message\":\"a\"},\"assert\":[{\"type\":\"refusal\"}]}\n{\"vars\" 3}", "x.jsonl:2: not JSON"},
		{"JSON cut short", "x.json", "[\n{\"vars\":\n", "x.json:"},
		{"JSON with more behind", "x.json", "[]\n[]", "x.json:2: there is more behind"},
		{"empty", "x.yaml", "# nothing\n", "x.yaml:1: the file is empty"},
		{"two documents", "x.yaml", "- a\n---\n- b", "x.yaml:3: the file holds a second"},
		{"not UTF-8", "x.yaml", "- vars:\n    message: \"\xff\"", "x.yaml:2: the line is not valid UTF-8"},
		{"a key twice", "x.yaml", "- vars: {message: a}\n  vars: {message: b}", "x.yaml:2"},
		{"a key twice in JSON", "x.json", "[{\"vars\":{\"message\":\"a\"},\n\"vars\":{}}]", `x.json:2: the key "vars" stands twice`},
		{"a text", "x.yaml", "hello", "x.yaml:1: a suite is a list"},
		{"no tests", "x.yaml", "description: x", `x.yaml:1: the key "tests" is missing`},
		{"unknown key of a case", "x.yaml", "- vars: {message: a}\n  asert: []", `x.yaml:2: the key "asert" has no meaning`},
		{"nothing asserted", "x.yaml", "- vars: {message: a}", "x.yaml:1: the case asserts nothing"},
		{"no message", "x.yaml", "\n\n- vars: {text: a}\n  " + ok, "x.yaml:3: the case has no vars.message"},
		{"empty message", "x.yaml", "- vars: {message: ' '}\n  " + ok, "x.yaml:1: the message is empty"},
		{"unknown type", "x.yaml", "- vars: {message: a}\n  assert:\n    - type: javascript\n      value: output", `x.yaml:3: assertions of type "javascript" are not supported`},
		{"unknown key of an assertion", "x.yaml", "- vars: {message: a}\n  assert:\n    - type: latency\n      treshold: 3", `x.yaml:4: the key "treshold"`},
		{"broken pattern", "x.yaml", "- vars: {message: a}\n  assert:\n    - {type: regex, value: '(?=x)'}", "x.yaml:3: value: error parsing regexp"},
		{"broken schema", "x.yaml", "- vars: {message: a}\n  assert:\n    - {type: is-json, value: {type: 3}}", "x.yaml:3: value: the schema is not valid"},
		{"schema from elsewhere", "x.yaml", "- vars: {message: a}\n  assert:\n    - {type: is-json, value: {$ref: 'file:///etc/passwd'}}", "x.yaml:3: value: the schema is not valid"},
		{"no number", "x.yaml", "- vars: {message: a}\n  assert:\n    - {type: numeric, value: many}", "x.yaml:3: value: expected a number"},
		{"not a number", "x.yaml", "- vars: {message: a}\n  assert:\n    - {type: numeric, value: .nan}", "x.yaml:3:"},
		{"right choice missing", "x.yaml", "- vars: {message: a}\n  assert:\n    - {type: choice, value: c, choices: [a, b]}", `x.yaml:3: value: "c" is none of the choices`},
		{"two choices", "x.yaml", "- vars: {message: a}\n  assert:\n    - {type: choice, value: a, choices: [a, b]}\n    - {type: choice, value: a, choices: [a, b]}", "x.yaml:4: a case has at most one choice"},
		{"one choice only", "x.yaml", "- vars: {message: a}\n  assert:\n    - {type: choice, value: a, choices: [a]}", "x.yaml:3: choices: there must be 2 to"},
		{"no limit", "x.yaml", "- vars: {message: a}\n  assert:\n    - {type: cost}", "x.yaml:3: threshold: expected a number"},
		{"empty text", "x.yaml", "- vars: {message: a}\n  assert:\n    - {type: contains, value: ''}", "x.yaml:3: value: an empty text"},
		{"same id", "x.yaml", "- vars: {message: a}\n  metadata: {id: a}\n  " + ok + "\n- vars: {message: b}\n  metadata: {id: a}\n  " + ok, `x.yaml:4: the id "a" is taken by the case at x.yaml:1`},
		{"unknown var", "x.yaml", "prompts: ['{{a}} {{b}}']\ntests:\n  - vars: {a: 1}\n    " + ok, `x.yaml:3: the prompt of line 1: there is no var "b"`},
		{"more of the template language", "x.yaml", "prompts: ['{% if a %}x{% endif %}']\ntests:\n  - vars: {a: 1}\n    " + ok, "x.yaml:3: the prompt of line 1: only {{name}}"},
		{"missing file", "x.yaml", "tests:\n  - file://nowhere.yaml", `x.yaml:2: the file "file://nowhere.yaml"`},
		{"a file that names itself", "x.yaml", "tests: file://x.yaml", "files name one another"},
		{"references in a circle", "x.yaml", "tests:\n  - $ref: '#/tests'\na: 1", "x.yaml:"},
		{"scenarios", "x.yaml", "scenarios: []\ntests: []", `x.yaml:1: the key "scenarios"`},
		{"transform", "x.yaml", "- vars: {message: a}\n  options: {transform: output.x}\n  " + ok, `x.yaml:2: the option "transform"`},
		{"deep", "x.json", strings.Repeat("[", 1000) + strings.Repeat("]", 1000), "x.json:1: values are nested"},
		{"deep YAML", "x.yaml", strings.Repeat("[", 100_000), "x.yaml:1: lists are nested"},
		{"stacked lists", "x.yaml", "- a\n" + strings.Repeat("- ", 100_000), "x.yaml:2: lists are nested"},
		{"aliases that multiply", "x.yaml", bomb(), "x.yaml:"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Load(files(c.file, c.text), c.file)
			require.ErrorContains(t, err, c.want)
			var line *evaluation.LineError
			require.ErrorAs(t, err, &line)
			require.Equal(t, c.file, line.File)
		})
	}
}

func bomb() string {
	var s strings.Builder
	s.WriteString("- &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := range 9 {
		fmt.Fprintf(&s, "- &a%d [%s*a%d]\n", i+1, strings.Repeat(fmt.Sprintf("*a%d, ", i), 9), i)
	}
	return s.String()
}

func TestLoadWithoutCases(t *testing.T) {
	_, err := Load(files("x.jsonl", "\n"), "x.jsonl")
	require.ErrorContains(t, err, "x.jsonl holds no cases")
	_, err = Load(files("d/readme.md", ""), "d")
	require.ErrorContains(t, err, "holds no suite files")
	_, err = Load(files("x.csv", ""), "x.csv")
	require.ErrorContains(t, err, "a suite's file ends in")
	_, err = Load(files(), "nowhere.yaml")
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestRequest(t *testing.T) {
	s := mustLoad(t, files("own.yaml", two), "own.yaml")
	free := s.Cases[0].Request(7)
	require.Equal(t, []llm.Message{{Role: llm.System, Text: "The balance is £300."}, {Role: llm.User, Text: "What is left after paying £60?"}}, free.Messages)
	require.Equal(t, DefaultMaxTokens, free.MaxTokens)
	require.Zero(t, *free.Temperature)
	require.EqualValues(t, 7, *free.Seed)
	chosen := s.Cases[1].Request(7)
	require.Equal(t, llm.Options{Choices: []string{"lost_card", "stolen_card"}}, chosen.Options)
	require.Len(t, chosen.Messages, 1)
}

func TestOrderIsOneShuffleOfAllCasesForASeed(t *testing.T) {
	s := Suite{Cases: make([]Case, 50)}
	require.Equal(t, Order(len(s.Cases), 1), Order(len(s.Cases), 1))
	require.NotEqual(t, Order(len(s.Cases), 1), Order(len(s.Cases), 2))
	seen := map[int]bool{}
	for _, i := range Order(len(s.Cases), 1) {
		seen[i] = true
	}
	require.Len(t, seen, 50)
}

func TestWithoutJudge(t *testing.T) {
	s := mustLoad(t, files("x.yaml", `
- {vars: {message: a}, assert: [{type: llm-rubric, value: is kind}]}
- {vars: {message: b}, assert: [{type: llm-rubric, value: is kind}, {type: contains, value: x}]}
`), "x.yaml")
	require.True(t, s.NeedsJudge())
	plain, dropped := s.WithoutJudge()
	require.Equal(t, 1, dropped)
	require.False(t, plain.NeedsJudge())
	require.Equal(t, "b", plain.Cases[0].Message)
	require.NotEqual(t, s.Hash, plain.Hash)
	again, dropped := plain.WithoutJudge()
	require.Zero(t, dropped)
	require.Equal(t, plain, again)
}

func TestShippedSuitesLoad(t *testing.T) {
	require.NotEmpty(t, ShippedNames())
	for _, name := range ShippedNames() {
		s, err := Shipped(name)
		require.NoError(t, err)
		require.Equal(t, name, s.Name)
		require.NotEmpty(t, s.Cases)
		require.Empty(t, s.Notes)
		require.False(t, s.NeedsJudge(), "shipped suites are graded without a model")
	}
	_, err := Shipped("nonsense")
	require.ErrorContains(t, err, `there is no suite "nonsense"`)
}

func FuzzLoad(f *testing.F) {
	f.Add("x.yaml", two)
	f.Add("x.yaml", "prompts: ['{{a}}']\ndefaultTest: {vars: {a: [1, 2]}}\ntests:\n  - assert:\n    - $ref: '#/tests'\n")
	f.Add("x.yaml", "- &a\n  vars: {message: *a}\n- <<: *a\n")
	f.Add("x.json", `[{"vars":{"message":"a"},"assert":[{"type":"is-json","value":{"type":"object"}}]}]`)
	f.Add("x.jsonl", "{\"vars\":{\"message\":\"a\"},\"assert\":[{\"type\":\"not-regex\",\"value\":\"x+\"}]}\n{}")
	f.Fuzz(func(t *testing.T, name, text string) {
		name = map[bool]string{true: "x.jsonl", false: "x.yaml"}[strings.HasSuffix(name, "l") && !strings.HasSuffix(name, "yaml")]
		if strings.HasPrefix(text, "[{") {
			name = "x.json"
		}
		s, err := Load(files(name, text), name)
		if err != nil {
			return
		}
		for _, c := range s.Cases {
			require.NotEmpty(t, c.ID)
			require.NotEmpty(t, c.Request(1).Messages)
			_, _ = GradeReply(t.Context(), c, Reply{Text: text}, nil) // must not panic
		}
	})
}
