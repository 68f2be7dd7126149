//! Address blocks of policies.

use std::net::IpAddr;

use k8s_openapi::api::networking::v1::IPBlock;

/// Whether an address is in the block and in none of its exceptions. An unreadable block holds nothing.
pub fn holds(block: &IPBlock, ip: IpAddr) -> bool {
    contains(&block.cidr, ip) && !block.except.iter().flatten().any(|except| contains(except, ip))
}

/// Whether an address lies in a network, host bits and IPv6 included.
pub fn contains(cidr: &str, ip: IpAddr) -> bool {
    let Some((network, bits)) = cidr.split_once('/') else {
        return false;
    };
    let (Some(network), Ok(bits)) = (address(network), bits.parse::<u32>()) else {
        return false;
    };
    match (network, ip) {
        (IpAddr::V4(network), IpAddr::V4(ip)) if bits <= 32 => {
            let shift = 32 - bits;
            u32::from(network).checked_shr(shift).unwrap_or(0) == u32::from(ip).checked_shr(shift).unwrap_or(0)
        }
        (IpAddr::V6(network), IpAddr::V6(ip)) if bits <= 128 => {
            let shift = 128 - bits;
            u128::from(network).checked_shr(shift).unwrap_or(0) == u128::from(ip).checked_shr(shift).unwrap_or(0)
        }
        _ => false,
    }
}

/// Whether an address may be that of a pod: clusters take those that nobody routes on the internet.
pub fn may_be_of_pod(ip: IpAddr) -> bool {
    const PRIVATE: [&str; 6] = [
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "169.254.0.0/16",
        "fc00::/7",
    ];
    PRIVATE.iter().any(|cidr| contains(cidr, ip))
}

/// An address as the API server reads it: parts of IPv4 may have leading zeros, and they are decimal (`netutils.ParseCIDRSloppy`).
fn address(text: &str) -> Option<IpAddr> {
    if text.contains(':') {
        return text.parse().ok();
    }
    let parts: Option<Vec<u8>> = text.split('.').map(|part| part.parse().ok()).collect();
    parts.and_then(|parts| <[u8; 4]>::try_from(parts).ok()).map(IpAddr::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_their_addresses() {
        for (cidr, ip, expected) in [
            ("10.0.0.0/8", "10.244.1.1", true),
            ("010.000.0.0/8", "10.244.1.1", true),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "fd00::1", false),
            ("10.0.0.1/32", "10.0.0.1", true),
            ("10.0.0.1/32", "10.0.0.2", false),
            ("10.244.0.5/24", "10.244.0.7", true),
            ("fd00::/8", "fd12::1", true),
            ("::/0", "fd12::1", true),
            ("fd00::/8", "10.0.0.1", false),
            ("nonsense", "10.0.0.1", false),
            ("10.0.0/8", "10.0.0.1", false),
            ("10.0.0.0/99", "10.0.0.1", false),
        ] {
            assert_eq!(contains(cidr, ip.parse().unwrap()), expected, "{cidr} {ip}");
        }
    }

    #[test]
    fn exceptions_are_left_out() {
        let block = IPBlock {
            cidr: "10.0.0.0/8".into(),
            except: Some(vec!["10.244.0.0/16".into(), "10.1.0.0/16".into()]),
        };
        for (ip, expected) in [("10.2.0.1", true), ("10.1.0.1", false), ("10.244.0.7", false), ("11.0.0.1", false)] {
            assert_eq!(holds(&block, ip.parse().unwrap()), expected, "{ip}");
        }
    }
}
