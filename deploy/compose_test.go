// Package deploy_test checks docker-compose.yml and the .env templates against the program that they
// start, without a Docker engine.
package deploy_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"

	"teller/config"
)

const repository = ".."

// commands are the services that run our image, with what they run.
var commands = map[string][]string{
	"api":           {"api"},
	"worker":        {"worker"},
	"custom-worker": {"worker", "--gpu"},
	"gpu-worker":    {"worker", "--gpu"},
}

func TestProfiles(t *testing.T) {
	everywhere := []string{"api", "custom-worker", "postgres", "temporal", "temporal-namespace", "temporal-schema", "temporal-ui", "worker"}
	for _, test := range []struct {
		name     string
		profiles []string
		more     []string
	}{
		{"none", nil, nil},
		{"gpu", []string{"gpu"}, []string{"gpu-worker"}},
		{"vllm", []string{"vllm"}, []string{"vllm"}},
		{"both", []string{"gpu", "vllm"}, []string{"gpu-worker", "vllm"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			project := load(t, test.profiles...)
			want := slices.Sorted(slices.Values(append(slices.Clone(everywhere), test.more...)))
			require.Equal(t, want, slices.Sorted(maps.Keys(project.Services)))
		})
	}
}

func TestServicesAreHardened(t *testing.T) {
	for name, s := range load(t, "*").Services {
		t.Run(name, func(t *testing.T) {
			require.Contains(t, s.SecurityOpt, "no-new-privileges:true")
			require.Equal(t, []string{"ALL"}, s.CapDrop)
			require.Empty(t, s.CapAdd)
			require.False(t, s.Privileged)
			require.Empty(t, s.NetworkMode, "it must not share the host's network")
			require.NotEmpty(t, s.Restart)
			if name != "vllm" { // its libraries compile kernels into the image's folders
				require.True(t, s.ReadOnly)
			}
			for _, p := range s.Ports {
				require.Equal(t, "127.0.0.1", p.HostIP)
			}
			if _, ours := commands[name]; ours {
				require.Equal(t, "65532:65532", s.User)
				require.NotNil(t, s.Deploy.Resources.Limits)
				require.Positive(t, s.Deploy.Resources.Limits.MemoryBytes)
			}
		})
	}
}

func TestOnlyTheAPIAndTheUIArePublished(t *testing.T) {
	published := map[string]string{}
	for name, s := range load(t, "*").Services {
		for _, p := range s.Ports {
			published[name] = p.Published
		}
	}
	require.Equal(t, map[string]string{"api": "8000", "temporal-ui": "8233"}, published)
}

func TestDataNetworkHasNoWayOut(t *testing.T) {
	project := load(t, "*")
	require.True(t, project.Networks["data"].Internal)
	for _, name := range []string{"postgres", "temporal", "temporal-schema", "temporal-namespace", "custom-worker", "gpu-worker"} {
		require.Equal(t, []string{"data"}, slices.Sorted(maps.Keys(project.Services[name].Networks)), name)
	}
}

func TestImagesArePinned(t *testing.T) {
	version := regexp.MustCompile(`:v?\d+\.\d+(\.\d+)?(-[a-z]+)?$`)
	for name, s := range load(t, "*").Services {
		if _, ours := commands[name]; ours {
			image := "teller:local"
			if name == "gpu-worker" { // loads the card's driver, which the static image cannot
				image = "teller-gpu:local"
				require.Equal(t, "gpu", s.Build.Target)
			}
			require.Equal(t, image, s.Image)
			require.NotNil(t, s.Build)
			continue
		}
		require.Regexp(t, version, s.Image, name)
	}
	for line := range strings.Lines(read(t, "Dockerfile")) {
		if strings.HasPrefix(line, "FROM ") && !strings.HasPrefix(line, "FROM build ") {
			require.Regexp(t, `:\d+\.\d+(\.\d+)?-|@sha256:[0-9a-f]{64}`, line)
		}
	}
}

// What is developed on is what runs: the embedded server's versions are those of the images.
func TestTemporalVersionsAgree(t *testing.T) {
	services := load(t).Services
	module := read(t, "embedded/go.mod")
	for image, path := range map[string]string{
		services["temporal"].Image:    "go.temporal.io/server",
		services["temporal-ui"].Image: "github.com/temporalio/ui-server/v2",
	} {
		_, version, _ := strings.Cut(image, ":")
		require.Contains(t, module, path+" v"+version)
	}
	_, server, _ := strings.Cut(services["temporal"].Image, ":")
	for _, tools := range []string{"temporal-schema", "temporal-namespace"} {
		require.Equal(t, "temporalio/admin-tools:"+server, services[tools].Image)
	}
}

func TestDockerfileHasTheModulesGo(t *testing.T) {
	wanted := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, "go.mod"))[1]
	require.Contains(t, read(t, "Dockerfile"), "golang:"+wanted+".")
}

func TestOurProcesses(t *testing.T) {
	project := load(t, "*")
	for name, command := range commands {
		t.Run(name, func(t *testing.T) {
			s := project.Services[name]
			require.Equal(t, command, []string(s.Command))
			require.Empty(t, s.Entrypoint, "the image's: the binary itself")
			require.DirExists(t, filepath.Join(repository, "cmd", "teller"))
			for _, needed := range []string{"postgres", "temporal", "temporal-namespace"} {
				require.Contains(t, s.DependsOn, needed)
			}

			environ := map[string]string{}
			for k, v := range s.Environment {
				require.Truef(t, known(k), "nothing reads %s", k)
				if v != nil {
					environ[k] = *v
				}
			}
			cfg, err := config.Parse(environ)
			require.NoError(t, err)
			require.Equal(t, "gemini", cfg.ModelVersion, "what .env says reaches the process")
			require.Equal(t, "postgres://teller@postgres:5432/teller?sslmode=disable", cfg.DatabaseURL)
			require.Equal(t, "temporal:7233", environ["TEMPORAL_ADDRESS"])
			require.Equal(t, password, environ["PGPASSWORD"])
		})
	}
	api := project.Services["api"]
	require.Equal(t, "0.0.0.0:8000", *api.Environment["TELLER_API_ADDR"])
	require.Equal(t, []string{"CMD", "/usr/local/bin/teller", "health"}, []string(api.HealthCheck.Test))
	require.Contains(t, read(t, "Dockerfile"), `ENTRYPOINT ["/usr/local/bin/teller"]`)
}

func TestMountedFilesExist(t *testing.T) {
	project := load(t, "*")
	mounted := 0
	for name, s := range project.Services {
		for _, v := range s.Volumes {
			if v.Type != types.VolumeTypeBind {
				require.Contains(t, project.Volumes, v.Source, name)
				continue
			}
			relative, err := filepath.Rel(project.WorkingDir, v.Source)
			require.NoError(t, err)
			info, err := os.Stat(filepath.Join(repository, relative))
			require.NoErrorf(t, err, "%s mounts it", name)
			require.Equal(t, os.FileMode(0o444), info.Mode().Perm()&0o444, "users of the containers must be able to read %s", relative)
			require.True(t, v.ReadOnly, relative)
			mounted++
		}
	}
	require.Positive(t, mounted)
}

func TestDependenciesAreChecked(t *testing.T) {
	services := load(t, "*").Services
	for name, s := range services {
		for needed, how := range s.DependsOn {
			switch how.Condition {
			case types.ServiceConditionHealthy:
				require.NotNilf(t, services[needed].HealthCheck, "%s waits for the health of %s", name, needed)
			case types.ServiceConditionCompletedSuccessfully:
				require.Equalf(t, "no", services[needed].Restart, "%s waits for the end of %s", name, needed)
			default:
				require.Failf(t, "a condition is missing", "%s needs %s", name, needed)
			}
		}
	}
}

func TestCards(t *testing.T) {
	services := load(t, "*").Services
	for _, name := range []string{"gpu-worker", "vllm"} {
		devices := services[name].Deploy.Resources.Reservations.Devices
		require.Len(t, devices, 1, name)
		require.Equal(t, "nvidia", devices[0].Driver, name)
		require.Contains(t, devices[0].Capabilities, "gpu", name)
	}
	vllm := services["vllm"].Command
	require.Contains(t, vllm, "--enable-lora")
	require.Contains(t, vllm, "banking=/models/banking")
}

func TestMissingSettingsAreNamed(t *testing.T) {
	t.Run("password", func(t *testing.T) {
		_, err := try(t, "MODEL_VERSION=custom\nPOSTGRES_PASSWORD=\n")
		require.ErrorContains(t, err, "set POSTGRES_PASSWORD in .env")
	})
	t.Run("no .env", func(t *testing.T) {
		_, err := try(t, "")
		require.ErrorContains(t, err, "in .env")
	})
}

// The search attributes that the script registers are those that the code sets, with their types.
func TestSearchAttributesAgree(t *testing.T) {
	registered := map[string]string{}
	for _, m := range regexp.MustCompile(`--name (\w+) --type (\w+)`).FindAllStringSubmatch(read(t, "deploy/temporal/setup-namespace.sh"), -1) {
		registered[m[1]] = m[2]
	}
	set := map[string]string{}
	key := regexp.MustCompile(`NewSearchAttributeKey(\w+)\("(Teller\w+)"\)`)
	for _, folder := range []string{"workflows", "turns"} {
		files, err := filepath.Glob(filepath.Join(repository, folder, "*.go"))
		require.NoError(t, err)
		for _, f := range files {
			text, err := os.ReadFile(f)
			require.NoError(t, err)
			for _, m := range key.FindAllStringSubmatch(string(text), -1) {
				set[m[2]] = strings.TrimSuffix(m[1], "64")
			}
		}
	}
	require.Equal(t, set, registered)
}

const password = "0123456789abcdef"

// load reads docker-compose.yml with the given profiles beside a filled-in .env.gemini.
func load(t *testing.T, profiles ...string) *types.Project {
	t.Helper()
	env := strings.Replace(read(t, ".env.gemini"), "POSTGRES_PASSWORD=\n", "POSTGRES_PASSWORD="+password+"\n", 1)
	project, err := try(t, env, profiles...)
	require.NoError(t, err)
	return project
}

// try reads docker-compose.yml from a folder of its own and without the environment, so that a
// developer's settings have no say. An empty env means no .env.
func try(t *testing.T, env string, profiles ...string) (*types.Project, error) {
	t.Helper()
	folder := t.TempDir()
	file := filepath.Join(folder, "docker-compose.yml")
	require.NoError(t, os.WriteFile(file, []byte(read(t, "docker-compose.yml")), 0o600))
	if env != "" {
		require.NoError(t, os.WriteFile(filepath.Join(folder, ".env"), []byte(env), 0o600))
	}
	options, err := cli.NewProjectOptions([]string{file}, cli.WithWorkingDirectory(folder),
		cli.WithEnvFiles(), cli.WithDotEnv, cli.WithProfiles(profiles))
	require.NoError(t, err)
	return options.LoadProject(t.Context())
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, name))
	require.NoError(t, err)
	return string(text)
}
