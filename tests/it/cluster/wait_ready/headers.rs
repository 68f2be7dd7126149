//! Headers reach the application along every way, and their values nobody else.

use serde_json::json;

use super::super::harness::{Answer, Scenario, pods_ready};
use super::{manifest, probe, service, state, wait, web};
use crate::fake_api::Folder;

const SECRET: &str = "s3cr3t-t0ken";

/// Everything that a run has written anywhere.
fn said(answer: &Answer, folder: &Folder) -> String {
    let mut all = format!("{}{}", answer.stdout, answer.stderr);
    for entry in std::fs::read_dir(&folder.0).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e != "headers") {
            all.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
    all
}

#[test]
fn a_header_is_sent_and_never_shown() {
    let scenario = Scenario::new("wr-header")
        .apply(&manifest(&[web(1, json!({}), probe()), service("LoadBalancer")]))
        .until("it is ready", pods_ready(1));
    let folder = Folder::new();
    let file = folder.0.join("secret.headers");
    std::fs::write(
        &file,
        format!("# for the shop\nX-Token: {SECRET}\n\nAuthorization: Bearer {SECRET}\n"),
    )
    .unwrap();
    let from_file = format!("@{}", file.display());
    let given = format!("X-Token={SECRET}");
    let (junit, save) = (folder.0.join("ready.xml"), folder.0.join("seen.json"));
    let (junit, save) = (junit.to_str().unwrap(), save.to_str().unwrap());
    let echoes = format!("(?m)^X-Token: {}$", SECRET.replace("s3cr3t", "s.cr.t"));
    for via in ["load-balancer", "service-proxy", "port-forward"] {
        let sent = wait(
            &scenario,
            "service/web",
            &[
                "--once", "--via", via, "--http", "/echo", "--header", &given, "--body", &echoes, "-v", "9",
            ],
        );
        assert_eq!(state(&sent), (0, "ready"), "{via} {}{}", sent.stdout, sent.stderr);
        assert!(!said(&sent, &folder).contains(SECRET), "{via}");
    }
    let authorized = [
        "--once",
        "--http",
        "/echo",
        "--header",
        &from_file,
        "--body",
        "(?m)^Authorization: Bearer s.cr.t-t0ken$",
    ];
    for via in ["load-balancer", "port-forward"] {
        let sent = wait(&scenario, "service/web", &[&authorized[..], &["--via", via]].concat());
        assert_eq!(state(&sent), (0, "ready"), "{via} {}{}", sent.stdout, sent.stderr);
    }
    let kept = wait(&scenario, "service/web", &[&authorized[..], &["--via", "service-proxy"]].concat());
    assert_eq!(state(&kept), (4, "unknown"), "{}", kept.stdout);
    // An application that repeats it, in an answer that looks like the API server's own and in its log.
    let refused = [
        "--timeout",
        "14s",
        "--http",
        "/refuse",
        "--header",
        &given,
        "--junit",
        junit,
        "--save",
        save,
        "--annotations",
        "github",
        "-v",
        "9",
    ];
    for via in ["service-proxy", "load-balancer"] {
        let refused = wait(&scenario, "service/web", &[&refused[..], &["--via", via]].concat());
        assert!([3, 124].contains(&refused.exit), "{}{}", refused.stdout, refused.stderr);
        let all = said(&refused, &folder);
        assert!(!all.contains(SECRET), "{via} {all}");
        assert!(all.contains("::error") && all.contains("<testsuites"), "{all}");
    }
    let log = scenario.kubectl(&["logs", "deployment/web"]);
    assert!(log.contains(SECRET), "the application was sent it: {log}");
}

#[test]
fn an_invalid_header_is_an_error_without_its_value() {
    let bad = [
        &["--header", SECRET][..],
        &["--header", "@/nowhere/headers"],
        &["--header", "X Y=s3cr3t-t0ken"],
        &["--header", "Host=s3cr3t-t0ken"],
        &["--header", "X-A=s3cr3t-t0ken", "--probe-image", "busybox:1.36"],
    ];
    for arguments in bad {
        let answer = super::super::harness::podlife(&[&["wait-ready", "deployment/web"][..], arguments].concat());
        assert_eq!((answer.exit, answer.stdout.as_str()), (2, ""), "{arguments:?} {}", answer.stderr);
        assert!(!answer.stderr.contains("t0ken"), "{}", answer.stderr);
    }
}
