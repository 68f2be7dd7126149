//! What podlife says about a connection is what a real one does: policies on the cluster, dialled from pods and evaluated.

use std::process::Command;

use podlife::model::kind;
use serde_json::Value;

use super::harness::{Answer, Scenario, kubeconfig, kubectl, pods_ready};

/// Two namespaces, `a` with a web, a job, a database and a pod on the node's network, and `b` with a web and a cache.
struct Ground {
    a: Scenario,
    b: Scenario,
}

/// A pod of the test application, with a shell beside it.
fn pod(name: &str, labels: &str, listen: &str, ports: &str, more: &str) -> String {
    format!(
        "
---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{{labels}}}}}
spec:
  {more}
  terminationGracePeriodSeconds: 0
  containers:
  - name: app
    image: podlife.test/app:1
    env: [{{name: LISTEN, value: '{listen}'}}]
    ports: [{ports}]
  - {{name: tool, image: 'busybox:1.36', imagePullPolicy: IfNotPresent, command: [sleep, '1000000']}}
"
    )
}

impl Ground {
    fn new(name: &str) -> Self {
        let named = "{name: sql, containerPort: 5432}, {name: http, containerPort: 8080}, {name: echo, containerPort: 5353, protocol: UDP}";
        let a = pod("web", "app: web, tier: front", "0.0.0.0:8080", "", "")
            + &pod("job", "app: job", "0.0.0.0:8080", "", "")
            + &pod("db", "app: db", "0.0.0.0:5432,0.0.0.0:8080,udp:0.0.0.0:5353", named, "")
            // On the node's network it must not take a port that another test wants.
            + &pod("agent", "app: agent", "127.0.0.1:0", "", "hostNetwork: true")
            + "
---
{apiVersion: v1, kind: Service, metadata: {name: db}, spec: {selector: {app: db}, ports: [{name: sql, port: 80, targetPort: sql}]}}
";
        let b = pod("web", "app: web", "0.0.0.0:8080", "", "")
            + &pod("cache", "app: cache", "0.0.0.0:6379", "{name: redis, containerPort: 6379}", "")
            + "
---
{apiVersion: v1, kind: Service, metadata: {name: cache}, spec: {selector: {app: cache}, ports: [{port: 6379}]}}
";
        let ground = Self {
            a: Scenario::new(&format!("{name}-a"))
                .apply(&a)
                .until("its pods are ready", pods_ready(4)),
            b: Scenario::new(&format!("{name}-b"))
                .apply(&b)
                .until("its pods are ready", pods_ready(2)),
        };
        for (scenario, team) in [(&ground.a, "team=a"), (&ground.b, "team=b")] {
            kubectl(&["label", "namespace", &scenario.namespace, team], None);
        }
        ground
    }

    fn side(&self, letter: &str) -> &Scenario {
        if letter == "b" { &self.b } else { &self.a }
    }

    fn ip(&self, letter: &str, pod: &str) -> String {
        self.side(letter).kubectl(&["get", "pod", pod, "-o", "jsonpath={.status.podIP}"])
    }

    /// Puts names and addresses of this cluster into a text: `B` is the other namespace, `IP(a/web)` the address of a pod, `VIP` that of db.
    fn here(&self, text: &str) -> String {
        let mut text = text
            .replace("NAMESPACE-A", &self.a.namespace)
            .replace("NAMESPACE-B", &self.b.namespace);
        if text.contains("VIP") {
            text = text.replace(
                "VIP",
                &self.a.kubectl(&["get", "service", "db", "-o", "jsonpath={.spec.clusterIP}"]),
            );
        }
        while let Some(at) = text.find("IP(") {
            let inner = text[at + 3..].split(')').next().unwrap().to_owned();
            let (letter, pod) = inner.split_once('/').unwrap();
            text = text.replace(&format!("IP({inner})"), &self.ip(letter, pod));
        }
        text
    }

    /// Applies policies (`a/` or `b/` in front of the namespace's letter) and waits until they are in force.
    fn enforce(&self, policies: &[&str]) {
        for (at, policy) in policies.iter().enumerate() {
            let (letter, spec) = policy.split_once('/').unwrap();
            let manifest = format!(
                "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: p{at}}}, spec: {}}}",
                self.here(spec)
            );
            kubectl(&["apply", "-n", &self.side(letter).namespace, "-f", "-"], Some(&manifest));
        }
        for scenario in [&self.a, &self.b] {
            scenario.wait("the policies are in force", |s| {
                s.list(&kind::NETWORK_POLICY).iter().all(is_enforced)
            });
        }
    }

    fn lift(&self) {
        for scenario in [&self.a, &self.b] {
            scenario.kubectl(&["delete", "networkpolicy", "--all"]);
        }
    }

    /// What podlife says: `allowed` or `blocked`.
    fn evaluated(&self, row: &Row) -> (String, Answer) {
        let (letter, pod) = row.from.split_once('/').unwrap();
        let answer = self
            .side(letter)
            .podlife(&["trace", &format!("pod/{pod}"), &self.here(row.to), "-o", "json"]);
        let passage = answer.json["passage"].as_str().unwrap_or_default().to_owned();
        (passage, answer)
    }

    /// What a connection does: `allowed` or `blocked`. One that gets through says more than one that does not: on a busy machine the
    /// latter is tried again where it was expected to get through. A refusal is no policy's doing, and fails the test.
    fn dialled(&self, row: &Row, expected: &str) -> String {
        let (letter, pod) = row.from.split_once('/').unwrap();
        let target = self.here(row.dial);
        let tries = if expected == "allowed" { 5 } else { 1 };
        for _ in 0..tries {
            let (passed, said) = self.dial(letter, pod, &target);
            if passed {
                return "allowed".to_owned();
            }
            assert!(!said.contains("refused"), "{row:?}: nobody listens there: {said}");
        }
        "blocked".to_owned()
    }

    fn dial(&self, letter: &str, pod: &str, target: &str) -> (bool, String) {
        let namespace = &self.side(letter).namespace;
        let exec = ["exec", "-n", namespace, pod, "-c"];
        let command = match target.strip_prefix("udp:") {
            // What comes back of the question is answer enough.
            Some(target) => ["tool", "--", "nslookup", "podlife.test.", target],
            None => ["app", "--", "/app", "connect", target],
        };
        let output = Command::new(super::harness::kubectl_program())
            .args(["--kubeconfig", &kubeconfig()])
            .args(exec)
            .args(command)
            .output()
            .unwrap();
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.success(), out + &String::from_utf8_lossy(&output.stderr))
    }

    /// Makes the policies, and compares every row as it is expected, as podlife evaluates it, and as a connection goes.
    fn holds(&self, what: &str, policies: &[&str], rows: &[Row]) {
        self.enforce(policies);
        // A policy that changes nothing would make a poor comparison.
        for passage in ["allowed", "blocked"] {
            assert!(rows.iter().any(|r| r.passage == passage), "{what}: no row is {passage}");
        }
        let outcomes: Vec<(String, String)> = std::thread::scope(|scope| {
            let dials: Vec<_> = rows.iter().map(|row| scope.spawn(|| self.dialled(row, row.passage))).collect();
            let dialled: Vec<String> = dials.into_iter().map(|d| d.join().unwrap()).collect();
            let evaluated = rows.iter().map(|row| self.evaluated(row).0);
            evaluated.zip(dialled).collect()
        });
        let wrong: Vec<String> = rows
            .iter()
            .zip(outcomes)
            .filter(|(row, (evaluated, dialled))| evaluated != row.passage || dialled != row.passage)
            .map(|(row, (evaluated, dialled))| {
                let answer = self.evaluated(row).1;
                format!(
                    "{row:?}: evaluated {evaluated}, dialled {dialled}\n{}{}",
                    answer.stdout, answer.stderr
                )
            })
            .collect();
        assert!(wrong.is_empty(), "{what}: {policies:?}\n{}", wrong.join("\n"));
        self.lift();
    }
}

/// Whether the network plug-in enforces a policy as it stands.
pub fn is_enforced(policy: &Value) -> bool {
    let generation = policy["metadata"]["generation"].as_i64().map(|g| g.to_string());
    policy["metadata"]["annotations"]["podlife.test/enforced"].as_str() == generation.as_deref()
}

/// A connection: who calls, the destination (as for `trace`), what is dialled for it, and whether it passes.
#[derive(Clone, Copy, Debug)]
struct Row {
    from: &'static str,
    to: &'static str,
    dial: &'static str,
    passage: &'static str,
}

const fn row(from: &'static str, to: &'static str, dial: &'static str, passes: bool) -> Row {
    Row {
        from,
        to,
        dial,
        passage: if passes { "allowed" } else { "blocked" },
    }
}

const fn sql(from: &'static str, passes: bool) -> Row {
    row(from, "pod/db.NAMESPACE-A:5432", "IP(a/db):5432", passes)
}

const fn http(from: &'static str, passes: bool) -> Row {
    row(from, "pod/db.NAMESPACE-A:http", "IP(a/db):8080", passes)
}

const fn echo(from: &'static str, passes: bool) -> Row {
    row(from, "pod/db.NAMESPACE-A:echo", "udp:IP(a/db):5353", passes)
}

/// By the address of the Service: no name is asked for.
const fn by_address(from: &'static str, passes: bool) -> Row {
    row(from, "VIP:80", "VIP:80", passes)
}

/// By its name.
const fn by_name(from: &'static str, passes: bool) -> Row {
    row(from, "svc/db.NAMESPACE-A:80", "db.NAMESPACE-A.svc.cluster.local.:80", passes)
}

const fn cache(from: &'static str, passes: bool) -> Row {
    row(
        from,
        "svc/cache.NAMESPACE-B:6379",
        "cache.NAMESPACE-B.svc.cluster.local.:6379",
        passes,
    )
}

#[test]
fn policies_for_callers() {
    let ground = Ground::new("policy-in");
    ground.holds(
        "nobody is let in, but for oneself and the node",
        &["a/{podSelector: {}, policyTypes: [Ingress]}"],
        &[
            sql("a/web", false),
            sql("b/web", false),
            by_name("a/web", false),
            sql("a/db", true),
            sql("a/agent", true),
            cache("a/web", true),
        ],
    );
    ground.holds(
        "without policyTypes it is about callers",
        &["a/{podSelector: {matchLabels: {app: db}}}"],
        &[sql("a/web", false), echo("a/web", false), cache("a/db", true)],
    );
    ground.holds(
        "by the labels of pods, in the policy's own namespace",
        &["a/{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}"],
        &[
            sql("a/web", true),
            http("a/web", true),
            echo("a/web", true),
            by_name("a/web", true),
            sql("a/job", false),
            sql("b/web", false),
        ],
    );
    ground.holds(
        "by the labels of namespaces",
        &["a/{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: b}}}]}]}"],
        &[sql("b/web", true), sql("b/cache", true), sql("a/web", false)],
    );
    ground.holds(
        "namespace and pod in one peer: both",
        &["a/{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: b}}, podSelector: {matchLabels: {app: web}}}]}]}"],
        &[sql("b/web", true), sql("b/cache", false), sql("a/web", false)],
    );
    ground.holds(
        "namespace and pod in two peers: either",
        &["a/{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: b}}}, {podSelector: {matchLabels: {app: web}}}]}]}"],
        &[sql("b/cache", true), sql("a/web", true), sql("a/job", false)],
    );
    ground.holds(
        "by expressions",
        &["a/{podSelector: {matchExpressions: [{key: app, operator: In, values: [db, other]}]}, ingress: [{from: [\
           {podSelector: {matchExpressions: [{key: tier, operator: Exists}, {key: app, operator: NotIn, values: [job]}]}}, \
           {namespaceSelector: {matchExpressions: [{key: team, operator: NotIn, values: [a]}]}, podSelector: {matchExpressions: [{key: tier, operator: DoesNotExist}]}}]}]}"],
        &[sql("a/web", true), sql("a/job", false), sql("b/web", true)],
    );
    ground.holds(
        "by the name that the API server gives every namespace",
        &["a/{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NAMESPACE-B}}}]}]}"],
        &[sql("b/web", true), sql("a/web", false)],
    );
}

#[test]
fn policies_for_ports_and_addresses() {
    let ground = Ground::new("policy-port");
    ground.holds(
        "by number",
        &["a/{podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{port: 8080}]}]}"],
        &[
            http("a/web", true),
            sql("a/web", false),
            by_address("a/web", false),
            echo("a/web", false),
        ],
    );
    ground.holds(
        "by the Service's number, which the pod never sees",
        &["a/{podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{port: 80}]}, {ports: [{port: 8080}]}]}"],
        &[by_address("a/web", false), by_name("b/web", false), http("a/web", true)],
    );
    ground.holds(
        "by name",
        &["a/{podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{port: sql}, {port: echo, protocol: UDP}, {port: http, protocol: UDP}]}]}"],
        &[sql("a/web", true), by_name("b/web", true), echo("a/web", true), http("a/web", false)],
    );
    ground.holds(
        "by a range",
        &["a/{podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{port: 5000, endPort: 5432}]}]}"],
        &[sql("a/web", true), http("a/web", false), echo("a/web", false)],
    );
    ground.holds(
        "by protocol",
        &["a/{podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{protocol: UDP}]}]}"],
        &[echo("a/web", true), sql("a/web", false), http("b/web", false)],
    );
    ground.holds(
        "by address, with an exception",
        &["a/{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{ipBlock: {cidr: 10.244.0.0/16, except: [IP(a/job)/32]}}]}]}"],
        &[sql("a/web", true), sql("b/web", true), sql("a/job", false)],
    );
    ground.holds(
        "several policies allow what each of them does",
        &[
            "a/{podSelector: {}, policyTypes: [Ingress, Egress]}",
            "a/{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: sql}]}]}",
            "a/{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: db}}}]}]}",
        ],
        &[sql("a/web", true), by_address("a/web", true), by_name("a/web", false), http("a/web", false), sql("a/job", false), sql("b/web", false)],
    );
}

#[test]
fn policies_for_the_called() {
    let ground = Ground::new("policy-out");
    ground.holds(
        "nobody is let out",
        &["a/{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress]}"],
        &[
            sql("a/web", false),
            by_address("a/web", false),
            cache("a/web", false),
            sql("a/job", true),
            sql("b/web", true),
        ],
    );
    ground.holds(
        "names only",
        &["a/{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]}]}"],
        &[by_name("a/web", false), cache("a/web", false), cache("a/job", true)],
    );
    ground.holds(
        "the database without names",
        &["a/{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: db}}}], ports: [{port: sql}]}]}"],
        &[sql("a/web", true), by_address("a/web", true), by_name("a/web", false), http("a/web", false), cache("a/web", false)],
    );
    ground.holds(
        "the DNS by its pods, the other namespace by its labels",
        &["a/{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [\
           {to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}, podSelector: {matchLabels: {k8s-app: kube-dns}}}], ports: [{port: 53, protocol: UDP}]}, \
           {to: [{namespaceSelector: {matchLabels: {team: b}}}]}]}"],
        &[cache("a/web", true), by_name("a/web", false), sql("a/web", false)],
    );
    ground.holds(
        "the address of a Service, which is replaced before policies see it",
        &["a/{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: VIP/32}}]}]}"],
        &[by_address("a/web", false), sql("a/web", false), sql("a/job", true)],
    );
    ground.holds(
        "the addresses of pods",
        &["a/{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: IP(a/db)/32}}]}]}"],
        &[by_address("a/web", true), http("a/web", true), cache("a/web", false)],
    );
    ground.holds(
        "with rules for the way out and no policyTypes it is about both ways",
        &["a/{podSelector: {matchLabels: {app: db}}, egress: [{ports: [{port: 53, protocol: UDP}]}]}"],
        &[sql("a/web", false), cache("a/db", false), cache("a/web", true)],
    );
    ground.holds(
        "rules of a way that the policy is not about",
        &["a/{podSelector: {matchLabels: {app: db}}, policyTypes: [Egress], ingress: [{ports: [{port: 1}]}]}"],
        &[sql("a/web", true), cache("a/db", false)],
    );
    ground.holds(
        "both ends are closed by their own",
        &[
            "a/{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{ports: [{port: 53, protocol: UDP}]}, {to: [{namespaceSelector: {}}]}]}",
            "b/{podSelector: {matchLabels: {app: cache}}, ingress: [{from: [{podSelector: {}}]}]}",
        ],
        &[cache("a/web", false), cache("b/web", true), by_name("a/web", true)],
    );
}

/// Whoever does what the answer says, command by command, gets through: to begin with nothing is allowed at all.
#[test]
fn the_commands_that_it_prints_open_the_way() {
    let ground = Ground::new("policy-fix");
    ground.enforce(&[
        "a/{podSelector: {}, policyTypes: [Egress]}",
        "b/{podSelector: {matchLabels: {app: cache}}, policyTypes: [Ingress]}",
        "b/{podSelector: {matchLabels: {app: cache}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 1}]}]}",
    ]);
    let call = cache("a/web", true);
    let mut seen = Vec::new();
    loop {
        let (passage, answer) = ground.evaluated(&call);
        if passage != "blocked" {
            assert_eq!((passage.as_str(), answer.exit), ("allowed", 0), "{}", answer.stdout);
            break;
        }
        let cause = answer.root_cause();
        assert_eq!(
            (cause["code"].as_str(), answer.exit),
            (Some("NetworkPolicyBlocks"), 3),
            "{}",
            answer.stdout
        );
        seen.push(cause["cause"].as_str().unwrap().to_owned());
        assert!(seen.len() <= 2, "it asks for one rule after the other: {seen:?}");
        assert_eq!(ground.dialled(&call, "blocked"), "blocked");
        run(cause["fixes"][0]["command"].as_str().unwrap());
    }
    // One command opens all that one policy closes.
    assert_eq!(seen, ["dns", "ingress"]);
    ground.enforce(&[]);
    assert_eq!(ground.dialled(&call, "allowed"), "allowed");
    // No more than this was opened.
    for other in [cache("a/job", false), sql("a/web", false)] {
        assert_eq!(ground.evaluated(&other).0, "blocked");
        assert_eq!(ground.dialled(&other, "blocked"), "blocked");
    }
}

/// Runs a command as a shell does where `kubectl` means the test cluster.
pub fn run(command: &str) {
    let script = format!("kubectl() {{ \"$PROGRAM\" --kubeconfig \"$CONFIG\" \"$@\"; }}\n{command}");
    let output = Command::new("sh")
        .args(["-c", &script])
        .env("PROGRAM", super::harness::kubectl_program())
        .env("CONFIG", kubeconfig())
        .output()
        .unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Where policies, or the labels that they select by, may not be read, there is no answer; what is lacking is named.
#[test]
fn without_the_right_to_read_policies_there_is_no_answer() {
    let ground = Ground::new("policy-rights");
    let namespace = ground.a.namespace.clone();
    ground.enforce(&["a/{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: b}}}]}]}"]);
    let may = |rules: &str| {
        let role = format!(
            "{{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {{name: some}}, rules: [{rules}]}}\n---\n\
             {{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {{name: some}}, \
             roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: some}}, \
             subjects: [{{kind: ServiceAccount, name: default, namespace: {namespace}}}]}}"
        );
        for scenario in [&ground.a, &ground.b] {
            kubectl(&["apply", "-n", &scenario.namespace, "-f", "-"], Some(&role));
        }
    };
    let user = format!("system:serviceaccount:{namespace}:default");
    let ask = |side: &Scenario, to: &str| {
        let to = ground.here(to);
        side.podlife(&["trace", "pod/web", &to, "-o", "json", "--as", &user])
    };
    let unchecked = |answer: &Answer| answer.json["unchecked"].to_string();
    may("{apiGroups: [''], resources: [pods, services], verbs: [list]}");
    let answer = ask(&ground.a, "pod/db:5432");
    assert_eq!(answer.exit, 4, "{}{}", answer.stdout, answer.stderr);
    assert!(
        unchecked(&answer).contains("networkpolicies.networking.k8s.io"),
        "{}",
        answer.stdout
    );

    may(
        "{apiGroups: [''], resources: [pods, services], verbs: [list]}, {apiGroups: [networking.k8s.io], resources: [networkpolicies], verbs: [list]}",
    );
    let answer = ask(&ground.a, "pod/db:5432");
    assert_eq!(answer.exit, 4, "{}{}", answer.stdout, answer.stderr);
    assert!(unchecked(&answer).contains("\"resource\":\"namespaces\""), "{}", answer.stdout);

    may(
        "{apiGroups: [''], resources: [pods, services], verbs: [list]}, {apiGroups: [networking.k8s.io], resources: [networkpolicies], verbs: [list]}, \
         {apiGroups: [''], resources: [namespaces], verbs: [get]}",
    );
    let answer = ask(&ground.a, "pod/db:5432");
    assert_eq!(answer.exit, 3, "{}{}", answer.stdout, answer.stderr);
    assert_eq!(ask(&ground.b, "pod/db.NAMESPACE-A:5432").exit, 0);
}
