package upstream

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"teller/llm"
)

// maxSchemaBytes bounds a schema. Providers compile it to a grammar, and refuse far smaller ones.
const maxSchemaBytes = 64 << 10

// checkSchema says what is wrong with the schema of a request, "" when nothing is.
func checkSchema(schema json.RawMessage) string {
	switch {
	case len(schema) == 0:
		return ""
	case len(schema) > maxSchemaBytes:
		return fmt.Sprintf("schema is %d bytes long, %d are the most", len(schema), maxSchemaBytes)
	case !json.Valid(schema) || !bytes.HasPrefix(bytes.TrimLeft(schema, " \t\r\n"), []byte("{")):
		return "schema is not a JSON object"
	}
	if _, err := compile(schema); err != nil {
		return "schema is not a valid JSON schema that refers to itself at most"
	}
	return ""
}

// CheckSchema refuses a completion that does not conform to the schema of its request, which Validate let pass. One
// that was cut short cannot conform, and its FinishReason says so.
func CheckSchema(who string, req llm.Request, out llm.Completion) error {
	if len(req.Schema) == 0 || out.FinishReason != llm.FinishStop || conforms(req.Schema, out.Text) {
		return nil
	}
	return &llm.Error{Code: llm.BadReply, Message: who + " sent a reply that does not conform to the schema"}
}

func conforms(schema json.RawMessage, reply string) bool {
	compiled, err := compile(schema)
	if err != nil {
		return false
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader([]byte(reply)))
	return err == nil && compiled.Validate(value) == nil
}

func compile(schema json.RawMessage) (*jsonschema.Schema, error) {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(nowhere{})
	const here = "request:schema"
	if err := c.AddResource(here, value); err != nil {
		return nil, err
	}
	return c.Compile(here)
}

// nowhere loads no other schema: a $ref must not read a file of this machine.
type nowhere struct{}

func (nowhere) Load(string) (any, error) {
	return nil, errors.New("a schema refers to another document")
}
