package main

import (
	"context"
	"fmt"
	"log"
	"net/netip"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
)

// A Service annotated "never" gets no address; one annotated with a number gets it at that age in seconds.
const loadBalancerAnnotation = "podlife.test/load-balancer"

func newLoadBalancer(client kubernetes.Interface, factory informers.SharedInformerFactory, block netip.Prefix) *reconciler {
	services := factory.Core().V1().Services()
	r := newReconciler("load balancer")
	last := block.Addr()
	r.reconcile = func(ctx context.Context) (time.Duration, error) {
		all, err := services.Lister().List(labels.Everything())
		if err != nil {
			return 0, err
		}
		used := map[string]bool{}
		for _, service := range all {
			for _, ingress := range service.Status.LoadBalancer.Ingress {
				used[ingress.IP] = true
			}
		}
		var again time.Duration
		for _, service := range all {
			wanted, after := wantsAddress(service, time.Now())
			if after > 0 && (again == 0 || after < again) {
				again = after
			}
			if !wanted {
				continue
			}
			if last, err = freeAddress(block, last, used); err != nil {
				return 0, err
			}
			address := last.String()
			used[address] = true
			patch := fmt.Sprintf(`{"status":{"loadBalancer":{"ingress":[{"ip":%q,"ipMode":"VIP"}]}}}`, address)
			_, err = client.CoreV1().Services(service.Namespace).Patch(ctx, service.Name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}, "status")
			if err != nil { // deleted in the meantime, say; the others still get theirs
				log.Printf("load balancer: service/%s/%s: %v", service.Namespace, service.Name, err)
			}
		}
		return again, nil
	}
	watch(services.Informer(), r)
	return r
}

// wantsAddress says whether a Service is to get an address now, and if not, after which time to ask again.
func wantsAddress(service *corev1.Service, now time.Time) (bool, time.Duration) {
	if service.Spec.Type != corev1.ServiceTypeLoadBalancer || service.Spec.LoadBalancerClass != nil ||
		len(service.Status.LoadBalancer.Ingress) > 0 || service.DeletionTimestamp != nil {
		return false, 0
	}
	wish, annotated := service.Annotations[loadBalancerAnnotation]
	if !annotated {
		return true, 0
	}
	if wish == "never" {
		return false, 0
	}
	seconds, err := strconv.Atoi(wish)
	if err != nil {
		log.Printf("load balancer: service/%s/%s: %s=%q is neither never nor a number; ignored", service.Namespace, service.Name, loadBalancerAnnotation, wish)
		return true, 0
	}
	left := service.CreationTimestamp.Add(time.Duration(seconds) * time.Second).Sub(now)
	return left <= 0, max(left, 0)
}

// freeAddress is the next one after the last given: an address that has just become free is taken last, since clients
// of its former Service may still be about. The block's first and last address are not used.
func freeAddress(block netip.Prefix, last netip.Addr, used map[string]bool) (netip.Addr, error) {
	for address, left := last.Next(), 1<<(32-block.Bits()); left > 0; address, left = address.Next(), left-1 {
		if !block.Contains(address.Next()) {
			address = block.Addr().Next()
		}
		if !used[address.String()] {
			return address, nil
		}
	}
	return last, fmt.Errorf("no address is left in %s", block)
}
