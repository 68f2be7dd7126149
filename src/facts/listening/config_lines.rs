//! What mounted configuration says about where a container listens.

use k8s_openapi::api::core::v1::{KeyToPath, Volume, VolumeMount};
use kube::ResourceExt;

use crate::facts::listening::bind::BindAddress;
use crate::facts::listening::environment::data;
use crate::facts::listening::servers::Server;
use crate::facts::listening::told::{Told, listeners, of_list};
use crate::facts::listening::{bind, servers};
use crate::model::directive;
use crate::model::directive::{Directive, Meaning};
use crate::model::finding::Confidence;
use crate::view::{ContainerView, Needs, View};

/// What the ConfigMaps that a container mounts tell: the ConfigMap, its key, and what stands there. Their content is asked for where it was
/// not read and there are `needs`.
pub(crate) fn of_container(view: &View<'_>, container: &ContainerView<'_>, mut needs: Option<&mut Needs>) -> Vec<(String, String, Told)> {
    let namespace = container.pod.namespace().unwrap_or_default();
    let volumes = container.pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let mut found = Vec::new();
    for volume in volumes {
        for mount in container.spec.volume_mounts.iter().flatten().filter(|m| m.name == volume.name) {
            for (map, items) in maps(volume) {
                let Some(data) = data(view, &namespace, map, needs.as_deref_mut()) else {
                    continue;
                };
                for (key, text) in data.iter().filter(|(key, _)| is_mounted(key, items, mount)) {
                    found.extend(of_text(key, text).into_iter().map(|told| (map.to_owned(), key.clone(), told)));
                }
            }
        }
    }
    found
}

/// ConfigMaps that every pod gets, and that hold certificates alone.
const CERTIFICATES: [&str; 2] = ["kube-root-ca.crt", "openshift-service-ca.crt"];

/// The ConfigMaps that a volume holds, and the keys of them where it names some.
fn maps(volume: &Volume) -> Vec<(&str, Option<&Vec<KeyToPath>>)> {
    let own = volume.config_map.iter().map(|map| (map.name.as_str(), map.items.as_ref()));
    let projected = volume.projected.iter().flat_map(|p| p.sources.iter().flatten());
    let parts = projected
        .filter_map(|source| source.config_map.as_ref())
        .map(|map| (map.name.as_str(), map.items.as_ref()));
    own.chain(parts).filter(|(name, _)| !CERTIFICATES.contains(name)).collect()
}

/// Whether a key becomes a file that the container sees.
fn is_mounted(key: &str, items: Option<&Vec<KeyToPath>>, mount: &VolumeMount) -> bool {
    let path = match items {
        Some(items) => match items.iter().find(|item| item.key == key) {
            Some(item) => item.path.as_str(),
            None => return false,
        },
        None => key,
    };
    mount
        .sub_path
        .as_deref()
        .filter(|sub| !sub.is_empty())
        .is_none_or(|sub| path == sub || path.starts_with(&format!("{sub}/")))
}

/// What the kept lines of one file tell.
pub(crate) fn of_text(key: &str, text: &str) -> Vec<Told> {
    let directives = directive::directives(text);
    let mut used = Vec::new();
    let mut found: Vec<Told> = Vec::new();
    for (index, directive) in directives.iter().enumerate() {
        if bind::port(&directive.value).is_some() && is_port(directive) {
            continue;
        }
        for part in listeners(&directive.value) {
            let Some(mut address) = of_list(part) else { continue };
            if address.port.is_none()
                && let Some((at, port)) = port_beside(&directives, index)
            {
                used.push(at);
                address.port = Some(port);
            }
            found.push(told(key, directive, address));
        }
    }
    for (index, directive) in directives.iter().enumerate() {
        if let Some(port) = bind::port(&directive.value).filter(|_| !used.contains(&index)) {
            found.push(told(key, directive, BindAddress::of_port(port)));
        }
    }
    found
}

fn told(key: &str, directive: &Directive, address: BindAddress) -> Told {
    let strength = match directive::meaning(&directive.path) {
        Some(Meaning::Sure) => Confidence::Likely,
        _ => Confidence::Possible,
    };
    let value = if bind::port(&directive.value).is_some() {
        directive.value.clone()
    } else {
        bind::shown(&directive.value)
    };
    let detail = format!("{} = {value}", directive.path);
    Told::new(address, server(key, &directive.path), detail, strength)
}

fn is_port(directive: &Directive) -> bool {
    !directive.value.contains([':', '.', ' '])
}

/// The port of the same listener: of the same section, the nearest one that names the same kind.
fn port_beside(directives: &[Directive], of: usize) -> Option<(usize, u16)> {
    let parent = |path: &str| path.rsplit_once('.').map_or("", |(parent, _)| parent).to_owned();
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    let kind = |path: &str| {
        ["grpc", "https", "http", "admin", "metrics"]
            .into_iter()
            .find(|k| last(path).contains(k))
            .unwrap_or_default()
    };
    let own = &directives[of].path;
    directives
        .iter()
        .enumerate()
        .filter(|(_, other)| is_port(other) && parent(&other.path) == parent(own) && kind(&other.path) == kind(own))
        .filter_map(|(at, other)| Some((at, bind::port(&other.value)?)))
        .min_by_key(|(at, _)| at.abs_diff(of))
}

/// The server that a setting belongs to, or else a file.
fn server(key: &str, path: &str) -> Option<&'static Server> {
    let (key, path) = (key.to_ascii_lowercase(), path.to_ascii_lowercase());
    let by_path = servers::all().find(|server| server.settings.iter().any(|start| path.starts_with(start)));
    by_path.or_else(|| servers::all().find(|server| server.files.iter().any(|part| key.contains(part))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::listening::hints;
    use crate::model::snapshot::Snapshot;
    use crate::testing::snapshot;
    use crate::view::{Need, Options, containers};

    fn shown(key: &str, text: &str) -> Vec<String> {
        of_text(key, &directive::kept(key, text)).iter().map(Told::shown).collect()
    }

    #[test]
    fn files_of_servers() {
        for (key, text, expected) in [
            (
                "nginx.conf",
                "http { server { listen 127.0.0.1:80; } }\nlisten 127.0.0.1:8080;",
                "nginx 127.0.0.1:8080",
            ),
            ("default.conf", "server {\n listen 80;\n}", "port 80"),
            ("redis.conf", "bind 127.0.0.1 ::1\nport 6379\n", "Redis 127.0.0.1:6379"),
            ("redis.conf", "bind * -::*\nport 6379\n", "Redis [::]:6379"),
            (
                "postgresql.conf",
                "listen_addresses = 'localhost'\nport = 5432\n",
                "PostgreSQL 127.0.0.1:5432",
            ),
            (
                "application.properties",
                "server.address=127.0.0.1\nserver.port=8080\nmanagement.server.port=8081\n",
                "Spring Boot 127.0.0.1:8080 port 8081",
            ),
            (
                "application.yaml",
                "server:\n  address: 127.0.0.1\n  port: 8080\n",
                "Spring Boot 127.0.0.1:8080",
            ),
            ("config.yaml", "host: localhost\nport: 8080\n", "127.0.0.1:8080?"),
            ("config.toml", "[server]\nhost = \"127.0.0.1\"\nport = 8080\n", "127.0.0.1:8080"),
            (
                "loki.yaml",
                "server: {http_listen_address: 127.0.0.1, http_listen_port: 3100, grpc_listen_port: 9095}\n",
                "127.0.0.1:3100 port 9095",
            ),
            (
                "envoy.yaml",
                "admin: {address: {socket_address: {address: 127.0.0.1, port_value: 9901}}}\nstatic_resources: {listeners: [{address: {socket_address: {address: 0.0.0.0, port_value: 8080}}}]}\n",
                "Envoy 127.0.0.1:9901 Envoy 0.0.0.0:8080",
            ),
            (
                "server.properties",
                "listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://:9093\n",
                "127.0.0.1:9092 port 9093",
            ),
        ] {
            assert_eq!(shown(key, text).join(" "), expected, "{key}: {text}");
        }
    }

    fn web(read: bool) -> Snapshot {
        let mut snapshot = snapshot(
            "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {volumes: [{name: conf, configMap: {name: web}}, {name: api, projected: {sources: [{configMap: {name: kube-root-ca.crt}}]}}, {name: other, configMap: {name: unused}}],
              containers: [{name: c, image: i, volumeMounts: [{name: conf, mountPath: /etc/web, subPath: web.conf}, {name: api, mountPath: /var/run/secrets}], envFrom: [{configMapRef: {name: vars}}]}]}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: web}, data: {web.conf: 'listen 127.0.0.1:8080;', old.conf: 'listen 127.0.0.1:9090;'}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: vars}, data: {BIND_ADDR: '127.0.0.1:7070', TOKEN: hunter2}}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: unused}, data: {x: 'listen 127.0.0.1:1;'}}
",
        );
        if read {
            for name in ["web", "vars"] {
                snapshot.note_full(crate::model::finding::ObjectRef::new(&crate::model::kind::CONFIG_MAP, "shop", name));
            }
        }
        snapshot
    }

    #[test]
    fn mounted_config_maps_are_requested_and_read() {
        let unread = web(false);
        let view = View::new(&unread, Options::default());
        let container = containers(&unread.objects.pods[0])[0];
        let mut needs = Needs::default();
        assert!(hints::of_container(&view, &container).is_empty());
        assert!(hints::asked_hints(&view, &mut needs, &container).is_empty());
        assert_eq!(needs.into_set().len(), 3, "the two ConfigMaps that it uses, and its log");

        let read = web(true);
        let view = View::new(&read, Options::default());
        let mut needs = Needs::default();
        let found = hints::asked_hints(&view, &mut needs, &containers(&read.objects.pods[0])[0]);
        let places: Vec<String> = found.iter().map(|hint| format!("{} {}", hint.place(), hint.detail)).collect();
        assert_eq!(
            places,
            [
                "configmap/vars key BIND_ADDR BIND_ADDR=127.0.0.1:7070",
                "configmap/web key web.conf listen = 127.0.0.1:8080"
            ]
        );
        assert!(needs.into_set().iter().all(|need| matches!(need, Need::Log(_))));
    }
}
