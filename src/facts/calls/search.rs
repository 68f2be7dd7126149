//! Names with a search domain behind them. A resolver tries `redis` as `redis.NAMESPACE.svc.cluster.local`, `redis.svc.cluster.local` and
//! `redis.cluster.local`, and busybox's nslookup tells of each by itself, in any order. All of them mean `redis`.

use std::collections::BTreeSet;

use crate::facts::calls::names;
use crate::facts::calls::names::Mention;
use crate::facts::calls::places::Reference;

/// What clusters are called unless someone chose otherwise.
const CLUSTER_DOMAIN: &str = "cluster.local";

/// The host names in a container's configuration, and the search domains of its resolver.
#[derive(Debug)]
pub struct Search {
    namespace: String,
    /// By what its spec says; whether a command does.
    told: Vec<(String, bool)>,
    /// By lines of its log that name them with nothing but the cluster's domain behind them, which no name of the cluster has.
    seen: BTreeSet<String>,
    domains: BTreeSet<String>,
}

impl Search {
    /// What a container of this namespace calls, by its spec and its log.
    pub fn of<'a>(namespace: &str, references: &[Reference], lines: impl Iterator<Item = &'a str>) -> Self {
        let names = references.iter().filter(|r| r.mention.ip().is_none());
        let mut search = Self {
            namespace: namespace.to_owned(),
            told: names.map(|r| (r.mention.host.clone(), r.source == "command")).collect(),
            seen: BTreeSet::new(),
            domains: BTreeSet::from([CLUSTER_DOMAIN.to_owned()]),
        };
        let hosts: BTreeSet<String> = lines
            .flat_map(names::in_line)
            .filter(|m| m.is_certain && m.ip().is_none())
            .map(|m| m.host)
            .collect();
        let in_namespace = format!(".{namespace}.svc.");
        let domains = hosts.iter().filter_map(|host| host.split_once(&in_namespace));
        search.domains.extend(domains.map(|(_, domain)| domain.to_owned()));
        search.seen = hosts.iter().filter_map(|host| search.without_domain(host)).collect();
        search
    }

    /// The name that is meant by one with a search domain behind it; none where it stands for itself.
    pub fn meant(&self, host: &str) -> Option<String> {
        if self.told.iter().any(|(told, _)| told == host) {
            return None;
        }
        let told = self
            .told
            .iter()
            .filter(|(told, by_command)| self.is_search(host, told, *by_command));
        let seen = self.seen.iter().filter(|seen| self.is_search(host, seen, false));
        // The longest: `web.data` before `web`.
        let known = told.map(|(told, _)| told).chain(seen).max_by_key(|name| name.len()).cloned();
        known.or_else(|| self.without_domain(host))
    }

    /// Whether a host is a name with a search domain behind it. Behind the name that a command looks up it may also be one of the node's own.
    fn is_search(&self, host: &str, name: &str, by_command: bool) -> bool {
        let Some(behind) = host.strip_prefix(name).and_then(|rest| rest.strip_prefix('.')) else {
            return false;
        };
        let of_cluster = |domain: &String| {
            let of_services = behind.strip_suffix(domain.as_str()).map(|rest| rest.trim_end_matches('.'));
            of_services.is_some_and(|rest| rest.is_empty() || rest == "svc" || rest == format!("{}.svc", self.namespace))
        };
        self.domains.iter().any(of_cluster) || (by_command && !behind.split('.').any(|label| label == "svc"))
    }

    /// `redis` for `redis.cluster.local` and for `redis.svc.cluster.local`, neither of which the cluster's DNS has.
    fn without_domain(&self, host: &str) -> Option<String> {
        self.domains.iter().find_map(|domain| {
            let rest = host.strip_suffix(domain.as_str())?.strip_suffix('.')?;
            match rest.strip_suffix(".svc") {
                Some(name) => (!name.contains('.')).then(|| name.to_owned()),
                None => (!rest.split('.').any(|label| matches!(label, "svc" | "pod"))).then(|| rest.to_owned()),
            }
        })
    }
}

/// The hosts that a line mentions, without their search domain, and whether they had one.
pub fn in_line(search: &Search, line: &str) -> Vec<(Mention, bool)> {
    names::in_line(line)
        .into_iter()
        .map(|mention| match search.meant(&mention.host) {
            Some(host) => (Mention { host, ..mention }, true),
            None => (mention, false),
        })
        .collect()
}

/// Whether some line shows an address that was found for a Service: `Name: redis.shop.svc.cluster.local`.
pub fn is_answered<'a>(mut lines: impl Iterator<Item = &'a str>, namespace: &str, name: &str) -> bool {
    let found = format!("{name}.{namespace}.svc.");
    lines.any(|line| {
        let answered = line.trim().strip_prefix("Name:").map(str::trim_start);
        answered.is_some_and(|host| host.to_ascii_lowercase().starts_with(&found))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::calls::places::Place;

    fn told(host: &str, source: &str) -> Reference {
        Reference {
            place: Place::Outside(host.to_owned()),
            mention: Mention {
                host: host.to_owned(),
                port: None,
                is_certain: true,
            },
            source: source.to_owned(),
        }
    }

    #[test]
    fn every_search_domain_means_the_same_name() {
        let lines = [
            "** server can't find redis.svc.corp.example: NXDOMAIN",
            "** server can't find redis.shop.svc.corp.example: NXDOMAIN",
            "** server can't find db.data.cluster.local: NXDOMAIN",
        ];
        let command = [
            told("redis", "command"),
            told("api.example.com", "command"),
            told("cache", "env CACHE"),
        ];
        let search = Search::of("shop", &command, lines.into_iter());
        for (host, meant) in [
            ("redis.shop.svc.cluster.local", Some("redis")),
            ("redis.svc.cluster.local", Some("redis")),
            ("redis.cluster.local", Some("redis")),
            ("redis.svc.corp.example", Some("redis")),
            ("redis.corp.example", Some("redis")),
            ("redis.ec2.internal", Some("redis")),
            // Of another namespace it is another Service.
            ("redis.data.svc.cluster.local", None),
            ("redis", None),
            ("redis.data", Some("redis")),
            ("api.example.com", None),
            ("api.example.com.shop.svc.cluster.local", Some("api.example.com")),
            ("api.example.com.ec2.internal", Some("api.example.com")),
            ("cache.svc.cluster.local", Some("cache")),
            ("cache.example.com", None),
            ("db.data.shop.svc.cluster.local", Some("db.data")),
            ("db-0.db.shop.svc.cluster.local", None),
            ("queue.cluster.local", Some("queue")),
            ("queue.shop.svc.cluster.local", None),
            ("10-1-2-3.shop.pod.cluster.local", None),
        ] {
            assert_eq!(search.meant(host).as_deref(), meant, "{host}");
        }
    }

    #[test]
    fn one_answer_among_refusals_counts() {
        let log = "** server can't find redis.svc.cluster.local: NXDOMAIN\n\nName:\tredis.shop.svc.cluster.local\nAddress: 10.96.0.7\n";
        assert!(is_answered(log.lines(), "shop", "redis"));
        assert!(!is_answered(log.lines(), "data", "redis"));
    }
}
