//! A key of a ConfigMap that is given another value: who uses it, and where that can be seen.

use k8s_openapi::api::core::v1::{ConfigMapVolumeSource, PodSpec, Volume};
use serde_json::Value;

use crate::drill::change::Change;
use crate::model::kind;

/// What is corrupted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Corruption {
    pub(crate) map: String,
    pub(crate) key: String,
    pub(crate) value: String,
    /// Whether the pods are replaced, so that they start with it.
    pub(crate) restart: bool,
}

/// A file in the containers of a pod that shows the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) container: String,
    pub(crate) path: String,
}

/// How pods use a key.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Use {
    /// Files that follow the ConfigMap.
    pub(crate) files: Vec<File>,
    /// Whether a variable or a file takes it over when the container starts, and never again.
    pub(crate) at_start: bool,
}

/// The file of a volume in which a ConfigMap's key is.
fn in_volume(volume: &Volume, map: &str, key: &str) -> Option<String> {
    let file = |name: &str, items: Option<&Vec<k8s_openapi::api::core::v1::KeyToPath>>| {
        if name != map {
            return None;
        }
        match items.filter(|items| !items.is_empty()) {
            Some(items) => items.iter().find(|item| item.key == key).map(|item| item.path.clone()),
            None => Some(key.to_owned()),
        }
    };
    let own = |source: &ConfigMapVolumeSource| file(&source.name, source.items.as_ref());
    let projected = volume.projected.iter().flat_map(|p| p.sources.iter().flatten());
    let mut projected = projected.filter_map(|source| source.config_map.as_ref());
    volume
        .config_map
        .as_ref()
        .and_then(own)
        .or_else(|| projected.find_map(|source| file(&source.name, source.items.as_ref())))
}

/// How the containers of a pod use a key of a ConfigMap.
pub(crate) fn used(spec: &PodSpec, map: &str, key: &str) -> Use {
    let mut used = Use::default();
    for container in spec.containers.iter().chain(spec.init_containers.iter().flatten()) {
        let reference = |v: &k8s_openapi::api::core::v1::EnvVar| {
            let of = v.value_from.as_ref()?.config_map_key_ref.as_ref()?;
            (of.name == map && of.key == key).then_some(())
        };
        used.at_start |= container.env.iter().flatten().any(|variable| reference(variable).is_some());
        let sources = container
            .env_from
            .iter()
            .flatten()
            .filter_map(|source| source.config_map_ref.as_ref());
        used.at_start |= sources.into_iter().any(|of| of.name == map);
        for mount in container.volume_mounts.iter().flatten() {
            let volume = spec.volumes.iter().flatten().find(|volume| volume.name == mount.name);
            let Some(file) = volume.and_then(|volume| in_volume(volume, map, key)) else {
                continue;
            };
            if mount.sub_path.is_some() || mount.sub_path_expr.is_some() {
                used.at_start = true;
            } else if spec.containers.iter().any(|other| other.name == container.name) {
                used.files.push(File {
                    container: container.name.clone(),
                    path: format!("{}/{file}", mount.mount_path.trim_end_matches('/')),
                });
            }
        }
    }
    used
}

/// The change of the ConfigMap; the error is a reason to refuse.
pub(crate) fn change(corruption: &Corruption, object: &Value) -> Result<Change, String> {
    let Corruption { map, key, value, .. } = corruption;
    if object["immutable"] == true {
        return Err(format!("configmap/{map} is immutable"));
    }
    if object["data"][key].as_str().is_none() {
        let keys: Vec<String> = object["data"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, _)| key.clone())
            .collect();
        return Err(format!(
            "configmap/{map} has no text key {key}; its keys: {}",
            crate::text::few(&keys, 10)
        ));
    }
    if object["data"][key] == value.as_str() {
        return Err(format!("{key} of configmap/{map} already has this value"));
    }
    Ok(Change::of(&kind::CONFIG_MAP, object, &["data", key], value.as_str().into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_key_is_found_in_variables_and_files() {
        let spec: PodSpec = serde_json::from_value(json!({
            "volumes": [{"name": "a", "configMap": {"name": "settings", "items": [{"key": "mode", "path": "etc/mode"}]}},
                {"name": "b", "projected": {"sources": [{"configMap": {"name": "settings"}}]}},
                {"name": "c", "configMap": {"name": "other"}}],
            "containers": [{"name": "app", "volumeMounts": [
                {"name": "a", "mountPath": "/a/"}, {"name": "b", "mountPath": "/b"}, {"name": "c", "mountPath": "/c"}]}],
        }))
        .unwrap();
        let file = |path: &str| File {
            container: "app".to_owned(),
            path: path.to_owned(),
        };
        let seen = used(&spec, "settings", "mode");
        assert_eq!((seen.files, seen.at_start), (vec![file("/a/etc/mode"), file("/b/mode")], false));
        assert_eq!(used(&spec, "settings", "level").files, [file("/b/level")]);
        assert_eq!(used(&spec, "none", "mode"), Use::default());
        for container in [
            json!({"name": "app", "envFrom": [{"configMapRef": {"name": "settings"}}]}),
            json!({"name": "app", "env": [{"name": "M", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "mode"}}}]}),
            json!({"name": "app", "volumeMounts": [{"name": "a", "mountPath": "/m", "subPath": "etc/mode"}]}),
        ] {
            let mut spec = spec.clone();
            spec.containers = vec![serde_json::from_value(container).unwrap()];
            let seen = used(&spec, "settings", "mode");
            assert!(seen.at_start && seen.files.is_empty());
        }
    }

    #[test]
    fn what_cannot_be_changed_and_put_back_is_refused() {
        let corruption = Corruption {
            map: "settings".to_owned(),
            key: "mode".to_owned(),
            value: "bad".to_owned(),
            restart: false,
        };
        let object = |more: Value| {
            let mut object = json!({"metadata": {"name": "settings", "uid": "u"}, "data": {"mode": "good"}});
            object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            object
        };
        let made = change(&corruption, &object(json!({}))).unwrap();
        assert_eq!(made.request(), "PATCH configmaps/settings: data.mode \"good\" → \"bad\"");
        for (more, why) in [
            (json!({"immutable": true}), "immutable"),
            (json!({"data": {"other": "x"}, "binaryData": {"mode": "AA=="}}), "no text"),
            (json!({"data": {"mode": "bad"}}), "already"),
        ] {
            assert!(change(&corruption, &object(more)).unwrap_err().contains(why));
        }
    }
}
