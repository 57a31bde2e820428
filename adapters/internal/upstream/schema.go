package upstream

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/santhosh-tekuri/jsonschema/v6"
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

// Conforms tells whether reply is JSON that conforms to a schema that Validate let pass.
func Conforms(schema json.RawMessage, reply string) bool {
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

func (nowhere) Load(string) (any, error) { return nil, errors.New("a schema refers to another document") }
