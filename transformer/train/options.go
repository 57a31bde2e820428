package train

import (
	"fmt"
	"time"

	"teller/transformer"
)

// Options say what to train and how. Default gives those of the shipped weights.
type Options struct {
	Out    string // folder for config.json, model.safetensors and tokenizer.json
	Seed   uint64
	Resume bool // go on from the checkpoint beside Out, when there is one

	Steps    int           // optimizer steps; 0 means as many as Duration allows
	Duration time.Duration // wall time that the steps may take, when Steps is 0: the number is fixed at the start, from a timing

	Vocab          int // at most this many tokens
	Hidden         int
	Intermediate   int // of the SwiGLU block
	Layers         int
	Heads, KVHeads int
	Window         int // longest dialogue, in tokens

	BatchTokens int     // tokens of one step
	Rate        float64 // peak learning rate
	WarmUp      int     // steps of linear warm-up
	WeightDecay float64
	Clip        float64 // largest norm of the gradient; 0 is no bound
	EMADecay    float64 // of the averaged weights, which are the ones saved
	Dropout     float64 // share of activations dropped at each of the graph's dropouts, 0 to less than 1
	Smoothing   float64 // label smoothing of texts' tokens, 0 to less than 1

	LabelWeight    float64            // weight of predicting the label before the reply, beside 1 for a token of the reply
	LabelSmoothing float64            // label smoothing among a namespace's labels, 0 to less than 1
	LabelOnly      float64            // share of the corpus's questions, those about accounts apart, that a pass has with their label alone
	Replies        float64            // share of them that it has with label and reply; account questions always come with both
	LabelDropout   float64            // dropout of the n-grams' vectors and of the states that a label is told from, 0 to less than 1
	SetShare       map[string]float64 // how often a pass has each training row of a data set, by name; 1 where it has none

	NgramRows    int     // rows of the table of hashed n-grams; 0 is none
	NgramDim     int     // numbers of a row
	NgramWords   int     // longest n-gram of words
	NgramCharMin int     // shortest n-gram of letters
	NgramCharMax int     // longest
	NgramDrop    float64 // share of n-grams left out of a bag in training, 0 to less than 1
	TokenDrop    float64 // up to this share of a question's tokens are blanked in training, 0 to 1
	BagDrop      float64 // share of questions without a bag in training, 0 to 1

	PromptWeight float64 // weight of predicting the user's tokens, beside 1 for the reply's
	Noise        float64 // share of questions that get typing mistakes and the like, 0 to 1
	AccountShare float64 // least share of examples that ask about the caller's account, 0 to less than 1
	EchoesFirst  int     // dialogues whose reply repeats the whole context, before all others; see echo
	Echoes       float64 // such dialogues later, as a share of the others
	Unsettled    float64 // account questions whose context does not hold the answer, on top, as a share of the others

	ValidateEvery   int // steps between measurements of the validation loss; 0 is only at the end
	CheckpointEvery int // steps between checkpoints; 0 is none
}

// Default is what the shipped weights were trained with, apart from Out.
func Default() Options {
	return Options{
		Seed: 1, Duration: 42 * time.Minute,
		Vocab: 2048, Hidden: 224, Intermediate: 576, Layers: 4, Heads: 4, KVHeads: 4, Window: 512,
		BatchTokens: 4096, Rate: 2e-3, WarmUp: 100, WeightDecay: 0.1, Clip: 1, EMADecay: 0.99,
		Dropout: 0.1, Smoothing: 0.05, PromptWeight: 0.2,
		LabelWeight: 8, LabelOnly: 1, Replies: 0.3, SetShare: map[string]float64{"banking77": 2, "clinc150": 3}, LabelSmoothing: 0.1, LabelDropout: 0.3,
		NgramRows: 1 << 15, NgramDim: 128, NgramWords: 2, NgramCharMin: 2, NgramCharMax: 5, NgramDrop: 0.6, BagDrop: 0.1, TokenDrop: 0.2,
		Noise: 0.6, AccountShare: 0.2, EchoesFirst: 15000, Echoes: 0.05, Unsettled: 0.05,
		ValidateEvery: 500, CheckpointEvery: 250,
	}
}

// config gives the model's configuration for a vocabulary that a tokenizer settled.
func (o Options) config(vocab, begin, end int) transformer.Config {
	var ngrams *transformer.Ngrams
	if o.NgramRows > 0 {
		ngrams = &transformer.Ngrams{Rows: o.NgramRows, Dim: o.NgramDim, Words: o.NgramWords, CharMin: o.NgramCharMin, CharMax: o.NgramCharMax}
	}
	return transformer.Config{
		Architectures: []string{"LlamaForCausalLM"}, ModelType: "llama",
		VocabSize: vocab, HiddenSize: o.Hidden, IntermediateSize: o.Intermediate, NumHiddenLayers: o.Layers,
		NumAttentionHeads: o.Heads, NumKeyValueHeads: o.KVHeads, HeadDim: o.Hidden / max(1, o.Heads),
		MaxPositionEmbeddings: o.Window, RMSNormEps: 1e-5, RopeTheta: 100_000, TieWordEmbeddings: true,
		BOSTokenID: begin, EOSTokenID: end, Ngrams: ngrams,
	}
}

func (o Options) validate() error {
	for _, f := range []struct {
		name  string
		value any
		ok    bool
		want  string
	}{
		{"Steps", o.Steps, o.Steps >= 0, "at least 0"},
		{"Duration", o.Duration, o.Steps > 0 || o.Duration > 0, "above 0 when Steps is 0"},
		{"Hidden", o.Hidden, o.Hidden > 0, "above 0"},
		{"Intermediate", o.Intermediate, o.Intermediate > 0, "above 0"},
		{"Layers", o.Layers, o.Layers > 0, "above 0"},
		{"Heads", o.Heads, o.Heads > 0 && o.Hidden%o.Heads == 0, "a divisor of Hidden"},
		{"KVHeads", o.KVHeads, o.KVHeads > 0 && o.Heads%o.KVHeads == 0, "a divisor of Heads"},
		{"Window", o.Window, o.Window > 1, "above 1"},
		{"BatchTokens", o.BatchTokens, o.BatchTokens >= o.Window, "at least Window"},
		{"Rate", o.Rate, o.Rate > 0, "above 0"},
		{"WarmUp", o.WarmUp, o.WarmUp >= 0, "at least 0"},
		{"WeightDecay", o.WeightDecay, o.WeightDecay >= 0, "at least 0"},
		{"Clip", o.Clip, o.Clip >= 0, "at least 0"},
		{"EMADecay", o.EMADecay, o.EMADecay >= 0 && o.EMADecay < 1, "0 to less than 1"},
		{"Smoothing", o.Smoothing, o.Smoothing >= 0 && o.Smoothing < 1, "0 to less than 1"},
		{"Dropout", o.Dropout, o.Dropout >= 0 && o.Dropout < 1, "0 to less than 1"},
		{"LabelOnly", o.LabelOnly, o.LabelOnly >= 0 && o.LabelOnly <= 1, "0 to 1"},
		{"Replies", o.Replies, o.Replies >= 0 && o.Replies <= 1, "0 to 1"},
		{"LabelDropout", o.LabelDropout, o.LabelDropout >= 0 && o.LabelDropout < 1, "0 to less than 1"},
		{"TokenDrop", o.TokenDrop, o.TokenDrop >= 0 && o.TokenDrop <= 1, "0 to 1"},
		{"LabelWeight", o.LabelWeight, o.LabelWeight >= 0, "at least 0"},
		{"LabelSmoothing", o.LabelSmoothing, o.LabelSmoothing >= 0 && o.LabelSmoothing < 1, "0 to less than 1"},
		{"NgramRows", o.NgramRows, o.NgramRows >= 0, "at least 0"},
		{"NgramDrop", o.NgramDrop, o.NgramDrop >= 0 && o.NgramDrop < 1, "0 to less than 1"},
		{"BagDrop", o.BagDrop, o.BagDrop >= 0 && o.BagDrop <= 1, "0 to 1"},
		{"PromptWeight", o.PromptWeight, o.PromptWeight >= 0, "at least 0"},
		{"Noise", o.Noise, o.Noise >= 0 && o.Noise <= 1, "0 to 1"},
		{"EchoesFirst", o.EchoesFirst, o.EchoesFirst >= 0, "at least 0"},
		{"Echoes", o.Echoes, o.Echoes >= 0, "at least 0"},
		{"Unsettled", o.Unsettled, o.Unsettled >= 0, "at least 0"},
		{"AccountShare", o.AccountShare, o.AccountShare >= 0 && o.AccountShare < 1, "0 to less than 1"},
	} {
		if !f.ok {
			return fmt.Errorf("train: %s is %v, must be %s", f.name, f.value, f.want)
		}
	}
	if o.Out == "" {
		return fmt.Errorf("train: no folder for the weights")
	}
	return nil
}
