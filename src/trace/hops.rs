//! The hops of a connection: what was evaluated for each, and what stops it.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::ResourceExt;

use crate::facts::policy::allows::{Direction, Doubt, Evaluation, Identity, Outcome, Port};
use crate::facts::policy::denied::Denied;
use crate::facts::policy::ends::{is_own_node, needs_namespace};
use crate::facts::policy::rule::Side;
use crate::facts::policy::{allows, dns, rule};
use crate::model::code::Code::DependencyUnreachable;
use crate::model::finding::{Confidence, Finding, Subject};
use crate::model::snapshot::{Presence, Snapshot};
use crate::model::trace::{AllowedBy, Hop, HopAnswer, Passage, Stage};
use crate::model::{kind, near};
use crate::text::{sanitise, shorten};
use crate::trace::ends::Place;
use crate::trace::route::Endpoint;
use crate::view::{Needs, View, service_reference};

/// What was evaluated, and what was found.
#[derive(Debug, Default)]
pub struct Record<'a> {
    /// Each kind of hop once, in the order in which a connection passes them.
    pub hops: Vec<Hop>,
    found: Vec<(Stage, Finding)>,
    denied: Vec<(Stage, Denied<'a>)>,
}

/// A connection that is followed: what is known, who calls, and what is noted on the way.
pub struct Walk<'w, 'a> {
    pub view: &'w View<'a>,
    pub needs: &'w mut Needs,
    pub sources: &'w [Place<'a>],
    pub record: &'w mut Record<'a>,
}

impl Walk<'_, '_> {
    /// The first of those who call, by name.
    pub fn from(&self) -> String {
        self.sources.first().map(Place::shown).unwrap_or_default()
    }
}

impl<'a> Record<'a> {
    /// Adds a hop; one that is like an earlier one is counted with it.
    pub fn hop(&mut self, mut hop: Hop) {
        hop.reason = sanitise(&hop.reason);
        let alike = |h: &Hop| {
            (h.stage, h.answer, &h.policies, &h.allowed_by, &h.reason, h.port)
                == (hop.stage, hop.answer, &hop.policies, &hop.allowed_by, &hop.reason, hop.port)
        };
        match self.hops.iter_mut().find(|h| alike(h)) {
            Some(known) => known.pairs += hop.pairs,
            None => {
                self.hops.push(hop);
                self.hops.sort_by_key(|h| h.stage);
            }
        }
    }

    /// Adds what stops it.
    pub fn finding(&mut self, stage: Stage, finding: Finding) {
        self.found.push((stage, finding));
    }

    /// Adds a hop to a Service and what stops it there.
    pub fn stopped(&mut self, mut hop: Hop, finding: Finding) {
        hop.answer = HopAnswer::Blocked;
        hop.reason = finding.summary.clone();
        self.hop(hop);
        self.finding(Stage::Service, finding);
    }

    fn deny(&mut self, stage: Stage, denied: Denied<'a>) {
        self.denied.push((stage, denied));
    }

    /// What stops it, in the order in which to mend it. What keeps the destination from answering anybody comes first: without that, opening the
    /// way for this caller brings nothing. Then the policies, as they are passed. The same fault of another pair is counted with it.
    pub fn findings(&self) -> Vec<Finding> {
        let all: Vec<Denied<'_>> = self.denied.iter().map(|(_, denied)| denied.clone()).collect();
        let by_policy = self
            .denied
            .iter()
            .filter_map(|(stage, denied)| Some((*stage, denied.finding(&all)?)));
        let mut staged: Vec<(Stage, Finding)> = self.found.iter().cloned().chain(by_policy).collect();
        staged.sort_by_key(|(stage, _)| (!matches!(stage, Stage::Service | Stage::Listener), *stage));
        let mut findings: Vec<Finding> = Vec::new();
        for (_, finding) in staged {
            match findings.iter_mut().find(|f| f.id == finding.id) {
                Some(known) => {
                    known.merge(finding);
                    let pods = known.subject.pods.len();
                    known.subject.pod_count = (pods > 0).then_some(pods);
                }
                None => findings.push(finding),
            }
        }
        findings
    }

    /// Whether it may pass, by what was found for each pair of pods and on the way to them.
    pub fn passage(&self, pairs: &BTreeSet<Passage>) -> Passage {
        let before = self.hops.iter().filter(|h| matches!(h.stage, Stage::Dns | Stage::Service));
        let stages: BTreeSet<HopAnswer> = before.map(|h| h.answer).collect();
        let all_blocked = |stage: Stage| {
            let mut of = self.hops.iter().filter(|h| h.stage == stage).peekable();
            of.peek().is_some() && of.all(|h| h.answer == HopAnswer::Blocked)
        };
        // Another name leads on to a Service where the way may end.
        let ends_at_service = self
            .hops
            .iter()
            .rfind(|h| h.stage == Stage::Service)
            .is_some_and(|h| h.answer == HopAnswer::Blocked && pairs.is_empty());
        if all_blocked(Stage::Dns) || all_blocked(Stage::Service) || ends_at_service || *pairs == BTreeSet::from([Passage::Blocked]) {
            Passage::Blocked
        } else if pairs.contains(&Passage::Blocked) || stages.contains(&HopAnswer::Blocked) {
            Passage::Partly
        } else if pairs.is_empty() || pairs.contains(&Passage::Unknown) || stages.contains(&HopAnswer::Unknown) {
            Passage::Unknown
        } else {
            Passage::Allowed
        }
    }
}

/// What a hop came to, for people and programs.
struct HopResult {
    answer: HopAnswer,
    allowed_by: Option<AllowedBy>,
    reason: String,
}

fn said(answer: HopAnswer, reason: impl Into<String>) -> HopResult {
    HopResult {
        answer,
        allowed_by: None,
        reason: reason.into(),
    }
}

/// A hop to a Service without a result.
pub fn to_service(service: &Service, from: &str, port: Option<i32>) -> Hop {
    Hop {
        stage: Stage::Service,
        answer: HopAnswer::Open,
        from: from.to_owned(),
        to: service_reference(service).short(),
        port,
        pairs: 1,
        policies: Vec::new(),
        allowed_by: None,
        reason: String::new(),
    }
}

/// Whether the source may ask for a name, which is that of a Service or one outside.
pub fn dns<'a>(view: &View<'a>, needs: &mut Needs, source: &Place<'a>, name: &str, service: Option<&Service>, record: &mut Record<'a>) {
    let mut hop = Hop {
        stage: Stage::Dns,
        answer: HopAnswer::Open,
        from: source.shown(),
        to: Side::Dns.shown(),
        port: Some(53),
        pairs: 1,
        policies: Vec::new(),
        allowed_by: None,
        reason: String::new(),
    };
    let policy = source.spec.and_then(|s| s.dns_policy.as_deref()).unwrap_or("ClusterFirst");
    let asks_node = policy == "Default" || (source.is_on_host() && policy == "ClusterFirst");
    if asks_node && service.is_none() {
        hop.to = "the node's name servers".to_owned();
        hop.reason = format!("with dnsPolicy {policy} the pod asks the node's name servers, whether they know {name} is not known");
        record.hop(hop);
        return;
    }
    if let Some(service) = service.filter(|_| asks_node) {
        hop.answer = HopAnswer::Blocked;
        hop.to = "the node's name servers".to_owned();
        hop.reason = format!("with dnsPolicy {policy} the pod asks the node's name servers, which do not know the names of Services");
        record.hop(hop);
        record.finding(Stage::Dns, names_of_node(source, service, policy));
        return;
    }
    if policy == "None" {
        hop.to = "name servers of its own".to_owned();
        hop.reason = "with dnsPolicy None the pod asks name servers of its own; whether they know the name is not known".to_owned();
        hop.answer = HopAnswer::Unknown;
        record.hop(hop);
        return;
    }
    let from = (&source.end, &source.side);
    let (said, evaluation) = match dns::evaluate(view, needs, from) {
        _ if source.is_on_host() => (said(HopAnswer::Open, "it is on its node's network: no policy binds it"), None),
        Some((evaluation, denied)) => {
            if let Some(denied) = denied.filter(|_| is_whole(view, needs, source.end.namespace)) {
                record.deny(Stage::Dns, denied);
            }
            (
                words(view, needs, source.end.namespace, &evaluation, "the cluster's DNS", false),
                Some(evaluation),
            )
        }
        None => (
            said(
                HopAnswer::Unknown,
                "there is no Service kube-dns in kube-system: where the cluster's DNS is is not known",
            ),
            None,
        ),
    };
    hop.answer = said.answer;
    hop.allowed_by = said.allowed_by;
    hop.reason = said.reason;
    hop.policies = evaluation
        .iter()
        .flat_map(|e| e.policies.iter().map(|p| rule::reference(p)))
        .collect();
    record.hop(hop);
}

/// The namespace with the name nearest to one that does not exist, among those that were read.
pub fn near_namespace<'a>(snapshot: &'a Snapshot, name: &str) -> Option<&'a str> {
    let names = snapshot.objects.namespaces.iter().filter_map(|n| n.metadata.name.as_deref());
    near::nearest(name, names)
}

/// Why `NAME.NAMESPACE` is no Service: there is no such namespace.
pub fn outside<'a>(view: &View<'a>, sources: &[Place<'a>], name: &str, record: &mut Record<'a>) {
    let (Some((_, namespace)), Some(source)) = (name.split_once('.'), sources.first()) else {
        return;
    };
    if namespace.contains('.') || view.snapshot.presence(&kind::NAMESPACE, "", namespace) != Presence::Absent {
        return;
    }
    let near = near_namespace(view.snapshot, namespace);
    let meant = near.map(|near| format!(" (there is {near})")).unwrap_or_default();
    record.hop(Hop {
        stage: Stage::Service,
        answer: HopAnswer::Open,
        from: source.shown(),
        to: name.to_owned(),
        port: None,
        pairs: 1,
        policies: Vec::new(),
        allowed_by: None,
        reason: format!("no namespace is called {namespace}{meant}, so it is treated as a host outside the cluster"),
    });
}

fn names_of_node(source: &Place<'_>, service: &Service, policy: &str) -> Finding {
    let on_host = if source.is_on_host() { " and hostNetwork" } else { "" };
    let subject = Subject::of(source.side.object().unwrap_or_default());
    Finding::error(
        DependencyUnreachable,
        subject,
        format!(
            "{} cannot resolve Service {}: with dnsPolicy {policy}{on_host} its pods ask the node's name servers, not the cluster's",
            source.side.shown(),
            service.name_any()
        ),
    )
    .confidence(Confidence::Likely)
    .evidence(source.shown(), format!("dnsPolicy is {policy}{on_host}"))
    .related("service", service_reference(service))
    .fix("set dnsPolicy: ClusterFirstWithHostNet (with hostNetwork) or ClusterFirst in the pod template")
}

/// Whether the policies of both ends allow a connection.
pub fn policies<'a>(view: &View<'a>, needs: &mut Needs, source: &Place<'a>, target: &Endpoint<'a>, record: &mut Record<'a>) -> Passage {
    let answers = [Direction::Egress, Direction::Ingress].map(|direction| one_way(view, needs, direction, source, target, record));
    if answers.contains(&HopAnswer::Blocked) {
        Passage::Blocked
    } else if answers.contains(&HopAnswer::Unknown) {
        Passage::Unknown
    } else {
        Passage::Allowed
    }
}

fn one_way<'a>(
    view: &View<'a>,
    needs: &mut Needs,
    direction: Direction,
    source: &Place<'a>,
    target: &Endpoint<'a>,
    record: &mut Record<'a>,
) -> HopAnswer {
    let stage = match direction {
        Direction::Egress => Stage::Egress,
        Direction::Ingress => Stage::Ingress,
    };
    let destination = &target.place;
    let port = Port {
        number: target.number,
        protocol: &target.protocol,
    };
    let (bound, peer) = match direction {
        Direction::Egress => (source, destination),
        Direction::Ingress => (destination, source),
    };
    let evaluation = allows::evaluate(
        &view.snapshot.objects.network_policies,
        direction,
        &source.end,
        &destination.end,
        port,
    );
    if evaluation.doubt() == Some(Doubt::Namespace) {
        needs_namespace(view, needs, peer.end.namespace);
    }
    let own_node = source.is_on_host() && source.node().is_some() && source.node() == destination.node();
    let to_own_node = source.pod.is_some_and(|pod| is_own_node(pod, destination.pod, destination.end.ip));
    let said = if source.is(destination) {
        said(HopAnswer::Open, "it calls itself: no policy keeps a pod from itself")
    } else {
        match bound.end.identity {
            Identity::Host(_) => said(HopAnswer::Open, "it is on its node's network: no policy binds it"),
            Identity::Outside => said(HopAnswer::Open, "it is no pod: no NetworkPolicy binds it"),
            Identity::Unseen => said(
                HopAnswer::Unknown,
                "whether a pod has this address could not be seen, and so not what its policies say",
            ),
            Identity::Pod(_) if direction == Direction::Ingress && own_node => said(
                HopAnswer::Open,
                "the caller is on the network of the pod's own node, which is always let in",
            ),
            Identity::Pod(_) if direction == Direction::Egress && to_own_node => {
                said(HopAnswer::Open, "it calls its own node, which a pod may always do")
            }
            Identity::Pod(_) => words(
                view,
                needs,
                bound.end.namespace,
                &evaluation,
                &peer.side.shown(),
                peer.pod.is_some(),
            ),
        }
    };
    if said.answer == HopAnswer::Blocked {
        let denied = Denied::of(
            &evaluation,
            (&source.end, &source.side),
            (&destination.end, &destination.side),
            port,
        );
        if let Some(denied) = denied {
            record.deny(stage, denied);
        }
    }
    let answer = said.answer;
    record.hop(Hop {
        stage,
        answer,
        from: source.shown(),
        to: destination.shown(),
        port: Some(target.number),
        pairs: 1,
        policies: evaluation.policies.iter().map(|p| rule::reference(p)).collect(),
        allowed_by: said.allowed_by,
        reason: said.reason,
    });
    answer
}

/// Whether every policy of a namespace was read, or is in the files that are to be judged alone.
fn is_whole(view: &View<'_>, needs: &mut Needs, namespace: &str) -> bool {
    needs.list(view, &kind::NETWORK_POLICY, namespace) || view.snapshot.local
}

/// What an evaluation comes to, where not every policy may have been read: one more can only allow more to a pod that is selected already,
/// and restrict one that is not.
fn words(view: &View<'_>, needs: &mut Needs, namespace: &str, evaluation: &Evaluation<'_>, peer: &str, peer_is_pod: bool) -> HopResult {
    let way = evaluation.direction.as_str();
    let whole = is_whole(view, needs, namespace);
    match evaluation.outcome {
        Outcome::Allowed(by) => {
            let text = rule_text(by.policy, evaluation.direction, by.rule);
            let by_address = if by.is_by_address && peer_is_pod {
                "; it names the address of a pod, which some network plug-ins (Cilium) do not apply to pods"
            } else {
                ""
            };
            HopResult {
                answer: HopAnswer::Allowed,
                reason: format!(
                    "NetworkPolicy {} allows it by {way}[{}]: {}{by_address}",
                    by.policy.name_any(),
                    by.rule,
                    shorten(&text, 160)
                ),
                allowed_by: Some(AllowedBy {
                    policy: rule::reference(by.policy),
                    rule: by.rule,
                    text: sanitise(&text),
                }),
            }
        }
        _ if !whole => said(
            HopAnswer::Unknown,
            format!("the NetworkPolicies of namespace {namespace} may not be read"),
        ),
        Outcome::Open => said(HopAnswer::Open, format!("no NetworkPolicy selects it for {way}")),
        Outcome::Denied => {
            let names: Vec<String> = evaluation.policies.iter().map(|p| p.name_any()).collect();
            said(
                HopAnswer::Blocked,
                match names.as_slice() {
                    [only] => format!("NetworkPolicy {only} selects it for {way}, and none of its rules allows this"),
                    many => format!(
                        "NetworkPolicies {} select it for {way}, and none of their rules allows this",
                        many.join(", ")
                    ),
                },
            )
        }
        Outcome::Unknown(doubt) => said(
            HopAnswer::Unknown,
            match doubt {
                Doubt::Namespace => format!("a rule selects by the labels of the namespace of {peer}, which may not be read"),
                Doubt::Address => format!("a rule selects by address, and that of {peer} is not known"),
                Doubt::Ports => format!("a rule names its port, and the ports of {peer} are not known"),
                Doubt::Host => format!(
                    "a rule selects {peer} by its labels, but it is on its node's network: whether it is then known by its labels differs from network plug-in to network plug-in"
                ),
                Doubt::Peer => format!("a rule selects pods by their labels, and whether {peer} is a pod could not be seen"),
            },
        ),
    }
}

/// A rule of a policy as YAML in one line.
fn rule_text(policy: &NetworkPolicy, direction: Direction, at: usize) -> String {
    let Some(spec) = &policy.spec else { return String::new() };
    let value = match direction {
        Direction::Ingress => spec.ingress.iter().flatten().nth(at).map(serde_json::to_value),
        Direction::Egress => spec.egress.iter().flatten().nth(at).map(serde_json::to_value),
    };
    value.and_then(Result::ok).map(|value| rule::flow(&value)).unwrap_or_default()
}
