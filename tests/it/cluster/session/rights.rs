//! `rbac session` grants what the verbs need, group by group, and nothing else.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt as _;

use podlife::model::kind;
use serde_json::Value;

use crate::cluster::harness::{Scenario, kubectl, send};
use crate::cluster::rights::{as_reader, of_reader};
use crate::cluster::session::life::begun;
use crate::process::Answer;

const IMAGE: [&str; 6] = ["--image", "podlife.test/app:1", "--port", "8080", "--cpu", "10m:500m"];

/// Verb and resource.
type Right = (String, String);

/// A service account that has the rights of some groups of verbs.
struct Reader {
    scenario: Scenario,
    with: &'static str,
    /// The audit log, and where it ended when the account got them; none where there is no such log.
    log: Option<(File, u64)>,
}

impl Reader {
    /// Has the rights of `rbac session --with WITH` from now on, and no others.
    fn grant(self, with: &'static str) -> Self {
        let account = format!("serviceaccount:{}:reader", self.scenario.namespace);
        let role = self
            .scenario
            .podlife(&[&["rbac", "session", "--bind", &account], words(with).as_slice()].concat());
        assert_eq!(role.exit, 0, "{}", role.stderr);
        // Roles of other groups have other names, and would add up.
        self.scenario.kubectl(&["delete", "roles,rolebindings", "--all"]);
        let scenario = self.scenario.apply(&role.stdout);
        let log = audit_log().map(|path| {
            let mut log = File::open(path).unwrap();
            let end = log.seek(SeekFrom::End(0)).unwrap();
            (log, end)
        });
        Self { scenario, with, log }
    }

    fn session(&self, arguments: &[&str]) -> Answer {
        as_reader(&self.scenario, &[&["session"], arguments].concat())
    }

    /// What the service account may do.
    #[track_caller]
    fn may(&self, arguments: &[&str]) -> String {
        let answer = self.session(arguments);
        assert_eq!(answer.exit, 0, "{arguments:?}: {}{}", answer.stdout, answer.stderr);
        answer.stdout
    }

    /// What it may not do, for want of a right.
    #[track_caller]
    fn may_not(&self, arguments: &[&str]) {
        let answer = self.session(arguments);
        let said = format!("{arguments:?}: {}{}", answer.stdout, answer.stderr);
        assert!(answer.exit != 0 && said.contains("forbidden"), "{}: {said}", answer.exit);
    }

    /// Runs a verb that goes on until it is told to end, and meanwhile something with its first line.
    fn may_while(&self, arguments: &[&str], act: impl FnOnce(&str)) {
        let file = of_reader(&self.scenario);
        let mut child = begun(file.to_str().unwrap(), &self.scenario.namespace, arguments);
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        act(&line);
        send(&child, "-TERM");
        assert_eq!(child.wait().unwrap().code(), Some(143), "{arguments:?}");
        fs::remove_file(file).unwrap();
    }

    /// Each of the rights was used, but for those of the groups `beside` and some others.
    fn has_used_all(&self, beside: &str, others: &[(&str, &str)]) {
        let (Some(path), Some((log, since))) = (audit_log(), &self.log) else {
            return;
        };
        let mut expected = self.rights(self.with);
        for (verb, resource) in others {
            assert!(
                expected.remove(&((*verb).to_owned(), (*resource).to_owned())),
                "{verb} {resource} is not granted"
            );
        }
        if beside != self.with {
            expected = &expected - &self.rights(beside);
        }
        let user = format!("system:serviceaccount:{}:reader", self.scenario.namespace);
        let unused = || -> BTreeSet<Right> {
            let (mut log, mut events) = (log, Vec::new());
            log.seek(SeekFrom::Start(*since)).unwrap();
            log.read_to_end(&mut events).unwrap();
            // It may have been replaced by an empty one.
            if fs::metadata(&path).unwrap().ino() != log.metadata().unwrap().ino() {
                events.extend(fs::read(&path).unwrap());
            }
            let events = String::from_utf8_lossy(&events);
            let own = events.lines().filter(|line| line.contains(&user));
            let used = own.filter_map(|line| right_of(&serde_json::from_str(line).ok()?)).collect();
            &expected - &used
        };
        // A connection is logged when it ends, or a little later than it begins.
        let what = format!("{user} uses what {:?} grants: {:?}", self.with, unused());
        self.scenario.wait(&what, |_| unused().is_empty());
    }

    /// The rights of some groups.
    fn rights(&self, with: &str) -> BTreeSet<Right> {
        let roles = self
            .scenario
            .podlife(&[&["rbac", "session", "-o", "json"], words(with).as_slice()].concat())
            .json;
        // A single object is no list.
        let all = roles["items"].as_array().cloned().unwrap_or_else(|| vec![roles.clone()]);
        let rules = all.iter().flat_map(|role| role["rules"].as_array().unwrap());
        let of_rule = |rule: &Value| -> Vec<Right> {
            let words = |field: &str| {
                rule[field]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|word| word.as_str().unwrap().to_owned())
                    .collect::<Vec<_>>()
            };
            let verbs = words("verbs");
            words("resources")
                .iter()
                .flat_map(|resource| verbs.iter().map(|verb| (verb.clone(), resource.clone())))
                .collect()
        };
        rules.flat_map(of_rule).collect()
    }
}

fn words(with: &str) -> Vec<&str> {
    if with.is_empty() { Vec::new() } else { vec!["--with", with] }
}

fn audit_log() -> Option<String> {
    std::env::var("PODLIFE_TEST_AUDIT_LOG").ok()
}

/// The right that a request of an audit log needed and had.
fn right_of(event: &Value) -> Option<Right> {
    let (verb, object) = (event["verb"].as_str()?.to_owned(), &event["objectRef"]);
    let resource = [object["resource"].as_str(), object["subresource"].as_str()];
    let resource: Vec<&str> = resource.into_iter().flatten().collect();
    (event["responseStatus"]["code"] != 403).then(|| (verb, resource.join("/")))
}

#[test]
fn each_group_of_verbs_works_with_its_role_needs_all_of_it_and_no_other_one_works() {
    let scenario = Scenario::new("session-rights").apply("{apiVersion: v1, kind: ServiceAccount, metadata: {name: reader}}");
    let create = |id: &'static str| [&["create", id], IMAGE.as_slice()].concat();
    let admin = |scenario: &Scenario, arguments: &[&str]| {
        let answer = scenario.podlife(&[&["session"], arguments].concat());
        assert_eq!(answer.exit, 0, "{arguments:?}: {}{}", answer.stdout, answer.stderr);
        answer.stdout
    };
    admin(&scenario, &create("live"));
    let (with, log) = ("", None);
    let reader = Reader { scenario, with, log }.grant("");
    assert!(reader.may(&["list"]).contains("Ready"));
    reader.may(&["status", "live"]);
    reader.may(&["wait", "live", "--for=ready"]);
    reader.may_not(&["touch", "live"]);
    reader.may_while(&["list", "-w"], |_| reader.has_used_all("", &[]));

    let reader = reader.grant("touch");
    reader.may(&["touch", "live"]);
    reader.may_not(&create("other"));
    reader.may_not(&["delete", "live"]);
    reader.has_used_all("", &[]);

    let reader = reader.grant("create");
    let whole = [
        create("other").as_slice(),
        &["--volume", "1Gi:/data", "--service", "--allow-from", "app=web"],
    ]
    .concat();
    reader.scenario.kubectl(&["delete", "networkpolicy", "podlife-sessions"]);
    reader.may(&whole);
    reader.may(&["pause", "other"]);
    reader.may(&["resume", "other"]);
    reader.may(&["delete", "other", "--keep-volume"]);
    // As after a client that was killed while it cleaned up.
    for shared in ["configmap", "networkpolicy"] {
        reader.scenario.kubectl(&[
            "annotate",
            shared,
            "-l",
            "app.kubernetes.io/managed-by=podlife",
            "podlife.dev/unused=true",
        ]);
    }
    reader.may(&whole);
    reader.may(&["delete", "other"]);
    reader.may_not(&["template", "--from", "deployment/web"]);
    reader.may_not(&["exec", "live", "--", "/app", "read", "/etc/hostname"]);
    // Only who comes second to create a pod looks at it.
    reader.has_used_all("", &[("get", "pods")]);

    let reader = reader.grant("from");
    for workload in [
        "pod",
        "configmap",
        "rc",
        "deployment",
        "statefulset",
        "daemonset",
        "replicaset",
        "job",
        "cronjob",
    ] {
        let absent = reader.session(&["template", "--from", &format!("{workload}/absent")]);
        assert_eq!(absent.exit, 5, "{}", absent.stderr);
    }
    reader.has_used_all("", &[]);

    let reader = reader.grant("run");
    let image = ["--image", "busybox:1.36", "--cpu", "10m:500m"];
    reader.may(&[&["run", "once", "--rm", "-i"], &image[..], &["--", "cat"]].concat());
    let id = reader.may(&["run", "live", "--", "/app", "read", "/etc/hostname"]);
    assert!(id.starts_with("live-"), "{id}");
    // Before Kubernetes 1.35, and in no audit log, a websocket needs `create`.
    reader.has_used_all("create", &[("create", "pods/attach"), ("create", "pods/exec")]);

    let reader = reader.grant("exec");
    let id = reader.may(&["exec", "live", "--", "/app", "read", "/etc/hostname"]);
    assert!(id.starts_with("live-"), "{id}");
    reader.may_not(&["logs", "live"]);
    // Only what goes wrong makes it look at the pod.
    reader.has_used_all("", &[("create", "pods/exec"), ("get", "pods")]);

    let reader = reader.grant("logs");
    assert!(reader.may(&["logs", "live"]).contains("listening"));
    reader.may_while(&["logs", "-f", "live"], |_| reader.has_used_all("", &[("get", "pods")]));

    reader.may_not(&["forward", "live", ":8080"]);
    let reader = reader.grant("forward");
    reader.may_while(&["forward", "live", ":8080"], |line| {
        let port = line
            .strip_prefix("Forwarding from 127.0.0.1:")
            .and_then(|rest| rest.split(' ').next());
        let mut stream = TcpStream::connect(("127.0.0.1", port.unwrap().parse().unwrap())).unwrap();
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1."), "{answer}");
        reader.has_used_all("", &[("create", "pods/portforward")]);
    });

    let reader = reader.grant("plan");
    let plan = [&["plan", "--max", "1", "-o", "json"], IMAGE.as_slice()].concat();
    let answer = reader.session(&plan);
    assert_eq!(answer.exit, 4, "{}{}", answer.stdout, answer.stderr);
    assert_eq!(answer.json["unchecked"].as_array().unwrap().len(), 2, "{}", answer.stdout);
    reader.has_used_all("", &[]);
    let reader = reader.grant("plan,nodes");
    let answer = reader.session(&plan);
    let role = "podlife-session-nodes-plan-cluster";
    kubectl(&["delete", "clusterrole", role], None);
    let binding = format!("{role}:{}:reader", reader.scenario.namespace);
    kubectl(&["delete", "clusterrolebinding", &binding], None);
    assert_eq!(answer.exit, 0, "{}{}", answer.stdout, answer.stderr);

    // What is left to `gc`: one whose pod is gone, one that is idle, one whose creation was cut short and whose claim was kept, and one whose
    // record is gone.
    let volume = ["--volume", "1Gi:/data", "--service"];
    admin(
        &reader.scenario,
        &[create("idle").as_slice(), &["--idle-timeout", "1s", "--env", "A=B"]].concat(),
    );
    for id in ["cut", "gone"] {
        admin(&reader.scenario, &[create(id).as_slice(), &volume].concat());
    }
    let names = ["cut", "gone", "live"].map(|id| admin(&reader.scenario, &["name", id]).trim().to_owned());
    let [cut, gone, live] = names.each_ref().map(String::as_str);
    reader.scenario.kubectl(&["delete", "lease", gone, "--cascade=orphan"]);
    let of_cut = format!("podlife.dev/session={cut}");
    reader.scenario.kubectl(&[
        "annotate",
        "lease",
        cut,
        "--overwrite",
        "podlife.dev/phase=Pending",
        "podlife.dev/slot-number-",
    ]);
    reader
        .scenario
        .kubectl(&["delete", "lease", "-l", &format!("{of_cut},podlife.dev/slot")]);
    reader.scenario.kubectl(&["delete", "pod", "-l", &of_cut]);
    reader
        .scenario
        .kubectl(&["patch", "pvc", cut, "-p", "{\"metadata\": {\"ownerReferences\": null}}"]);
    let reader = reader.grant("gc");
    reader
        .scenario
        .kubectl(&["delete", "pod", "-l", &format!("podlife.dev/session={live}")]);
    reader.scenario.kubectl(&["delete", "networkpolicy", "podlife-sessions"]);
    let ids = |scenario: &Scenario| admin(scenario, &["list", "-o", "jsonpath={.items[*].id} {.items[*].state}"]);
    reader
        .scenario
        .wait("the idle session is removed, and the others have pods again", |scenario| {
            reader.may(&["gc", "--once", "--orphans"]);
            ids(scenario) == "cut live Ready Ready\n"
        });
    reader.scenario.wait("the template of the removed one is removed too", |scenario| {
        reader.may(&["gc", "--once", "--orphans"]);
        let templates = scenario.kubectl(&["get", "configmaps", "-l", "podlife.dev/template", "-o", "name"]);
        templates.lines().count() == 2
    });
    assert!(
        reader.scenario.kubectl(&["get", "events"]).contains("idle"),
        "the removal has an Event"
    );
    admin(&reader.scenario, &["delete", "--all"]);
    reader.may(&["gc", "--once", "--orphans"]);
    assert!(reader.scenario.list(&kind::NETWORK_POLICY).is_empty());
    // The cluster removes a claim whose owner is gone sooner than this test can ask for it.
    reader.has_used_all("", &[("delete", "persistentvolumeclaims"), ("get", "pods")]);
}
