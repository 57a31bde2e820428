package llm

import "encoding/json"

// anyObject is JSON's way to say "an object, whatever is in it".
const anyObject = `{"type":"object"}`

// AnyObject is the Options.Schema of every JSON object. Providers have a setting of its own for it, and some take the
// schema for that of the empty object.
func AnyObject() json.RawMessage { return json.RawMessage(anyObject) }

// IsAnyObject tells whether schema is AnyObject.
func IsAnyObject(schema json.RawMessage) bool { return string(schema) == anyObject }
