package main

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
)

const (
	// enforcedAnnotation says which generation of a policy is in force, for the pods that had an address by then.
	enforcedAnnotation = "podlife.test/enforced"
	entryChain         = "PODLIFE-POLICY"
)

// newEnforcer keeps the node's iptables to what the NetworkPolicies say. The rules are in FORWARD of the mangle table:
// in the filter table kube-proxy accepts its own marked traffic first. The node's own traffic (probes, the API server's
// proxy) is not forwarded, and so not filtered; connections that were there before a policy stay.
func newEnforcer(client kubernetes.Interface, factory informers.SharedInformerFactory, node string) (*reconciler, error) {
	policies, pods, namespaces := factory.Networking().V1().NetworkPolicies(), factory.Core().V1().Pods(), factory.Core().V1().Namespaces()
	r := newReconciler("network policy")
	tables, err := newTables()
	if err != nil {
		return nil, err
	}
	r.reconcile = func(ctx context.Context) (time.Duration, error) {
		current := &state{node: node, namespaces: map[string]labels.Set{}}
		if current.policies, err = policies.Lister().List(labels.Everything()); err != nil {
			return 0, err
		}
		if current.pods, err = pods.Lister().List(labels.Everything()); err != nil {
			return 0, err
		}
		all, err := namespaces.Lister().List(labels.Everything())
		if err != nil {
			return 0, err
		}
		for _, namespace := range all {
			current.namespaces[namespace.Name] = namespace.Labels
		}
		chains, problems := current.chains()
		refused, err := tables.apply(chains)
		if err != nil {
			return 0, err
		}
		for _, policy := range current.policies {
			problem := problems[policy]
			if problem == nil {
				problem = refused[policy.UID]
			}
			if problem != nil {
				log.Printf("network policy: networkpolicy/%s/%s: %v", policy.Namespace, policy.Name, problem)
				continue
			}
			if err := markEnforced(ctx, client, policy); err != nil {
				log.Printf("network policy: networkpolicy/%s/%s: %v", policy.Namespace, policy.Name, err)
			}
		}
		return 0, nil
	}
	watch(policies.Informer(), r)
	watch(pods.Informer(), r)
	watch(namespaces.Informer(), r)
	return r, nil
}

func markEnforced(ctx context.Context, client kubernetes.Interface, policy *networkingv1.NetworkPolicy) error {
	generation := strconv.FormatInt(policy.Generation, 10)
	if policy.Annotations[enforcedAnnotation] == generation {
		return nil
	}
	patch := fmt.Sprintf(`{"metadata":{"uid":%q,"annotations":{%q:%q}}}`, policy.UID, enforcedAnnotation, generation)
	_, err := client.NetworkingV1().NetworkPolicies(policy.Namespace).Patch(ctx, policy.Name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	return err
}

// tables is what iptables holds of ours.
type tables struct {
	applied string
	refused map[types.UID]error
	present []string // the names of the chains
}

// newTables makes the chain that all others hang on; it lies in a network namespace that starts empty.
func newTables() (*tables, error) {
	return &tables{}, restore("*mangle\n:" + entryChain + " - [0:0]\n-I FORWARD -j " + entryChain + "\nCOMMIT\n")
}

// apply replaces all rules at once. Rules that the kernel refuses (of a protocol it lacks, say) are left out, and their
// policies returned: what those policies allow stays forbidden, and all others are in force.
func (t *tables) apply(chains []chain) (map[types.UID]error, error) {
	script := t.script(chains, nil)
	if script == t.applied {
		return t.refused, nil
	}
	refused := map[types.UID]error{}
	if err := restore(script); err != nil {
		for _, policy := range policiesOf(chains) {
			alone := t.script(chains, func(r rule) bool { return r.policy == nil || r.policy == policy })
			if err := restore(alone, "--test"); err != nil {
				refused[policy.UID] = err
			}
		}
		if len(refused) == 0 {
			return nil, err
		}
		if err := restore(t.script(chains, func(r rule) bool { return r.policy == nil || refused[r.policy.UID] == nil })); err != nil {
			return nil, err
		}
	}
	t.applied, t.refused, t.present = script, refused, nil
	for _, chain := range chains {
		t.present = append(t.present, chain.name)
	}
	return refused, nil
}

// script is the input of iptables-restore --noflush; keep says which rules to take, nil all of them.
func (t *tables) script(chains []chain, keep func(rule) bool) string {
	var declared, entries, rules, obsolete strings.Builder
	names := map[string]bool{}
	for _, chain := range chains {
		names[chain.name] = true
		fmt.Fprintf(&declared, ":%s - [0:0]\n", chain.name)
		fmt.Fprintf(&entries, "-A %s %s -j %s\n", entryChain, chain.match, chain.name)
		for _, rule := range chain.rules {
			if keep == nil || keep(rule) {
				fmt.Fprintf(&rules, "-A %s %s\n", chain.name, join(rule.match, "-j RETURN"))
			}
		}
		fmt.Fprintf(&rules, "-A %s -j DROP\n", chain.name)
	}
	for _, name := range t.present {
		if !names[name] {
			fmt.Fprintf(&declared, ":%s - [0:0]\n", name)
			fmt.Fprintf(&obsolete, "-X %s\n", name)
		}
	}
	established := "-A " + entryChain + " -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN\n"
	return "*mangle\n:" + entryChain + " - [0:0]\n" + declared.String() + established + entries.String() + rules.String() + obsolete.String() + "COMMIT\n"
}

func policiesOf(chains []chain) (out []*networkingv1.NetworkPolicy) {
	for _, chain := range chains {
		for _, rule := range chain.rules {
			if rule.policy != nil && !slices.Contains(out, rule.policy) {
				out = append(out, rule.policy)
			}
		}
	}
	return out
}

func restore(script string, flags ...string) error {
	command := exec.Command("iptables-restore", append([]string{"--noflush", "--wait"}, flags...)...)
	command.Stdin = strings.NewReader(script)
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("iptables-restore: %w: %s", err, bytes.TrimSpace(output))
	}
	return nil
}
