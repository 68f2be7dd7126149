//! Who may use which session.

use std::thread;

use podlife::model::kind;
use serde_json::{Value, json};

use super::{Gateway, Reply};
use crate::cluster::harness::Scenario;
use crate::cluster::session::life::{made, records, session};
use crate::fake_api::fixture;

pub fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {}\r\n", token.trim())
}

fn owners(scenario: &Scenario) -> Vec<Value> {
    let of = |record: &Value| record["metadata"]["annotations"]["podlife.dev/owner"].clone();
    records(scenario).iter().map(of).collect()
}

#[test]
fn a_session_belongs_to_the_service_account_that_asked_for_it_first() {
    let account = |name: &str| format!("{{apiVersion: v1, kind: ServiceAccount, metadata: {{name: {name}}}}}\n---\n");
    let scenario = Scenario::new("serve-review").apply(&(account("ann") + &account("bob")));
    let token = |name: &str, audience: &str| bearer(&scenario.kubectl(&["create", "token", name, "--audience", audience]));
    let (ann, bob) = (token("ann", "sessions"), token("bob", "sessions"));
    let gateway = Gateway::local(
        &scenario,
        &["--auth", "token-review", "--audience", "sessions", "--max-sessions-per-owner", "1"],
    );
    gateway.ask("GET", "/api/v1/session/a/", &ann).is(200);
    assert_eq!(owners(&scenario), [format!("system:serviceaccount:{}:ann", scenario.namespace)]);
    for (method, path) in [
        ("GET", "/api/v1/session/a/"),
        ("GET", "/api/v1/session/a/status"),
        ("DELETE", "/api/v1/sessions/a"),
        ("PUT", "/api/v1/sessions/a"),
    ] {
        let refused = gateway.ask(method, path, &bob).is(403);
        let absent = gateway.ask("GET", "/api/v1/sessions/absent", &bob).is(403);
        assert_eq!(refused.body, absent.body, "{method} {path}");
    }
    let second = gateway.ask("GET", "/api/v1/session/second/", &ann).is(429);
    assert_eq!(second.json()["type"], "urn:podlife:too-many-sessions-of-owner");
    assert!(second.header("retry-after").is_some(), "{second:?}");
    let seen = |token: &str| {
        gateway.ask("GET", "/api/v1/sessions", token).is(200).json()["items"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!((seen(&ann), seen(&bob)), (1, 0));
    let others = token("ann", "others");
    for headers in ["", "Authorization: Bearer x\r\n", &others] {
        gateway.ask("GET", "/api/v1/session/a/", headers).is(401);
    }
    // What a command has made without an owner is nobody's here.
    let created = session(&scenario, &[&["create", "c", "--no-wait"], &super::gateway::TEMPLATE[..]].concat());
    assert_eq!(created.exit, 0, "{}", created.stderr);
    gateway.ask("GET", "/api/v1/session/c/", &ann).is(403);
    gateway.ask("DELETE", "/api/v1/sessions/a", &ann).is(204);
    // Why a pod does not start is told to its owner alone.
    let broken = [
        "--auth",
        "token-review",
        "--audience",
        "sessions",
        "--image",
        "podlife.test/missing:1",
    ];
    let broken = Gateway::local(&scenario, &broken);
    let told = broken.ask("GET", "/api/v1/session/d/", &ann).is(502);
    assert_eq!(told.json()["diagnosis"]["rootCauses"][0]["code"], "ImagePullFailing", "{told:?}");
    for headers in [bob.clone(), format!("{bob}Accept: text/html\r\n")] {
        let [refused, absent] = ["d", "absent"].map(|id| broken.ask("GET", &format!("/api/v1/session/{id}/status"), &headers).is(403));
        assert_eq!(refused.body, absent.body);
        broken.ask("GET", "/api/v1/session/d/", &headers).is(403);
    }
}

#[test]
fn an_owner_gets_as_many_sessions_as_allowed_however_many_gateways_create_them() {
    let scenario = Scenario::new("serve-of-owner");
    let keys = fixture("jwt/keys.json");
    let access = ["--auth", "jwt", "--jwks", keys.to_str().unwrap(), "--audience", "podlife"];
    let flags = [&access[..], &["--max-sessions-per-owner", "5"]].concat();
    let gateways = [(); 2].map(|()| Gateway::local(&scenario, &flags));
    let token = bearer(&std::fs::read_to_string(fixture("jwt/es256.jwt")).unwrap());
    let ask = |number: usize| gateways[number % 2].ask("GET", &format!("/api/v1/session/s-{number}/"), &token);
    let replies: Vec<Reply> = thread::scope(|scope| {
        let requests: Vec<_> = (0..20).map(|number| scope.spawn(move || ask(number))).collect();
        requests.into_iter().map(|request| request.join().unwrap()).collect()
    });
    let (served, refused): (Vec<_>, Vec<_>) = replies.iter().enumerate().partition(|(_, reply)| reply.status == 200);
    assert_eq!((served.len(), refused.len()), (5, 15), "{replies:?}");
    for (_, reply) in refused {
        assert_eq!(
            (reply.status, &reply.json()["type"]),
            (429, &json!("urn:podlife:too-many-sessions-of-owner"))
        );
    }
    assert_eq!(owners(&scenario), ["ann"; 5]);
    // Nothing is left of the others, neither pods nor slots.
    scenario.wait("there is a pod for each session", |scenario| made(scenario, &kind::POD).len() == 5);
    scenario.wait("there is a slot for each session", |scenario| {
        let leases = scenario.list(&kind::LEASE);
        leases
            .iter()
            .filter(|lease| lease["metadata"]["labels"]["podlife.dev/slot"].is_string())
            .count()
            == 5
    });
    // Each of them is served by both, and another one follows one that is deleted.
    let first = format!("s-{}", served[0].0);
    for gateway in &gateways {
        gateway.ask("GET", &format!("/api/v1/session/{first}/"), &token).is(200);
        gateway.ask("GET", "/api/v1/session/more/", &token).is(429);
    }
    gateways[0].ask("DELETE", &format!("/api/v1/sessions/{first}"), &token).is(204);
    scenario.wait("there is room for another one", |_| {
        gateways[1].ask("GET", "/api/v1/session/more/", &token).status == 200
    });
    assert_eq!(owners(&scenario), ["ann"; 5]);
}

#[test]
fn a_signed_token_names_the_owner_and_the_ids() {
    let scenario = Scenario::new("serve-jwt");
    let keys = fixture("jwt/keys.json");
    let flags = [
        "--auth",
        "jwt",
        "--jwks",
        keys.to_str().unwrap(),
        "--audience",
        "podlife",
        "--claim-ids",
        "sessions",
    ];
    let gateway = Gateway::local(&scenario, &flags);
    let token = bearer(&std::fs::read_to_string(fixture("jwt/es256.jwt")).unwrap());
    gateway.ask("GET", "/api/v1/session/team%2F7/", &token).is(200);
    assert_eq!(owners(&scenario), ["ann"]);
    gateway.ask("GET", "/api/v1/sessions/a", &token).is(404);
    gateway.ask("GET", "/api/v1/sessions/b", &token).is(403);
    let echo = gateway.ask("GET", "/api/v1/session/team%2F7/echo", &token).is(200);
    assert!(!echo.body.contains("Bearer"), "{}", echo.body);
}
