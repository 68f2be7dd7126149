use serde_json::{Value, json};

use super::{Room, Unit, fill};
use crate::model::plan::SessionPlan;
use crate::session::template::options::{self, Options};
use crate::session::template::{Owner, Template};

fn unit(options: &Options) -> Unit {
    of_template(&Template::of_image("ide:3", options).unwrap())
}

fn of_template(template: &Template) -> Unit {
    let owner = Owner {
        id: "plan".into(),
        name: "plan".into(),
        namespace: "shop".into(),
        uid: String::new(),
        generation: 1,
    };
    Unit {
        pod: serde_json::from_value(template.pod(&owner)).unwrap(),
        claim: template.claim(&owner).map(|claim| serde_json::from_value(claim).unwrap()),
        has_service: template.service(&owner).is_some(),
        leases: 2,
    }
}

fn with_volume(class: Option<&str>) -> Unit {
    unit(&Options {
        volume: Some(options::volume("2Gi:/data").unwrap()),
        storage_class: class.map(str::to_owned),
        ..Options::default()
    })
}

fn of<T: serde::de::DeserializeOwned>(objects: Value) -> Vec<T> {
    serde_json::from_value(objects).unwrap()
}

/// A node with 2 CPUs, 4Gi and places for 110 pods.
fn node(name: &str, spec: Value) -> Value {
    json!({
        "metadata": {"name": name, "labels": {"disk": "ssd"}},
        "spec": spec,
        "status": {
            "allocatable": {"cpu": "2", "memory": "4Gi", "pods": "110"},
            "conditions": [{"type": "Ready", "status": "True"}],
            "images": [{"names": ["docker.io/library/ide:3"], "sizeBytes": 1000}],
        },
    })
}

/// A pod on a node, of a session where it has a namespace for them.
fn pod(node: &str, namespace: &str, cpu: &str) -> Value {
    let labels = if namespace == "shop" {
        json!({"podlife.dev/session": "x"})
    } else {
        json!({})
    };
    json!({
        "metadata": {"name": "p", "namespace": namespace, "labels": labels},
        "spec": {"nodeName": node, "containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]},
    })
}

/// Each limit as `nodes 20`.
fn limits(plan: &SessionPlan) -> Vec<String> {
    plan.limits
        .iter()
        .map(|limit| format!("{} {}", limit.limit, limit.sessions))
        .collect()
}

fn planned(unit: &Unit, room: &Room) -> SessionPlan {
    fill(SessionPlan::new("shop", 30, 3), unit, room)
}

#[test]
fn nodes_hold_what_their_scarcest_resource_has_room_for() {
    let room = Room {
        nodes: Some(of(json!([
            node("a", json!({"podCIDR": "10.0.0.0/28"})),
            node("b", json!({"podCIDR": "10.0.1.0/28"})),
            node("c", json!({"unschedulable": true})),
        ]))),
        pods: of(json!([pod("a", "shop", "100m"), pod("a", "other", "1"), pod("c", "other", "1")])),
        ..Room::default()
    };
    let plan = planned(&unit(&Options::default()), &room);
    // 900m are free on one node, 2 on the other, beside the session that runs.
    assert_eq!(limits(&plan), ["pod addresses 25", "nodes 30"]);
    assert_eq!(plan.fits, Some(25));
    let nodes = &plan.limits[1].detail;
    assert!(
        nodes.starts_with("2 of 3 nodes take the pod (c: cordoned); cpu for 29 more, 100m each; memory for 64 more"),
        "{nodes}"
    );
    assert_eq!(plan.limits[0].detail, "24 free in 10.0.0.0/28, 10.0.1.0/28");
    assert_eq!(
        (plan.images[0].nodes, plan.images[0].of_nodes, plan.images[0].size_bytes),
        (2, 2, Some(1000))
    );
}

#[test]
fn without_ranges_of_addresses_and_without_nodes_only_what_is_known_counts() {
    let room = Room {
        nodes: Some(of(json!([node("a", json!({}))]))),
        ..Room::default()
    };
    assert_eq!(limits(&planned(&unit(&Options::default()), &room)), ["nodes 20"]);
    let plan = planned(&unit(&Options::default()), &Room::default());
    assert_eq!((plan.fits, plan.limits.len()), (None, 0));
    let none = Room {
        nodes: Some(of(json!([node("a", json!({"taints": [{"key": "gpu", "effect": "NoSchedule"}]}))]))),
        ..Room::default()
    };
    let plan = planned(&unit(&Options::default()), &none);
    assert_eq!(limits(&plan), ["nodes 0"]);
    assert_eq!(plan.limits[0].detail, "0 of 1 node take the pod (a: taint gpu is not tolerated)");
}

#[test]
fn quotas_count_what_a_session_takes() {
    let quota =
        |hard: Value, used: Value| json!({"metadata": {"name": "q"}, "spec": {"hard": hard}, "status": {"hard": hard, "used": used}});
    let of_one = |unit: &Unit, resource: &str, hard: &str, used: &str| {
        let room = Room {
            quotas: of(json!([quota(json!({resource: hard}), json!({resource: used}))])),
            ..Room::default()
        };
        limits(&planned(unit, &room)).first().cloned().unwrap_or_default()
    };
    let plain = unit(&Options::default());
    let service = unit(&Options {
        service: true,
        port: Some(80),
        ..Options::default()
    });
    // Three sessions exist, and none has a pod now.
    for (unit, resource, hard, used, expected) in [
        (&plain, "pods", "10", "4", "6"),
        (&plain, "count/pods", "10", "4", "6"),
        (&plain, "requests.cpu", "1", "250m", "7"),
        (&plain, "cpu", "1", "0", "10"),
        (&plain, "limits.cpu", "2", "0", "4"),
        (&plain, "limits.memory", "1Gi", "512Mi", "1"),
        (&plain, "requests.memory", "1Gi", "2Gi", "0"),
        (&plain, "count/leases.coordination.k8s.io", "10", "6", "5"),
        (&service, "services", "5", "3", "5"),
        (&with_volume(None), "persistentvolumeclaims", "5", "3", "5"),
        (&with_volume(None), "requests.storage", "10Gi", "6Gi", "5"),
        (
            &with_volume(Some("fast")),
            "fast.storageclass.storage.k8s.io/requests.storage",
            "4Gi",
            "0",
            "5",
        ),
        (
            &with_volume(Some("fast")),
            "fast.storageclass.storage.k8s.io/persistentvolumeclaims",
            "1",
            "0",
            "4",
        ),
    ] {
        assert_eq!(of_one(unit, resource, hard, used), format!("quota q: {resource} {expected}"));
    }
    for (unit, resource) in [
        (&plain, "services"),
        (&plain, "persistentvolumeclaims"),
        (&plain, "requests.nvidia.com/gpu"),
        (&plain, "configmaps"),
        (&with_volume(None), "fast.storageclass.storage.k8s.io/requests.storage"),
    ] {
        assert_eq!(of_one(unit, resource, "1", "1"), "", "{resource}");
    }
}

#[test]
fn a_quota_counts_only_pods_of_its_scope() {
    let of_scope = |spec: Value| {
        let mut quota = json!({"metadata": {"name": "q"}, "spec": {"hard": {"pods": "1"}}});
        for (key, value) in spec.as_object().unwrap() {
            quota["spec"][key] = value.clone();
        }
        let room = Room {
            quotas: of(json!([quota])),
            ..Room::default()
        };
        !planned(&unit(&Options::default()), &room).limits.is_empty()
    };
    let class = |operator: &str| json!({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": operator, "values": ["high"]}]}});
    assert!(of_scope(json!({"scopes": ["NotBestEffort", "NotTerminating"]})));
    assert!(of_scope(class("NotIn")));
    assert!(!of_scope(json!({"scopes": ["BestEffort"]})));
    assert!(!of_scope(json!({"scopes": ["Terminating"]})));
    assert!(!of_scope(class("In")));
    assert!(!of_scope(class("Exists")));
}

#[test]
fn a_limit_range_that_refuses_the_pod_leaves_room_for_none() {
    let of_item = |unit: &Unit, item: Value| {
        let room = Room {
            limit_ranges: of(json!([{"metadata": {"name": "r"}, "spec": {"limits": [item]}}])),
            ..Room::default()
        };
        let plan = planned(unit, &room);
        (plan.fits, plan.limits.first().map(|limit| limit.detail.clone()).unwrap_or_default())
    };
    let plain = unit(&Options::default());
    for (item, why) in [
        (
            json!({"type": "Container", "min": {"cpu": "200m"}}),
            "container app requests 100m cpu, and the minimum is 200m",
        ),
        (
            json!({"type": "Container", "max": {"memory": "256Mi"}}),
            "container app has a limit of 512Mi memory, and the maximum is 256Mi",
        ),
        (
            json!({"type": "Container", "maxLimitRequestRatio": {"cpu": "4"}}),
            "container app has a limit of 500m cpu, and at most 4 times its request is allowed",
        ),
        (
            json!({"type": "Pod", "max": {"cpu": "400m"}}),
            "the pod has a limit of 500m cpu, and the maximum is 400m",
        ),
    ] {
        assert_eq!(of_item(&plain, item), (Some(0), why.to_owned()));
    }
    let claim = json!({"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}});
    assert_eq!(
        of_item(&with_volume(None), claim.clone()).1,
        "the claim has a limit of 2Gi storage, and the maximum is 1Gi"
    );
    assert_eq!(of_item(&plain, claim).0, None);
    assert_eq!(
        of_item(&plain, json!({"type": "Container", "min": {"cpu": "100m"}, "max": {"cpu": "500m"}})).0,
        None
    );
}

#[test]
fn a_volume_needs_a_storage_class() {
    let with = |unit: &Unit, classes: Value| {
        let room = Room {
            storage_classes: Some(of(classes)),
            ..Room::default()
        };
        planned(unit, &room).limits.first().map(|limit| limit.detail.clone())
    };
    let class = |default: &str| json!({"metadata": {"name": "fast", "annotations": {"storageclass.kubernetes.io/is-default-class": default}}, "provisioner": "x"});
    assert_eq!(with(&with_volume(Some("fast")), json!([class("false")])), None);
    assert_eq!(with(&with_volume(None), json!([class("true")])), None);
    assert_eq!(
        with(&with_volume(None), json!([class("false")])).unwrap(),
        "there is no default StorageClass, and --storage-class is not set"
    );
    assert_eq!(
        with(&with_volume(Some("slow")), json!([class("true")])).unwrap(),
        "there is no StorageClass slow"
    );
}

#[test]
fn volumes_are_limited_by_what_their_driver_may_attach_to_a_node() {
    let csi_node = |name: &str, drivers: Value| json!({"metadata": {"name": name}, "spec": {"drivers": drivers}});
    let driver = |name: &str, count: u32| json!({"name": name, "nodeID": "n", "allocatable": {"count": count}});
    let attached = |node: &str, attacher: &str| json!({"metadata": {}, "spec": {"attacher": attacher, "nodeName": node, "source": {}}});
    let room = |csi_nodes: Value| Room {
        nodes: Some(of(json!([node("a", json!({})), node("b", json!({}))]))),
        storage_classes: Some(of(json!([{"metadata": {"name": "fast"}, "provisioner": "csi.test"}]))),
        csi_nodes: of(csi_nodes),
        attachments: of(json!([
            attached("a", "csi.test"),
            attached("a", "other"),
            attached("b", "csi.test")
        ])),
        ..Room::default()
    };
    let limited = room(json!([
        csi_node("a", json!([driver("csi.test", 4), driver("other", 1)])),
        csi_node("b", json!([driver("csi.test", 1)])),
    ]));
    let plan = planned(&with_volume(Some("fast")), &limited);
    assert_eq!(limits(&plan), ["nodes 3"]);
    let detail = "2 of 2 nodes take the pod; volumes of csi.test for 3 more; cpu for 40 more, 100m each";
    assert!(plan.limits[0].detail.starts_with(detail), "{}", plan.limits[0].detail);
    assert_eq!(limits(&planned(&unit(&Options::default()), &limited)), ["nodes 40"]);
    // A driver that says nothing limits nothing.
    let silent = room(json!([csi_node("a", json!([{"name": "csi.test", "nodeID": "n"}]))]));
    assert_eq!(limits(&planned(&with_volume(Some("fast")), &silent)), ["nodes 40"]);
}

#[test]
fn ephemeral_storage_counts_where_the_template_requests_it() {
    let template = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "ide"},
        "spec": {"containers": [{"name": "ide", "image": "ide:3", "resources": {"requests": {"ephemeral-storage": "2Gi"}}}]},
    });
    let unit = of_template(&Template::of_document(&template, &Options::default()).unwrap());
    let mut node = node("a", json!({}));
    node["status"]["allocatable"]["ephemeral-storage"] = "9Gi".into();
    let room = Room {
        nodes: Some(of(json!([node]))),
        ..Room::default()
    };
    assert_eq!(limits(&planned(&unit, &room)), ["nodes 4"]);
}
