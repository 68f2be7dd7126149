//! The variables of a container whose values are plain to see, and where each comes from.

use std::collections::BTreeMap;

use kube::ResourceExt;

use crate::facts::listening::servers::Server;
use crate::model::finding::ObjectRef;
use crate::model::kind;
use crate::model::snapshot::Presence;
use crate::text::shell;
use crate::view::{ContainerView, Need, Needs, View};

/// Where a variable's value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It stands in the spec, or is a field of the pod.
    Spec,
    /// A key of a ConfigMap.
    ConfigMap {
        /// The ConfigMap.
        name: String,
        /// The key.
        key: String,
    },
}

/// A variable whose value is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value, with others of the container put in.
    pub value: String,
    /// Where it comes from.
    pub origin: Origin,
}

/// The variables of a container.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// Those whose values are known, the last setting of each name.
    pub known: Vec<Variable>,
    hidden: Vec<String>,
    hides_any: bool,
}

impl Environment {
    /// Reads what the spec says. The content of ConfigMaps that variables come from is asked for where there are `needs`.
    pub fn of(view: &View<'_>, container: &ContainerView<'_>, mut needs: Option<&mut Needs>) -> Self {
        let namespace = container.pod.namespace().unwrap_or_default();
        let mut environment = Self::default();
        for source in container.spec.env_from.iter().flatten() {
            let Some(map) = source.config_map_ref.as_ref() else {
                environment.hides_any = true;
                continue;
            };
            let prefix = source.prefix.as_deref().unwrap_or_default();
            match data(view, &namespace, &map.name, needs.as_deref_mut()) {
                Some(data) => {
                    for (key, value) in data {
                        environment.set(
                            &format!("{prefix}{key}"),
                            value,
                            Origin::ConfigMap {
                                name: map.name.clone(),
                                key: key.clone(),
                            },
                        );
                    }
                }
                None => environment.hides_any = true,
            }
        }
        for variable in container.spec.env.iter().flatten() {
            if let Some(value) = &variable.value {
                let value = environment.expand(value);
                environment.set(&variable.name, &value, Origin::Spec);
                continue;
            }
            let Some(from) = &variable.value_from else {
                environment.set(&variable.name, "", Origin::Spec);
                continue;
            };
            if let Some(address) = from.field_ref.as_ref().and_then(|field| pod_address(container, &field.field_path)) {
                environment.set(&variable.name, &address, Origin::Spec);
                continue;
            }
            let of_map = from.config_map_key_ref.as_ref().and_then(|r| {
                let value = data(view, &namespace, &r.name, needs.as_deref_mut())?.get(&r.key)?;
                Some((r, value))
            });
            match of_map {
                Some((reference, value)) => environment.set(
                    &variable.name,
                    value,
                    Origin::ConfigMap {
                        name: reference.name.clone(),
                        key: reference.key.clone(),
                    },
                ),
                None => environment.hidden.push(variable.name.clone()),
            }
        }
        environment
    }

    fn set(&mut self, name: &str, value: &str, origin: Origin) {
        self.known.retain(|known| known.name != name);
        // Of a ConfigMap only what says where to listen is kept: an empty value may hold anything.
        if value.is_empty() && origin != Origin::Spec {
            return;
        }
        self.known.push(Variable {
            name: name.to_owned(),
            value: value.to_owned(),
            origin,
        });
    }

    /// Names and values.
    pub fn pairs(&self) -> Vec<(String, String)> {
        self.known.iter().map(|v| (v.name.clone(), v.value.clone())).collect()
    }

    /// Puts in the variables that a text names: `$(NAME)`, and the shell's forms.
    pub fn expand(&self, text: &str) -> String {
        if text.contains('$') {
            shell::expand(text, &self.pairs())
        } else {
            text.to_owned()
        }
    }

    /// Whether a variable whose value is unknown here may set the server's address.
    pub fn hides(&self, server: &Server) -> bool {
        let names = || server.variables.iter().map(|(name, _)| name);
        names().any(|name| self.hidden.contains(name)) || (self.hides_any && names().next().is_some())
    }
}

/// The pod's own address, or its node's, where a variable takes it from the status.
fn pod_address(container: &ContainerView<'_>, path: &str) -> Option<String> {
    let status = container.pod.status.as_ref()?;
    match path {
        "status.podIP" | "status.podIPs" => status.pod_ip.clone(),
        "status.hostIP" => status.host_ip.clone(),
        _ => None,
    }
}

/// What is kept of a ConfigMap's content; none where it was not read.
pub(crate) fn data<'a>(view: &View<'a>, namespace: &str, name: &str, needs: Option<&mut Needs>) -> Option<&'a BTreeMap<String, String>> {
    let snapshot = view.snapshot;
    if snapshot.config_map_keys(namespace, name).is_none() {
        if let Some(needs) = needs
            && snapshot.presence(&kind::CONFIG_MAP, namespace, name) != Presence::Absent
        {
            needs.need(Need::Object(ObjectRef::new(&kind::CONFIG_MAP, namespace, name)));
        }
        return None;
    }
    let maps = &snapshot.objects.config_maps;
    maps.iter()
        .find(|map| map.name_any() == name && map.namespace().as_deref() == Some(namespace))?
        .data
        .as_ref()
}
