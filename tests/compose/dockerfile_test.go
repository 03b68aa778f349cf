package compose

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

type image struct {
	base        string
	user        string
	healthCheck bool
	copies      []string // from the context
}

func stages(t *testing.T) map[string]image {
	t.Helper()
	parsed, err := parser.Parse(bytes.NewReader(read(t, "ops/Dockerfile")))
	if err != nil {
		t.Fatal(err)
	}
	for _, warning := range parsed.Warnings {
		t.Errorf("ops/Dockerfile: %s", warning.Short)
	}
	warn := func(rule, description, _, text string, _ []parser.Range) {
		t.Errorf("ops/Dockerfile: %s: %s (%s)", rule, text, description)
	}
	found, _, err := instructions.Parse(parsed.AST, linter.New(&linter.Config{Warn: warn}))
	if err != nil {
		t.Fatal(err)
	}
	images := map[string]image{}
	for _, one := range found {
		made := image{base: one.BaseName}
		for _, command := range one.Commands {
			switch command := command.(type) {
			case *instructions.UserCommand:
				made.user = command.User
			case *instructions.HealthCheckCommand:
				made.healthCheck = command.Health != nil && len(command.Health.Test) > 0 && command.Health.Test[0] != "NONE"
			case *instructions.CopyCommand:
				if command.From == "" {
					made.copies = append(made.copies, command.SourcePaths...)
				}
			}
		}
		images[one.Name] = made
	}
	return images
}

func stage(t *testing.T, name string) image {
	t.Helper()
	found, ok := stages(t)[name]
	if !ok {
		t.Errorf("ops/Dockerfile has no stage %q", name)
	}
	return found
}

func TestTheDockerfileIsTakenWithoutAWarning(t *testing.T) {
	if len(stages(t)) < 4 {
		t.Error("stages are missing")
	}
}

func TestEachStageThatIsBuiltIsThereAndHasNoRoot(t *testing.T) {
	for name, service := range project(t).Services {
		if service.Build == nil {
			continue
		}
		if user := stage(t, service.Build.Target).user; user == "" || strings.HasPrefix(user, "0") || user == "root" {
			t.Errorf("%s: the stage %s runs as %q", name, service.Build.Target, user)
		}
	}
}

func TestTheServicesImageChecksItsHealth(t *testing.T) {
	if !stage(t, "tidemark").healthCheck {
		t.Error("there is no HEALTHCHECK")
	}
}

func TestEachBaseImageHasAVersion(t *testing.T) {
	for name, made := range stages(t) {
		if !strings.Contains(made.base, ":") || strings.HasSuffix(made.base, ":latest") {
			t.Errorf("%s is from %q", name, made.base)
		}
	}
}

// What is copied from the context must be there, and not be ignored.
func TestWhatIsCopiedIsInTheContext(t *testing.T) {
	patterns, err := ignorefile.ReadAll(bytes.NewReader(read(t, ".dockerignore")))
	if err != nil {
		t.Fatal(err)
	}
	matcher, err := patternmatcher.New(patterns)
	if err != nil {
		t.Fatal(err)
	}
	for name, made := range stages(t) {
		for _, source := range made.copies {
			if _, err := os.Stat(filepath.Join(repo(), source)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if ignored, _ := matcher.MatchesOrParentMatches(source); ignored {
				t.Errorf("%s: %s is in .dockerignore", name, source)
			}
		}
	}
}
