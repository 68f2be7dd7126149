//! Probes that are answered with a refusal, or refused where they did not ask: what the probe sends, and what would help.

use serde_json::Value;

use crate::cluster::harness::{Scenario, both, event, pods_ready, restarts};
use crate::cluster::objects::{Workload, busybox};
use crate::cluster::scenarios::probes::running_for;

/// Pages of BusyBox's server: one that knows one host, one that wants HTTPS, one that wants credentials, one that fails.
const PAGES: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: pages}
data:
  host: |
    #!/bin/sh
    case "$HTTP_HOST" in
      boutique.example.test*) echo "Status: 200 OK" ;;
      *) echo "rejected request: host '${HTTP_HOST%:*}' is not in the list of allowed hosts" > /proc/1/fd/1
         echo "Status: 400 Bad Request" ;;
    esac
    echo
  secure: |
    #!/bin/sh
    if [ "$HTTP_X_FORWARDED_PROTO" = https ]; then
      echo "Status: 200 OK"
    else
      echo "Status: 301 Moved Permanently"
      echo "Location: https://${HTTP_HOST%:*}/cgi-bin/secure"
    fi
    echo
  login: |
    #!/bin/sh
    printf 'Status: 401 Unauthorized\n\n'
  bad: |
    #!/bin/sh
    printf 'Status: 400 Bad Request\n\n'
"#;

/// A Deployment that serves the pages on port 8080.
fn pages(name: &str, probe: &str) -> Workload {
    busybox(name)
        .container("command: [httpd, -f, -p, '0.0.0.0:8080', -h, /w], ports: [{name: http, containerPort: 8080}]")
        .container("volumeMounts: [{name: pages, mountPath: /w/cgi-bin}]")
        .container(&format!("readinessProbe: {{{probe}, periodSeconds: 2, timeoutSeconds: 5}}"))
        .pod("volumes: [{name: pages, configMap: {name: pages, defaultMode: 0755}}]")
}

fn get(page: &str) -> String {
    format!("httpGet: {{path: /cgi-bin/{page}, port: http}}")
}

/// Summary, evidence and first fix of the root cause about a Deployment.
fn root_cause_of<'a>(answer: &'a crate::cluster::harness::Answer, name: &str) -> &'a Value {
    let all = answer.json["rootCauses"].as_array().unwrap();
    let of = all.iter().find(|f| f["subject"]["name"] == name);
    of.unwrap_or_else(|| panic!("no root cause is about {name}: {all:#?}"))
}

fn says(finding: &Value, summary: &str, fix: &str) {
    let text = finding["summary"].as_str().unwrap_or_default();
    let first = finding["fixes"][0]["text"].as_str().unwrap_or_default();
    assert!(text.contains(summary) && first.contains(fix), "{finding:#}");
    for wrong in ["nothing listens", "nothing in container"] {
        assert!(!text.contains(wrong), "{text}");
    }
}

#[test]
fn a_probe_that_is_answered_or_sent_elsewhere_is_told_what_to_send() {
    let manifest = PAGES.to_owned()
        + &pages("boutique", &get("host")).env("ALLOWED_HOSTS", "localhost,boutique.example.test").to_string()
        + &pages("counter", &get("secure")).to_string()
        + &pages("login", &get("login")).to_string()
        + &pages("bad", &get("bad")).to_string()
        + &pages("node", "httpGet: {path: /cgi-bin/secure, port: http, host: 127.0.0.1}").to_string()
        + &pages(
            "kiosk",
            r#"exec: {command: [sh, -c, 'wget -q -O- "http://[::1]:8080/" || (echo "connect localhost (::1) port 8080: Connection refused"; exit 1)']}"#,
        )
        .to_string()
        + &pages("nobody", "exec: {command: [sh, -c, 'wget -q -O- http://localhost:8081/ || exit 1']}").to_string();
    let answer = Scenario::new("answers")
        .apply(&manifest)
        .until("all probes have failed for longer than a start takes", running_for("app", 62))
        .diagnose();
    // Each has one explanation.
    assert_eq!(
        answer.json["rootCauses"].as_array().map(Vec::len),
        Some(7),
        "{:#}",
        answer.json["rootCauses"]
    );
    let of = |name: &str| root_cause_of(&answer, name);
    let boutique = of("boutique");
    says(
        boutique,
        "status 400: the application rejects the host",
        "header Host boutique.example.test",
    );
    let command = boutique["fixes"][0]["command"].as_str().unwrap_or_default();
    assert!(command.contains(r#"{"name":"Host","value":"boutique.example.test"}"#), "{command}");
    says(
        of("counter"),
        "is redirected by the application to https://",
        "X-Forwarded-Proto: https",
    );
    assert_eq!(of("counter")["cause"], "redirected");
    says(of("login"), "status 401: the path needs credentials", "answers without credentials");
    says(of("node"), "calls 127.0.0.1 from the node", "remove readinessProbe.httpGet.host");
    says(
        of("kiosk"),
        "localhost as ::1 and is refused: the application listens on 0.0.0.0:8080",
        "call 127.0.0.1 instead of localhost",
    );
    // A 400 that no line explains is not the host's, and a port where nobody listens is not the family's.
    for twin in ["bad", "nobody"] {
        let finding = of(twin);
        let all = finding.to_string();
        assert!(!all.contains("Host ") && !all.contains("127.0.0.1 instead"), "{finding:#}");
    }
}

#[test]
fn a_probe_that_needs_more_time_gets_it_first() {
    let slow = |name: &str, command: &str| {
        busybox(name).container(&format!(
            "command: [sleep, '3600'], livenessProbe: {{exec: {{command: [{command}]}}, periodSeconds: 3, failureThreshold: 2}}"
        ))
    };
    let answer = Scenario::new("answers-late")
        .apply(&slow("late", "sleep, '3'").to_string())
        .until("it was killed", both(restarts("app", 1), event("Killing", "failed liveness probe")))
        .first_root_cause("LivenessProbeFailing", "timeout", "deployment/late");
    let fix = answer.root_cause()["fixes"][0]["text"].as_str().unwrap_or_default();
    assert!(fix.starts_with("raise livenessProbe.timeoutSeconds"), "{fix}");
}

/// Of two servers that are killed for want of an answer, and that log nothing, one answers after three seconds and the other never.
#[test]
fn a_page_that_times_out_gets_more_time_only_where_it_answers_then() {
    const SLOW: &str = r##"
apiVersion: v1
kind: ConfigMap
metadata: {name: pages}
data:
  late: "#!/bin/sh\nsleep 3\nprintf 'Status: 200 OK\\n\\n'\n"
  never: "#!/bin/sh\nsleep 3600\n"
"##;
    let killed = |page: &str| {
        busybox(page)
            .container("command: [httpd, -f, -p, '0.0.0.0:8080', -h, /w], volumeMounts: [{name: pages, mountPath: /w/cgi-bin}]")
            .container(&format!("livenessProbe: {{{}, periodSeconds: 10, failureThreshold: 4}}", get(page)))
            .container("ports: [{name: http, containerPort: 8080}]")
            .pod("volumes: [{name: pages, configMap: {name: pages, defaultMode: 0755}}]")
            .to_string()
    };
    let scenario = Scenario::new("answers-given-time")
        .apply(&(SLOW.to_owned() + &killed("late") + &killed("never")))
        .until("both were killed, and run again", |state| {
            let back = |s: &&Value| s["restartCount"].as_i64() >= Some(1) && s["state"]["running"].is_object();
            crate::cluster::harness::statuses(state, "app").filter(back).count() == 2
        });
    // On a busy machine a connection takes longer than the default, and the kubelet must not end the container meanwhile.
    let patient = ["--dial-timeout", "8s", "--dial-time", "30s"];
    let answer = scenario.podlife(&[&["diagnose", "-o", "json"], &patient[..]].concat());
    let first = |name: &str| {
        let finding = root_cause_of(&answer, name);
        (
            finding["fixes"][0]["text"].as_str().unwrap_or_default().to_owned(),
            finding.to_string(),
        )
    };
    let (fix, late) = first("late");
    assert!(fix.starts_with("raise livenessProbe.timeoutSeconds"), "{fix}");
    assert!(late.contains("answers 200, given more time"), "{late}");
    let (_, never) = first("never");
    assert!(
        never.contains("livenessProbe.timeoutSeconds helps only if an answer comes later"),
        "{never}"
    );
    assert!(!never.contains("raise livenessProbe.timeoutSeconds"), "{never}");
}

#[test]
fn a_failing_probe_that_its_threshold_hides() {
    let probed = |name: &str, script: &str| {
        busybox(name).container(&format!(
            "command: [sh, -c, '{script}'], readinessProbe: {{exec: {{command: [cat, /ok]}}, periodSeconds: 1, failureThreshold: 1000}}"
        ))
    };
    // The other one failed before it was ready, and passes since.
    let manifest =
        probed("hidden", "touch /ok; sleep 5; rm /ok; sleep 3600") + &probed("well", "sleep 5; touch /ok; sleep 3600").to_string();
    Scenario::new("answers-hidden")
        .apply(&manifest)
        .until("both are ready", pods_ready(2))
        .until(
            "the probe has failed since",
            both(pods_ready(2), |state| {
                let failed = |e: &&Value| {
                    e["reason"] == "Unhealthy" && e["involvedObject"]["name"].as_str().is_some_and(|n| n.starts_with("hidden"))
                };
                state.events.iter().find(failed).is_some_and(|e| e["count"].as_i64() >= Some(4))
            }),
        )
        .first_root_cause("ReadinessProbeFailing", "exec-exit", "deployment/hidden");
}
