//! Images that cannot be pulled.

use super::container::{assert_root_causes, deployment, shell};
use crate::cluster::harness::{Answer, Scenario, event, pods_ready, waiting};

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
        .with_first_look()
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
fn a_pull_secret_of_a_wrong_type_is_told_by_its_type_alone() {
    let secret = |name: &str, type_: &str, data: &str| {
        format!("---\n{{apiVersion: v1, kind: Secret, metadata: {{name: {name}}}, type: {type_}, stringData: {{{data}}}}}\n")
    };
    let config = r#"'{"auths":{"docker.io":{"username":"u","password":"hunter2"}}}'"#;
    let pulls = |name: &str, secret: &str| {
        deployment(
            name,
            &format!("{{imagePullSecrets: [{{name: {secret}}}], containers: [{{name: app, image: 'private/app:1'}}]}}"),
        )
    };
    let manifest = [
        secret("plain", "Opaque", "password: hunter2"),
        secret("regcred", "kubernetes.io/dockerconfigjson", &format!(".dockerconfigjson: {config}")),
        pulls("wrong", "plain"),
        pulls("right", "regcred"),
    ]
    .concat();
    let scenario = Scenario::new("pull-secret-type")
        .apply(&manifest)
        .until("the images cannot be pulled", waiting("app", "ImagePullBackOff"));
    let of = |answer: &Answer, name: &str| {
        let all = answer.json["rootCauses"].as_array().unwrap();
        let found = all.iter().find(|f| f["subject"]["name"] == name);
        found.unwrap_or_else(|| panic!("{all:#?}")).to_string()
    };
    let answer = scenario.podlife(&["diagnose", "-o", "json", "--with", "secrets"]);
    let wrong = of(&answer, "wrong");
    assert!(
        wrong.contains("Secret plain is of type Opaque") && wrong.contains("docker-registry regcred"),
        "{wrong}"
    );
    // The other one is of the right type: it is its content that does not help.
    let right = of(&answer, "right");
    assert!(
        right.contains("whether Secret regcred is for docker.io") && !right.contains("of type"),
        "{right}"
    );
    assert!(!answer.stdout.contains("hunter2"), "{}", answer.stdout);
    // Who may not read Secrets is told how to see the type.
    let unread = of(&scenario.diagnose(), "wrong");
    assert!(
        unread.contains("kubectl get secret plain") && !unread.contains("Opaque"),
        "{unread}"
    );
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

#[test]
fn a_refused_pull_is_explained_by_what_the_pod_shows_and_the_node_has() {
    let template = |name: &str, spec: &str| deployment(name, &format!("{{{spec}}}"));
    let manifest = [
        template("bare", "containers: [{name: app, image: 'private/app:1'}]"),
        // The node has this image, and asks a registry that nobody runs for it because of the policy.
        template(
            "always",
            "containers: [{name: app, image: 'podlife.test/app:1', imagePullPolicy: Always}]",
        ),
        template(
            "other",
            "containers: [{name: app, image: 'podlife.test/app:2', imagePullPolicy: Always}]",
        ),
    ]
    .concat();
    let scenario = Scenario::new("pull-joined")
        .apply(&manifest)
        .until("the images cannot be pulled", waiting("app", "ImagePullBackOff"));
    let answer = scenario.diagnose();
    let all = answer.json["rootCauses"].as_array().unwrap();
    let of = |name: &str| {
        all.iter()
            .find(|f| f["subject"]["name"] == name)
            .unwrap_or_else(|| panic!("{all:#?}"))
    };
    let fix = |name: &str| of(name)["fixes"][0]["text"].as_str().unwrap_or_default().to_owned();
    assert!(of("bare").to_string().contains("has no imagePullSecrets"), "{:#}", of("bare"));
    assert!(fix("bare").contains("create a pull secret for it"), "{}", fix("bare"));
    assert!(fix("always").starts_with("set imagePullPolicy: IfNotPresent"), "{}", fix("always"));
    assert!(!fix("other").contains("IfNotPresent"), "{}", fix("other"));
}
