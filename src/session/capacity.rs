//! How many sessions of a template a cluster can hold.

use k8s_openapi::api::core::v1::{
    Container, LimitRange, LimitRangeItem, Node, PersistentVolumeClaim, Pod, PodSpec, ResourceQuota, ScopedResourceSelectorRequirement,
};
use k8s_openapi::api::storage::v1::{CSINode, StorageClass, VolumeAttachment};
use kube::ResourceExt;
use kube_quantity::ParsedQuantity;

use crate::facts::placement;
use crate::facts::requests::{amount_of, asked, limited, shown, sum};
use crate::model::plan::{PlannedImage, SessionLimit, SessionPlan};
use crate::session::SESSION;
use crate::session::warm::is_warm;
use crate::text::{counted, few};
use crate::view::has_ended;

/// What one session is made of.
pub(crate) struct Unit {
    pub(crate) pod: Pod,
    pub(crate) claim: Option<PersistentVolumeClaim>,
    pub(crate) has_service: bool,
    /// How many Leases it takes.
    pub(crate) leases: u32,
}

/// What was read of the cluster. None of a kind: it could not be read.
#[derive(Default)]
pub(crate) struct Room {
    pub(crate) nodes: Option<Vec<Node>>,
    /// Of all namespaces, or at least of the sessions' own.
    pub(crate) pods: Vec<Pod>,
    pub(crate) quotas: Vec<ResourceQuota>,
    pub(crate) limit_ranges: Vec<LimitRange>,
    pub(crate) storage_classes: Option<Vec<StorageClass>>,
    pub(crate) csi_nodes: Vec<CSINode>,
    pub(crate) attachments: Vec<VolumeAttachment>,
}

/// More sessions than anybody has: where the search for a number ends.
const ENOUGH: u64 = 1 << 20;
/// The network, the gateway and the broadcast address of a node's range are no pod's.
const RESERVED_ADDRESSES: u64 = 3;
/// Examples of nodes that do not take the pod.
const SHOWN: usize = 3;

/// Fills the limits and images of a plan.
pub(crate) fn fill(mut plan: SessionPlan, unit: &Unit, room: &Room) -> SessionPlan {
    let spec = unit.pod.spec.clone().unwrap_or_default();
    let is_session = |pod: &&Pod| {
        let is_of_session = pod.labels().contains_key(SESSION) && !is_warm(pod);
        pod.namespace().as_deref() == Some(&plan.namespace) && is_of_session && !has_ended(pod)
    };
    let live = room.pods.iter().filter(is_session).count() as u64;
    if let Some(nodes) = &room.nodes {
        let taking: Vec<&Node> = nodes.iter().filter(|node| placement::refusal(node, &spec).is_none()).collect();
        plan.limits.push(on_nodes(nodes, &taking, (&spec, driver(unit, room)), room, live));
        plan.limits
            .extend(addresses(&taking, room, live).filter(|_| spec.host_network != Some(true)));
        plan.images = images(&taking, &spec);
    }
    for quota in room.quotas.iter().filter(|quota| applies(quota, &spec)) {
        plan.limits.extend(of_quota(quota, unit, &spec, live, plan.sessions));
    }
    for range in &room.limit_ranges {
        let items = range.spec.iter().flat_map(|spec| &spec.limits);
        plan.limits.extend(
            items
                .into_iter()
                .filter_map(|item| violation(item, unit, &spec))
                .map(|detail| SessionLimit {
                    limit: format!("limit range {}", range.name_any()),
                    sessions: 0,
                    detail,
                }),
        );
    }
    plan.limits.extend(storage(unit, room.storage_classes.as_deref()));
    plan.limits.sort_by(|a, b| (a.sessions, &a.limit).cmp(&(b.sessions, &b.limit)));
    plan.fits = plan.limits.first().map(|limit| limit.sessions);
    plan
}

/// How often an amount is in another one.
fn times(whole: &ParsedQuantity, part: &ParsedQuantity) -> u64 {
    let fits = |count: u64| part.clone() * count <= *whole;
    let (mut least, mut most) = (0, ENOUGH);
    while least < most {
        let middle = (least + most).div_ceil(2);
        if fits(middle) { least = middle } else { most = middle - 1 }
    }
    least
}

/// What a pod asks for, by resource.
fn requests(spec: &PodSpec) -> Vec<(String, ParsedQuantity)> {
    let all = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let resources = all.filter_map(|container| container.resources.as_ref()).chain(&spec.resources);
    let maps = resources.flat_map(|resources| [&resources.requests, &resources.limits]);
    let mut names: Vec<&String> = maps.flatten().flat_map(|map| map.keys()).collect();
    names.sort();
    names.dedup();
    let asked = names.into_iter().filter_map(|name| Some((name.clone(), asked(spec, name)?)));
    asked.filter(|(_, amount)| *amount > ParsedQuantity::default()).collect()
}

fn pods_on<'a>(room: &'a Room, node: &Node) -> impl Iterator<Item = &'a Pod> {
    let name = node.name_any();
    let is_on = move |pod: &&Pod| pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) == Some(name.as_str());
    room.pods.iter().filter(|pod| !has_ended(pod)).filter(is_on)
}

/// How many volumes of a CSI driver may be attached to a node in all; none where nothing limits them.
fn attachable(node: &str, driver: &str, room: &Room) -> Option<u64> {
    let node = room.csi_nodes.iter().find(|known| known.name_any() == node)?;
    let driver = node.spec.drivers.iter().find(|known| known.name == driver)?;
    u64::try_from(driver.allocatable.as_ref()?.count?).ok()
}

/// The CSI driver of a session's volume, where nodes limit its volumes.
fn driver<'a>(unit: &Unit, room: &'a Room) -> Option<&'a str> {
    let driver = class_of(unit, room.storage_classes.as_deref()?)?.provisioner.as_str();
    let is_limited = |node: &CSINode| attachable(&node.name_any(), driver, room).is_some();
    room.csi_nodes.iter().any(is_limited).then_some(driver)
}

/// How many more sessions a node has room for, by resource.
fn on_node(node: &Node, wanted: &[(String, ParsedQuantity)], driver: Option<&str>, room: &Room) -> Vec<(String, u64)> {
    let allocatable = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
    let pods = amount_of(allocatable, "pods").and_then(|pods| pods.to_bytes_i64());
    let here = pods_on(room, node).count() as u64;
    let places = pods.map_or(ENOUGH, |pods| u64::try_from(pods).unwrap_or_default().saturating_sub(here));
    let mut all = vec![("pods".to_owned(), places)];
    for (resource, part) in wanted {
        let used = sum(pods_on(room, node).filter_map(|pod| asked(pod.spec.as_ref()?, resource)));
        let whole = amount_of(allocatable, resource).unwrap_or_default();
        let free = match used {
            Some(used) => whole - used,
            None => whole,
        };
        all.push((resource.clone(), times(&free, part)));
    }
    if let Some(driver) = driver {
        let name = node.name_any();
        let is_here = |taken: &&VolumeAttachment| taken.spec.attacher == driver && taken.spec.node_name == name;
        let taken = room.attachments.iter().filter(is_here).count() as u64;
        let free = attachable(&name, driver, room).map_or(ENOUGH, |most| most.saturating_sub(taken));
        all.push((format!("volumes of {driver}"), free));
    }
    all
}

fn on_nodes(nodes: &[Node], taking: &[&Node], (spec, driver): (&PodSpec, Option<&str>), room: &Room, live: u64) -> SessionLimit {
    let wanted = requests(spec);
    let rooms: Vec<Vec<(String, u64)>> = taking.iter().map(|node| on_node(node, &wanted, driver, room)).collect();
    let more: u64 = rooms.iter().filter_map(|room| room.iter().map(|(_, count)| *count).min()).sum();
    let mut by_resource: Vec<(u64, String)> = Vec::new();
    for (at, (resource, _)) in rooms.first().into_iter().flatten().enumerate() {
        by_resource.push((rooms.iter().map(|room| room[at].1).sum(), resource.clone()));
    }
    by_resource.sort();
    let each = |resource: &str| match wanted.iter().find(|(known, _)| known == resource) {
        Some((_, amount)) => format!(", {} each", shown(amount, resource)),
        None => String::new(),
    };
    let by_resource = by_resource
        .iter()
        .map(|(count, resource)| format!("{resource} for {} more{}", live_or_many(*count), each(resource)));
    let refused = nodes
        .iter()
        .filter_map(|node| Some(format!("{}: {}", node.name_any(), placement::refusal(node, spec)?)));
    let refused: Vec<String> = refused.collect();
    let mut detail = format!(
        "{} of {}",
        taking.len(),
        counted(i64::try_from(nodes.len()).unwrap_or(i64::MAX), "node")
    );
    detail.push_str(if taking.len() == 1 { " takes the pod" } else { " take the pod" });
    if !refused.is_empty() {
        detail = format!("{detail} ({})", few(&refused, SHOWN));
    }
    SessionLimit {
        limit: "nodes".to_owned(),
        sessions: live + more,
        detail: std::iter::once(detail).chain(by_resource).collect::<Vec<_>>().join("; "),
    }
}

/// A number, or `any number` where the search for it has ended.
fn live_or_many(count: u64) -> String {
    if count >= ENOUGH {
        "any number".to_owned()
    } else {
        count.to_string()
    }
}

/// The addresses of the ranges that the nodes have for pods; none where a node has no range, since the network has other ways then.
fn addresses(taking: &[&Node], room: &Room, live: u64) -> Option<SessionLimit> {
    let mut more = 0;
    let mut ranges = Vec::new();
    for node in taking {
        let range = node.spec.as_ref()?.pod_cidr.clone()?;
        let net: ipnet::Ipv4Net = range.parse().ok()?;
        let addresses = 1_u64 << (32 - net.prefix_len());
        let has_own = |pod: &&Pod| pod.spec.as_ref().is_some_and(|spec| spec.host_network != Some(true));
        let used = pods_on(room, node).filter(has_own).count() as u64;
        more += addresses.saturating_sub(RESERVED_ADDRESSES + used);
        ranges.push(range);
    }
    let first = ranges.first()?;
    let ranges = if ranges.len() == 1 { first.clone() } else { few(&ranges, SHOWN) };
    Some(SessionLimit {
        limit: "pod addresses".to_owned(),
        sessions: live + more,
        detail: format!("{more} free in {ranges}"),
    })
}

fn images(taking: &[&Node], spec: &PodSpec) -> Vec<PlannedImage> {
    let mut names: Vec<&str> = Vec::new();
    for image in spec
        .init_containers
        .iter()
        .flatten()
        .chain(&spec.containers)
        .filter_map(|c| c.image.as_deref())
    {
        if !names.contains(&image) {
            names.push(image);
        }
    }
    let has = |node: &Node, image: &str| {
        let images = node.status.iter().flat_map(|status| status.images.iter().flatten());
        let of_hub = |prefix: &str| format!("docker.io/{prefix}{image}");
        let meant = [image.to_owned(), of_hub(""), of_hub("library/")];
        images
            .filter(|known| known.names.iter().flatten().any(|name| meant.contains(name)))
            .map(|known| known.size_bytes)
            .next()
    };
    names
        .into_iter()
        .map(|image| {
            let sizes: Vec<Option<i64>> = taking.iter().filter_map(|node| has(node, image)).collect();
            PlannedImage {
                image: image.to_owned(),
                nodes: sizes.len() as u64,
                of_nodes: taking.len() as u64,
                size_bytes: sizes.into_iter().flatten().max(),
            }
        })
        .collect()
}

/// Whether a quota counts the pod of a session.
fn applies(quota: &ResourceQuota, spec: &PodSpec) -> bool {
    let quota = quota.spec.clone().unwrap_or_default();
    let is_best_effort = requests(spec).is_empty();
    let of_scope = |scope: &str| match scope {
        "Terminating" => spec.active_deadline_seconds.is_some(),
        "NotTerminating" => spec.active_deadline_seconds.is_none(),
        "BestEffort" => is_best_effort,
        "NotBestEffort" => !is_best_effort,
        _ => false,
    };
    let of_class = |requirement: &ScopedResourceSelectorRequirement| {
        let class = spec.priority_class_name.as_ref();
        let is_among = class.is_some_and(|class| requirement.values.iter().flatten().any(|value| value == class));
        match (requirement.scope_name.as_str(), requirement.operator.as_str()) {
            ("PriorityClass", "In") => is_among,
            ("PriorityClass", "NotIn") => !is_among,
            ("PriorityClass", "Exists") => class.is_some(),
            ("PriorityClass", "DoesNotExist") => class.is_none(),
            (scope, _) => of_scope(scope),
        }
    };
    let selector = quota
        .scope_selector
        .iter()
        .flat_map(|selector| selector.match_expressions.iter().flatten());
    quota.scopes.iter().flatten().all(|scope| of_scope(scope)) && selector.into_iter().all(of_class)
}

/// What one session takes of a resource that a quota counts, and whether only sessions with a pod take it.
fn taken(resource: &str, unit: &Unit, spec: &PodSpec) -> Option<(ParsedQuantity, bool)> {
    let count = |number: u32| ParsedQuantity::try_from(number.to_string()).ok();
    let claim = unit.claim.as_ref().and_then(|claim| claim.spec.as_ref());
    let size = || amount_of(claim?.resources.as_ref()?.requests.as_ref(), "storage");
    let class = claim.and_then(|claim| claim.storage_class_name.as_deref());
    let of_pod = |amount: Option<ParsedQuantity>| Some((amount?, true));
    let of_session = |amount: Option<ParsedQuantity>| Some((amount?, false));
    if let Some((of, what)) = resource.split_once(".storageclass.storage.k8s.io/") {
        return match what {
            _ if class != Some(of) => None,
            "requests.storage" => of_session(size()),
            _ => of_session(count(1)),
        };
    }
    match resource {
        "pods" | "count/pods" => of_pod(count(1)),
        "persistentvolumeclaims" | "count/persistentvolumeclaims" => of_session(count(u32::from(claim.is_some()))),
        "requests.storage" => of_session(size()),
        "services" | "count/services" => of_session(count(u32::from(unit.has_service))),
        "count/leases.coordination.k8s.io" => of_session(count(unit.leases)),
        _ => of_pod(match resource.split_once('.') {
            Some(("requests", resource)) => asked(spec, resource),
            Some(("limits", resource)) => limited(spec, resource),
            _ => asked(spec, resource),
        }),
    }
}

fn of_quota(quota: &ResourceQuota, unit: &Unit, spec: &PodSpec, live: u64, sessions: u64) -> Vec<SessionLimit> {
    let status = quota.status.clone().unwrap_or_default();
    let hard = status.hard.as_ref().or(quota.spec.as_ref().and_then(|spec| spec.hard.as_ref()));
    let limits = hard.into_iter().flatten().filter_map(|(resource, hard)| {
        let (part, with_pod) = taken(resource, unit, spec)?;
        let whole = ParsedQuantity::try_from(hard).ok()?;
        let used = amount_of(status.used.as_ref(), resource).unwrap_or_default();
        if part <= ParsedQuantity::default() {
            return None;
        }
        let there = if with_pod { live } else { sessions };
        let numbers = [&used, &whole, &part].map(|amount| shown(amount, resource));
        Some(SessionLimit {
            limit: format!("quota {}: {resource}", quota.name_any()),
            sessions: there + times(&(whole - used), &part),
            detail: format!("{} of {} used, {} each", numbers[0], numbers[1], numbers[2]),
        })
    });
    limits.collect()
}

/// How the pod or claim of a session breaks an item of a LimitRange, which lets none be created.
fn violation(item: &LimitRangeItem, unit: &Unit, spec: &PodSpec) -> Option<String> {
    let names = || {
        [&item.max, &item.min, &item.max_limit_request_ratio]
            .into_iter()
            .flatten()
            .flat_map(|map| map.keys())
    };
    let check = |subject: &str, resource: &str, request: Option<ParsedQuantity>, limit: Option<ParsedQuantity>| {
        let (min, max) = (amount_of(item.min.as_ref(), resource), amount_of(item.max.as_ref(), resource));
        let ratio = amount_of(item.max_limit_request_ratio.as_ref(), resource).and_then(|ratio| ratio.to_bytes_i64());
        let say = |what: &str, amount: &ParsedQuantity, bound: &str| {
            Some(format!("{subject} {what} {} {resource}, and {bound}", shown(amount, resource)))
        };
        match (&request, &limit) {
            (Some(request), _) if min.as_ref().is_some_and(|min| request < min) => say(
                "requests",
                request,
                &format!("the minimum is {}", shown(&min.unwrap_or_default(), resource)),
            ),
            (_, Some(limit)) if max.as_ref().is_some_and(|max| limit > max) => say(
                "has a limit of",
                limit,
                &format!("the maximum is {}", shown(&max.unwrap_or_default(), resource)),
            ),
            (Some(request), Some(limit)) if ratio.is_some_and(|ratio| *limit > request.clone() * ratio) => say(
                "has a limit of",
                limit,
                &format!("at most {} times its request is allowed", ratio.unwrap_or_default()),
            ),
            _ => None,
        }
    };
    let of_container = |container: &Container, resource: &str| {
        let resources = container.resources.clone().unwrap_or_default();
        let (request, limit) = (
            amount_of(resources.requests.as_ref(), resource),
            amount_of(resources.limits.as_ref(), resource),
        );
        check(&format!("container {}", container.name), resource, request, limit)
    };
    let containers = || spec.init_containers.iter().flatten().chain(&spec.containers);
    match item.type_.as_str() {
        "Container" => names().find_map(|resource| containers().find_map(|container| of_container(container, resource))),
        "Pod" => names().find_map(|resource| check("the pod", resource, asked(spec, resource), limited(spec, resource))),
        "PersistentVolumeClaim" => {
            let size = amount_of(unit.claim.as_ref()?.spec.as_ref()?.resources.as_ref()?.requests.as_ref(), "storage");
            check("the claim", "storage", size.clone(), size)
        }
        _ => None,
    }
}

/// The storage class of the claim: the one that it names, or the default one.
fn class_of<'a>(unit: &Unit, classes: &'a [StorageClass]) -> Option<&'a StorageClass> {
    let claim = unit.claim.as_ref()?.spec.as_ref()?;
    let is_default = |class: &StorageClass| {
        let annotation = class.annotations().get("storageclass.kubernetes.io/is-default-class");
        annotation.is_some_and(|value| value == "true")
    };
    classes.iter().find(|class| match &claim.storage_class_name {
        Some(name) => class.name_any() == *name,
        None => is_default(class),
    })
}

/// That there is no storage class for the claim.
fn storage(unit: &Unit, classes: Option<&[StorageClass]>) -> Option<SessionLimit> {
    let claim = unit.claim.as_ref()?.spec.as_ref()?;
    if class_of(unit, classes?).is_some() {
        return None;
    }
    let detail = match &claim.storage_class_name {
        Some(name) => format!("there is no StorageClass {name}"),
        None => "there is no default StorageClass, and --storage-class is not set".to_owned(),
    };
    Some(SessionLimit {
        limit: "volumes".to_owned(),
        sessions: 0,
        detail,
    })
}

#[cfg(test)]
mod tests;
