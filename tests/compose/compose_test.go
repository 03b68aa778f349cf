// Package compose checks docker-compose.yml, ops/Dockerfile and ops/kubernetes by the loaders that read them in
// earnest.
package compose

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

var ours = []string{"member1", "member2", "migrate", "connector", "traffic", "check"}
var endingByThemselves = []string{"migrate", "connector", "traffic", "check"}

func project(t *testing.T) *types.Project {
	t.Helper()
	files := []string{filepath.Join(repo(), "docker-compose.yml")}
	options, err := cli.NewProjectOptions(files, cli.WithProfiles([]string{"*"}))
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := options.LoadProject(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

func contains(names []string, name string) bool {
	for _, other := range names {
		if other == name {
			return true
		}
	}
	return false
}

func TestTheSpecificationsLoaderTakesTheFile(t *testing.T) {
	loaded := project(t)
	for _, name := range append([]string{"postgres", "kafka", "connect", "prometheus", "grafana"}, ours...) {
		if _, err := loaded.GetService(name); err != nil {
			t.Error(err)
		}
	}
}

func TestWhatIsMountedIsInTheRepositoryAndReadOnly(t *testing.T) {
	for name, service := range project(t).Services {
		for _, mount := range service.Volumes {
			if mount.Type != types.VolumeTypeBind {
				continue
			}
			if !mount.ReadOnly {
				t.Errorf("%s: %s can be written", name, mount.Source)
			}
			if _, err := os.Stat(mount.Source); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestNothingIsPublishedBeyondThisMachine(t *testing.T) {
	for name, service := range project(t).Services {
		for _, port := range service.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s: port %s is published on %q", name, port.Published, port.HostIP)
			}
		}
	}
}

func TestOurContainersHaveNoRootNoCapabilitiesAndNoWritableFile(t *testing.T) {
	loaded := project(t)
	for _, name := range ours {
		service := loaded.Services[name]
		if service.User == "" || strings.HasPrefix(service.User, "0") || strings.HasPrefix(service.User, "root") {
			t.Errorf("%s runs as %q", name, service.User)
		}
		if !service.ReadOnly {
			t.Errorf("%s: its files can be written", name)
		}
		if !contains(service.CapDrop, "ALL") {
			t.Errorf("%s keeps capabilities", name)
		}
	}
	for name, service := range loaded.Services {
		if !contains(service.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s may gain privileges", name)
		}
		if service.Privileged {
			t.Errorf("%s is privileged", name)
		}
	}
}

func TestEachContainerHasABoundOfMemoryAndAVersion(t *testing.T) {
	for name, service := range project(t).Services {
		if service.MemLimit == 0 {
			t.Errorf("%s: mem_limit is missing", name)
		}
		if !strings.Contains(service.Image, ":") || strings.HasSuffix(service.Image, ":latest") {
			t.Errorf("%s: the image %q has no version", name, service.Image)
		}
	}
}

// Has the service a health check, in this file or in its image?
func watched(t *testing.T, service types.ServiceConfig) bool {
	if service.HealthCheck != nil {
		return !service.HealthCheck.Disable
	}
	return service.Build != nil && stage(t, service.Build.Target).healthCheck
}

func TestWhatRunsOnHasAHealthCheck(t *testing.T) {
	for name, service := range project(t).Services {
		if !contains(endingByThemselves, name) && !watched(t, service) {
			t.Errorf("%s: its health is not checked", name)
		}
	}
}

func TestWhatIsWaitedForCanHappen(t *testing.T) {
	loaded := project(t)
	for name, service := range loaded.Services {
		for other, dependency := range service.DependsOn {
			switch dependency.Condition {
			case types.ServiceConditionHealthy:
				if !watched(t, loaded.Services[other]) {
					t.Errorf("%s waits for the health of %s, which nobody checks", name, other)
				}
			case types.ServiceConditionCompletedSuccessfully:
				if !contains(endingByThemselves, other) {
					t.Errorf("%s waits for the end of %s, which has none", name, other)
				}
			}
		}
	}
}

func TestEachHostThatAConfigurationNamesIsAService(t *testing.T) {
	loaded := project(t)
	hosts := regexp.MustCompile(`(?:host=|"database\.hostname": ")([a-z0-9]+)|` +
		`\b([a-z][a-z0-9]*):(?:9092|9093|9464|8083|9090)\b`)
	files := []string{"docker-compose.yml", "ops/prometheus/prometheus.yml"}
	for _, pattern := range []string{"ops/compose/*", "ops/grafana/provisioning/*/*"} {
		found, _ := filepath.Glob(filepath.Join(repo(), pattern))
		for _, file := range found {
			relative, _ := filepath.Rel(repo(), file)
			files = append(files, relative)
		}
	}
	seen := 0
	for _, file := range files {
		for _, match := range hosts.FindAllStringSubmatch(string(read(t, file)), -1) {
			host := match[1] + match[2]
			if _, err := loaded.GetService(host); err != nil && host != "localhost" {
				t.Errorf("%s names %q, which is no service", file, host)
			}
			seen++
		}
	}
	if seen < 10 {
		t.Errorf("only %d hosts were found", seen)
	}
}

func TestTheMembersListenWherePrometheusAsks(t *testing.T) {
	for _, name := range []string{"member1", "member2"} {
		if !strings.Contains(string(read(t, "ops/prometheus/prometheus.yml")), name+":9464") {
			t.Errorf("Prometheus doesn't ask %s", name)
		}
	}
	if !strings.Contains(string(read(t, "ops/compose/tidemark.toml")), `listen = "0.0.0.0:9464"`) {
		t.Error("the members listen elsewhere")
	}
}

func TestTheConnectorIsSentToConnect(t *testing.T) {
	command := project(t).Services["connector"].Command
	address, err := url.Parse(command[len(command)-1])
	if err != nil || address.Host != "connect:8083" || address.Path != "/connectors/app/config" {
		t.Errorf("%v: %v", command, err)
	}
}
