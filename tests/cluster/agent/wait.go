package main

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// wait ends when the cluster is there: "api" means that the API server answers, "ready" that the node is Ready, pods
// can be made in the default namespace and DNS runs.
func wait(ctx context.Context, args []string) error {
	if len(args) != 3 || args[0] != "--kubeconfig" {
		return fmt.Errorf("%s", usage)
	}
	client, err := newClient(args[1])
	if err != nil {
		return err
	}
	conditions := []condition{apiAnswers}
	if args[2] == "ready" {
		conditions = append(conditions, serviceAccountExists, nodeReady, dnsAvailable)
	}
	for _, condition := range conditions {
		for {
			err := condition(ctx, client)
			if err == nil {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("gave up: %w", err)
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
	return nil
}

type condition func(context.Context, kubernetes.Interface) error

func apiAnswers(ctx context.Context, client kubernetes.Interface) error {
	return client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
}

func serviceAccountExists(ctx context.Context, client kubernetes.Interface) error {
	_, err := client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
	return err
}

func nodeReady(ctx context.Context, client kubernetes.Interface) error {
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, node := range nodes.Items {
		for _, condition := range node.Status.Conditions {
			if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue {
				return nil
			}
		}
	}
	return fmt.Errorf("no node is Ready")
}

func dnsAvailable(ctx context.Context, client kubernetes.Interface) error {
	deployment, err := client.AppsV1().Deployments("kube-system").Get(ctx, "coredns", metav1.GetOptions{})
	if err != nil {
		return err
	}
	for _, condition := range deployment.Status.Conditions {
		if condition.Type == appsv1.DeploymentAvailable && condition.Status == corev1.ConditionTrue {
			return nil
		}
	}
	return fmt.Errorf("CoreDNS is not available")
}
