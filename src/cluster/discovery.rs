//! What the API server serves: its version, and kinds that podlife has no table entry for.

use futures::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cluster::Connection;
use crate::cluster::error::{About, ApiError};
use crate::cluster::read::{decode, escape};
use crate::cluster::request::Call;
use crate::model::kind;
use crate::model::kind::Kind;

/// All groups in one answer where the server can (1.26 and later), else what servers always could.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
                          application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";

/// `GET /version`, as far as people ask for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServerVersion {
    /// `1`
    pub major: String,
    /// `34`, or `34+` from some vendors.
    pub minor: String,
    /// `v1.34.1`
    pub git_version: String,
    /// Commit of the build.
    pub git_commit: String,
    /// RFC 3339.
    pub build_date: String,
    /// `go1.24.6`
    pub go_version: String,
    /// `linux/amd64`
    pub platform: String,
}

/// One resource type and its other names.
#[derive(Debug)]
struct Resource {
    kind: Kind,
    singular: String,
    short: Vec<String>,
    /// Whether its version is the one the group prefers.
    preferred: bool,
}

/// Everything that discovery found, in the server's order.
#[derive(Debug, Default)]
pub(super) struct Resources {
    all: Vec<Resource>,
    /// Why some group could not be read.
    failure: Option<ApiError>,
}

impl Resource {
    /// Whether kubectl would understand `name` as this type.
    fn is_named(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        let (first, rest) = name.split_once('.').unwrap_or((&name, ""));
        let known = first == self.kind.plural
            || first == self.singular
            || first == self.kind.singular()
            || self.short.iter().any(|short| short == first);
        let qualified = match rest {
            "" => self.preferred,
            rest if rest == self.kind.group => self.preferred,
            rest if self.kind.group.is_empty() => rest == self.kind.version,
            rest => rest == format!("{}.{}", self.kind.version, self.kind.group),
        };
        known && qualified
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(text).collect()
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The types of an `APIGroupDiscoveryList`.
fn aggregated(list: &Value) -> Vec<Resource> {
    let mut all = Vec::new();
    for group in items(&list["items"]) {
        for (index, version) in items(&group["versions"]).enumerate() {
            all.extend(items(&version["resources"]).map(|resource| Resource {
                kind: Kind {
                    group: text(&group["metadata"]["name"]).into(),
                    version: text(&version["version"]).into(),
                    kind: text(&resource["responseKind"]["kind"]).into(),
                    plural: text(&resource["resource"]).into(),
                    namespaced: resource["scope"] == "Namespaced",
                },
                singular: text(&resource["singularResource"]).to_lowercase(),
                short: texts(&resource["shortNames"]),
                preferred: index == 0,
            }));
        }
    }
    all
}

/// The types of an `APIResourceList`.
fn listed(list: &Value, group: &str, version: &str, preferred: bool) -> Vec<Resource> {
    items(&list["resources"])
        // A name with a slash is a subresource.
        .filter(|resource| !text(&resource["name"]).contains('/'))
        .map(|resource| Resource {
            kind: Kind {
                group: group.to_owned().into(),
                version: version.to_owned().into(),
                kind: text(&resource["kind"]).into(),
                plural: text(&resource["name"]).into(),
                namespaced: resource["namespaced"] == true,
            },
            singular: text(&resource["singularName"]).to_lowercase(),
            short: texts(&resource["shortNames"]),
            preferred,
        })
        .collect()
}

impl Connection {
    async fn document(&self, path: String, accept: &'static str, doing: &str) -> Result<Value, ApiError> {
        let about = About {
            doing: doing.to_owned(),
            verb: "get",
            ..About::default()
        };
        let call = Call {
            accept,
            ..Call::get(path, about.clone())
        };
        decode(&about, &self.inner.transport.call(&call).await?.body)
    }

    /// Asks the API server for its version (`GET /version`).
    pub async fn server_version(&self) -> Result<ServerVersion, ApiError> {
        let doing = "reading the version of the API server";
        let value = self.document("/version".to_owned(), crate::cluster::request::JSON, doing).await?;
        let about = About {
            doing: doing.to_owned(),
            ..About::default()
        };
        serde_json::from_value(value)
            .map_err(|error| ApiError::of(&about, crate::cluster::ApiErrorKind::Decode, format!("odd answer: {error}")))
    }

    /// Finds a kind by any name that kubectl takes: plural, singular, kind or short name, each also with `.group` or
    /// `.version.group`. Names of the table of [`kind`] cost no request; the first other name costs two (aggregated
    /// discovery) or, on servers before 1.26, one per group.
    pub async fn find_kind(&self, name: &str) -> Result<Option<Kind>, ApiError> {
        if let Some(known) = kind::named(name) {
            return Ok(Some(known.clone()));
        }
        let found = self.inner.discovery.get_or_try_init(|| self.discover()).await?;
        match found.all.iter().find(|resource| resource.is_named(name)) {
            Some(resource) => Ok(Some(resource.kind.clone())),
            None => match &found.failure {
                // It may well be in the group that did not answer.
                Some(failure) => Err(failure.clone()),
                None => Ok(None),
            },
        }
    }

    /// Whether the API server has this type at all, whatever the user may do with it. Costs two requests, once.
    pub async fn serves(&self, kind: &Kind) -> Result<bool, ApiError> {
        let found = self.inner.discovery.get_or_try_init(|| self.discover()).await?;
        Ok(found
            .all
            .iter()
            .any(|resource| resource.kind.group == kind.group && resource.kind.plural == kind.plural))
    }

    async fn discover(&self) -> Result<Resources, ApiError> {
        const DOING: &str = "finding out which resource types there are";
        let (core, groups) = futures::join!(
            self.document("/api".to_owned(), AGGREGATED, DOING),
            self.document("/apis".to_owned(), AGGREGATED, DOING),
        );
        let (core, groups) = (core?, groups?);
        let mut found = Resources::default();
        let mut documents = Vec::new();
        match core["kind"] == "APIGroupDiscoveryList" {
            true => found.all.extend(aggregated(&core)),
            false => documents.extend(items(&core["versions"]).map(|version| (String::new(), text(version), true))),
        }
        match groups["kind"] == "APIGroupDiscoveryList" {
            true => found.all.extend(aggregated(&groups)),
            false => {
                for group in items(&groups["groups"]) {
                    let preferred = &group["preferredVersion"]["version"];
                    let versions = items(&group["versions"]).map(|version| &version["version"]);
                    documents.extend(versions.map(|version| (text(&group["name"]), text(version), version == preferred)));
                }
            }
        }
        let read = documents.into_iter().map(|(group, version, preferred)| async move {
            let path = match group.is_empty() {
                true => format!("/api/{}", escape(&version)),
                false => format!("/apis/{}/{}", escape(&group), escape(&version)),
            };
            let list = self.document(path, crate::cluster::request::JSON, DOING).await?;
            Ok::<_, ApiError>(listed(&list, &group, &version, preferred))
        });
        for outcome in join_all(read).await {
            match outcome {
                Ok(resources) => found.all.extend(resources),
                Err(error) => found.failure = found.failure.or(Some(error)),
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rollouts(version: &str, preferred: bool) -> Resource {
        let list = json!({"resources": [
            {"name": "rollouts", "singularName": "rollout", "kind": "Rollout", "namespaced": true, "shortNames": ["ro"]},
            {"name": "rollouts/status", "kind": "Rollout", "namespaced": true},
        ]});
        let mut all = listed(&list, "argoproj.io", version, preferred);
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    #[test]
    fn kubectls_names_are_understood() {
        let resource = rollouts("v1alpha1", true);
        for name in [
            "rollouts",
            "rollout",
            "Rollout",
            "ro",
            "rollouts.argoproj.io",
            "ro.v1alpha1.argoproj.io",
        ] {
            assert!(resource.is_named(name), "{name}");
        }
        for name in ["rollouts.example.org", "rollouts.v1.argoproj.io", "roll"] {
            assert!(!resource.is_named(name), "{name}");
        }
    }

    #[test]
    fn another_version_must_be_named() {
        let resource = rollouts("v1alpha1", false);
        assert!(!resource.is_named("rollouts") && !resource.is_named("rollouts.argoproj.io"));
        assert!(resource.is_named("rollouts.v1alpha1.argoproj.io"));
    }
}
