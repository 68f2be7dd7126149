//! Which capability or user a refused system call needs.

use serde_json::json;

use crate::facts::listening::{command, hints};
use crate::facts::log_line::port_in;
use crate::facts::provided::paths::paths_in;
use crate::facts::provided::spec::{Provided, patch_container, patch_pod, pod_security, user};
use crate::text::Words;
use crate::view::{ContainerView, View};

/// What container runtimes give to root unless the spec drops it.
const DEFAULT: Words = Words(
    "CHOWN, DAC_OVERRIDE, FSETID, FOWNER, MKNOD, NET_RAW, SETGID, SETUID, SETFCAP, SETPCAP, NET_BIND_SERVICE, SYS_CHROOT, KILL, \
     AUDIT_WRITE",
);

/// What a line about a refused call says, and the capability that the call needs.
const CALLS: [(Words, &str); 9] = [
    (Words("chown, changing ownership, change ownership, change owner"), "CHOWN"),
    (Words("chmod, changing permissions, utime, setting times"), "FOWNER"),
    (Words("setgroups, setgid, initgroups, setegid"), "SETGID"),
    (
        Words("setuid, seteuid, failed switching to, su-exec, cannot set user, can't set user"),
        "SETUID",
    ),
    (Words("bind, listen"), "NET_BIND_SERVICE"),
    (
        Words("iptables, ip6tables, nftables, netlink, rtnetlink, tun, tap, ip link, ip route"),
        "NET_ADMIN",
    ),
    (Words("raw socket, ping, icmp, arping, sock_raw"), "NET_RAW"),
    (Words("mount, umount, unshare, setns, pivot_root"), "SYS_ADMIN"),
    (Words("ptrace, strace"), "SYS_PTRACE"),
];

pub(super) fn of_line(view: &View<'_>, container: &ContainerView<'_>, line: &str) -> Option<Provided> {
    let lower = line.to_lowercase();
    let is_refused = Words("operation not permitted, permission denied, eperm, eacces").occur_in(&lower);
    let words = lower
        .split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-')))
        .filter(|w| !w.is_empty());
    let spoken = format!(" {} ", words.collect::<Vec<_>>().join(" "));
    let named = |phrases: &Words| {
        phrases
            .iter()
            .any(|phrase| spoken.contains(&format!(" {} ", phrase.replace('\'', " "))))
    };
    let (_, capability) = CALLS.iter().find(|(phrases, _)| is_refused && named(phrases))?;
    if *capability == "NET_BIND_SERVICE" {
        let is_socket_file = lower.contains("unix") || !paths_in(line).is_empty();
        let port = || port_in(line).or_else(|| low_port(container).filter(|_| lower.contains("bind")));
        return bind(view, container, port().filter(|_| !is_socket_file)?);
    }
    let uid = user(container);
    if has_capability(container, capability) && (uid == Some(0) || !is_of_root(capability)) {
        return None;
    }
    if let Some(uid) = uid.filter(|uid| *uid != 0 && is_of_root(capability)) {
        let (what, fix) = match *capability {
            "CHOWN" => (
                "change the owner of files",
                "drop the chown: let fsGroup or an init container that runs as root give the files to this user",
            ),
            "FOWNER" => (
                "change files of others",
                "run it as the owner of these files, or give them to this user",
            ),
            _ => (
                "switch to another user",
                "start the program itself as this user, or let the container start as root (runAsUser: 0)",
            ),
        };
        return Some(Provided::new(format!("it runs as uid {uid}, and only root may {what}"), fix));
    }
    let is_dropped = dropped(container, capability);
    let why = match is_dropped {
        true => format!("the call needs the capability {capability}, which securityContext.capabilities drops"),
        false if !DEFAULT.has(capability) => format!("the call needs the capability {capability}, which no container has by default"),
        false => return None,
    };
    let provided = Provided::new(why, format!("add the capability {capability}, where the namespace allows it"));
    let patch = patch_container(view, container, json!({"securityContext": {"capabilities": {"add": [capability]}}}));
    Some(if is_dropped { provided } else { provided.likely() }.command(patch))
}

/// Capabilities of the default set that root has and other users have not, whatever the spec adds: no ambient set hands them on.
fn is_of_root(capability: &str) -> bool {
    matches!(capability, "CHOWN" | "FOWNER" | "SETUID" | "SETGID")
}

/// The port below 1024 that the container declares, is probed on or names in its command, for lines that name none.
fn low_port(container: &ContainerView<'_>) -> Option<u16> {
    let ports = hints::own_ports(container.spec);
    let words: Vec<String> = container
        .spec
        .command
        .iter()
        .chain(&container.spec.args)
        .flatten()
        .cloned()
        .collect();
    let told = command::of_words(&words, &ports).into_iter().filter_map(|told| told.address.port);
    told.chain(ports.clone()).find(|port| *port < 1024)
}

/// A port below 1024 that the user may not open.
fn bind(view: &View<'_>, container: &ContainerView<'_>, port: u16) -> Option<Provided> {
    if port >= 1024 {
        return None;
    }
    let uid = user(container);
    let sysctl = |s: &k8s_openapi::api::core::v1::Sysctl| s.name == "net.ipv4.ip_unprivileged_port_start";
    let is_open = pod_security(container.pod).is_some_and(|s| s.sysctls.iter().flatten().any(sysctl));
    let shares_node = container.pod.spec.as_ref().and_then(|s| s.host_network) == Some(true);
    if uid == Some(0) || uid.is_none() && dropped(container, "NET_BIND_SERVICE") {
        return dropped(container, "NET_BIND_SERVICE").then(|| {
            let patch = patch_container(
                view,
                container,
                json!({"securityContext": {"capabilities": {"add": ["NET_BIND_SERVICE"]}}}),
            );
            Provided::new(
                format!("port {port} is below 1024, and securityContext.capabilities drops NET_BIND_SERVICE"),
                "add the capability NET_BIND_SERVICE, or listen on a port from 1024 on and set it as targetPort of the Service",
            )
            .command(patch)
        });
    }
    let who = uid.map_or_else(|| "the user of its image".to_owned(), |uid| format!("uid {uid}"));
    let why = format!("port {port} is below 1024, and {who} may not open it; a capability does not help a user other than root");
    let own = "listen on a port from 1024 on and set it as targetPort of the Service";
    if shares_node || is_open {
        return (!is_open).then(|| Provided::new(why, own).likely());
    }
    let sysctls = json!({"securityContext": {"sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]}});
    let patch = patch_pod(view, container, &sysctls);
    Some(
        Provided::new(
            why,
            format!("{own}, or let every user open low ports in this pod (sysctl net.ipv4.ip_unprivileged_port_start)"),
        )
        .likely()
        .command(patch),
    )
}

/// Whether root in the container has a capability.
pub(super) fn has_capability(container: &ContainerView<'_>, capability: &str) -> bool {
    let context = container.spec.security_context.as_ref();
    let added = context.and_then(|s| s.capabilities.as_ref()?.add.as_ref());
    context.and_then(|s| s.privileged) == Some(true)
        || names(added, capability)
        || DEFAULT.has(capability) && !dropped(container, capability)
}

/// Whether the spec takes a capability away that it would have by default.
fn dropped(container: &ContainerView<'_>, capability: &str) -> bool {
    let context = container.spec.security_context.as_ref();
    let capabilities = context.filter(|s| s.privileged != Some(true)).and_then(|s| s.capabilities.as_ref());
    capabilities.is_some_and(|c| names(c.drop.as_ref(), capability) && !names(c.add.as_ref(), capability))
}

fn names(list: Option<&Vec<String>>, capability: &str) -> bool {
    list.into_iter().flatten().any(|name| {
        let name = name.to_ascii_uppercase();
        matches!(name.strip_prefix("CAP_").unwrap_or(&name), known if known == capability || known == "ALL")
    })
}
