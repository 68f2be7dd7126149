//! Images that cannot be pulled.

use super::container::{assert_root_causes, deployment, shell};
use crate::cluster::harness::{Scenario, event, pods_ready, waiting};

fn of_image(name: &str, image: &str, more: &str) -> String {
    deployment(name, &format!("{{containers: [{{name: app, image: '{image}'{more}}}]}}"))
}

#[test]
fn every_answer_of_a_registry_has_its_cause() {
    let manifest = [
        of_image("absent", "nosuch/app:1.2.3", ""),
        of_image("private", "private/app:1", ""),
        of_image("limited", "limited/app:1", ""),
        of_image("broken", "broken/app:1", ""),
        of_image("capital", "Acme/App:1", ""),
        of_image("never", "acme/app:1", ", imagePullPolicy: Never"),
        of_image("unreachable", "closed.podlife.test/shop/app:1", ""),
        of_image("silent", "silent.podlife.test/shop/app:1", ""),
        of_image("untrusted", "untrusted.podlife.test/shop/app:1", ""),
        of_image("plain", "plain.podlife.test/shop/app:1", ""),
        of_image("foreign", "foreign/app:1", ""),
        deployment(
            "of-init",
            "{initContainers: [{name: first, image: 'nosuch/init:1'}], containers: [{name: app, image: 'busybox:1.36'}]}",
        ),
    ]
    .concat();
    let scenario = Scenario::new("images")
        .apply(&manifest)
        .until("every pod waits for its image", |state| {
            let waits = |pod: &serde_json::Value| {
                ["initContainerStatuses", "containerStatuses"]
                    .iter()
                    .flat_map(|list| pod["status"][*list].as_array().into_iter().flatten())
                    .any(|s| s["state"]["waiting"]["reason"].as_str().is_some_and(|r| r.contains("Image")))
            };
            state.pods.len() == 12 && state.pods.iter().all(waits)
        });
    assert_root_causes(
        &scenario,
        &[
            "ImagePullFailing (not-found) deployment/absent",
            "ImagePullFailing (unauthorized) deployment/private",
            "ImagePullFailing (rate-limited) deployment/limited",
            "ImagePullFailing (registry-error) deployment/broken",
            "ImagePullFailing (invalid-name) deployment/capital",
            "ImagePullFailing (never-pull) deployment/never",
            "ImagePullFailing (registry-unreachable) deployment/unreachable",
            "ImagePullFailing (timeout) deployment/silent",
            "ImagePullFailing (tls) deployment/untrusted",
            "ImagePullFailing (tls) deployment/plain",
            "ImagePullFailing (architecture) deployment/foreign",
            "ImagePullFailing (not-found) deployment/of-init",
        ],
    );
}

#[test]
fn a_pull_secret_that_does_not_exist() {
    let answer = Scenario::new("pull-secret")
        .apply(&deployment(
            "api",
            "{imagePullSecrets: [{name: regcred}], containers: [{name: app, image: 'private/app:1'}]}",
        ))
        .until("the image cannot be pulled", waiting("app", "ImagePullBackOff"))
        .first_root_cause("ImagePullSecretMissing", "", "deployment/api");
    assert_eq!(answer.root_cause()["related"][0]["name"], "regcred");
}

#[test]
fn a_pull_secret_that_is_not_needed() {
    Scenario::new("pull-secret-idle")
        .apply(&deployment(
            "api",
            "{imagePullSecrets: [{name: regcred}], containers: [{name: app, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: [sleep, '3600']}]}",
        ))
        .until("it runs and the kubelet has complained", |state| {
            pods_ready(1)(state) && event("FailedToRetrieveImagePullSecret", "regcred")(state)
        })
        .healthy();
}

#[test]
fn a_rollout_to_a_wrong_tag_names_the_one_that_runs() {
    let scenario = Scenario::new("wrong-tag")
        .apply(&shell("api", "sleep 3600", ""))
        .until("it runs", pods_ready(1));
    scenario.kubectl(&["set", "image", "deployment/api", "app=busybox:1.63"]);
    scenario.wait("the new image cannot be pulled", |scenario| {
        waiting_somewhere(&scenario.state(), "ImagePullBackOff")
    });
    let answer = scenario.first_root_cause("ImagePullFailing", "not-found", "deployment/api");
    assert!(answer.stdout.contains("runs busybox:1.36"), "{}", answer.stdout);
    assert_eq!(answer.json["verdict"], "degraded", "{}", answer.stdout);
    let state = answer.json["workloads"][0]["state"].as_str().unwrap();
    assert!(
        state.ends_with("revision 2 does not come up; revision 1 still serves with 1 pod"),
        "{state}"
    );
    let undo = answer.root_cause()["fixes"].as_array().unwrap().last().unwrap()["command"]
        .as_str()
        .unwrap();
    assert!(undo.starts_with("kubectl rollout undo deployment/api --to-revision=1"), "{undo}");
    // The command does what it says.
    let words: Vec<&str> = undo.split_whitespace().skip(1).take(4).collect();
    scenario.kubectl(&words);
    scenario.wait("the older revision is the present one", |scenario| pods_ready(1)(&scenario.state()));
    scenario.healthy();
}

fn waiting_somewhere(state: &crate::cluster::harness::State, reason: &str) -> bool {
    crate::cluster::harness::statuses(state, "app").any(|s| s["state"]["waiting"]["reason"] == reason)
}
