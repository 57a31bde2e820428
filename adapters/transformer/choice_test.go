package transformer

import (
	"testing"

	"github.com/stretchr/testify/require"

	"teller/llm"
	engine "teller/transformer"
	"teller/transformer/transformertest"
)

func TestChoicesAmongLabels(t *testing.T) {
	bundle := transformertest.LabelledBundle(1) // of "teller": balance, card, other; of "public": a, b
	m := newModel(bundle)
	ask := func(choices ...string) llm.Completion {
		req := question("What is my balance?")
		req.Choices = choices
		out, err := m.Complete(t.Context(), req, nil)
		require.NoError(t, err)
		return out
	}
	all, err := bundle.ChooseLabel(t.Context(), m.engine, dialogue(question("What is my balance?").Messages), engine.TellerNamespace)
	require.NoError(t, err)

	out := ask("balance", "card", "other")
	require.InDeltaSlice(t, all, out.ChoiceProbabilities, 1e-9)
	require.Equal(t, 1, out.Usage.CompletionTokens, "a label is one token")
	two := ask("Other", "BALANCE")
	require.InDelta(t, all[2]/(all[0]+all[2]), two.ChoiceProbabilities[0], 1e-9, "their share of what both have")
	require.Contains(t, []string{"Other", "BALANCE"}, two.Text, "as the caller wrote it")

	texts, err := bundle.ScoreTexts(t.Context(), m.engine, dialogue(question("What is my balance?").Messages), []string{"balance", "loan"})
	require.NoError(t, err)
	mixed := ask("balance", "loan")
	require.InDeltaSlice(t, engine.Softmax(texts), mixed.ChoiceProbabilities, 1e-9, "a choice that is no label makes all of them texts")
	require.Greater(t, mixed.Usage.CompletionTokens, 1)
	require.NotEqual(t, ask("card", "Card").ChoiceProbabilities[0], 0.5, "two spellings of one label are two texts")
}

func TestAQuestionThatIsNoneOfTheLabelsIsUnsure(t *testing.T) {
	bundle := transformertest.LabelledBundle(1)
	bundle.Calibration = &engine.Calibration{Temperatures: map[string]float64{"teller": 1.5, "public": 1}, OutOfScope: []string{"other"}}
	m := newModel(bundle)
	all := map[string][]float64{"teller": {0.015, 0.005, 0.98}, "public": {0.8, 0.2}}
	weights := own{bundle}.amongLabels("teller", all, []int{0, 1})
	require.InDeltaSlice(t, []float64{0.75, 0.25}, weights.probabilities, 1e-12)
	require.InDeltaSlice(t, []float64{0.015, 0.005}, weights.confidence, 1e-12, "out of all that the question may be")
	weights = own{bundle}.amongLabels("public", all, []int{0, 1})
	require.Equal(t, []float64{0.8, 0.2}, weights.probabilities)
	require.InDeltaSlice(t, []float64{0.016, 0.004}, weights.confidence, 1e-12, "labels that know nothing outside them leave that to our own")
	bundle.Calibration.OutOfScope = nil
	require.Equal(t, weights.probabilities, own{bundle}.amongLabels("public", all, []int{0, 1}).confidence, "nobody can tell")
	bundle.Calibration.OutOfScope = []string{"other"}
	req := question("What is my balance?")
	req.Choices = []string{"balance", "card"}
	asked, err := bundle.ChooseLabel(t.Context(), m.engine, dialogue(req.Messages), engine.TellerNamespace)
	require.NoError(t, err)
	out, err := m.Complete(t.Context(), req, nil)
	require.NoError(t, err)
	require.InDelta(t, max(asked[0], asked[1]), *out.Confidence, 1e-9)
	require.InDelta(t, 1, out.ChoiceProbabilities[0]+out.ChoiceProbabilities[1], 1e-9)

	weights = own{bundle}.amongLabels("teller", all, []int{0, elsewhere})
	require.InDeltaSlice(t, []float64{0.015, 0.985}, weights.probabilities, 1e-12, "the choice that means none of them gets the rest")
	require.Equal(t, weights.probabilities, weights.confidence)
	weights = own{bundle}.amongLabels("public", all, []int{elsewhere, 0, 1})
	require.InDeltaSlice(t, []float64{0.98, 0.016, 0.004}, weights.probabilities, 1e-12)

	lost := own{bundle}.amongLabels("teller", map[string][]float64{"teller": {0, 0, 1}}, []int{0, 1})
	require.Equal(t, []float64{0.5, 0.5}, lost.probabilities)
}

func TestWhichLabels(t *testing.T) {
	sets := []engine.LabelSet{
		{Namespace: "teller", Names: []string{"card_arrival", "balance", "top_up", "transfer"}},
		{Namespace: "public", Names: []string{"Refund_not_showing_up", "reverted_card_payment?", "transfer", "balance"}},
		{Namespace: "small", Names: []string{"transfer", "balance"}},
	}
	for _, c := range []struct {
		name      string
		choices   []string
		namespace string
		places    []int
	}{
		{"as given", []string{"balance", "card_arrival"}, "teller", []int{1, 0}},
		{"with spaces and dashes", []string{"Card arrival", "top-up"}, "teller", []int{0, 2}},
		{"capitals in the label", []string{"refund not showing up", "reverted_card_payment?"}, "public", []int{0, 1}},
		{"the smallest set that has all", []string{"balance", "transfer"}, "small", []int{1, 0}},
		{"over two sets", []string{"card_arrival", "reverted_card_payment?"}, "", nil},
		{"unknown", []string{"balance", "loan"}, "", nil},
		{"one that means none of them", []string{"card_arrival", "Something else"}, "teller", []int{0, elsewhere}},
		{"two that mean so", []string{"card_arrival", "other", "none"}, "", nil},
		{"that alone", []string{"other"}, "", nil},
		{"two spellings of one", []string{"top up", "top-up"}, "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			namespace, places, ok := labels(sets, c.choices)
			require.Equal(t, c.places != nil, ok)
			require.Equal(t, c.namespace, namespace)
			require.Equal(t, c.places, places)
		})
	}
}
