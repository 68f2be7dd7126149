package main

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func pod(namespace, name, ip string, ports ...corev1.ContainerPort) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app": name}},
		Spec:       corev1.PodSpec{NodeName: "node-1", Containers: []corev1.Container{{Ports: ports}}},
		Status:     corev1.PodStatus{PodIP: ip, Phase: corev1.PodRunning},
	}
}

func selecting(app string) metav1.LabelSelector {
	return metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}
}

func ingressPolicy(app string, rules ...networkingv1.NetworkPolicyIngressRule) *networkingv1.NetworkPolicy {
	return &networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: "home", Name: app},
		Spec:       networkingv1.NetworkPolicySpec{PodSelector: selecting(app), Ingress: rules, PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}},
	}
}

func from(cidr string, except ...string) networkingv1.NetworkPolicyIngressRule {
	return networkingv1.NetworkPolicyIngressRule{From: []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: cidr, Except: except}}}}
}

// allowed is what the policies let through to or from pod web, apart from itself; nil if it is not isolated.
func allowed(t *testing.T, problems int, pods []*corev1.Pod, policies ...*networkingv1.NetworkPolicy) []string {
	t.Helper()
	current := &state{policies: policies, pods: pods, node: "node-1", namespaces: map[string]labels.Set{"home": {"name": "home"}, "away": {"name": "away"}}}
	chains, found := current.chains()
	if len(found) != problems {
		t.Errorf("problems: %v", found)
	}
	for _, chain := range chains {
		if strings.HasSuffix(chain.name, "-10.244.0.1") {
			out := []string{}
			for _, rule := range chain.rules[1:] {
				out = append(out, rule.match)
			}
			return out
		}
	}
	return nil
}

func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	if got == nil || !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestOddBlocksMatchWhatTheyCanAndStopNothing(t *testing.T) {
	web := []*corev1.Pod{pod("home", "web", "10.244.0.1")}
	expect(t, allowed(t, 0, web, ingressPolicy("web", from("10.1.2.3/8"))), "-s 10.0.0.0/8")
	expect(t, allowed(t, 0, web, ingressPolicy("web", from("fd00::/8", "fd00:1::/32"))))
	expect(t, allowed(t, 0, web, ingressPolicy("web", from("10.0.0.0/8", "fd00::/8"))), "-s 10.0.0.0/8")
	expect(t, allowed(t, 1, web, ingressPolicy("web", from("nonsense"), from("10.0.0.0/8"))), "-s 10.0.0.0/8")
	expect(t, allowed(t, 0, web, ingressPolicy("web", from("0.0.0.0/0"))), "")
}

func TestExceptionsAreCutOut(t *testing.T) {
	web := []*corev1.Pod{pod("home", "web", "10.244.0.1")}
	expect(t, allowed(t, 0, web, ingressPolicy("web", from("10.0.0.0/30", "10.0.0.1/32"))), "-s 10.0.0.0/32", "-s 10.0.0.2/31")
	expect(t, allowed(t, 0, web, ingressPolicy("web", from("10.0.0.0/30", "10.0.0.0/8"))))
}

func TestWithoutKeepsEveryOtherAddress(t *testing.T) {
	whole, hole := netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("10.0.0.100/30")
	left := without(whole, hole)
	for address := whole.Addr(); whole.Contains(address); address = address.Next() {
		kept := slices.ContainsFunc(left, func(block netip.Prefix) bool { return block.Contains(address) })
		if kept == hole.Contains(address) {
			t.Errorf("%s: kept is %v", address, kept)
		}
	}
}

func TestNamedPortsAreTheDestinationPods(t *testing.T) {
	port := func(number int32) corev1.ContainerPort {
		return corev1.ContainerPort{Name: "http", ContainerPort: number, Protocol: corev1.ProtocolTCP}
	}
	name := intstr.FromString("http")
	pods := []*corev1.Pod{pod("home", "web", "10.244.0.1", port(8080)), pod("home", "client", "10.244.0.2", port(9090)), pod("away", "client", "10.244.0.3", port(7070))}
	named := []networkingv1.NetworkPolicyPort{{Port: &name}}
	policy := ingressPolicy("web", networkingv1.NetworkPolicyIngressRule{Ports: named})
	expect(t, allowed(t, 0, pods, policy), "-p tcp --dport 8080")

	selector := selecting("client")
	policy = ingressPolicy("web")
	policy.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeEgress}
	policy.Spec.Egress = []networkingv1.NetworkPolicyEgressRule{{Ports: named, To: []networkingv1.NetworkPolicyPeer{{PodSelector: &selector}}}}
	expect(t, allowed(t, 0, pods, policy), "-d 10.244.0.2 -p tcp --dport 9090")
}

func TestPeersInOtherNamespaces(t *testing.T) {
	pods := []*corev1.Pod{pod("home", "web", "10.244.0.1"), pod("home", "client", "10.244.0.2"), pod("away", "client", "10.244.0.3"), pod("away", "other", "10.244.0.4")}
	selector := selecting("client")
	peers := func(peer networkingv1.NetworkPolicyPeer) *networkingv1.NetworkPolicy {
		return ingressPolicy("web", networkingv1.NetworkPolicyIngressRule{From: []networkingv1.NetworkPolicyPeer{peer}})
	}
	away := &metav1.LabelSelector{MatchLabels: map[string]string{"name": "away"}}
	expect(t, allowed(t, 0, pods, peers(networkingv1.NetworkPolicyPeer{PodSelector: &selector})), "-s 10.244.0.2/32")
	expect(t, allowed(t, 0, pods, peers(networkingv1.NetworkPolicyPeer{NamespaceSelector: away})), "-s 10.244.0.3/32", "-s 10.244.0.4/32")
	expect(t, allowed(t, 0, pods, peers(networkingv1.NetworkPolicyPeer{NamespaceSelector: away, PodSelector: &selector})), "-s 10.244.0.3/32")
}

func TestOnlySelectedPodsOfThisNodeAreIsolated(t *testing.T) {
	elsewhere := pod("home", "web", "10.244.0.1")
	elsewhere.Spec.NodeName = "fake-1"
	if got := allowed(t, 0, []*corev1.Pod{elsewhere}, ingressPolicy("web")); got != nil {
		t.Errorf("a pod of another node is isolated: %q", got)
	}
	if got := allowed(t, 0, []*corev1.Pod{pod("home", "web", "10.244.0.1")}, ingressPolicy("other")); got != nil {
		t.Errorf("a pod that is not selected is isolated: %q", got)
	}
	expect(t, allowed(t, 0, []*corev1.Pod{pod("home", "web", "10.244.0.1")}, ingressPolicy("web")))
}
