package compose

import (
	"bytes"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
)

// Each object by kind and name, decoded strictly by the API's types: an unknown or doubled field, a wrong type or a
// malformed quantity is an error.
func manifests(t *testing.T) map[string]runtime.Object {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{appsv1.AddToScheme, autoscalingv2.AddToScheme, batchv1.AddToScheme,
		corev1.AddToScheme, networkingv1.AddToScheme, policyv1.AddToScheme} {
		utilruntime.Must(add(scheme))
	}
	strict := json.SerializerOptions{Yaml: true, Strict: true}
	decoder := json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme, scheme, strict)
	found := map[string]runtime.Object{}
	files, _ := filepath.Glob(filepath.Join(repo(), "ops/kubernetes/*.yaml"))
	for _, file := range files {
		relative, _ := filepath.Rel(repo(), file)
		for _, document := range bytes.Split(read(t, relative), []byte("\n---\n")) {
			object, kind, err := decoder.Decode(document, nil, nil)
			if err != nil {
				t.Errorf("%s: %v", relative, err)
				continue
			}
			found[kind.Kind+"/"+object.(metav1.Object).GetName()] = object
		}
	}
	return found
}

func deployment(t *testing.T) *appsv1.Deployment {
	t.Helper()
	found, ok := manifests(t)["Deployment/tidemark"].(*appsv1.Deployment)
	if !ok {
		t.Fatal("there is no deployment")
	}
	return found
}

func TestTheApiTakesEachManifest(t *testing.T) {
	if len(manifests(t)) != 8 {
		t.Errorf("%d objects", len(manifests(t)))
	}
}

func TestEachSelectorFindsTheMembers(t *testing.T) {
	objects, members := manifests(t), labels.Set(deployment(t).Spec.Template.Labels)
	selectors := map[string]*metav1.LabelSelector{
		"deployment":     deployment(t).Spec.Selector,
		"budget":         objects["PodDisruptionBudget/tidemark"].(*policyv1.PodDisruptionBudget).Spec.Selector,
		"network policy": &objects["NetworkPolicy/tidemark"].(*networkingv1.NetworkPolicy).Spec.PodSelector,
		"service":        {MatchLabels: objects["Service/tidemark"].(*corev1.Service).Spec.Selector},
	}
	for name, selector := range selectors {
		compiled, err := metav1.LabelSelectorAsSelector(selector)
		if err != nil || compiled.Empty() || !compiled.Matches(members) {
			t.Errorf("the selector of the %s doesn't find the members: %v", name, err)
		}
	}
	migration := objects["Job/tidemark-migrate"].(*batchv1.Job).Spec.Template.Labels
	compiled, _ := metav1.LabelSelectorAsSelector(deployment(t).Spec.Selector)
	if compiled.Matches(labels.Set(migration)) {
		t.Error("the deployment takes the migration's pod for a member")
	}
}

func TestProbesAskWhatIsServedOnThePortThatIsListenedOn(t *testing.T) {
	container := deployment(t).Spec.Template.Spec.Containers[0]
	paths := map[*corev1.Probe]string{
		container.LivenessProbe: "/livez", container.StartupProbe: "/livez", container.ReadinessProbe: "/readyz",
	}
	if len(paths) != 3 {
		t.Fatal("a probe is missing")
	}
	served := string(read(t, "consumer/service/http_routes.cc"))
	for probe, path := range paths {
		if probe == nil || probe.HTTPGet == nil || probe.HTTPGet.Path != path || probe.HTTPGet.Port.StrVal != "http" {
			t.Errorf("the probe of %s is another one", path)
		}
		if !strings.Contains(served, `"`+path+`"`) {
			t.Errorf("%s is not served", path)
		}
	}
	configuration := manifests(t)["ConfigMap/tidemark"].(*corev1.ConfigMap).Data["tidemark.toml"]
	port, listens := container.Ports[0], strings.Contains(configuration, "0.0.0.0:9464")
	if port.Name != "http" || port.ContainerPort != 9464 || !listens {
		t.Errorf("%v", port)
	}
}

func TestPodsHaveNoRootNoCapabilitiesAndNoWritableFile(t *testing.T) {
	pods := map[string]corev1.PodSpec{
		"members": deployment(t).Spec.Template.Spec,
		"migrate": manifests(t)["Job/tidemark-migrate"].(*batchv1.Job).Spec.Template.Spec,
	}
	for name, pod := range pods {
		context := pod.SecurityContext
		if !*context.RunAsNonRoot || context.SeccompProfile == nil || *pod.AutomountServiceAccountToken {
			t.Errorf("%s: %v", name, context)
		}
		for _, container := range pod.Containers {
			secure := container.SecurityContext
			if !*secure.ReadOnlyRootFilesystem || *secure.AllowPrivilegeEscalation || secure.Capabilities.Drop[0] != "ALL" {
				t.Errorf("%s: %v", name, secure)
			}
			if container.Resources.Limits.Memory().IsZero() || container.Resources.Requests.Cpu().IsZero() {
				t.Errorf("%s: no bounds", name)
			}
			for _, mount := range container.VolumeMounts {
				if !mount.ReadOnly {
					t.Errorf("%s: %s can be written", name, mount.Name)
				}
			}
		}
	}
}

func TestThereIsTimeToDrain(t *testing.T) {
	if seconds := *deployment(t).Spec.Template.Spec.TerminationGracePeriodSeconds; seconds <= 10 {
		t.Errorf("%d s", seconds)
	}
}

func TestDeploysAndDrainsLeaveAMember(t *testing.T) {
	made := deployment(t)
	if made.Spec.Strategy.RollingUpdate.MaxUnavailable.IntValue() != 0 || *made.Spec.Replicas < 2 {
		t.Error("a deploy leaves none")
	}
	if manifests(t)["PodDisruptionBudget/tidemark"].(*policyv1.PodDisruptionBudget).Spec.MaxUnavailable.IntValue() != 1 {
		t.Error("more than one may be evicted at once")
	}
}

func TestScalingIsByALagThatIsServed(t *testing.T) {
	scaler := manifests(t)["HorizontalPodAutoscaler/tidemark"].(*autoscalingv2.HorizontalPodAutoscaler)
	name := scaler.Spec.Metrics[0].External.Metric.Name
	if !strings.Contains(string(read(t, "consumer/service/metrics.cc")), `"`+name+`"`) {
		t.Errorf("%s is not served", name)
	}
	spec := scaler.Spec
	if spec.ScaleTargetRef.Name != deployment(t).Name || *spec.MinReplicas < 2 || spec.MaxReplicas <= *spec.MinReplicas {
		t.Errorf("%v", spec)
	}
}

func TestTheMembersDontKnowThePasswordThatMayChangeTheSchema(t *testing.T) {
	configuration := manifests(t)["ConfigMap/tidemark"].(*corev1.ConfigMap).Data["tidemark.toml"]
	if strings.Contains(configuration, "migrate_connection") {
		t.Error("the members' configuration has the migrating role")
	}
	for _, source := range deployment(t).Spec.Template.Spec.Containers[0].EnvFrom {
		if source.SecretRef.Name != "tidemark" {
			t.Errorf("the members are given %s", source.SecretRef.Name)
		}
	}
}

// A folder of SQL that a declaration reads and no pod has would keep every member from starting.
func TestWhatTheDeclarationsReadIsMounted(t *testing.T) {
	mounted := map[string]bool{}
	for _, mount := range deployment(t).Spec.Template.Spec.Containers[0].VolumeMounts {
		mounted[mount.MountPath] = true
	}
	for _, mount := range manifests(t)["Job/tidemark-migrate"].(*batchv1.Job).Spec.Template.Spec.Containers[0].VolumeMounts {
		if !mounted[mount.MountPath] {
			t.Errorf("only the migration has %s", mount.MountPath)
		}
	}
	files, _ := filepath.Glob(filepath.Join(repo(), "schemas/*/*.toml"))
	for _, file := range files {
		relative, _ := filepath.Rel(repo(), file)
		wanted := []string{"/etc/schemas/" + filepath.ToSlash(filepath.Dir(relative))}
		for _, match := range regexp.MustCompile(`"\.\./\.\./(sql/\w+)/`).FindAllStringSubmatch(string(read(t, relative)), -1) {
			wanted = append(wanted, "/etc/schemas/"+match[1])
		}
		for _, folder := range wanted {
			if !mounted[folder] {
				t.Errorf("%s: %s is not mounted", relative, folder)
			}
		}
	}
}
