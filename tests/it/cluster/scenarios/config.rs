//! ConfigMaps and Secrets that are missing, or lack a key.

use super::container::{assert_root_causes, deployment, shell, with_volume};
use crate::cluster::harness::{Scenario, event, pods_ready, waiting};

const CONFIG: &str = "---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: conf}, data: {database: first, log: second}}\n\
                      ---\n{apiVersion: v1, kind: Secret, metadata: {name: cred}, stringData: {password: hunter2}}\n";

#[test]
fn a_wrong_key_names_the_right_one() {
    let scenario = Scenario::new("wrong-key").apply(CONFIG);
    scenario.wait("the ConfigMap is there", |s| !s.list(&podlife::model::kind::CONFIG_MAP).is_empty());
    let answer = scenario
        .apply(&shell(
            "api",
            "sleep 3600",
            ", env: [{name: A, valueFrom: {configMapKeyRef: {name: conf, key: databse}}}]",
        ))
        .until("the key is missed", event("Failed", "couldn't find key databse"))
        .first_root_cause("ConfigMapKeyMissing", "", "deployment/api");
    let root = answer.root_cause();
    assert_eq!(
        (&root["related"][0]["name"], &root["related"][0]["key"]),
        (&"conf".into(), &"databse".into())
    );
    assert!(root["summary"].as_str().unwrap().contains("it has the key database"), "{root}");
}

#[test]
fn every_place_that_needs_configuration() {
    let manifest = [
        CONFIG.to_owned(),
        shell(
            "env-map",
            "sleep 3600",
            ", env: [{name: A, valueFrom: {configMapKeyRef: {name: nomap, key: a}}}]",
        ),
        shell("from-map", "sleep 3600", ", envFrom: [{configMapRef: {name: nomap}}]"),
        shell(
            "env-secret",
            "sleep 3600",
            ", env: [{name: A, valueFrom: {secretKeyRef: {name: nosecret, key: a}}}]",
        ),
        shell(
            "env-key",
            "sleep 3600",
            ", env: [{name: A, valueFrom: {secretKeyRef: {name: cred, key: pasword}}}]",
        ),
        with_volume("volume-map", "configMap: {name: nomap}"),
        with_volume("volume-key", "configMap: {name: conf, items: [{key: nokey, path: x}]}"),
        with_volume("volume-secret", "secret: {secretName: nosecret}"),
        with_volume("volume-secret-key", "secret: {secretName: cred, items: [{key: nokey, path: x}]}"),
        with_volume(
            "projected",
            "projected: {sources: [{configMap: {name: conf}}, {secret: {name: nosecret}}]}",
        ),
    ]
    .concat();
    let scenario = Scenario::new("configuration")
        .apply(&manifest)
        .until("the kubelet has said it of all", |state| {
            let says = |text| event("FailedMount", text)(state);
            let waits =
                crate::cluster::harness::statuses(state, "app").filter(|s| s["state"]["waiting"]["reason"] == "CreateContainerConfigError");
            waits.count() == 4
                && state
                    .events
                    .iter()
                    .any(|e| e["message"].as_str().unwrap_or_default().contains("couldn't find key pasword"))
                && says("configmap references non-existent config key: nokey")
                && says("references non-existent secret key: nokey")
                && state
                    .events
                    .iter()
                    .filter(|e| {
                        e["reason"] == "FailedMount" && e["message"].as_str().unwrap_or_default().contains("secret \"nosecret\" not found")
                    })
                    .count()
                    >= 2
                && says("configmap \"nomap\" not found")
        });
    assert_root_causes(
        &scenario,
        &[
            "ConfigMapMissing () deployment/env-map",
            "ConfigMapMissing () deployment/from-map",
            "SecretMissing () deployment/env-secret",
            "SecretKeyMissing () deployment/env-key",
            "ConfigMapMissing () deployment/volume-map",
            "ConfigMapKeyMissing () deployment/volume-key",
            "SecretMissing () deployment/volume-secret",
            "SecretKeyMissing () deployment/volume-secret-key",
            "SecretMissing () deployment/projected",
        ],
    );
}

#[test]
fn one_that_is_missed_twice_is_named_once() {
    Scenario::new("missed-twice").with_first_look()
        .apply(&deployment(
            "api",
            "{containers: [\
             {name: app, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: [sleep, '3600'], envFrom: [{configMapRef: {name: nomap}}]}, \
             {name: other, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: [sleep, '3600'], envFrom: [{configMapRef: {name: nomap}}]}]}",
        ))
        .until("it is missed", waiting("other", "CreateContainerConfigError"))
        .first_root_cause("ConfigMapMissing", "", "deployment/api");
}

#[test]
fn optional_or_late_configuration_is_healthy() {
    let scenario = Scenario::new("optional")
        .apply(
            &[
                shell(
                    "optional",
                    "sleep 3600",
                    ", envFrom: [{configMapRef: {name: nomap, optional: true}}], env: [{name: A, valueFrom: {secretKeyRef: {name: nosecret, key: a, optional: true}}}]",
                ),
                with_volume("later", "configMap: {name: conf}"),
            ]
            .concat(),
        )
        .until("one of them misses its ConfigMap", event("FailedMount", "\"conf\" not found"))
        .apply(CONFIG)
        .until("both run", pods_ready(2));
    scenario.healthy();
}
