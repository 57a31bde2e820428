package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gin-gonic/gin"
)

// maxBodyBytes leaves room for the longest message and context with every byte escaped.
const maxBodyBytes = 4 << 20

const idempotencyHeader = "Idempotency-Key"

// decode reads exactly one JSON object into v, which says with its tags what may stand in it.
func decode(c *gin.Context, v any) *problem {
	if media, _, err := mime.ParseMediaType(c.GetHeader("Content-Type")); err != nil || media != "application/json" {
		return &problem{status: http.StatusUnsupportedMediaType, kind: invalidRequestType, code: "unsupported_media_type",
			message: "the body must be JSON, sent with Content-Type: application/json"}
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, maxBodyBytes))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return &problem{status: http.StatusRequestEntityTooLarge, kind: invalidRequestType, code: "body_too_large",
				message: fmt.Sprintf("the body is over %d bytes: send a shorter one", maxBodyBytes)}
		}
		return invalid("", "the body could not be read to its end")
	}
	// encoding/json would put U+FFFD in place of bytes that are not UTF-8, and nobody would know.
	if !utf8.Valid(body) {
		return invalid("", "the body is not valid UTF-8")
	}
	trimmed := bytes.Trim(body, " \t\r\n") // what JSON calls white space
	switch {
	case len(trimmed) == 0:
		return invalid("", "the body is empty: send a JSON object")
	case trimmed[0] != '{':
		return invalid("", "the body must be a JSON object")
	}
	if halfCharacter(body) {
		return invalid("", `the body is not valid Unicode: a \u escape holds one half of a surrogate pair`)
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	if err := decoder.Decode(v); err != nil {
		return jsonProblem(err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return invalid("", "the body must hold one JSON object and nothing after it")
	}
	return checkNames(body, v)
}

// checkNames refuses a field that v has no tag for and one that stands there twice. encoding/json takes a
// name in another case, and the last of two.
func checkNames(object []byte, v any) *problem {
	known := map[string]bool{}
	for _, field := range reflect.VisibleFields(reflect.TypeOf(v).Elem()) {
		known[field.Tag.Get("json")] = true
	}
	seen := map[string]bool{}
	decoder := json.NewDecoder(bytes.NewReader(object))
	_, err := decoder.Token() // the brace
	for err == nil && decoder.More() {
		var token json.Token
		if token, err = decoder.Token(); err != nil {
			break
		}
		name, _ := token.(string)
		switch shown := shortened(name); {
		case !known[name]:
			return invalid(shown, fmt.Sprintf("there is no field %q; GET /openapi.yaml lists those there are", shown))
		case seen[name]:
			return invalid(shown, shown+" stands there twice")
		}
		seen[name] = true
		var value json.RawMessage
		err = decoder.Decode(&value)
	}
	if err != nil {
		return jsonProblem(err)
	}
	return nil
}

func jsonProblem(err error) *problem {
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) {
		return invalid(wrongType.Field, fmt.Sprintf("%s must be %s, not %s", wrongType.Field, article(wrongType), shortened(wrongType.Value)))
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return invalid("", "the JSON ends too early")
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return invalid("", fmt.Sprintf("the body is not JSON: %s, at byte %d", syntax, syntax.Offset))
	}
	return invalid("", "the body is not the JSON that this route takes")
}

// escapes finds each escape of a JSON text; its group holds one half of a surrogate pair that stands alone.
var escapes = regexp.MustCompile(`\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(u[dD][89a-fA-F]..)|.)`)

// halfCharacter tells whether a \u escape holds half a character. encoding/json puts U+FFFD in its
// place, as it does with bytes that are not UTF-8.
func halfCharacter(body []byte) bool {
	if !bytes.Contains(body, []byte(`\ud`)) && !bytes.Contains(body, []byte(`\uD`)) {
		return false
	}
	for _, match := range escapes.FindAllSubmatchIndex(body, -1) {
		if match[2] >= 0 {
			return true
		}
	}
	return false
}

// shortened keeps a message readable whatever stands in the body.
func shortened(value string) string {
	if len(value) > 40 {
		return strings.ToValidUTF8(value[:40], "") + "..."
	}
	return value
}

func article(e *json.UnmarshalTypeError) string {
	switch e.Type.Kind().String() {
	case "int", "int64":
		return "a whole number"
	case "float64":
		return "a finite number"
	case "bool":
		return "true or false"
	case "slice":
		return "a list"
	default:
		return "a " + e.Type.Kind().String()
	}
}

// checkText refuses what no customer types. Template tokens such as <|end|> are text like any other.
func checkText(param, text string, maxBytes int) *problem {
	switch {
	case len(text) > maxBytes:
		return invalid(param, fmt.Sprintf("%s is %d bytes long and must be at most %d", param, len(text), maxBytes))
	case strings.ContainsRune(text, 0):
		return invalid(param, param+" must not hold a NUL character")
	}
	return nil
}

// conversationID is what a caller may call a conversation.
var conversationID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}$`)

func checkConversationID(id string) *problem {
	if !conversationID.MatchString(id) {
		return invalid("conversation_id", "conversation_id must be 1 to 128 letters, digits, '_', '.', ':' or '-' and begin with a letter or digit")
	}
	return nil
}

// idempotencyKey gives the caller's key, or "" when the header is missing. An empty one is a defect of
// the caller, who counts on it.
func idempotencyKey(c *gin.Context) (string, *problem) {
	keys := c.Request.Header.Values(idempotencyHeader)
	if len(keys) == 0 {
		return "", nil
	}
	key := keys[0]
	if len(keys) > 1 || key == "" || len(key) > 255 || strings.ContainsFunc(key, func(r rune) bool { return r > unicode.MaxASCII || !unicode.IsPrint(r) }) {
		return "", invalid(idempotencyHeader, "the Idempotency-Key must be one key of 1 to 255 printable ASCII characters")
	}
	return key, nil
}

const (
	timeoutHeader  = "X-Request-Timeout"
	maxTurnTimeout = 10 * time.Minute
)

// turnTimeout gives the caller's deadline: a header with seconds ("30", "2.5") or a duration ("30s").
func turnTimeout(c *gin.Context, fallback time.Duration) (time.Duration, *problem) {
	text := c.GetHeader(timeoutHeader)
	if text == "" {
		return fallback, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		var seconds float64
		seconds, err = strconv.ParseFloat(text, 64)
		d = time.Duration(seconds * float64(time.Second))
	}
	if err != nil || d < time.Second || d > maxTurnTimeout {
		return 0, invalid(timeoutHeader, "X-Request-Timeout must be between 1s and 10m, in seconds or as a duration such as 30s")
	}
	return d, nil
}
