//! Applications that open their port only once another one has answered: what keeps that one from answering is the cause.

use super::dependency::{READY, app, lasting};
use crate::cluster::harness::{Scenario, both, restarts, running};

/// Without this file the test application ends at once.
const BROKEN: [(&str, &str); 1] = [("REQUIRE_FILE", "/etc/store.conf")];

fn waits(name: &str, manifest: &str) -> Scenario {
    Scenario::new(name)
        .apply(manifest)
        .until("the caller has been waiting for long", lasting("web"))
}

#[test]
fn an_unready_pod_that_logs_its_dependency() {
    let manifest = app("web", &[("DIAL", "db:80"), ("WAIT", "forever")], READY, "") + &app("db", &BROKEN, "", "");
    let scenario = waits("wait-log", &manifest).until("the other one has failed twice", restarts("db", 2));
    let answer = scenario.first_root_cause("ContainerCrashing", "config", "deployment/db");
    let said = |code: &str| {
        let symptoms = answer.json["symptoms"].as_array().unwrap();
        symptoms
            .iter()
            .any(|s| s["code"] == code && s["subject"]["name"] == "web" && s["causedBy"][0].is_string())
    };
    assert!(said("DependencyUnreachable"), "{}", answer.stdout);
    scenario.first_root_cause_of("deployment/web", "ContainerCrashing", "config", "deployment/db");
}

/// The first says nothing, and its variables name the other one; to the second one nobody ever sends a probe.
#[test]
fn a_pod_that_waits_silently_or_without_a_probe() {
    let silent = app("web", &[("DB_ADDR", "db:80"), ("START_DELAY", "1h")], READY, "");
    let unprobed = app("api", &[("DIAL", "db:80"), ("WAIT", "forever")], "", "");
    let answer = waits("wait-silent", &(silent + &unprobed + &app("db", &BROKEN, "", "")))
        .until("the others have come so far", both(restarts("db", 2), running("api")))
        .first_root_cause("ContainerCrashing", "config", "deployment/db");
    let judged = answer.json["workloads"].as_array().unwrap();
    let of = |name: &str| judged.iter().find(|j| j["kind"] == "Service" && j["name"] == name).unwrap();
    for name in ["web", "api"] {
        assert_eq!(of(name)["verdict"], "broken", "{}", answer.stdout);
        assert_eq!(of(name)["causes"][0], answer.root_cause()["id"], "{}", answer.stdout);
    }
}

#[test]
fn a_pod_that_waits_for_a_loopback_listener() {
    let manifest = app("web", &[("DIAL", "db:80"), ("WAIT", "forever")], READY, "") + &app("db", &[("LISTEN", "127.0.0.1:8080")], "", "");
    waits("wait-loop", &manifest).first_root_cause("ListenerOnLoopback", "ipv4", "deployment/db");
}

#[test]
fn a_pod_that_never_listens_while_its_dependencies_are_healthy() {
    let manifest = app("web", &[("DB_ADDR", "db:80"), ("START_DELAY", "1h")], READY, "") + &app("db", &[], READY, "");
    waits("wait-fine", &manifest).first_root_cause("NothingListening", "", "deployment/web");
}
