package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
)

const (
	storageClass          = "standard"
	provisioner           = "podlife.test/hostpath"
	provisionedAnnotation = "pv.kubernetes.io/provisioned-by"
)

// newProvisioner makes a hostPath volume for each claim of the class "standard" and removes it after its claim.
func newProvisioner(client kubernetes.Interface, factory informers.SharedInformerFactory, dir string) *reconciler {
	claims, volumes := factory.Core().V1().PersistentVolumeClaims(), factory.Core().V1().PersistentVolumes()
	r := newReconciler("volumes")
	r.reconcile = func(ctx context.Context) (time.Duration, error) {
		all, err := claims.Lister().List(labels.Everything())
		if err != nil {
			return 0, err
		}
		for _, claim := range all {
			if wantsVolume(claim) {
				if err := provision(ctx, client, claim, dir); err != nil {
					log.Printf("volumes: persistentvolumeclaim/%s/%s: %v", claim.Namespace, claim.Name, err)
				}
			}
		}
		made, err := volumes.Lister().List(labels.Everything())
		if err != nil {
			return 0, err
		}
		for _, volume := range made {
			if volume.Annotations[provisionedAnnotation] == provisioner && volume.Status.Phase == corev1.VolumeReleased && volume.DeletionTimestamp == nil {
				if err := release(ctx, client, volume); err != nil {
					log.Printf("volumes: persistentvolume/%s: %v", volume.Name, err)
				}
			}
		}
		return 0, nil
	}
	watch(claims.Informer(), r)
	watch(volumes.Informer(), r)
	return r
}

func wantsVolume(claim *corev1.PersistentVolumeClaim) bool {
	block := claim.Spec.VolumeMode != nil && *claim.Spec.VolumeMode == corev1.PersistentVolumeBlock
	return claim.Status.Phase == corev1.ClaimPending && claim.DeletionTimestamp == nil && claim.Spec.VolumeName == "" && claim.Spec.Selector == nil &&
		claim.Spec.StorageClassName != nil && *claim.Spec.StorageClassName == storageClass && !block
}

func provision(ctx context.Context, client kubernetes.Interface, claim *corev1.PersistentVolumeClaim, dir string) error {
	path := filepath.Join(dir, string(claim.UID))
	if err := os.MkdirAll(path, 0o777); err != nil {
		return err
	}
	if err := os.Chmod(path, 0o777); err != nil { // past the umask: containers run as any user
		return err
	}
	_, err := client.CoreV1().PersistentVolumes().Create(ctx, &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "pvc-" + string(claim.UID), Annotations: map[string]string{provisionedAnnotation: provisioner}},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: claim.Spec.Resources.Requests[corev1.ResourceStorage]},
			AccessModes:                   claim.Spec.AccessModes,
			StorageClassName:              storageClass,
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimDelete,
			PersistentVolumeSource:        corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: path}},
			ClaimRef:                      &corev1.ObjectReference{APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID},
		},
	}, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

func release(ctx context.Context, client kubernetes.Interface, volume *corev1.PersistentVolume) error {
	if volume.Spec.HostPath == nil {
		return fmt.Errorf("is not a hostPath volume")
	}
	if err := os.RemoveAll(volume.Spec.HostPath.Path); err != nil {
		return err
	}
	return client.CoreV1().PersistentVolumes().Delete(ctx, volume.Name, metav1.DeleteOptions{})
}
