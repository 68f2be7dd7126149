//! The ConfigMaps and Secrets that a pod spec names, with the key where one is named.

use k8s_openapi::api::core::v1::{Container, KeyToPath, PodSpec};

use crate::model::kind;
use crate::model::kind::Kind;

/// A kind of object that holds configuration by key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A ConfigMap.
    ConfigMap,
    /// A Secret.
    Secret,
}

impl Source {
    /// The kind in the API.
    pub fn kind(self) -> Kind {
        match self {
            Self::ConfigMap => kind::CONFIG_MAP,
            Self::Secret => kind::SECRET,
        }
    }

    /// As kubectl names one.
    pub fn singular(self) -> &'static str {
        match self {
            Self::ConfigMap => "configmap",
            Self::Secret => "secret",
        }
    }
}

/// Who needs the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder<'a> {
    /// A container, for its environment.
    Container(&'a str),
    /// A volume of the pod.
    Volume(&'a str),
}

/// A need for an object, or for one of its keys.
#[derive(Clone, Copy, Debug)]
pub struct Reference<'a> {
    /// ConfigMap or Secret.
    pub kind: Source,
    /// Its name.
    pub name: &'a str,
    /// The key that must be there.
    pub key: Option<&'a str>,
    /// Whether the pod starts without it.
    pub optional: bool,
    /// Who needs it.
    pub holder: Holder<'a>,
}

/// Every reference of a pod spec, containers first, in their order.
pub fn references(spec: &PodSpec) -> Vec<Reference<'_>> {
    let init = spec.init_containers.iter().flatten();
    let mut all: Vec<Reference<'_>> = init.chain(&spec.containers).flat_map(of_container).collect();
    for volume in spec.volumes.iter().flatten() {
        let holder = Holder::Volume(&volume.name);
        let own = [
            volume
                .config_map
                .as_ref()
                .map(|s| (Source::ConfigMap, s.name.as_str(), s.items.as_deref(), s.optional)),
            volume.secret.as_ref().map(|s| {
                let name = s.secret_name.as_deref().unwrap_or_default();
                (Source::Secret, name, s.items.as_deref(), s.optional)
            }),
        ];
        let projections = volume.projected.iter().flat_map(|p| p.sources.iter().flatten());
        let projected = projections.flat_map(|projection| {
            // The control plane creates kube-root-ca.crt in every namespace.
            let map = projection.config_map.as_ref().filter(|s| s.name != "kube-root-ca.crt");
            let secret = projection.secret.as_ref();
            [
                map.map(|s| (Source::ConfigMap, s.name.as_str(), s.items.as_deref(), s.optional)),
                secret.map(|s| (Source::Secret, s.name.as_str(), s.items.as_deref(), s.optional)),
            ]
        });
        for (kind, name, items, optional) in own.into_iter().chain(projected).flatten() {
            with_items(&mut all, kind, name, items, optional, holder);
        }
    }
    all.retain(|r| !r.name.is_empty());
    all
}

fn of_container(container: &Container) -> Vec<Reference<'_>> {
    let holder = Holder::Container(&container.name);
    let mut all = Vec::new();
    for source in container.env_from.iter().flatten() {
        if let Some(map) = &source.config_map_ref {
            all.push(Reference {
                kind: Source::ConfigMap,
                name: &map.name,
                key: None,
                optional: map.optional == Some(true),
                holder,
            });
        }
        if let Some(secret) = &source.secret_ref {
            all.push(Reference {
                kind: Source::Secret,
                name: &secret.name,
                key: None,
                optional: secret.optional == Some(true),
                holder,
            });
        }
    }
    for source in container.env.iter().flatten().filter_map(|e| e.value_from.as_ref()) {
        if let Some(map) = &source.config_map_key_ref {
            all.push(Reference {
                kind: Source::ConfigMap,
                name: &map.name,
                key: Some(&map.key),
                optional: map.optional == Some(true),
                holder,
            });
        }
        if let Some(secret) = &source.secret_key_ref {
            all.push(Reference {
                kind: Source::Secret,
                name: &secret.name,
                key: Some(&secret.key),
                optional: secret.optional == Some(true),
                holder,
            });
        }
    }
    all
}

fn with_items<'a>(
    all: &mut Vec<Reference<'a>>,
    kind: Source,
    name: &'a str,
    items: Option<&'a [KeyToPath]>,
    optional: Option<bool>,
    holder: Holder<'a>,
) {
    let reference = Reference {
        kind,
        name,
        key: None,
        optional: optional == Some(true),
        holder,
    };
    all.push(reference);
    let keyed = |item: &'a KeyToPath| Reference {
        key: Some(&item.key),
        ..reference
    };
    all.extend(items.unwrap_or_default().iter().map(keyed));
}

/// What a text says is missing: the object, or a key of it.
#[derive(Debug, PartialEq, Eq)]
pub struct MissingReference<'m> {
    /// ConfigMap or Secret.
    pub kind: Source,
    /// Its name, where the text says it.
    pub name: Option<&'m str>,
    /// The key, where that is what is missing.
    pub key: Option<&'m str>,
}

/// What the kubelet's messages say is missing (`pkg/kubelet/kubelet_pods.go`, `pkg/volume/{configmap,secret,projected}`).
pub fn missing_in(message: &str) -> Vec<MissingReference<'_>> {
    let mut all = Vec::new();
    for (word, kind) in [("configmap", Source::ConfigMap), ("secret", Source::Secret)] {
        // `configmap "app" not found`, also several in brackets; the API server writes `configmaps "app" not found`.
        for opening in [format!("{word} \""), format!("{word}s \"")] {
            for (at, _) in message.match_indices(&opening) {
                let rest = &message[at + opening.len()..];
                if let Some((name, after)) = rest.split_once('"')
                    && after.starts_with(" not found")
                {
                    let name = name.rsplit('/').next().unwrap_or(name);
                    all.push(MissingReference {
                        kind,
                        name: Some(name),
                        key: None,
                    });
                }
            }
        }
    }
    // `couldn't find key databse in ConfigMap shop/app`
    if let Some((_, rest)) = message.split_once("couldn't find key ")
        && let Some((key, of)) = rest.split_once(" in ")
    {
        let mut words = of.split_whitespace();
        let kind = if words.next() == Some("Secret") {
            Source::Secret
        } else {
            Source::ConfigMap
        };
        let name = words.next().and_then(|n| n.rsplit('/').next());
        all.push(MissingReference {
            kind,
            name,
            key: Some(key),
        });
    }
    for (opening, kind) in [
        ("references non-existent config key: ", Source::ConfigMap),
        ("references non-existent secret key: ", Source::Secret),
    ] {
        if let Some((_, key)) = message.split_once(opening) {
            let key = key.split([',', ']', ' ']).next().unwrap_or(key);
            all.push(MissingReference {
                kind,
                name: None,
                key: Some(key),
            });
        }
    }
    all
}

/// Whether a text of the kubelet speaks of a ConfigMap or Secret: the rule on configuration names the object.
pub fn names_an_object(message: &str) -> bool {
    !missing_in(message).is_empty()
}
