//! Where the value of a variable comes from that an error shows, or why it has none.

use k8s_openapi::api::core::v1::{EnvVar, Service};
use kube::ResourceExt;
use serde_json::json;

use crate::facts::listening::environment::{Environment, Origin, data};
use crate::facts::provided::spec::{Provided, namespace, patch_pod};
use crate::model::finding::ObjectRef;
use crate::model::{kind, near};
use crate::text::Words;
use crate::view::{ContainerView, Needs, View, reference_of};

pub(super) fn of_line(view: &View<'_>, needs: &mut Needs, container: &ContainerView<'_>, line: &str) -> Option<Provided> {
    service_link(view, container, line)
        .or_else(|| unexpanded(container, line))
        .or_else(|| shell_form(container, line))
        .or_else(|| padded(view, needs, container, line))
        .or_else(|| empty(container, line))
        .or_else(|| unset(view, needs, container, line))
}

fn variables<'a>(container: &ContainerView<'a>) -> &'a [EnvVar] {
    container.spec.env.as_deref().unwrap_or_default()
}

/// `tcp://10.96.1.2:8080` that nobody set: the kubelet gives every pod the address of each Service as `NAME_PORT`.
fn service_link(view: &View<'_>, container: &ContainerView<'_>, line: &str) -> Option<Provided> {
    let rest = line.split_once("tcp://")?.1;
    let end = rest
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | ':')))
        .unwrap_or(rest.len());
    let (host, port) = rest[..end].trim_end_matches([':', '.']).rsplit_once(':')?;
    let port: i32 = port.parse().ok()?;
    if container.pod.spec.as_ref()?.enable_service_links == Some(false) {
        return None;
    }
    let address = format!("tcp://{host}:{port}");
    let is_own = |v: &EnvVar| v.value.as_deref().is_some_and(|value| value.contains(&address));
    let gives = |service: &&Service| {
        let spec = service.spec.as_ref();
        spec.and_then(|s| s.cluster_ip.as_deref()) == Some(host)
            && spec.is_some_and(|s| s.ports.iter().flatten().any(|p| p.port == port))
            && service.namespace() == container.pod.namespace()
    };
    if variables(container).iter().any(is_own) {
        return None;
    }
    let service = view.snapshot.objects.services.iter().find(gives)?;
    let name = service.name_any();
    let variable = format!("{}_PORT", name.to_uppercase().replace('-', "_"));
    if variables(container).iter().any(|v| v.name == variable) {
        return None;
    }
    let links = json!({"enableServiceLinks": false});
    Some(
        Provided::new(
            format!("{variable} is not set in the spec: the kubelet sets it to {address} because of Service {name} (service links)"),
            format!("set enableServiceLinks: false, set {variable} in env, or rename the Service"),
        )
        .seen(format!("service/{name}"), format!("clusterIP {host}, port {port}"))
        .by(reference_of(&kind::SERVICE, &service.metadata), "")
        .command(patch_pod(view, container, &links)),
    )
}

/// The names in `$(NAME)` of a text, without those that are escaped: `$$(NAME)`.
fn references(text: &str) -> Vec<&str> {
    let starts = text.match_indices("$(").filter(|(at, _)| !text[..*at].ends_with('$'));
    let names = starts.filter_map(|(at, _)| text[at + 2..].split_once(')').map(|(name, _)| name));
    names.filter(|name| is_name(name)).collect()
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

/// A reference that stays as it is written: what it names is defined later, or not at all.
fn unexpanded(container: &ContainerView<'_>, line: &str) -> Option<Provided> {
    let shown = references(line);
    let first = shown.first()?;
    let all = variables(container);
    let Some((at, user)) = all
        .iter()
        .enumerate()
        .find(|(_, v)| v.value.as_deref().is_some_and(|value| references(value).contains(first)))
    else {
        let words = container.spec.command.iter().chain(&container.spec.args).flatten();
        let named = words.into_iter().any(|word| references(word).contains(first)) && all.iter().all(|v| v.name != *first);
        return named.then(|| {
            Provided::new(
                format!("the command refers to $({first}), and the container has no variable of this name"),
                format!("define {first} in env, or correct the name"),
            )
        });
    };
    let names = references(user.value.as_deref().unwrap_or_default());
    let is_later = |name: &&str| all.iter().skip(at + 1).any(|v| v.name == **name) && all[..at].iter().all(|v| v.name != **name);
    let later: Vec<&str> = names.iter().copied().filter(|name| is_later(name)).collect();
    let name = &user.name;
    if later.contains(first) {
        let shown = later.iter().map(|name| format!("$({name})")).collect::<Vec<_>>().join(" and ");
        return Some(Provided::new(
            format!("{name} refers to {shown}, defined after it in env, and references are expanded in order"),
            format!("move {name} below {} in env", later.join(" and ")),
        ));
    }
    all.iter().all(|v| v.name != *first).then(|| {
        Provided::new(
            format!("{name} refers to $({first}), and the container has no variable of this name"),
            format!("define {first} before {name} in env, or correct the name"),
        )
    })
}

/// `${NAME}` in a value: Kubernetes expands `$(NAME)` alone.
fn shell_form(container: &ContainerView<'_>, line: &str) -> Option<Provided> {
    let (_, rest) = line.split_once("${")?;
    let (name, _) = rest.split_once('}').filter(|(name, _)| is_name(name))?;
    let form = format!("${{{name}}}");
    let user = variables(container)
        .iter()
        .find(|v| v.value.as_deref().is_some_and(|value| value.contains(&form)))?;
    Some(Provided::new(
        format!("{} contains {form}, which Kubernetes does not expand", user.name),
        format!("write $({name}) in {}, and define {name} before it in env", user.name),
    ))
}

/// What stands in quotes in a line.
fn quoted(line: &str) -> Vec<&str> {
    ['"', '\'', '`']
        .iter()
        .flat_map(|quote| line.split(*quote).skip(1).step_by(2))
        .collect()
}

/// A value with a line break or blanks around it.
fn padded(view: &View<'_>, needs: &mut Needs, container: &ContainerView<'_>, line: &str) -> Option<Provided> {
    let bare = |text: &str| {
        let mut text = text.trim();
        while let Some(rest) = ["\\n", "\\r", "\\t"].iter().find_map(|end| text.strip_suffix(end)) {
            text = rest.trim_end();
        }
        text.to_owned()
    };
    let shown: Vec<String> = quoted(line)
        .into_iter()
        .filter(|text| bare(text) != *text && !bare(text).is_empty())
        .map(bare)
        .collect();
    if shown.is_empty() {
        return None;
    }
    let is_padded = |v: &&EnvVar| {
        v.value
            .as_deref()
            .is_some_and(|value| value.trim() != value && shown.contains(&value.trim().to_owned()))
    };
    if let Some(own) = variables(container).iter().find(is_padded) {
        return Some(Provided::new(
            format!("the value of {} in env has blanks or a line break around it", own.name),
            format!("write the value of {} without them", own.name),
        ));
    }
    let known = Environment::of(view, container, Some(&mut *needs)).known;
    let from_map = known.iter().find_map(|v| match &v.origin {
        Origin::ConfigMap { name, key } if shown.contains(&v.value) => Some((v.name.as_str(), name, key)),
        _ => None,
    });
    if let Some((variable, map, key)) = from_map {
        return Some(
            Provided::new(
                format!("{variable} comes from key {key} of ConfigMap {map}, whose value has blanks or a line break around it"),
                format!("write key {key} of ConfigMap {map} without them (| keeps the last line break, |- does not)"),
            )
            .by(ObjectRef::new(&kind::CONFIG_MAP, &namespace(container), map), key),
        );
    }
    let of_secret = |v: &&EnvVar| line.contains(v.name.as_str()) && v.value_from.as_ref().is_some_and(|from| from.secret_key_ref.is_some());
    let variable = variables(container).iter().find(of_secret)?;
    let reference = variable.value_from.as_ref()?.secret_key_ref.as_ref()?;
    Some(
        Provided::new(
            format!("{} comes from key {} of Secret {}", variable.name, reference.key, reference.name),
            "write the value into the Secret without blanks or a line break around it (echo -n, --from-literal)",
        )
        .likely()
        .by(
            ObjectRef::new(&kind::SECRET, &namespace(container), &reference.name),
            &reference.key,
        ),
    )
}

/// An empty value: of the only variable that is empty, or of the one that the line names.
fn empty(container: &ContainerView<'_>, line: &str) -> Option<Provided> {
    let shows_empty = ["''", "\"\""].iter().any(|quotes| line.contains(quotes));
    let is_empty = |v: &&EnvVar| v.value_from.is_none() && v.value.as_deref().unwrap_or_default().trim().is_empty();
    let all: Vec<&EnvVar> = variables(container).iter().filter(is_empty).collect();
    let named = all.iter().find(|v| names(line).contains(&v.name.as_str()));
    let variable = named.or_else(|| all.first().filter(|_| shows_empty && all.len() == 1))?;
    let provided = Provided::new(
        format!("{} is set to an empty value in env", variable.name),
        format!(
            "give {} a value, or remove it from env so that the default of the program holds",
            variable.name
        ),
    );
    Some(if named.is_some() { provided } else { provided.likely() })
}

/// Names of variables in capitals that a line has.
fn names(line: &str) -> Vec<&str> {
    line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| word.len() >= 4 && word.contains('_') && !word.starts_with(|c: char| c.is_ascii_digit() || c == '_'))
        .filter(|word| word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'))
        .collect()
}

/// What programs say of a variable that they miss; words such as `missing` alone are said of anything.
const UNSET: Words = Words(
    "keyerror, not set, must be set, unset, parameter null, required key, environment variable, env var, in environment, \
     in the environment",
);

/// A variable that the line misses: it comes from an optional key that is not there, has another name, or is not in the spec.
fn unset(view: &View<'_>, needs: &mut Needs, container: &ContainerView<'_>, line: &str) -> Option<Provided> {
    let name = UNSET.occur_in(&line.to_lowercase()).then(|| names(line).into_iter().next())??;
    let namespace = namespace(container);
    if let Some(variable) = variables(container).iter().find(|v| v.name == name) {
        let reference = variable.value_from.as_ref()?.config_map_key_ref.as_ref()?;
        let is_there = data(view, &namespace, &reference.name, Some(&mut *needs)).map(|data| data.contains_key(&reference.key));
        let object = ObjectRef::new(&kind::CONFIG_MAP, &namespace, &reference.name);
        let is_missing = is_there == Some(false) || view.snapshot.is_absent(&object);
        return (reference.optional == Some(true) && is_missing).then(|| {
            Provided::new(
                format!(
                    "{name} comes from key {} of ConfigMap {}, which is not there, and the reference is optional",
                    reference.key, reference.name
                ),
                format!("add the key {} to ConfigMap {}", reference.key, reference.name),
            )
            .by(object, &reference.key)
        });
    }
    let sources = container.spec.env_from.as_deref().unwrap_or_default();
    let known = Environment::of(view, container, Some(&mut *needs)).known;
    let own = variables(container).iter().map(|v| v.name.as_str());
    let spelled = own
        .chain(known.iter().map(|v| v.name.as_str()))
        .find(|other| near::distance(&other.to_uppercase().replace(['-', '.'], "_"), name) <= 1);
    if let Some(other) = spelled {
        return Some(
            Provided::new(
                format!("the container sets {other}, and not {name}"),
                format!("rename the variable {other} to {name}"),
            )
            .likely(),
        );
    }
    // The keys of a Secret are not read: it may have it, or not.
    let from = sources
        .iter()
        .filter_map(|s| s.secret_ref.as_ref())
        .map(|s| format!("Secret {}", s.name))
        .next();
    let (why, fix) = match from {
        Some(secret) => (
            format!("env does not set {name}, and {secret} of envFrom does not give it either"),
            format!("add {name} to env, or the key {name} to {secret}"),
        ),
        None => (
            format!("the spec of the container does not set {name}"),
            format!("set {name} in env"),
        ),
    };
    Some(Provided::new(why, fix).likely())
}
