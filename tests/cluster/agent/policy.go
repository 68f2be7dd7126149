package main

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	netutils "k8s.io/utils/net"
)

// Translates NetworkPolicies into iptables rules. Pure: no client, no clock, no process.

// state is what the rules follow from.
type state struct {
	policies   []*networkingv1.NetworkPolicy
	pods       []*corev1.Pod
	namespaces map[string]labels.Set
	node       string
}

// chain is the rules of one direction of one isolated pod: what no rule returns from is dropped.
type chain struct {
	name  string
	match string // what sends a packet into the chain
	rules []rule
}

// rule allows a packet. Its policy is named so that one whose rules the kernel refuses can be left out.
type rule struct {
	policy *networkingv1.NetworkPolicy
	match  string
}

type direction struct {
	policyType networkingv1.PolicyType
	letter     string
	own, other string // how iptables names the address of the isolated pod and that of the other side
}

var directions = []direction{
	{networkingv1.PolicyTypeEgress, "E", "-s", "-d"},
	{networkingv1.PolicyTypeIngress, "I", "-d", "-s"},
}

// chains are the chains of all isolated pods. A policy that can't be understood isolates the pods it selects, allows
// nothing, and is named among the problems.
func (s *state) chains() (chains []chain, problems map[*networkingv1.NetworkPolicy]error) {
	problems = map[*networkingv1.NetworkPolicy]error{}
	var isolated, peers []*corev1.Pod
	for _, pod := range s.pods {
		if addressOf(pod).IsValid() && !pod.Spec.HostNetwork && pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed {
			peers = append(peers, pod)
			if pod.Spec.NodeName == s.node {
				isolated = append(isolated, pod)
			}
		}
	}
	for _, pod := range isolated {
		for _, direction := range directions {
			ip, applies := addressOf(pod), false
			chain := chain{
				name:  "PODLIFE-" + direction.letter + "-" + ip.String(),
				match: direction.own + " " + ip.String(),
				rules: []rule{{match: direction.other + " " + ip.String()}}, // no policy can keep a pod from itself
			}
			for _, policy := range s.policies {
				selector, err := metav1.LabelSelectorAsSelector(&policy.Spec.PodSelector)
				if err != nil {
					problems[policy] = err
					continue
				}
				if policy.Namespace != pod.Namespace || !slices.Contains(policy.Spec.PolicyTypes, direction.policyType) || !selector.Matches(labels.Set(pod.Labels)) {
					continue
				}
				applies = true
				for _, allowed := range allowances(policy, direction.policyType) {
					matches, err := s.matches(policy.Namespace, allowed, direction, pod, peers)
					if err != nil {
						problems[policy] = err
					}
					for _, match := range matches {
						chain.rules = append(chain.rules, rule{policy, match})
					}
				}
			}
			if applies {
				chains = append(chains, chain)
			}
		}
	}
	return chains, problems
}

// allowance is an ingress or egress rule of a policy.
type allowance struct {
	peers []networkingv1.NetworkPolicyPeer
	ports []networkingv1.NetworkPolicyPort
}

func allowances(policy *networkingv1.NetworkPolicy, policyType networkingv1.PolicyType) (out []allowance) {
	if policyType == networkingv1.PolicyTypeIngress {
		for _, rule := range policy.Spec.Ingress {
			out = append(out, allowance{rule.From, rule.Ports})
		}
		return out
	}
	for _, rule := range policy.Spec.Egress {
		out = append(out, allowance{rule.To, rule.Ports})
	}
	return out
}

// matches are the iptables matches of one allowance for one isolated pod.
func (s *state) matches(namespace string, allowed allowance, direction direction, pod *corev1.Pod, pods []*corev1.Pod) ([]string, error) {
	sides, problem := s.sides(namespace, allowed.peers, pods)
	ports := allowed.ports
	if len(ports) == 0 {
		ports = []networkingv1.NetworkPolicyPort{{}}
	}
	var out []string
	for _, side := range sides {
		address := ""
		if side.block.Bits() > 0 {
			address = direction.other + " " + side.block.String()
		}
		for _, port := range ports {
			if port.Port == nil || port.Port.Type == intstr.Int {
				out = append(out, join(address, portMatch(port, len(allowed.ports) > 0)))
				continue
			}
			// A named port is the number that the destination pod gives it.
			destinations := []*corev1.Pod{pod}
			if direction.policyType == networkingv1.PolicyTypeEgress {
				destinations = side.podsOf(pods)
			}
			for _, destination := range destinations {
				target := address
				if direction.policyType == networkingv1.PolicyTypeEgress {
					target = "-d " + addressOf(destination).String()
				}
				for _, number := range portsNamed(destination, port.Port.StrVal, protocolOf(port)) {
					out = append(out, join(target, fmt.Sprintf("-p %s --dport %d", protocolName(port), number)))
				}
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out), problem
}

// side is a block of addresses on the other end of a connection.
type side struct{ block netip.Prefix }

func (s side) podsOf(pods []*corev1.Pod) (out []*corev1.Pod) {
	for _, pod := range pods {
		if s.block.Contains(addressOf(pod)) {
			out = append(out, pod)
		}
	}
	return out
}

// sides are the addresses that a list of peers stands for; no peers at all stand for everybody.
func (s *state) sides(namespace string, peers []networkingv1.NetworkPolicyPeer, pods []*corev1.Pod) (out []side, problem error) {
	if len(peers) == 0 {
		return []side{{netip.PrefixFrom(netip.IPv4Unspecified(), 0)}}, nil
	}
	for _, peer := range peers {
		var blocks []netip.Prefix
		var err error
		if peer.IPBlock != nil {
			blocks, err = blocksOf(peer.IPBlock)
		} else {
			blocks, err = s.selected(namespace, peer, pods)
		}
		if err != nil {
			problem = err // the other peers still count
		}
		for _, block := range blocks {
			out = append(out, side{block})
		}
	}
	return out, problem
}

func (s *state) selected(namespace string, peer networkingv1.NetworkPolicyPeer, pods []*corev1.Pod) (out []netip.Prefix, err error) {
	podSelector := labels.Everything()
	if peer.PodSelector != nil {
		if podSelector, err = metav1.LabelSelectorAsSelector(peer.PodSelector); err != nil {
			return nil, err
		}
	}
	namespaceSelector := labels.Nothing()
	if peer.NamespaceSelector != nil {
		if namespaceSelector, err = metav1.LabelSelectorAsSelector(peer.NamespaceSelector); err != nil {
			return nil, err
		}
	}
	for _, pod := range pods {
		home := pod.Namespace == namespace
		if peer.NamespaceSelector != nil {
			home = namespaceSelector.Matches(s.namespaces[pod.Namespace])
		}
		if home && podSelector.Matches(labels.Set(pod.Labels)) {
			out = append(out, netip.PrefixFrom(addressOf(pod), 32))
		}
	}
	return out, nil
}

// blocksOf is a block without its exceptions. The cluster is IPv4: an IPv6 block or exception matches nothing in it.
func blocksOf(block *networkingv1.IPBlock) ([]netip.Prefix, error) {
	whole, err := parseBlock(block.CIDR)
	if err != nil || !whole.IsValid() {
		return nil, err
	}
	blocks := []netip.Prefix{whole}
	for _, text := range block.Except {
		hole, err := parseBlock(text)
		if err != nil {
			return nil, err
		}
		if hole.IsValid() {
			var left []netip.Prefix
			for _, block := range blocks {
				left = append(left, without(block, hole)...)
			}
			blocks = left
		}
	}
	return blocks, nil
}

// parseBlock takes what the API server takes: host bits and leading zeros too. IPv6 gives an invalid prefix.
func parseBlock(text string) (netip.Prefix, error) {
	_, block, err := netutils.ParseCIDRSloppy(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	ones, bits := block.Mask.Size()
	v4 := block.IP.To4()
	if v4 == nil || bits != 8*net.IPv4len {
		return netip.Prefix{}, nil
	}
	return netip.PrefixFrom(netip.AddrFrom4([4]byte(v4)), ones), nil
}

// without is a block less a hole, as blocks.
func without(block, hole netip.Prefix) []netip.Prefix {
	switch {
	case !block.Overlaps(hole):
		return []netip.Prefix{block}
	case hole.Bits() <= block.Bits():
		return nil
	}
	bytes := block.Addr().As4()
	bytes[block.Bits()/8] |= 1 << (7 - block.Bits()%8)
	low, high := netip.PrefixFrom(block.Addr(), block.Bits()+1), netip.PrefixFrom(netip.AddrFrom4(bytes), block.Bits()+1)
	return append(without(low, hole), without(high, hole)...)
}

func portMatch(port networkingv1.NetworkPolicyPort, given bool) string {
	switch {
	case !given:
		return ""
	case port.Port == nil:
		return "-p " + protocolName(port)
	case port.EndPort != nil:
		return fmt.Sprintf("-p %s --dport %d:%d", protocolName(port), port.Port.IntVal, *port.EndPort)
	}
	return fmt.Sprintf("-p %s --dport %d", protocolName(port), port.Port.IntVal)
}

func protocolOf(port networkingv1.NetworkPolicyPort) corev1.Protocol {
	if port.Protocol == nil {
		return corev1.ProtocolTCP
	}
	return *port.Protocol
}

func protocolName(port networkingv1.NetworkPolicyPort) string {
	return strings.ToLower(string(protocolOf(port)))
}

func portsNamed(pod *corev1.Pod, name string, protocol corev1.Protocol) (out []int32) {
	for _, container := range append(slices.Clone(pod.Spec.Containers), pod.Spec.InitContainers...) { // sidecars serve too
		for _, port := range container.Ports {
			if port.Name == name && port.Protocol == protocol {
				out = append(out, port.ContainerPort)
			}
		}
	}
	return out
}

func addressOf(pod *corev1.Pod) netip.Addr {
	address, err := netip.ParseAddr(pod.Status.PodIP)
	if err != nil || !address.Is4() {
		return netip.Addr{}
	}
	return address
}

func join(parts ...string) string { return strings.TrimSpace(strings.Join(parts, " ")) }
