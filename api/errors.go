package api

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"teller/activities"
	"teller/llm"
	"teller/turns"
)

// errorBody is the one shape of every error: {"error": {...}}.
type errorBody struct {
	Error errorDetail `json:"error"`
}

type errorDetail struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"` // the field that is wrong; null when none is
	Code    string  `json:"code"`
}

// The types are OpenAI's, so that its clients classify our errors as theirs.
const (
	invalidRequestType = "invalid_request_error"
	rateLimitType      = "rate_limit_error"
	serverErrorType    = "server_error"
)

// problem is an error as a caller is told it.
type problem struct {
	status     int
	kind       string
	code       string
	param      string
	message    string
	retryAfter time.Duration // with 429 and 503; 0 when nobody named a time
}

func (p *problem) Error() string { return p.message }

func invalid(param, message string) *problem {
	return &problem{status: http.StatusBadRequest, kind: invalidRequestType, code: string(llm.InvalidRequest), param: param, message: message}
}

func notFound(message string) *problem {
	return &problem{status: http.StatusNotFound, kind: invalidRequestType, code: "not_found", message: message}
}

func noModel(param string) *problem {
	return &problem{status: http.StatusNotFound, kind: invalidRequestType, code: "model_not_found", param: param,
		message: "there is no such model; GET /models lists them"}
}

// statusOf maps a turn's failure to HTTP. 499 is what proxies log for a caller who hung up.
func statusOf(code llm.Code) (status int, kind string) {
	switch code {
	case llm.InvalidRequest, llm.ContextTooLong, llm.NotSupported, llm.Refused:
		return http.StatusBadRequest, invalidRequestType
	case llm.RateLimited:
		return http.StatusTooManyRequests, rateLimitType
	case llm.Overloaded, llm.NoWorker, llm.Unavailable, llm.NotConfigured:
		return http.StatusServiceUnavailable, serverErrorType
	case llm.Timeout:
		return http.StatusGatewayTimeout, serverErrorType
	case llm.Unauthenticated, llm.NotFound, llm.BadReply, llm.EmptyReply:
		return http.StatusBadGateway, serverErrorType
	case llm.Canceled:
		return 499, invalidRequestType
	default:
		return http.StatusInternalServerError, serverErrorType
	}
}

// defaultRetryAfter is what a 429 or 503 says when nobody named a time.
const defaultRetryAfter = 2 * time.Second

// problemOf says of any error what a caller may know: messages that are safe to show and nothing else.
func problemOf(err error) *problem {
	var p *problem
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, turns.ErrOtherRequest):
		return &problem{status: http.StatusUnprocessableEntity, kind: invalidRequestType, code: "idempotency_key_reused",
			param: idempotencyHeader, message: turns.ErrOtherRequest.Error() + ": send a new key with a new request"}
	case errors.Is(err, turns.ErrNoConversation):
		return notFound(turns.ErrNoConversation.Error())
	case errors.Is(err, turns.ErrNoTurn):
		return notFound(turns.ErrNoTurn.Error())
	}
	failure := activities.FromTemporal(err)
	status, kind := statusOf(failure.Code)
	return &problem{status: status, kind: kind, code: string(failure.Code), message: failure.Message, retryAfter: failure.RetryAfter}
}

// writeError writes err in the one shape.
func writeError(c *gin.Context, err error) {
	p := problemOf(err)
	if p.status == http.StatusTooManyRequests || p.status == http.StatusServiceUnavailable {
		after := p.retryAfter
		if after <= 0 {
			after = defaultRetryAfter
		}
		c.Header("Retry-After", strconv.Itoa(int(math.Ceil(after.Seconds()))))
	}
	c.AbortWithStatusJSON(p.status, errorBodyOf(p))
}

func errorBodyOf(p *problem) errorBody {
	detail := errorDetail{Message: p.message, Type: p.kind, Code: p.code}
	if p.param != "" {
		detail.Param = &p.param
	}
	return errorBody{Error: detail}
}
