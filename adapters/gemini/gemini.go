// Package gemini reaches a model of the Gemini API through one of two SDKs: google.golang.org/genai,
// or github.com/google/generative-ai-go, which its successor genai replaced. It asks once per call and
// classifies every failure; it never retries.
//
// Of the API's traps it knows these. Tokens spent on thinking count against the bound of the reply, so
// the thinking is kept low and given room of its own. A blocked prompt comes back as a success without
// a reply. Model ids are rerouted in silence, so Completion.Served is the version that answered.
package gemini

import (
	"cmp"
	"context"
	"net/http"
	"regexp"
	"strings"

	"teller/adapters/internal/upstream"
	"teller/config"
	"teller/llm"
)

const (
	who    = "the Gemini API"
	google = "https://generativelanguage.googleapis.com"
)

// Model is one model id of the Gemini API. It is safe for concurrent use.
type Model struct {
	http *http.Client
	sdk  sdk
	id   string // the model id that is asked for

	window int // in tokens; 0: not known

	rerouting rerouting
	// unusable is why the configuration reaches no model; nil when it does.
	unusable *llm.Error
}

var _ llm.Model = (*Model)(nil)

// sdk is a way to the API. Errors are only a sign that the SDK could not read the exchange: they hold
// bodies and keys, and are never shown.
type sdk interface {
	// generate gives each piece of the reply as it comes, when emit is not nil.
	generate(ctx context.Context, req llm.Request, emit func(llm.Delta)) (reply, error)
	// version gives the full name of the configured model, as the API knows it.
	version(ctx context.Context) (string, error)
	close() error
}

// New makes the model of cfg (APIKey, Model, SDK, BaseURL). It always makes one: where the
// configuration lacks something, every call fails with NotConfigured and names the variable.
func New(cfg config.Model) *Model {
	return newModel(cfg, func(header http.Header) *http.Client { return upstream.NewClient(header) })
}

func newModel(cfg config.Model, newClient func(http.Header) *http.Client) *Model {
	// The key goes into a header on both paths. generative-ai-go left to itself puts it into the query
	// string, where proxies log it.
	header := http.Header{"X-Goog-Api-Key": {cfg.APIKey}}
	m := &Model{http: newClient(header), window: cfg.ContextTokens}
	base, unusable := check(cfg)
	if unusable != nil {
		m.unusable = unusable
		return m
	}
	id := strings.TrimPrefix(cfg.Model, "models/")
	m.id = id
	var err error
	switch cfg.SDK {
	case "", config.SDKGenAI:
		m.sdk, err = newGenAI(m.http, base, cfg.APIKey, id)
	case config.SDKGenerativeAIGo:
		m.sdk, err = newGenerativeAIGo(m.http, base, cfg.APIKey, id)
	default:
		m.unusable = notConfigured("GEMINI_SDK names no SDK: genai and generative-ai-go are known")
	}
	if err != nil {
		// Without its cause: genai prints its whole configuration, the key included.
		m.unusable = notConfigured("the Gemini SDK refused the configuration")
	}
	return m
}

func notConfigured(message string) *llm.Error {
	return &llm.Error{Code: llm.NotConfigured, Message: message}
}

// modelID is what ids look like; whatever else would change the request's path.
var modelID = regexp.MustCompile(`^((models|tunedModels)/)?[A-Za-z0-9][A-Za-z0-9._-]*$`)

// check gives the base URL without a slash at its end.
func check(cfg config.Model) (base string, unusable *llm.Error) {
	switch {
	case cfg.APIKey == "":
		return "", notConfigured("GOOGLE_API_KEY is not set")
	case !upstream.HeaderSafe(cfg.APIKey):
		return "", notConfigured("GOOGLE_API_KEY holds a character that no HTTP header can hold")
	case cfg.Model == "":
		return "", notConfigured("GEMINI_MODEL is not set")
	case !modelID.MatchString(cfg.Model):
		return "", notConfigured("GEMINI_MODEL is not a model id")
	}
	u, ok := upstream.BaseURL(cmp.Or(cfg.BaseURL, google))
	if !ok {
		return "", notConfigured("GEMINI_BASE_URL is not an http or https address")
	}
	return strings.TrimRight(u.String(), "/"), nil
}

// Close frees the connections.
func (m *Model) Close() error {
	m.http.CloseIdleConnections()
	if m.sdk == nil {
		return nil
	}
	return m.sdk.close()
}

// Complete asks the API once. CompletionTokens include the tokens spent on thinking, which are billed
// alike. A reply can be longer than req.MaxTokens by the room that was left for thinking and not used.
func (m *Model) Complete(ctx context.Context, req llm.Request, emit func(llm.Delta)) (llm.Completion, error) {
	if m.unusable != nil {
		return llm.Completion{}, m.unusable
	}
	if err := upstream.Validate(req); err != nil {
		return llm.Completion{}, err
	}
	if err := m.unsupported(req); err != nil {
		return llm.Completion{}, err
	}
	req, omitted := upstream.Fit(req, m.window)
	begin, told := upstream.BeginStream, emit
	if emit == nil || len(req.Choices) > 0 { // a choice is known when it is whole
		begin, told = upstream.Begin, nil
	}
	ctx, call := begin(ctx)
	defer call.End()
	got, err := guarded(func() (reply, error) { return m.sdk.generate(ctx, req, told) })
	call.Settle()
	if failed := failure(call, err); failed != nil {
		return llm.Completion{}, failed
	}
	out, err := completion(call, got)
	m.rerouting.warn(m.id, out.Served)
	switch {
	case err != nil:
	case len(req.Choices) > 0:
		out, err = chosen(req.Choices, got, out)
	default:
		err = upstream.CheckSchema(who, req, out)
	}
	if err != nil {
		return out, err
	}
	if emit != nil && told == nil {
		emit(llm.Delta{Text: out.Text})
	}
	out.OmittedMessages = omitted
	return out, nil
}

// Check asks for the model's description, which costs no token.
func (m *Model) Check(ctx context.Context) (llm.Status, error) {
	if m.unusable != nil {
		return llm.Status{}, m.unusable
	}
	ctx, call := upstream.Begin(ctx)
	defer call.End()
	name, err := guarded(func() (string, error) { return m.sdk.version(ctx) })
	if failed := failure(call, err); failed != nil {
		return llm.Status{}, failed
	}
	if name == "" {
		return llm.Status{}, call.Classify(who, llm.BadReply, "")
	}
	return llm.Status{Version: strings.TrimPrefix(name, "models/"), Device: "remote"}, nil
}
