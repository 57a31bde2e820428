package corpus

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSplitsShareNoFamily(t *testing.T) {
	c := shipped(t)
	train, held := map[string]bool{}, map[string]bool{}
	for _, in := range c.Intents {
		for _, family := range in.families(Train) {
			train[family.ID] = true
		}
		for _, family := range in.families(Validation) {
			held[family.ID] = true
			require.False(t, train[family.ID], family.ID)
		}
		require.GreaterOrEqual(t, 3*len(in.families(Train)), 2*len(in.Families), in.Name)
		require.Len(t, in.families(All), len(in.Families))
	}
	s := c.Stats()
	require.Equal(t, s.Families, len(train)+len(held), "family IDs are unique")
	require.Equal(t, s.HeldOut, len(held))
	require.InDelta(t, validationShare, float64(len(held))/float64(s.Families), 0.03)

	for _, e := range c.Examples(Train, 1) {
		require.True(t, train[e.Family])
	}
	for _, e := range c.Examples(Validation, 1) {
		require.True(t, held[e.Family])
	}
}

func TestAFamilyKeepsItsSplitWhenOthersAreAdded(t *testing.T) {
	in := Intent{Name: "x"}
	for _, id := range []string{"x/a", "x/b", "x/c", "x/d", "x/e", "x/f", "x/g", "x/h", "x/i", "x/j", "x/k", "x/l"} {
		in.Families = append(in.Families, Family{ID: id})
	}
	before := in.families(Validation)
	in.Families = append([]Family{{ID: "x/new"}}, in.Families...)
	require.Subset(t, in.families(Validation), before)
}

func TestExamplesAreReproducible(t *testing.T) {
	c := shipped(t)
	require.Equal(t, c.Examples(All, 7), c.Examples(All, 7))
	require.NotEqual(t, c.Examples(All, 7), c.Examples(All, 8))

	a, b := rand.New(rand.NewPCG(1, 2)), rand.New(rand.NewPCG(1, 2))
	first := c.Epoch(a, Train)
	require.Equal(t, first, c.Epoch(b, Train))
	require.NotEqual(t, first, c.Epoch(a, Train), "each epoch is drawn afresh")
	require.Equal(t, c.Sample(rand.New(rand.NewPCG(5, 5)), Validation), c.Sample(rand.New(rand.NewPCG(5, 5)), Validation))
}

func TestEveryExampleIsAGoodDialogue(t *testing.T) {
	c := shipped(t)
	epoch := c.Epoch(rand.New(rand.NewPCG(3, 4)), All)
	kinds := map[Kind]int{}
	withContext, withHistory := 0, 0
	for _, e := range epoch {
		kinds[e.Kind]++
		roles := make([]string, len(e.Dialogue))
		for i, message := range e.Dialogue {
			roles[i] = message.Role
			require.NotEmpty(t, message.Text)
			require.NotContains(t, slotPattern.ReplaceAllString(message.Text, "SLOT"), "SLOT")
		}
		turns := roles
		if roles[0] == RoleSystem {
			withContext++
			turns = roles[1:]
		}
		if len(turns) > 2 {
			withHistory++
		}
		require.Zero(t, len(turns)%2)
		for i, role := range turns {
			require.Equal(t, []string{RoleUser, RoleAssistant}[i%2], role)
		}
		require.Equal(t, e.Dialogue[len(e.Dialogue)-2].Text, e.Question())
		require.Empty(t, e.Check(e.Answer()), "%+v", e)
	}
	require.Len(t, kinds, 6)
	require.Greater(t, withContext, len(epoch)/10)
	require.Greater(t, withHistory, len(epoch)/20)
}

// An account question whose context holds the fact is answered by a copy of it; without the fact, by an
// answer without any figure, whatever else the context says.
func TestAccountAnswersCopyTheContextOrNameNoFigure(t *testing.T) {
	c := shipped(t)
	copied, values := 0, map[string]bool{}
	rng := rand.New(rand.NewPCG(5, 6))
	for range 4 {
		for _, e := range c.Epoch(rng, Train) {
			if e.Kind != Account {
				continue
			}
			in, ok := c.Intent(e.Intent)
			require.True(t, ok)
			if slices.Contains(in.Answers, e.Answer()) {
				require.Empty(t, figures.FindAllString(e.Answer(), -1))
				continue
			}
			copied++
			require.Equal(t, RoleSystem, e.Dialogue[0].Role)
			require.NotEmpty(t, e.Facts)
			for _, fact := range e.Facts {
				require.Contains(t, strings.ToLower(e.Dialogue[0].Text), fact[0])
				require.Contains(t, strings.ToLower(e.Answer()), fact[0])
				values[fact[0]] = true
			}
		}
	}
	require.Greater(t, copied, 1000)
	require.Greater(t, len(values), 1000, "values are drawn afresh")
}

func TestCheckFindsWhatIsWrongWithAnAnswer(t *testing.T) {
	e := Example{
		Dialogue: []Message{
			{RoleSystem, "Balance: £1,204.50. Card limit: £300."},
			{RoleUser, "What is my balance?"},
			{RoleAssistant, "Your balance is £1,204.50."},
		},
		Facts:     [][]string{{"£1,204.50"}},
		Forbidden: []string{"sign in"},
	}
	tests := []struct {
		name, answer string
		problems     []string
	}{
		{"good", "You have £1,204.50.", nil},
		{"wrong fact", "You have £300.", []string{`lacks the fact "£1,204.50"`}},
		{"invented figure", "You have £1,204.50 and 7 pence.", []string{"invents the figure 7"}},
		{"altered figure", "You have £1,240.50.", []string{`lacks the fact "£1,204.50"`, "invents the figure 1,240.50"}},
		{"forbidden", "It is £1,204.50. Please SIGN IN.", []string{`holds the forbidden "sign in"`}},
		{"empty", "", []string{`lacks the fact "£1,204.50"`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			require.Equal(t, test.problems, e.Check(test.answer))
		})
	}
}

func TestFillerKeepsASlotsValueAndTellsNumberedSlotsApart(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	for range 200 {
		parts := strings.Split(newFiller(rng).fill("{amount}|{amount}|{amount_2}|{date}"), "|")
		require.Equal(t, parts[0], parts[1])
		require.NotEqual(t, parts[0], parts[2])
		for kind, generate := range generators {
			require.NotEmpty(t, generate(rng), kind)
		}
	}
}

func TestAnswersOfAFollowUpComeAfterItsExchange(t *testing.T) {
	c := shipped(t)
	seen := 0
	for _, e := range c.Examples(All, 2) {
		in, _ := c.Intent(e.Intent)
		if len(in.After) == 0 {
			continue
		}
		seen++
		given := e.Dialogue[len(e.Dialogue)-3].Text
		found := false
		for _, name := range in.After {
			before, _ := c.Intent(name)
			found = found || slices.Contains(before.Answers, given)
		}
		require.True(t, found, "%+v", e)
	}
	require.Greater(t, seen, 40)
}

func BenchmarkEpoch(b *testing.B) {
	c := shipped(b)
	rng := rand.New(rand.NewPCG(1, 1))
	for b.Loop() {
		c.Epoch(rng, Train)
	}
}
