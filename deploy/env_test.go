package deploy_test

import (
	"maps"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/joho/godotenv"
	"github.com/stretchr/testify/require"

	"teller/config"
)

// ofConfig are the variables that config reads.
func ofConfig() map[string]bool {
	names := map[string]bool{}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[config.Config]()) {
		if name, _, _ := strings.Cut(f.Tag.Get("env"), ","); name != "" {
			names[name] = true
		}
	}
	return names
}

// ofCompose are the variables that docker-compose.yml interpolates.
func ofCompose(t *testing.T) map[string]bool {
	names := map[string]bool{}
	for _, m := range regexp.MustCompile(`\$\{(\w+)`).FindAllStringSubmatch(read(t, "docker-compose.yml"), -1) {
		names[m[1]] = true
	}
	return names
}

// known tells whether a process of ours reads the variable, itself or through a library.
func known(name string) bool {
	switch name {
	case "PGPASSWORD", // pgx
		"GOMEMLIMIT",        // Go's runtime
		"POSTGRES_PASSWORD", // not read: it comes along with .env
		"HF_TOKEN":          // likewise
		return true
	}
	return ofConfig()[name] || strings.HasPrefix(name, "TEMPORAL_") // the SDK's envconfig
}

func TestEnvTemplates(t *testing.T) {
	for name, model := range map[string]string{
		".env.custom": "custom", ".env.qlora": "qlora", ".env.gemini": "gemini", ".env.example": "custom",
	} {
		t.Run(name, func(t *testing.T) {
			environ, err := godotenv.Unmarshal(read(t, name))
			require.NoError(t, err)
			compose := ofCompose(t)
			for k := range environ {
				require.Truef(t, known(k) || compose[k], "nothing reads %s", k)
			}
			cfg, err := config.Parse(environ)
			require.NoError(t, err, "it works as it is, before anything is filled in")
			require.Equal(t, model, cfg.ModelVersion)
		})
	}
}

func TestEnvExampleListsEveryVariableWithItsDefault(t *testing.T) {
	lines := regexp.MustCompile(`(?m)^#?([A-Z_]+)=(.*)$`).FindAllStringSubmatch(read(t, ".env.example"), -1)
	listed := map[string]string{}
	for _, m := range lines {
		listed[m[1]] = m[2]
	}
	all := ofConfig()
	maps.Copy(all, ofCompose(t))
	for name := range all {
		require.Contains(t, listed, name)
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[config.Config]()) {
		if standard, ok := f.Tag.Lookup("envDefault"); ok {
			require.Equal(t, standard, listed[f.Tag.Get("env")], f.Tag.Get("env"))
		}
	}
}
