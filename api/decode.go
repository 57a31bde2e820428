package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
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
				message: fmt.Sprintf("the body is over %d bytes", maxBodyBytes)}
		}
		return invalid("", "the body could not be read to its end")
	}
	// encoding/json would put U+FFFD in place of bytes that are not UTF-8, and nobody would know.
	if !utf8.Valid(body) {
		return invalid("", "the body is not valid UTF-8")
	}
	trimmed := bytes.TrimSpace(body)
	switch {
	case len(trimmed) == 0:
		return invalid("", "the body is empty: send a JSON object")
	case trimmed[0] != '{':
		return invalid("", "the body must be a JSON object")
	}
	decoder := json.NewDecoder(bytes.NewReader(trimmed))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(v); err != nil {
		return jsonProblem(err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return invalid("", "the body holds more than one JSON object")
	}
	return nil
}

var unknownField = regexp.MustCompile(`unknown field "([^"]{1,100})"`)

func jsonProblem(err error) *problem {
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) {
		return invalid(wrongType.Field, fmt.Sprintf("%s: %s does not fit here; it must be %s", wrongType.Field, wrongType.Value, article(wrongType)))
	}
	if m := unknownField.FindStringSubmatch(err.Error()); m != nil {
		return invalid(m[1], fmt.Sprintf("there is no field %q", m[1]))
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return invalid("", "the JSON ends too early")
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return invalid("", fmt.Sprintf("the body is not JSON: error at byte %d", syntax.Offset))
	}
	return invalid("", "the body is not the JSON that this route takes")
}

func article(e *json.UnmarshalTypeError) string {
	switch e.Type.Kind().String() {
	case "int", "int64":
		return "a whole number"
	case "float64":
		return "a finite number"
	case "bool":
		return "true or false"
	default:
		return "a " + e.Type.Kind().String()
	}
}

// checkText refuses what no customer types. Template tokens such as <|end|> are text like any other.
func checkText(param, text string, maxBytes int) *problem {
	switch {
	case len(text) > maxBytes:
		return invalid(param, fmt.Sprintf("%s is over %d bytes", param, maxBytes))
	case strings.ContainsRune(text, 0):
		return invalid(param, param+" holds a NUL character")
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

// idempotencyKey gives the caller's key, or "".
func idempotencyKey(c *gin.Context) (string, *problem) {
	key := c.GetHeader(idempotencyHeader)
	if len(key) > 255 || strings.ContainsFunc(key, func(r rune) bool { return r > unicode.MaxASCII || !unicode.IsPrint(r) }) {
		return "", invalid(idempotencyHeader, "the Idempotency-Key must be at most 255 printable ASCII characters")
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
