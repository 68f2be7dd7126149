//! What a host stands for: a Service of the cluster, the pod itself, or something outside.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;

use crate::facts::calls::names;
use crate::facts::calls::names::Mention;
use crate::model::finding::ObjectRef;
use crate::model::kind;
use crate::model::snapshot::Presence;
use crate::text::Words;
use crate::view::{ContainerView, Need, Needs, View, has_ended, ports};

/// What a host stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A Service, whether it exists or not.
    Service {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// A host outside the cluster.
    Outside(String),
    /// The pod itself.
    Own,
}

/// Ends of file names that look like hosts in stack traces: `main.go:42`.
const FILES: Words = Words("go, py, js, ts, mjs, cjs, rb, rs, java, kt, php, c, cc, cpp, conf, ex");

/// What a mention stands for, seen from a pod's namespace; none where it is probably no host at all.
pub fn locate(view: &View<'_>, namespace: &str, mention: &Mention) -> Option<Place> {
    let service = |namespace: &str, name: &str| Place::Service {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    };
    let host = mention.host.as_str();
    if let Some(ip) = mention.ip() {
        if ip.is_loopback() || ip.is_unspecified() {
            return Some(Place::Own);
        }
        let of_service = |s: &&Service| {
            let spec = s.spec.iter();
            let mut all = spec.flat_map(|s| s.cluster_ips.iter().flatten().chain(s.cluster_ip.iter()));
            all.any(|address| address == host)
        };
        let found = view.snapshot.objects.services.iter().find(of_service);
        return match found.or_else(|| of_pod(view, host)) {
            Some(s) => Some(service(&s.namespace().unwrap_or_default(), &s.name_any())),
            None => mention.is_certain.then(|| Place::Outside(host.to_owned())),
        };
    }
    if host == "localhost" || host.starts_with("localhost.") {
        return Some(Place::Own);
    }
    let labels: Vec<&str> = host.split('.').collect();
    match labels.as_slice() {
        [name] => (mention.is_certain || view.service(namespace, name).is_some()).then(|| service(namespace, name)),
        [name, of, "svc", ..] => Some(service(of, name)),
        [_pod, name, of, "svc", ..] => Some(service(of, name)),
        [first, second] => {
            if view.service(second, first).is_some() || view.snapshot.presence(&kind::NAMESPACE, "", second) == Presence::Present {
                Some(service(second, first))
            } else if view.service(namespace, second).is_some_and(ports::is_headless) || names_pods_by(view, namespace, first, second) {
                // One pod of a StatefulSet.
                Some(service(namespace, second))
            } else {
                (mention.is_certain && !FILES.has(second)).then(|| Place::Outside(host.to_owned()))
            }
        }
        _ => mention.is_certain.then(|| Place::Outside(host.to_owned())),
    }
}

/// Whether a StatefulSet says that its pods are known by a Service, and one of them is meant: `db-0.db`.
fn names_pods_by(view: &View<'_>, namespace: &str, pod: &str, service: &str) -> bool {
    let set = view.named_by(namespace, service);
    set.is_some_and(|set| {
        let ordinal = pod
            .strip_prefix(set.reference.name.as_str())
            .and_then(|rest| rest.strip_prefix('-'));
        ordinal.is_some_and(|ordinal| ordinal.parse::<u32>().is_ok())
    })
}

/// The Service that a pod's own address is known by: a headless one, whose name leads to it, before others.
fn of_pod<'a>(view: &View<'a>, ip: &str) -> Option<&'a Service> {
    let pods = &view.snapshot.objects.pods;
    let has = |pod: &&k8s_openapi::api::core::v1::Pod| {
        let own = pod.status.as_ref().and_then(|s| s.pod_ip.as_deref());
        own == Some(ip) && !has_ended(pod) && pod.spec.as_ref().and_then(|s| s.host_network) != Some(true)
    };
    let pod = pods.iter().find(has)?;
    let all = view.services_selecting(&pod.namespace().unwrap_or_default(), pod.labels());
    all.iter().find(|s| ports::is_headless(s)).or(all.first()).copied()
}

/// Whether a Service exists; one of another namespace is asked for, with what stands behind it.
pub fn presence(view: &View<'_>, needs: &mut Needs, own_namespace: &str, namespace: &str, name: &str) -> Presence {
    let presence = view.snapshot.presence(&kind::SERVICE, namespace, name);
    if namespace == own_namespace {
        needs.list(view, &kind::SERVICE, namespace);
    } else {
        if presence == Presence::Unknown {
            needs.need(Need::Object(ObjectRef::new(&kind::SERVICE, namespace, name)));
        }
        if presence == Presence::Absent {
            if view.snapshot.presence(&kind::NAMESPACE, "", namespace) == Presence::Unknown {
                needs.need(Need::Object(ObjectRef::new(&kind::NAMESPACE, "", namespace)));
            }
        } else {
            for kind in [&kind::POD, &kind::DEPLOYMENT, &kind::REPLICA_SET, &kind::STATEFUL_SET, &kind::EVENT] {
                needs.list(view, kind, namespace);
            }
        }
    }
    presence
}

/// A host that a container's spec names.
#[derive(Clone, Debug)]
pub struct Reference {
    /// What it stands for.
    pub place: Place,
    /// The text.
    pub mention: Mention,
    /// `env DATABASE_HOST`, or `command`.
    pub source: String,
}

/// The hosts that a container's command and environment name. Values never leave this function but for hosts and ports.
/// The content of ConfigMaps that the environment comes from is asked for where it was not read yet and there are `needs`.
pub fn references(view: &View<'_>, container: &ContainerView<'_>, needs: Option<&mut Needs>) -> Vec<Reference> {
    let namespace = container.pod.namespace().unwrap_or_default();
    let environment = environment(view, container, needs);
    let words = container.spec.command.iter().chain(container.spec.args.iter()).flatten();
    let command = words.map(String::as_str).collect::<Vec<_>>().join(" ");
    let by_command = names::in_command(&command, &environment)
        .into_iter()
        .map(|m| ("command".to_owned(), m));
    let by_variable = names::in_environment(&environment)
        .into_iter()
        .map(|(key, m)| (format!("env {key}"), m));
    // A command that decides on readiness calls what the container needs.
    let probe = container.spec.readiness_probe.as_ref().and_then(|p| p.exec.as_ref());
    let asked = probe
        .and_then(|exec| exec.command.as_ref())
        .map(|words| words.join(" "))
        .unwrap_or_default();
    let by_probe = names::in_command(&asked, &environment)
        .into_iter()
        .map(|m| ("readiness probe".to_owned(), m));
    let mut found: Vec<Reference> = Vec::new();
    for (source, mention) in by_command.chain(by_variable).chain(by_probe) {
        let known = |place: &Place| found.iter().any(|r| r.place == *place && r.mention.port == mention.port);
        if let Some(place) = locate(view, &namespace, &mention).filter(|place| !known(place)) {
            found.push(Reference { place, mention, source });
        }
    }
    found
}

/// The variables of a container whose values are plain to see: literal ones, and those from ConfigMaps that were read with their content.
fn environment(view: &View<'_>, container: &ContainerView<'_>, mut needs: Option<&mut Needs>) -> Vec<(String, String)> {
    let namespace = container.pod.namespace();
    let mut data = |name: &str| -> Option<&BTreeMap<String, String>> {
        let of = namespace.as_deref().unwrap_or_default();
        let there = view.snapshot.presence(&kind::CONFIG_MAP, of, name) == Presence::Present;
        if let Some(needs) = needs.as_deref_mut()
            && there
            && view.snapshot.config_map_keys(of, name).is_none()
        {
            needs.need(Need::Object(ObjectRef::new(&kind::CONFIG_MAP, of, name)));
        }
        let maps = &view.snapshot.objects.config_maps;
        maps.iter()
            .find(|m| m.name_any() == name && m.namespace() == namespace)?
            .data
            .as_ref()
    };
    let mut found = Vec::new();
    for source in container.spec.env_from.iter().flatten() {
        if let Some(map) = source.config_map_ref.as_ref().and_then(|r| data(&r.name)) {
            let prefix = source.prefix.as_deref().unwrap_or_default();
            found.extend(map.iter().map(|(key, value)| (format!("{prefix}{key}"), value.clone())));
        }
    }
    for variable in container.spec.env.iter().flatten() {
        let from_map = || {
            let reference = variable.value_from.as_ref()?.config_map_key_ref.as_ref()?;
            data(&reference.name)?.get(&reference.key).cloned()
        };
        if let Some(value) = variable.value.clone().or_else(from_map) {
            found.retain(|(key, _)| *key != variable.name);
            found.push((variable.name.clone(), value));
        }
    }
    found
}
