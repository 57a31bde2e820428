package api_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
	"github.com/pb33f/libopenapi-validator/errors"
	"github.com/pb33f/libopenapi-validator/schema_validation"
	"github.com/pb33f/libopenapi/datamodel/high/base"
	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"
	"github.com/stretchr/testify/require"

	"teller/api"
	"teller/telemetry"
)

// description is the OpenAPI document, ready to hold requests and replies against.
type description struct {
	validator validator.Validator
	model     *v3.Document
}

var described = sync.OnceValues(func() (*description, error) {
	text, err := os.ReadFile("openapi.yaml")
	if err != nil {
		return nil, err
	}
	document, err := libopenapi.NewDocument(text)
	if err != nil {
		return nil, err
	}
	model, err := document.BuildV3Model()
	if err != nil {
		return nil, err
	}
	v, errs := validator.NewValidator(document, strict()...)
	if len(errs) > 0 {
		return nil, errs[0]
	}
	return &description{v, &model.Model}, nil
})

// strict refuses members and headers that the description does not name. It knows nothing of members
// whose names are free: a split's, what a caller notes or describes, models, and what benchmarks find out.
func strict() []config.Option {
	return []config.Option{config.WithStrictMode(), config.WithStrictIgnorePaths("$.body.split.*", "$.body.metadata.*", "$.body.response_format.json_schema.schema.**",
		"$.body.files**", "$.body.recorded.*", "$.body.trend[*].models.*", "$.body.latest.**", "$.body.run.summary.**", "$.body.runs[*].summary.**"), config.WithFormatAssertions()}
}

// requireDescribed holds a reply against the description. A request that was taken must be one that the
// description allows; what a path or a method that is not described gets is the error shape.
func requireDescribed(t testing.TB, req *http.Request, body string, got reply) {
	t.Helper()
	d, err := described()
	require.NoError(t, err)
	req = req.Clone(t.Context())
	req.Body = io.NopCloser(bytes.NewReader([]byte(body)))
	resp := &http.Response{StatusCode: got.status, Header: got.header, Body: io.NopCloser(bytes.NewReader(got.body)), Request: req}
	check := d.validator.ValidateHttpResponse
	if got.status < 300 {
		check = d.validator.ValidateHttpRequestResponse
	}
	_, problems := check(req, resp)
	if !d.names(req) {
		require.Contains(t, []int{http.StatusNotFound, http.StatusMethodNotAllowed}, got.status, "%s %s is not described", req.Method, req.URL.Path)
		require.NotEmpty(t, got.header.Get("x-request-id"))
		_, problems = schema_validation.NewSchemaValidator(strict()...).
			ValidateSchemaBytes(d.model.Components.Schemas.GetOrZero("Error").Schema(), got.body)
	}
	require.Empty(t, explain(problems), "%s %s: %d %s", req.Method, req.URL.Path, got.status, got.body)
}

var parameter = regexp.MustCompile(`\{\w+\}`)

// names tells whether the path, to the letter, and the method are described.
func (d *description) names(req *http.Request) bool {
	for path, item := range d.model.Paths.PathItems.FromOldest() {
		pattern := "^" + parameter.ReplaceAllString(path, "[^/]+") + "$"
		if regexp.MustCompile(pattern).MatchString(req.URL.Path) {
			return item.GetOperations().GetOrZero(strings.ToLower(req.Method)) != nil
		}
	}
	return false
}

func explain(problems []*errors.ValidationError) (all []string) {
	for _, p := range problems {
		text := p.Message + ": " + p.Reason
		for _, s := range p.SchemaValidationErrors {
			text += fmt.Sprintf("; %s: %s", s.KeywordLocation, s.Reason)
		}
		all = append(all, text)
	}
	return all
}

func TestTheDescriptionIsValidOpenAPI(t *testing.T) {
	d, err := described()
	require.NoError(t, err)
	_, problems := d.validator.ValidateDocument()
	require.Empty(t, explain(problems))
}

// TestEveryRouteIsDescribed finds a route that somebody added, or a description that somebody left behind.
func TestEveryRouteIsDescribed(t *testing.T) {
	d, err := described()
	require.NoError(t, err)
	var want, got []string
	for path, item := range d.model.Paths.PathItems.FromOldest() {
		for method := range item.GetOperations().FromOldest() {
			want = append(want, method+" "+path)
		}
	}
	parameter := regexp.MustCompile(`:(\w+)`) // as Gin writes it
	engine := api.Handler(api.Deps{Metrics: telemetry.NewMetrics()}).(*gin.Engine)
	for _, route := range engine.Routes() {
		got = append(got, strings.ToLower(route.Method)+" "+parameter.ReplaceAllString(route.Path, "{$1}"))
	}
	require.ElementsMatch(t, want, got)
}

func TestTheDescriptionsExamplesFitTheirSchemas(t *testing.T) {
	d, err := described()
	require.NoError(t, err)
	count := 0
	check := func(where string, media *v3.MediaType) {
		examples := map[string]*base.Example{}
		if media.Example != nil {
			examples["example"] = &base.Example{Value: media.Example}
		}
		for name, example := range media.Examples.FromOldest() {
			examples[name] = example
		}
		for name, example := range examples {
			t.Run(where+" "+name, func(t *testing.T) {
				var value any
				require.NoError(t, example.Value.Decode(&value))
				_, problems := schema_validation.NewSchemaValidator(strict()...).
					ValidateSchemaObject(media.Schema.Schema(), value)
				require.Empty(t, explain(problems))
			})
			count++
		}
	}
	for path, item := range d.model.Paths.PathItems.FromOldest() {
		for method, operation := range item.GetOperations().FromOldest() {
			if operation.RequestBody != nil {
				for _, media := range operation.RequestBody.Content.FromOldest() {
					check(method+" "+path, media)
				}
			}
			for status, response := range operation.Responses.Codes.FromOldest() {
				for _, media := range response.Content.FromOldest() {
					check(method+" "+path+" "+status, media)
				}
			}
		}
	}
	require.Greater(t, count, 10)
}

func TestTheDescriptionIsServed(t *testing.T) {
	f := start(t)
	got := f.get(t, "/openapi.yaml")
	require.Equal(t, http.StatusOK, got.status)
	require.Equal(t, "application/yaml", got.header.Get("Content-Type"))
	want, err := os.ReadFile("openapi.yaml")
	require.NoError(t, err)
	require.Equal(t, string(want), string(got.body))
}
