//! An API server that is silent: no connection is reset, and nothing comes.

use serde_json::json;

use super::super::harness::{Scenario, pods_ready, running};
use super::relay::Relay;
use super::survival::{Wait, made_ready, not_ready, outlived, two_waits};
use super::{manifest, probe, service, web};

const CANNOT: &str = "the API server cannot be reached since ";

#[test]
fn a_silent_api_server_is_noticed_and_outlived() {
    let scenario = not_ready("wr-silent");
    let relay = Relay::start();
    let [mut patient, mut hasty] = two_waits(&scenario, &relay, "45s");
    relay.silence(true);
    patient.until_said(CANNOT);
    // It becomes ready, and answers to everybody, while nobody can see that.
    let scenario = made_ready(scenario);
    let (exit, verdict) = hasty.end();
    assert_eq!((exit, &verdict["state"]), (124, &json!("progressing")), "{}", hasty.said());
    assert!(verdict["reason"].as_str().unwrap().starts_with(CANNOT), "{verdict}");
    let elapsed = verdict["elapsedSeconds"].as_f64().unwrap();
    assert!((45.0..53.0).contains(&elapsed), "{elapsed} s where 45 were given");
    assert!(!patient.is_over(), "{}", patient.said());
    relay.silence(false);
    outlived(patient, &relay);
    drop(scenario);
}

#[test]
fn pods_that_are_asked_through_a_silent_api_server_are_not_blamed() {
    let scenario = Scenario::new("wr-blame")
        .apply(&manifest(&[web(1, json!({}), probe()), service("ClusterIP")]))
        .until("it is ready", pods_ready(1));
    let relay = Relay::start();
    let arguments = ["--http", "/", "--stable-for", "1h", "--timeout", "50s"];
    let mut wait = Wait::begin(&scenario, &relay, &arguments);
    wait.until_said("answers in a row");
    relay.silence(true);
    let (exit, verdict) = wait.end();
    assert_eq!((exit, &verdict["state"]), (124, &json!("progressing")), "{}", wait.said());
    assert!(verdict["reason"].as_str().unwrap().starts_with(CANNOT), "{verdict}");
    assert_eq!(verdict["rootCauses"].as_array().map(Vec::len), Some(0), "{verdict}");
    assert!(!wait.said().contains("endpoints answer"), "{}", wait.said());
    let elapsed = verdict["elapsedSeconds"].as_f64().unwrap();
    assert!((50.0..58.0).contains(&elapsed), "{elapsed} s where 50 were given");
}

#[test]
fn the_timeout_holds_when_the_api_server_is_silent() {
    let scenario = Scenario::new("wr-answers-late")
        .apply(&manifest(&[web(1, json!({"READY_AFTER": "1h"}), probe())]))
        .until("it runs", running("app"));
    let relay = Relay::start();
    let mut wait = Wait::begin(&scenario, &relay, &["--timeout", "8s"]);
    wait.until_said("0 of 1 pod ready");
    // Too short before the end to be noticed.
    relay.silence(true);
    let (exit, verdict) = wait.end();
    assert_eq!((exit, &verdict["state"]), (124, &json!("progressing")), "{}", wait.said());
    let elapsed = verdict["elapsedSeconds"].as_f64().unwrap();
    assert!((8.0..16.0).contains(&elapsed), "{elapsed} s where 8 were given");
}
