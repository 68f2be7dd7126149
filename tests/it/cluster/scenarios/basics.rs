//! The smallest broken and the smallest healthy thing.

use crate::cluster::harness::{Scenario, pods_ready, waiting};

#[test]
fn an_image_that_does_not_exist() {
    let answer = Scenario::new("no-such-image")
        .with_first_look()
        .apply(
            r"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: 'nginx:1.72'}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
",
        )
        .until("an image cannot be pulled", waiting("web", "ImagePullBackOff"))
        .first_root_cause("ImagePullFailing", "not-found", "deployment/web");
    assert_eq!(answer.root_cause()["subject"]["container"], "web");
}

#[test]
fn a_deployment_that_runs() {
    Scenario::new("runs")
        .apply(
            r"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{name: web, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: [sleep, '3600']}]
",
        )
        .until("it runs", pods_ready(1))
        .healthy();
}
