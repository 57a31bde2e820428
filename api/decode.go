package api

import (
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

	"github.com/gin-gonic/gin"

	"teller/internal/strictjson"
)

// maxBodyBytes leaves room for the longest message and context with every byte escaped.
const maxBodyBytes = 4 << 20

const idempotencyHeader = "Idempotency-Key"

// decode reads exactly one JSON object into v, which says with its tags what may stand in it.
func decode(c *gin.Context, v any) *problem {
	body, p := readJSON(c)
	if p != nil {
		return p
	}
	if wrong := strictjson.Body(body, v); wrong != nil {
		return invalid(wrong.Field, wrong.Message)
	}
	return nil
}

// readJSON reads a body that was sent as JSON.
func readJSON(c *gin.Context) ([]byte, *problem) {
	if media, _, err := mime.ParseMediaType(c.GetHeader("Content-Type")); err != nil || media != "application/json" {
		return nil, &problem{status: http.StatusUnsupportedMediaType, kind: invalidRequestType, code: "unsupported_media_type",
			message: "the body must be JSON, sent with Content-Type: application/json"}
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, maxBodyBytes))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return nil, &problem{status: http.StatusRequestEntityTooLarge, kind: invalidRequestType, code: "body_too_large",
				message: fmt.Sprintf("the body is over %d bytes: send a shorter one", maxBodyBytes)}
		}
		return nil, invalid("", "the body could not be read to its end")
	}
	return body, nil
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
