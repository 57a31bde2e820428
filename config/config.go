// Package config turns the environment into one validated struct, read once at start. It decides
// nothing: it neither opens a file of the data directory nor connects to anything.
package config

import (
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/joho/godotenv"
)

// Config is everything that the environment says. The env tags are the reference for the names;
// .env.example lists them for people.
type Config struct {
	APIAddr      string `env:"TELLER_API_ADDR" envDefault:"127.0.0.1:8000"`      // where the API listens
	TemporalAddr string `env:"TELLER_TEMPORAL_ADDR" envDefault:"127.0.0.1:7233"` // where the embedded Temporal server listens (teller dev)
	UIAddr       string `env:"TELLER_UI_ADDR" envDefault:"127.0.0.1:8233"`       // where its Web UI listens (teller dev)
	APIURL       string `env:"TELLER_API_URL"`                                   // where the command line finds the API; empty: at TELLER_API_ADDR
	APIKey       string `env:"TELLER_API_KEY"`                                   // the key that the command line sends
	MetricsAddr  string `env:"TELLER_METRICS_ADDR"`                              // where a worker serves /metrics; empty: nowhere
	// Where an API process takes the pieces of streamed replies from the workers, and the host or host:port by which
	// they reach it; empty: what it listens on, or this machine's name where that is every interface.
	StreamAddr      string `env:"TELLER_STREAM_ADDR" envDefault:"127.0.0.1:0"`
	StreamAdvertise string `env:"TELLER_STREAM_ADVERTISE"`

	DataDir     string `env:"TELLER_DATA_DIR" envDefault:".teller"` // SQLite files
	DatabaseURL string `env:"DATABASE_URL"`                         // PostgreSQL; empty: SQLite in DataDir
	PricesPath  string `env:"TELLER_PRICES"`                        // a price table; empty: the embedded one
	LogLevel    string `env:"TELLER_LOG_LEVEL" envDefault:"info"`   // debug, info, warn, error
	LogFormat   string `env:"TELLER_LOG_FORMAT" envDefault:"text"`  // text, json

	ModelVersion string   `env:"MODEL_VERSION" envDefault:"custom"`          // the model that is active at first start
	Fallbacks    []string `env:"TELLER_FALLBACKS" envDefault:"qlora,custom"` // tried in this order when the active model fails
	SplitText    string   `env:"TELLER_SPLIT"`                               // A/B split of conversations: "custom=80,gemini=20"

	TurnTimeout      time.Duration `env:"TELLER_TURN_TIMEOUT" envDefault:"60s"`        // a turn's deadline when the caller names none
	ConversationIdle time.Duration `env:"TELLER_CONVERSATION_IDLE" envDefault:"24h"`   // a conversation ends after so long without a turn
	MaxMessageBytes  int           `env:"TELLER_MAX_MESSAGE_BYTES" envDefault:"32768"` // of a message, and of the context
	GPUSlots         int           `env:"TELLER_GPU_SLOTS" envDefault:"8"`             // turns that one GPU worker answers at once
	NetworkSlots     int           `env:"TELLER_WORKER_SLOTS" envDefault:"200"`        // model calls that one worker has open at once

	BenchmarkSchedule      string        `env:"BENCHMARK_SCHEDULE" envDefault:"0 3 * * *"`      // when all models are measured: cron (UTC) or an interval such as 6h; off: never
	BenchmarkSuite         string        `env:"BENCHMARK_SUITE" envDefault:"banking"`           // on which suite
	BenchmarkEveryRequests int64         `env:"BENCHMARK_EVERY_REQUESTS" envDefault:"50"`       // and after so many chats; 0: never
	BenchmarkRequestsSuite string        `env:"BENCHMARK_REQUESTS_SUITE" envDefault:"smoke"`    // on which suite
	BenchmarkConcurrency   int           `env:"BENCHMARK_CONCURRENCY" envDefault:"4"`           // calls to one model that are open at once
	BenchmarkMaxCostUSD    float64       `env:"BENCHMARK_MAX_COST_USD" envDefault:"1"`          // of a run, on one model; 0: no bound
	BenchmarkMaxDuration   time.Duration `env:"BENCHMARK_MAX_DURATION" envDefault:"2h"`         // of a run; 0: no bound
	BenchmarkJudge         string        `env:"BENCHMARK_JUDGE"`                                // the model that grades llm-rubric; empty: rubrics are left out
	BenchmarkResults       string        `env:"BENCHMARK_RESULTS"`                              // the file of results; empty: benchmark_results.jsonl in TELLER_DATA_DIR
	BenchmarkPromote       bool          `env:"BENCHMARK_PROMOTE" envDefault:"false"`           // the best model that meets the objective becomes active
	BenchmarkMinAccuracy   float64       `env:"BENCHMARK_MIN_ACCURACY" envDefault:"0.8"`        // the objective: at least this share of cases right,
	BenchmarkMaxP90Ms      float64       `env:"BENCHMARK_MAX_LATENCY_MS" envDefault:"0"`        // 90% of the replies within so many milliseconds; 0: no bound
	BenchmarkMaxCostPer1K  float64       `env:"BENCHMARK_MAX_COST_PER_THOUSAND" envDefault:"0"` // at most so many US dollars for 1,000 turns; 0: no bound

	ExtraModels []string `env:"TELLER_MODELS"` // more models, "name:kind": see parseModels

	VLLMBaseURL   string `env:"VLLM_BASE_URL"`
	VLLMModel     string `env:"VLLM_MODEL" envDefault:"banking"`
	VLLMAPIKey    string `env:"VLLM_API_KEY"`
	VLLMContext   int    `env:"VLLM_CONTEXT_TOKENS"` // the window; 0: not known
	GoogleAPIKey  string `env:"GOOGLE_API_KEY"`
	GeminiAPIKey  string `env:"GEMINI_API_KEY"` // another name of GOOGLE_API_KEY
	GeminiModel   string `env:"GEMINI_MODEL" envDefault:"gemini-2.5-flash"`
	GeminiBaseURL string `env:"GEMINI_BASE_URL"`
	GeminiContext int    `env:"GEMINI_CONTEXT_TOKENS"`           // the window; 0: not known
	GeminiSDK     string `env:"GEMINI_SDK" envDefault:"genai"`   // genai, generative-ai-go
	CustomPath    string `env:"CUSTOM_MODEL_PATH"`               // empty: the embedded weights
	CustomDevice  string `env:"CUSTOM_DEVICE" envDefault:"auto"` // auto, cpu, opencl, opencl:NUMBER

	Models []Model        // custom, qlora, gemini, then ExtraModels
	Split  map[string]int // SplitText, parsed
}

// Load reads .env, when there is one, and the environment, which wins.
func Load() (Config, error) {
	if err := godotenv.Load(); err != nil && !errors.Is(err, os.ErrNotExist) {
		return Config{}, fmt.Errorf(".env: %w", err)
	}
	return Parse(env.ToMap(os.Environ()))
}

// Parse reads the given environment. An error names every variable that is wrong.
func Parse(environ map[string]string) (Config, error) {
	var c Config
	// Compose files and .env templates set variables to nothing when they mean "unset".
	set := make(map[string]string, len(environ))
	for k, v := range environ {
		if v = strings.TrimSpace(v); v != "" {
			set[k] = v
		}
	}
	var problems []error
	// A parse problem names the Go field only; the loop gives each the variable's name.
	if err := env.ParseWithOptions(&c, env.Options{Environment: set}); err != nil {
		var all env.AggregateError
		if !errors.As(err, &all) {
			return Config{}, err
		}
		for _, e := range all.Errors {
			var parse env.ParseError
			if errors.As(e, &parse) {
				e = fmt.Errorf("%s: %w", variable(parse.Name), parse.Err)
			}
			problems = append(problems, e)
		}
	}
	if c.GoogleAPIKey == "" {
		c.GoogleAPIKey = c.GeminiAPIKey
	}
	var err error
	if c.Models, err = parseModels(c, set); err != nil {
		problems = append(problems, err)
	}
	if c.Split, err = parseSplit(c.SplitText); err != nil {
		problems = append(problems, err)
	}
	problems = append(problems, c.check()...)
	return c, errors.Join(problems...)
}

// Known tells whether a model of this name is configured.
func (c Config) Known(name string) bool {
	for _, m := range c.Models {
		if m.Name == name {
			return true
		}
	}
	return false
}

func (c Config) check() (problems []error) {
	wrong := func(variable, format string, args ...any) {
		problems = append(problems, fmt.Errorf(variable+": "+format, args...))
	}
	for _, a := range []struct{ variable, addr string }{
		{"TELLER_API_ADDR", c.APIAddr}, {"TELLER_TEMPORAL_ADDR", c.TemporalAddr},
		{"TELLER_UI_ADDR", c.UIAddr}, {"TELLER_METRICS_ADDR", c.MetricsAddr},
		{"TELLER_STREAM_ADDR", c.StreamAddr},
	} {
		if a.addr == "" {
			continue
		}
		if err := checkAddr(a.addr); err != nil {
			wrong(a.variable, "%w", err)
		}
	}
	if !c.Known(c.ModelVersion) {
		wrong("MODEL_VERSION", "there is no model %q; there are %s", c.ModelVersion, c.names())
	}
	for _, name := range c.Fallbacks {
		if !c.Known(name) {
			wrong("TELLER_FALLBACKS", "there is no model %q; there are %s", name, c.names())
		}
	}
	for name := range c.Split {
		if !c.Known(name) {
			wrong("TELLER_SPLIT", "there is no model %q; there are %s", name, c.names())
		}
	}
	if c.TurnTimeout < time.Second || c.TurnTimeout > 10*time.Minute {
		wrong("TELLER_TURN_TIMEOUT", "%s is not between 1s and 10m", c.TurnTimeout)
	}
	if c.ConversationIdle < time.Second {
		wrong("TELLER_CONVERSATION_IDLE", "%s is under 1s", c.ConversationIdle)
	}
	// A message travels in workflow histories, whose payloads end at 2 MiB.
	if c.MaxMessageBytes < 1 || c.MaxMessageBytes > 256<<10 {
		wrong("TELLER_MAX_MESSAGE_BYTES", "%d is not between 1 and 262144", c.MaxMessageBytes)
	}
	if c.GPUSlots < 1 || c.GPUSlots > 1000 {
		wrong("TELLER_GPU_SLOTS", "%d is not between 1 and 1000", c.GPUSlots)
	}
	if c.NetworkSlots < 1 || c.NetworkSlots > 10000 {
		wrong("TELLER_WORKER_SLOTS", "%d is not between 1 and 10000", c.NetworkSlots)
	}
	if c.BenchmarkEveryRequests < 0 {
		wrong("BENCHMARK_EVERY_REQUESTS", "%d is below 0", c.BenchmarkEveryRequests)
	}
	if c.BenchmarkConcurrency < 1 || c.BenchmarkConcurrency > 100 {
		wrong("BENCHMARK_CONCURRENCY", "%d is not between 1 and 100", c.BenchmarkConcurrency)
	}
	for _, f := range []struct {
		variable string
		value    float64
	}{{"BENCHMARK_MAX_COST_USD", c.BenchmarkMaxCostUSD}, {"BENCHMARK_MAX_LATENCY_MS", c.BenchmarkMaxP90Ms}, {"BENCHMARK_MAX_COST_PER_THOUSAND", c.BenchmarkMaxCostPer1K}} {
		if !(f.value >= 0) {
			wrong(f.variable, "%v is not at least 0", f.value)
		}
	}
	if !(c.BenchmarkMinAccuracy >= 0 && c.BenchmarkMinAccuracy <= 1) {
		wrong("BENCHMARK_MIN_ACCURACY", "%v is not between 0 and 1", c.BenchmarkMinAccuracy)
	}
	if c.BenchmarkJudge != "" && !c.Known(c.BenchmarkJudge) {
		wrong("BENCHMARK_JUDGE", "there is no model %q; there are %s", c.BenchmarkJudge, c.names())
	}
	if c.BenchmarkMaxDuration < 0 {
		wrong("BENCHMARK_MAX_DURATION", "%s is below 0", c.BenchmarkMaxDuration)
	}
	if !oneOf(c.LogLevel, "debug", "info", "warn", "error") {
		wrong("TELLER_LOG_LEVEL", "%q is none of debug, info, warn, error", c.LogLevel)
	}
	if !oneOf(c.LogFormat, "text", "json") {
		wrong("TELLER_LOG_FORMAT", "%q is neither text nor json", c.LogFormat)
	}
	return problems
}

func (c Config) names() string {
	names := make([]string, len(c.Models))
	for i, m := range c.Models {
		names[i] = m.Name
	}
	return strings.Join(names, ", ")
}

func checkAddr(addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%q is not host:port", addr)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("%q has no port between 0 and 65535", addr)
	}
	return nil
}

// parseSplit reads "custom=80,gemini=20": percents that add up to 100.
func parseSplit(text string) (map[string]int, error) {
	if text == "" {
		return nil, nil
	}
	split, sum := map[string]int{}, 0
	for part := range strings.SplitSeq(text, ",") {
		name, weight, found := strings.Cut(strings.TrimSpace(part), "=")
		n, err := strconv.Atoi(weight)
		if !found || name == "" || err != nil || n < 1 || n > 100 {
			return nil, fmt.Errorf("TELLER_SPLIT: %q is not model=percent", part)
		}
		if _, twice := split[name]; twice {
			return nil, fmt.Errorf("TELLER_SPLIT: %q stands there twice", name)
		}
		split[name] = n
		sum += n
	}
	if sum != 100 {
		return nil, fmt.Errorf("TELLER_SPLIT: the percents add up to %d, not 100", sum)
	}
	return split, nil
}

// modelName is what a model may be called: the name stands in URLs, metrics and search attributes.
var modelName = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,62}$`)

func oneOf(s string, options ...string) bool {
	for _, o := range options {
		if s == o {
			return true
		}
	}
	return false
}
