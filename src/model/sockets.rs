//! Listening sockets of a pod, as `/proc/net/tcp`, `tcp6`, `udp` and `udp6` list them.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The state of a TCP socket that listens (`TCP_LISTEN` of the kernel's `include/net/tcp_states.h`), and of an unconnected UDP socket (`TCP_CLOSE`).
const LISTEN: &str = "0A";
const UNCONNECTED: &str = "07";

/// One socket that takes connections or datagrams.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Socket {
    /// `TCP` or `UDP`.
    pub protocol: String,
    /// The address it is bound to; `::` may or may not take IPv4 connections as well.
    #[schemars(with = "String")]
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// The kernel's number of the socket.
    pub inode: u64,
    /// The container whose process holds it, where that could be seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
}

/// The sockets of one pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodSockets {
    /// Namespace of the pod.
    pub namespace: String,
    /// The pod.
    pub pod: String,
    /// Where it was read: `container api`, `debug container podlife-x`.
    pub seen_from: String,
    /// What listens.
    pub sockets: Vec<Socket>,
}

impl Socket {
    /// Whether only processes of the same pod reach it: 127.0.0.0/8, `::1` and both written as mapped addresses.
    pub fn is_loopback(&self) -> bool {
        is_loopback(self.address)
    }
}

/// Whether an address is one of the loopback interface, mapped ones included.
pub fn is_loopback(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.to_ipv4_mapped().is_some_and(|v4| v4.is_loopback()),
    }
}

/// Reads the text of one or several of the kernel's tables, one after the other. The family is told by the length of the
/// address, and TCP from UDP by the column header: `rem_address` is followed by `ref pointer drops` in UDP tables only.
pub fn parse(text: &str) -> Vec<Socket> {
    let mut sockets = BTreeSet::new();
    let mut udp = false;
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words.first() == Some(&"sl") {
            udp = words.last() == Some(&"drops");
            continue;
        }
        if let Some(socket) = entry(&words, udp) {
            sockets.insert(socket);
        }
    }
    sockets.into_iter().collect()
}

/// `0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 INODE …`
fn entry(words: &[&str], udp: bool) -> Option<Socket> {
    let [_, local, remote, state, _, _, _, _, _, inode, ..] = words else {
        return None;
    };
    let listens = if udp {
        *state == UNCONNECTED && remote.ends_with(":0000")
    } else {
        *state == LISTEN
    };
    let (address, port) = local.split_once(':')?;
    listens.then_some(())?;
    Some(Socket {
        protocol: if udp { "UDP" } else { "TCP" }.to_owned(),
        address: parse_address(address)?,
        port: u16::from_str_radix(port, 16).ok()?,
        inode: inode.parse().ok()?,
        container: None,
    })
}

/// The kernel prints each 32-bit word of an address as it lies in memory; pods run on little-endian machines, where the bytes of each word
/// are in reverse order.
fn parse_address(hex: &str) -> Option<IpAddr> {
    if !hex.is_ascii() {
        return None;
    }
    let mut bytes = Vec::new();
    for word in hex.as_bytes().chunks(8) {
        let number = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        bytes.extend(number.to_le_bytes());
    }
    match hex.len() {
        8 => <[u8; 4]>::try_from(bytes).ok().map(|b| IpAddr::V4(Ipv4Addr::from(b))),
        32 => <[u8; 16]>::try_from(bytes).ok().map(|b| IpAddr::V6(Ipv6Addr::from(b))),
        _ => None,
    }
}

/// The inodes of sockets in the output of `ls -l /proc/*/fd` or `readlink /proc/*/fd/*`: `socket:[12345]`.
pub fn inodes(text: &str) -> BTreeSet<u64> {
    text.split("socket:[")
        .skip(1)
        .filter_map(|rest| rest.split_once(']')?.0.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLES: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11 1 0000000000000000 100 0 0 10 0
   1: 3500007F:0035 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12 1 0000000000000000 100 0 0 10 0
   2: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 13 1 0000000000000000 100 0 0 10 0
   3: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 14 1 0000000000000000 100 0 0 10 0
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000001000000:2382 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 21 1 0 100 0 0 10 0
   1: 00000000000000000000000000000000:01BB 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 22 1 0 100 0 0 10 0
   2: 0000000000000000FFFF00000100007F:1F91 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 23 1 0 100 0 0 10 0
   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  406: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 31 2 0000000000000000 0
  407: 0100007F:9000 0100007F:0035 01 00000000:00000000 00:00000000 00000000     0        0 32 2 0000000000000000 0
";

    #[test]
    fn addresses_are_read_in_the_kernels_byte_order() {
        let found: Vec<String> = parse(TABLES)
            .iter()
            .map(|s| format!("{} {} {} {} {}", s.protocol, s.address, s.port, s.inode, s.is_loopback()))
            .collect();
        assert_eq!(
            found,
            [
                "TCP 0.0.0.0 80 13 false",
                "TCP 127.0.0.1 8080 11 true",
                "TCP 127.0.0.53 53 12 true",
                "TCP :: 443 22 false",
                "TCP ::1 9090 21 true",
                "TCP ::ffff:127.0.0.1 8081 23 true",
                "UDP 0.0.0.0 53 31 false",
            ]
        );
    }

    #[test]
    fn invalid_socket_tables_have_no_sockets() {
        for text in [
            "",
            "cat: can't open '/proc/net/tcp6': No such file or directory",
            "0: zz:1F90 0 0A 0 0 0 0 0 1",
            "0: 0100007F 00000000:0000 0A 0 0 0 0 0 1 1",
            "0: ééé7F:1F90 00000000:0000 0A 0 0 0 0 0 1 1",
        ] {
            assert!(parse(text).is_empty(), "{text}");
        }
    }

    #[test]
    fn sockets_of_processes_are_found_in_their_open_files() {
        let text = "lrwx------ 1 root root 64 Jan 1 00:00 3 -> socket:[11]\nlr-x------ 4 -> /dev/null\n5 -> 'socket:[22]'\nsocket:[x]";
        assert_eq!(inodes(text), [11, 22].into());
    }
}
