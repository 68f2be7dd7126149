use serde_json::{Value, json};

use super::options::{self, Options};
use super::policy::{allow_from, policy};
use super::{Owner, Template, security};

fn owner() -> Owner {
    Owner {
        id: "user $(42)$".into(),
        name: "user-42".into(),
        namespace: "shop".into(),
        uid: "u-1".into(),
        generation: 3,
    }
}

fn image(options: &Options) -> Template {
    Template::of_image("ide:3", options).unwrap()
}

fn document(spec: Value) -> Template {
    Template::of_document(&json!({"apiVersion": "v1", "kind": "Pod", "spec": spec}), &Options::default()).unwrap()
}

fn refused(document: Value) -> String {
    Template::of_document(&document, &Options::default()).unwrap_err()
}

/// A pod of one container with further fields.
fn with(container: Value, pod: Value) -> Value {
    let mut spec = json!({"containers": [{"name": "app", "image": "a"}]});
    for (to, from) in [("/containers/0", container), ("", pod)] {
        let to = spec.pointer_mut(to).unwrap().as_object_mut().unwrap();
        to.extend(from.as_object().unwrap().clone());
    }
    spec
}

#[test]
fn the_default_pod_is_restricted_and_belongs_to_its_record() {
    let template = image(&Options::default());
    assert_eq!(template.warnings(), [""; 0]);
    let pod = template.pod(&owner());
    assert_eq!(
        pod["metadata"],
        json!({
            "name": "user-42-g3",
            "namespace": "shop",
            "labels": {
                "app.kubernetes.io/managed-by": "podlife",
                "podlife.dev/session": "user-42",
                "podlife.dev/generation": "3",
                "podlife.dev/template": template.hash(),
            },
            "annotations": {"podlife.dev/id": "user $(42)$"},
            "ownerReferences": [{
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "name": "user-42", "uid": "u-1",
                "controller": true, "blockOwnerDeletion": false,
            }],
        })
    );
    assert_eq!(
        pod["spec"],
        json!({
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "app",
                "image": "ide:3",
                "env": [{"name": "SESSION_ID", "value": "user $$(42)$$"}],
                "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"cpu": "500m", "memory": "512Mi"}},
                "securityContext": {
                    "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": true,
                    "runAsUser": 65532, "runAsGroup": 65532,
                },
                "volumeMounts": [{"name": "session-tmp-0", "mountPath": "/tmp"}],
            }],
            "volumes": [{"name": "session-tmp-0", "emptyDir": {"sizeLimit": "512Mi"}}],
        })
    );
    assert_eq!((template.claim(&owner()), template.service(&owner())), (None, None));
}

#[test]
fn flags_set_port_variables_amounts_volume_service_and_command() {
    let template = image(&Options {
        port: Some(8080),
        env: vec![options::variable("A=1").unwrap(), options::variable("A=2").unwrap()],
        env_from_secrets: vec!["keys".into()],
        cpu: Some(options::cpu("1:2").unwrap()),
        memory: Some(options::memory("1Gi").unwrap()),
        volume: Some(options::volume("2Gi:/data").unwrap()),
        storage_class: Some("fast".into()),
        service: true,
        command: vec!["python".into(), "-i".into()],
    });
    let pod = template.pod(&owner());
    let container = &pod["spec"]["containers"][0];
    assert_eq!(container["ports"], json!([{"containerPort": 8080}]));
    assert_eq!(
        container["readinessProbe"],
        json!({"tcpSocket": {"port": 8080}, "periodSeconds": 1})
    );
    assert_eq!(container["env"][1], json!({"name": "A", "value": "2"}));
    assert_eq!(container["env"][2], Value::Null);
    assert_eq!(container["envFrom"], json!([{"secretRef": {"name": "keys"}}]));
    assert_eq!(
        container["resources"],
        json!({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "1Gi"}})
    );
    assert_eq!(container["command"], json!(["python", "-i"]));
    assert_eq!(
        container["volumeMounts"][0],
        json!({"name": "session-volume", "mountPath": "/data"})
    );
    assert_eq!(pod["spec"]["securityContext"]["fsGroup"], 65532);
    let volumes = pod["spec"]["volumes"].as_array().unwrap();
    assert!(volumes.contains(&json!({"name": "session-volume", "persistentVolumeClaim": {"claimName": "user-42"}})));
    let claim = template.claim(&owner()).unwrap();
    assert_eq!(
        (&claim["metadata"]["name"], &claim["spec"]["storageClassName"]),
        (&json!("user-42"), &json!("fast"))
    );
    assert_eq!(claim["spec"]["resources"]["requests"]["storage"], "2Gi");
    let service = template.service(&owner()).unwrap();
    assert_eq!(service["spec"]["selector"]["podlife.dev/session"], "user-42");
    assert_eq!(
        service["spec"]["ports"],
        json!([{"name": "tcp-8080", "port": 8080, "targetPort": 8080, "protocol": "TCP"}])
    );
    assert_eq!(template.warnings(), [""; 0]);
}

#[test]
fn a_readiness_probe_of_the_template_stays() {
    let probe = json!({"httpGet": {"path": "/", "port": 80}});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "spec": with(json!({"readinessProbe": probe, "ports": [{"name": "web", "containerPort": 80}]}), json!({}))});
    let options = Options {
        port: Some(80),
        ..Options::default()
    };
    let container = Template::of_document(&pod, &options).unwrap().pod(&owner())["spec"]["containers"][0].clone();
    assert_eq!(container["readinessProbe"], probe);
    assert_eq!(container["ports"], json!([{"name": "web", "containerPort": 80}]));
}

#[test]
fn what_a_template_sets_stands_and_is_warned_about() {
    let cases = [
        (
            json!({"securityContext": {"runAsUser": 0}}),
            json!({}),
            "container app runs as root (runAsUser: 0)",
        ),
        (
            json!({}),
            json!({"securityContext": {"runAsUser": 0}}),
            "container app runs as root (runAsUser: 0)",
        ),
        (
            json!({"securityContext": {"runAsNonRoot": false}}),
            json!({}),
            "container app may run as root (runAsNonRoot is not true)",
        ),
        (
            json!({"securityContext": {"allowPrivilegeEscalation": true}}),
            json!({}),
            "container app may gain privileges (allowPrivilegeEscalation is not false)",
        ),
        (
            json!({"securityContext": {"capabilities": {"drop": ["NET_RAW"]}}}),
            json!({}),
            "container app keeps capabilities (drop does not have ALL)",
        ),
        (
            json!({"securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}),
            json!({}),
            "container app has the capability NET_ADMIN",
        ),
        (
            json!({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}),
            json!({}),
            "container app runs without a seccomp profile",
        ),
        (
            json!({"securityContext": {"procMount": "Unmasked"}}),
            json!({}),
            "container app sees all of /proc (procMount)",
        ),
        (
            json!({"securityContext": {"readOnlyRootFilesystem": false}}),
            json!({}),
            "container app can write to its root file system",
        ),
        (
            json!({"ports": [{"containerPort": 80, "hostPort": 8080}]}),
            json!({}),
            "container app uses port 8080 of its node (hostPort)",
        ),
        (
            json!({}),
            json!({"hostNetwork": true}),
            "the pod shares the network of its node (hostNetwork)",
        ),
        (
            json!({}),
            json!({"hostPID": true}),
            "the pod shares the processes of its node (hostPID)",
        ),
        (
            json!({}),
            json!({"hostIPC": true}),
            "the pod shares the shared memory of its node (hostIPC)",
        ),
        (
            json!({}),
            json!({"securityContext": {"sysctls": [{"name": "net.core.somaxconn", "value": "1"}]}}),
            "the pod sets kernel parameters (net.core.somaxconn)",
        ),
        (
            json!({}),
            json!({"volumes": [{"name": "host", "hostPath": {"path": "/"}}]}),
            "volume host is of the type hostPath",
        ),
        (
            json!({}),
            json!({"serviceAccountName": "ci"}),
            "the pod gets a token of service account ci",
        ),
        (
            json!({}),
            json!({"automountServiceAccountToken": true}),
            "the pod gets a token of service account default",
        ),
        (
            json!({}),
            json!({"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "all"}}]}),
            "volume data is the claim all, which all sessions of the template share",
        ),
        (
            json!({"env": [{"name": "SESSION_ID", "value": "x"}]}),
            json!({}),
            "the value that container app has for SESSION_ID is replaced",
        ),
    ];
    for (container, pod, warning) in cases {
        let given = with(container, pod);
        assert_eq!(document(given.clone()).warnings(), [warning], "{given}");
    }
}

#[test]
fn a_privileged_container_gets_no_settings_that_the_api_server_refuses_with_it() {
    for context in [json!({"privileged": true}), json!({"capabilities": {"add": ["CAP_SYS_ADMIN"]}})] {
        let template = document(with(json!({"securityContext": context}), json!({})));
        assert_eq!(
            template.spec.containers[0]
                .security_context
                .clone()
                .unwrap()
                .allow_privilege_escalation,
            None
        );
        assert!(!template.warnings().is_empty());
    }
}

#[test]
fn a_user_that_the_template_means_is_kept() {
    // The image's own user.
    for spec in [
        with(json!({"securityContext": {"runAsNonRoot": true}}), json!({})),
        with(json!({}), json!({"securityContext": {"runAsNonRoot": true}})),
    ] {
        let template = document(spec);
        assert_eq!(template.spec.containers[0].security_context.clone().unwrap().run_as_user, None);
        assert_eq!(template.warnings(), [""; 0]);
    }
    // An init container may run as root beside others that do not.
    let spec = with(
        json!({}),
        json!({"initContainers": [{"name": "own", "image": "a", "securityContext": {"runAsUser": 0}}]}),
    );
    let template = document(spec);
    assert_eq!(template.warnings(), ["container own runs as root (runAsUser: 0)"]);
    let init = template.spec.init_containers.clone().unwrap().remove(0).security_context.unwrap();
    assert_eq!(init.run_as_non_root, Some(false), "else the pod's setting keeps it from starting");
    let main = template.spec.containers[0].security_context.clone().unwrap();
    assert_eq!(main.run_as_user, Some(65532));
}

#[test]
fn amounts_that_a_template_sets_in_part_are_left_to_kubernetes() {
    let template = document(with(json!({"resources": {"limits": {"cpu": 0.05}}}), json!({})));
    let pod = template.pod(&owner());
    assert_eq!(
        pod["spec"]["containers"][0]["resources"],
        json!({"limits": {"cpu": "0.05", "memory": "512Mi"}, "requests": {"memory": "128Mi"}})
    );
    let whole = document(with(json!({}), json!({"resources": {"limits": {"cpu": "1"}}})));
    assert_eq!(whole.spec.containers[0].resources, None);
}

#[test]
fn annotations_secrets_init_containers_and_sidecars_pass_through() {
    let spec = json!({
        "serviceAccountName": "reader",
        "imagePullSecrets": [{"name": "registry"}],
        "initContainers": [
            {"name": "fetch", "image": "b", "envFrom": [{"secretRef": {"name": "keys"}}]},
            {"name": "agent", "image": "c", "restartPolicy": "Always", "volumeMounts": [{"name": "secrets", "mountPath": "/vault"}]},
        ],
        "containers": [
            {"name": "app", "image": "a", "env": [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "k"}}}]},
            {"name": "side", "image": "d"},
        ],
        "volumes": [{"name": "secrets", "secret": {"secretName": "vault"}}],
        "restartPolicy": "Never",
    });
    let template = Template::of_document(
        &json!({
            "apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "x"},
            "template": {"metadata": {"labels": {"team": "a"}, "annotations": {"vault.hashicorp.com/agent-inject": "true"}}, "spec": spec},
        }),
        &Options::default(),
    )
    .unwrap();
    let pod = template.pod(&owner());
    assert_eq!(pod["metadata"]["labels"]["team"], "a");
    assert_eq!(pod["metadata"]["annotations"]["vault.hashicorp.com/agent-inject"], "true");
    let is_kept = |path: &str| assert_eq!(pod["spec"].pointer(path), spec.pointer(path), "{path}");
    for path in [
        "/serviceAccountName",
        "/imagePullSecrets",
        "/restartPolicy",
        "/initContainers/0/envFrom",
        "/initContainers/1/restartPolicy",
        "/initContainers/1/volumeMounts/0",
        "/volumes/0",
    ] {
        is_kept(path);
    }
    assert_eq!(pod["spec"]["containers"][0]["env"][1], spec["containers"][0]["env"][0]);
    let all = ["/initContainers/0", "/initContainers/1", "/containers/0", "/containers/1"];
    for container in all.map(|path| pod["spec"].pointer(path).unwrap()) {
        assert_eq!(container["env"][0]["name"], "SESSION_ID");
    }
    assert_eq!(template.warnings(), ["the pod gets a token of service account reader"]);
    assert_eq!(security::violations(&template.spec), [""; 0]);
}

#[test]
fn documents_that_are_no_template_are_refused_with_the_reason() {
    let pod = |spec: Value| json!({"apiVersion": "v1", "kind": "Pod", "spec": spec});
    let cases = [
        (
            json!({"kind": "List", "items": []}),
            "a template is one Pod or PodTemplate, not a List",
        ),
        (json!({}), "a template needs apiVersion and kind, of a Pod or a PodTemplate"),
        (
            json!({"kind": "Deployment", "metadata": {"name": "web"}}),
            "a template is a Pod or a PodTemplate, not a Deployment; --from deployment/web takes the pod of one in the cluster",
        ),
        (json!({"kind": "Service"}), "a template is a Pod or a PodTemplate, not a Service"),
        (json!({"apiVersion": "v2", "kind": "Pod"}), "apiVersion of a Pod is v1, not \"v2\""),
        (pod(Value::Null), "the template has no spec"),
        (pod(json!({"containers": []})), "the template has no container"),
        (pod(json!({"containers": [{"name": "app"}]})), "container app has no image"),
        (
            pod(json!({"containers": [{"name": "app", "image": "a"}, {"name": "app", "image": "b"}]})),
            "two containers are named app",
        ),
        (
            pod(json!({"containers": [{"name": "app", "image": "a", "imagePulPolicy": "Always"}]})),
            "podlife does not know the field spec.containers[0].imagePulPolicy",
        ),
        (
            pod(with(json!({}), json!({"os": {"name": "windows"}}))),
            "sessions run only on Linux, and the template asks for Windows",
        ),
    ];
    for (document, reason) in cases {
        assert_eq!(refused(document.clone()), reason, "{document}");
    }
    let mut own = pod(with(json!({}), json!({})));
    own["metadata"]["labels"]["podlife.dev/gateway"] = "true".into();
    assert_eq!(refused(own), "podlife sets podlife.dev/gateway itself: remove it from the template");
    let options = Options {
        service: true,
        ..Options::default()
    };
    assert_eq!(
        Template::of_image("a", &options).unwrap_err(),
        "a Service needs a port: set it with --port"
    );
    let options = Options {
        volume: Some(options::volume("1Gi:/data").unwrap()),
        ..Options::default()
    };
    let mounted = pod(with(
        json!({"volumeMounts": [{"name": "x", "mountPath": "/data"}]}),
        json!({"volumes": [{"name": "x", "emptyDir": {}}]}),
    ));
    assert_eq!(
        Template::of_document(&mounted, &options).unwrap_err(),
        "container app already mounts a volume at /data"
    );
}

#[test]
fn a_workloads_own_labels_stay_with_it() {
    let spec = with(json!({}), json!({}));
    let labels = json!({
        "app": "web", "example.org/tier": "front", "sidecar.example.org/inject": "true",
        "app.kubernetes.io/name": "web", "pod-template-hash": "1", "podlife.dev/gateway": "true",
    });
    let annotations = json!({"kubectl.kubernetes.io/restartedAt": "x", "team.example.org/owner": "a"});
    let template = json!({"metadata": {"labels": labels, "annotations": annotations}, "spec": spec});
    let selector = json!({"matchLabels": {"example.org/tier": "front"}});
    for kind in ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"] {
        let object = json!({"kind": kind, "spec": {"selector": selector, "template": template}});
        let read = Template::of_workload(&object, &Options::default()).unwrap();
        assert_eq!(json!(read.labels), json!({"sidecar.example.org/inject": "true"}), "{kind}");
        assert_eq!(json!(read.annotations), json!({"team.example.org/owner": "a"}));
    }
    let cron = json!({"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": template}}}});
    assert_eq!(
        Template::of_workload(&cron, &Options::default()).unwrap().spec.containers[0].name,
        "app"
    );
    let service = json!({"kind": "Service", "spec": {}});
    assert_eq!(
        Template::of_workload(&service, &Options::default()).unwrap_err(),
        "a Service has no pod template"
    );
}

#[test]
fn what_the_server_has_set_on_a_pod_is_removed() {
    let token = json!({"name": "kube-api-access-x", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"});
    let seconds = |key: &str| json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300});
    let spec = with(
        json!({"volumeMounts": [token]}),
        json!({
            "nodeName": "node-1", "hostname": "web-0", "enableServiceLinks": true, "priority": 0, "preemptionPolicy": "PreemptLowerPriority",
            "serviceAccount": "default", "serviceAccountName": "default",
            "tolerations": [seconds("node.kubernetes.io/not-ready"), seconds("node.kubernetes.io/unreachable"), seconds("mine")],
            "volumes": [{"name": "kube-api-access-x", "projected": {"sources": []}}],
        }),
    );
    let pod =
        json!({"kind": "Pod", "metadata": {"labels": {"app": "web"}, "annotations": {"cni.projectcalico.org/podIP": "1"}}, "spec": spec});
    let template = Template::of_workload(&pod, &Options::default()).unwrap();
    let mut expected = document(with(json!({}), json!({"tolerations": [seconds("mine")]})));
    expected.spec.tolerations = template.spec.tolerations.clone();
    assert_eq!(template.spec.tolerations.as_ref().unwrap().len(), 1);
    assert_eq!(template, expected);
}

#[test]
fn a_claim_template_becomes_the_volume_of_the_session() {
    let claim = |name: &str| json!({"metadata": {"name": name}, "spec": {"storageClassName": "fast", "resources": {"requests": {"storage": "5Gi"}}}});
    let spec = with(json!({"volumeMounts": [{"name": "data", "mountPath": "/data"}]}), json!({}));
    let set = |claims: Value| json!({"kind": "StatefulSet", "spec": {"template": {"spec": spec}, "volumeClaimTemplates": claims}});
    let template = Template::of_workload(&set(json!([claim("data")])), &Options::default()).unwrap();
    let claimed = template.claim(&owner()).unwrap();
    assert_eq!(claimed["spec"]["resources"]["requests"]["storage"], "5Gi");
    assert_eq!(claimed["spec"]["storageClassName"], "fast");
    let pod = template.pod(&owner());
    let volumes = pod["spec"]["volumes"].as_array().unwrap();
    assert!(volumes.contains(&json!({"name": "data", "persistentVolumeClaim": {"claimName": "user-42"}})));
    let two = Template::of_workload(&set(json!([claim("data"), claim("log")])), &Options::default()).unwrap_err();
    assert!(two.starts_with("the StatefulSet has several volumeClaimTemplates"), "{two}");
    let options = Options {
        volume: Some(options::volume("1Gi:/x").unwrap()),
        ..Options::default()
    };
    let both = Template::of_workload(&set(json!([claim("data")])), &options).unwrap_err();
    assert_eq!(both, "the StatefulSet gives each pod the volume data: leave out --volume");
}

#[test]
fn a_template_is_read_from_its_config_map_only_while_it_is_unchanged() {
    let template = image(&Options::default());
    let mut stored = template.config_map();
    assert_eq!(stored["metadata"]["name"], format!("podlife-template-{}", template.hash()));
    assert_eq!(stored["immutable"], true);
    assert_eq!(Template::from_config_map(&stored), Ok(template.clone()));
    assert_eq!(Template::of_document(&stored, &Options::default()), Ok(template));
    let flags = Options {
        port: Some(80),
        ..Options::default()
    };
    assert_eq!(
        Template::of_document(&stored, &flags).unwrap_err(),
        "flags cannot change a stored template"
    );
    let text = stored["data"]["template.json"].as_str().unwrap().replace("ide:3", "evil:3");
    stored["data"]["template.json"] = text.into();
    assert!(
        Template::from_config_map(&stored)
            .unwrap_err()
            .ends_with("was changed: its content has another hash")
    );
    let other = json!({"metadata": {"name": "settings"}, "data": {}});
    assert_eq!(
        Template::from_config_map(&other).unwrap_err(),
        "ConfigMap settings is not the template of a session"
    );
}

#[test]
fn only_gateways_and_whom_the_user_names_reach_sessions() {
    let allowed = ["app=web", "ingress:app.kubernetes.io/name=nginx", "monitoring:", "*:role=probe"];
    let allowed: Vec<_> = allowed.iter().map(|text| allow_from(text).unwrap()).collect();
    let spec = policy(&allowed)["spec"].clone();
    assert_eq!(spec["podSelector"]["matchExpressions"][0]["key"], "podlife.dev/session");
    let from = &spec["ingress"][0]["from"];
    assert_eq!(from[0], json!({"podSelector": {"matchLabels": {"podlife.dev/gateway": "true"}}}));
    assert_eq!(from[1]["namespaceSelector"], Value::Null);
    let named = |name: &str| json!({"matchLabels": {"kubernetes.io/metadata.name": name}});
    assert_eq!(from[2]["namespaceSelector"], named("ingress"));
    assert_eq!(from[3], json!({"podSelector": {}, "namespaceSelector": named("monitoring")}));
    assert_eq!(from[4]["namespaceSelector"], json!({}));
    for wrong in ["", " ", "a b", "Bad_Name:app=web"] {
        assert!(allow_from(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_warm_pod_learns_its_session_by_its_annotation() {
    let template = image(&Options::default()).warmed().unwrap();
    let pod = template.warm_pod("podlife-warm-0", "lease-1");
    assert_eq!(pod["metadata"]["labels"]["podlife.dev/session"], "");
    assert_eq!(pod["metadata"]["ownerReferences"][0]["uid"], "lease-1");
    let id = json!({"fieldPath": "metadata.annotations['podlife.dev/id']"});
    let container = &pod["spec"]["containers"][0];
    assert_eq!(container["env"][0], json!({"name": "SESSION_ID", "valueFrom": {"fieldRef": id}}));
    let mounts = container["volumeMounts"].as_array().unwrap();
    let mount = mounts.iter().find(|mount| mount["name"] == "podlife-session").unwrap();
    assert_eq!((&mount["mountPath"], &mount["readOnly"]), (&json!("/etc/podlife"), &json!(true)));
    let volumes = pod["spec"]["volumes"].as_array().unwrap();
    let volume = volumes.iter().find(|volume| volume["name"] == "podlife-session").unwrap();
    assert_eq!(volume["downwardAPI"]["items"], json!([{"path": "session-id", "fieldRef": id}]));
    // The pod of a session that found none has the file, too, and its id from the start.
    let own = template.pod(&owner());
    assert_eq!(own["spec"]["volumes"], pod["spec"]["volumes"]);
    assert_eq!(own["spec"]["containers"][0]["env"][0]["value"], "user $$(42)$$");
    // A gateway may take its template from another one's.
    assert_eq!(template.clone().warmed().unwrap(), template);
    assert_eq!(
        security::violations(&template.spec),
        security::violations(&image(&Options::default()).spec)
    );
}

#[test]
fn what_needs_its_session_at_the_start_cannot_be_warm() {
    let options = Options {
        volume: Some(options::volume("1Gi:/data").unwrap()),
        ..Options::default()
    };
    assert!(image(&options).warmed().unwrap_err().contains("volume"));
    for container in [
        json!({"command": ["serve", "$(SESSION_ID)"]}),
        json!({"args": ["-c", "exec serve --id ${SESSION_ID}"]}),
        json!({"env": [{"name": "HOME", "value": "/home/$(SESSION_ID)"}]}),
        json!({"volumeMounts": [{"name": "v", "mountPath": "/v", "subPathExpr": "$(SESSION_ID)"}]}),
    ] {
        let volumes = json!({"volumes": [{"name": "v", "emptyDir": {}}]});
        let why = document(with(container.clone(), volumes)).warmed().unwrap_err();
        assert!(why.contains("container app needs SESSION_ID"), "{container}: {why}");
    }
    let set = json!({"env": [{"name": "SESSION_ID", "value": "x"}]});
    assert!(document(with(set, json!({}))).warmed().is_ok());
}
