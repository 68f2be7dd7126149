//! The ConfigMaps and Secrets that a pod spec names, with the key where one is named.

use k8s_openapi::api::core::v1::{Container, KeyToPath, PodSpec};

use crate::model::kind::{self, Kind};

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
            // The root certificate that every namespace gets is the control plane's affair.
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
