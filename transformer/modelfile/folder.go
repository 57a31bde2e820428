package modelfile

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"teller/transformer/tokenizers"
)

// The files of a Hugging Face folder beside the weights.
const (
	configFile          = "config.json"
	generationFile      = "generation_config.json"
	tokenizerFile       = "tokenizer.json"
	tokenizerConfigFile = "tokenizer_config.json"
	templateFile        = "chat_template.jinja"
)

// idList is one id or several.
type idList []int

func (l *idList) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	if len(data) > 0 && data[0] == '[' {
		return json.Unmarshal(data, (*[]int)(l))
	}
	var one int
	err := json.Unmarshal(data, &one)
	*l = idList{one}
	return err
}

// spelling is a token as a text, or as an object with its content.
type spelling string

func (s *spelling) UnmarshalJSON(data []byte) error {
	var object struct {
		Content string `json:"content"`
	}
	if len(data) > 0 && data[0] == '{' {
		err := json.Unmarshal(data, &object)
		*s = spelling(object.Content)
		return err
	}
	return json.Unmarshal(data, (*string)(s))
}

// templates is one chat template, or a list of named ones of which "default" counts.
type templates string

func (t *templates) UnmarshalJSON(data []byte) error {
	if len(data) == 0 || data[0] != '[' {
		return json.Unmarshal(data, (*string)(t))
	}
	var named []struct {
		Name     string `json:"name"`
		Template string `json:"template"`
	}
	if err := json.Unmarshal(data, &named); err != nil {
		return err
	}
	for _, n := range named {
		if n.Name == "default" {
			*t = templates(n.Template)
		}
	}
	return nil
}

type tokenSettings struct {
	BOSToken     spelling  `json:"bos_token"`
	EOSToken     spelling  `json:"eos_token"`
	ChatTemplate templates `json:"chat_template"`
}

type idSettings struct {
	BOS             idList `json:"bos_token_id"`
	EOS             idList `json:"eos_token_id"`
	TokenizerSHA256 string `json:"tokenizer_sha256"`
}

func (m *Model) readFolder(dir fs.FS) error {
	var config, generation idSettings
	var settings tokenSettings
	for _, f := range []struct {
		name string
		to   any
	}{{configFile, &config}, {generationFile, &generation}, {tokenizerConfigFile, &settings}} {
		if err := readJSON(dir, f.name, f.to); err != nil {
			return err
		}
	}
	data, err := fs.ReadFile(dir, tokenizerFile)
	if err != nil {
		return err
	}
	if want := config.TokenizerSHA256; want != "" {
		sum := sha256.Sum256(data)
		if got := hex.EncodeToString(sum[:]); got != want {
			return fmt.Errorf("%s has SHA-256 %s, config.json wants %s: it is damaged or belongs to another model", tokenizerFile, got, want)
		}
	}
	m.Tokenizer, err = tokenizers.FromJSON(data, tokenizers.Special{
		BOS: string(settings.BOSToken), BOSID: config.BOS.first(),
		EOS: string(settings.EOSToken), EOSID: config.EOS.first(),
	})
	if err != nil {
		return err
	}
	template, err := fs.ReadFile(dir, templateFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(template) == 0 {
		template = []byte(settings.ChatTemplate)
	}
	m.setTemplate(string(template))
	ends := generation.EOS
	if ends == nil {
		ends = config.EOS
	}
	for _, id := range ends {
		m.stop(id)
	}
	return nil
}

// first is nil when there is none.
func (l idList) first() *int {
	if len(l) == 0 {
		return nil
	}
	return &l[0]
}

// readJSON reads a file that may be absent.
func readJSON(dir fs.FS, name string, to any) error {
	data, err := fs.ReadFile(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, to); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
