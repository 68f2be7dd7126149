//! What one round of questions leaves out: a large scope must not cost more than a person waits for, and what is not looked at is named.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::model::dial::{Dial, DialKey, Reply};
use crate::model::snapshot::{Snapshot, Unchecked, UncheckedKind};
use crate::view::Need;

/// Dials of one round at most; in a larger scope the rest is named as unchecked.
const MOST_DIALS: usize = 60;
/// Certificates of one round at most that are looked at.
const MOST_CERTIFICATES: usize = 20;
/// Pods of one round at most that are looked into by running a command.
const MOST_LOOKS: usize = 20;
/// Logs of ready containers in one round at most.
const MOST_RECENT_LOGS: usize = 50;

/// The dials of a round that are made: one port of each pod comes before a second one of any.
fn kept_dials(wanted: &[Need]) -> BTreeSet<DialKey> {
    let mut seen: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut ranked: Vec<(usize, &DialKey)> = Vec::new();
    for need in wanted {
        if let Need::Dial(key) = need {
            let of_pod = seen.entry((&key.namespace, &key.pod)).or_default();
            ranked.push((*of_pod, key));
            *of_pod += 1;
        }
    }
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().take(MOST_DIALS).map(|(_, key)| key.clone()).collect()
}

/// A dial that nobody made.
pub(crate) fn untried(key: &DialKey, at: Timestamp) -> Dial {
    Dial {
        key: key.clone(),
        at,
        address: Reply::Untried,
        inside: Reply::Untried,
    }
}

/// Keeps so many dials, looks inside and logs of ready containers as one round makes, and notes the others as not made.
pub(crate) fn leave_out(snapshot: &mut Snapshot, wanted: &mut Vec<Need>) {
    let kept = kept_dials(wanted);
    let (mut dials, mut looks, mut certificates, mut logs) = (0, 0, 0, 0);
    wanted.retain(|need| match need {
        Need::Dial(key) => {
            dials += 1;
            let is_kept = kept.contains(key);
            if !is_kept {
                snapshot.put_dial(untried(key, snapshot.taken_at));
            }
            is_kept
        }
        Need::Certificate(_) => {
            certificates += 1;
            certificates <= MOST_CERTIFICATES
        }
        Need::Sockets(namespace, pod) => {
            looks += 1;
            if looks > MOST_LOOKS {
                snapshot.put_sockets(namespace, pod, None);
            }
            looks <= MOST_LOOKS
        }
        Need::RecentLog(key) => {
            logs += 1;
            if logs > MOST_RECENT_LOGS {
                snapshot.put_recent_log(key.clone(), None);
            }
            logs <= MOST_RECENT_LOGS
        }
        _ => true,
    });
    if logs > MOST_RECENT_LOGS {
        snapshot.unchecked.insert(Unchecked::without_right(
            UncheckedKind::Logs,
            format!("logs of {} more ready containers", logs - MOST_RECENT_LOGS),
            format!("more than {MOST_RECENT_LOGS} at once; name a workload to have its log read"),
        ));
    }
    if dials > MOST_DIALS {
        snapshot.unchecked.insert(Unchecked::without_right(
            UncheckedKind::Dials,
            format!("{} more ports by dialling", dials - MOST_DIALS),
            format!("more than {MOST_DIALS} at once; name a workload to have its ports checked"),
        ));
    }
    if certificates > MOST_CERTIFICATES {
        snapshot.unchecked.insert(Unchecked::without_right(
            UncheckedKind::Dials,
            format!("{} more certificates of Ingresses by dialling", certificates - MOST_CERTIFICATES),
            format!("more than {MOST_CERTIFICATES} at once; name an Ingress to have its certificates checked"),
        ));
    }
    if looks > MOST_LOOKS {
        snapshot.unchecked.insert(Unchecked::without_right(
            UncheckedKind::Sockets,
            format!("listening sockets of {} more pods", looks - MOST_LOOKS),
            format!("more than {MOST_LOOKS} at once; name a workload to have its pods checked"),
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::dial::Speech;
    use crate::model::snapshot::LogKey;

    #[test]
    fn one_port_of_each_pod_comes_before_a_second_one_of_any() {
        let key = |pod: usize, port: u16| DialKey {
            namespace: "shop".into(),
            pod: format!("p{pod:03}"),
            port,
            speech: Speech::Http,
            path: "/".into(),
            again: false,
        };
        let needs: BTreeSet<Need> = (0..50).flat_map(|pod| [1, 2, 3].map(|port| Need::Dial(key(pod, port)))).collect();
        let needs: Vec<Need> = needs.into_iter().collect();
        let kept = kept_dials(&needs);
        assert_eq!(kept.len(), MOST_DIALS);
        assert!((0..50).all(|pod| kept.contains(&key(pod, 1))), "{kept:?}");
        // The rest is named.
        let mut snapshot = Snapshot::new(Timestamp::UNIX_EPOCH, false);
        let mut wanted = needs.clone();
        leave_out(&mut snapshot, &mut wanted);
        assert_eq!(wanted.len(), MOST_DIALS);
        assert_eq!(snapshot.dials().count(), needs.len() - MOST_DIALS);
        assert!(
            snapshot.unchecked.iter().any(|u| u.what.starts_with("90 more ports")),
            "{:?}",
            snapshot.unchecked
        );
    }

    #[test]
    fn logs_of_ready_containers_are_bounded() {
        let key = |pod: usize| LogKey {
            namespace: "shop".into(),
            pod: format!("p{pod:03}"),
            container: "c".into(),
            previous: false,
        };
        let mut snapshot = Snapshot::new(Timestamp::UNIX_EPOCH, false);
        let mut wanted: Vec<Need> = (0..60).map(|pod| Need::RecentLog(key(pod))).collect();
        leave_out(&mut snapshot, &mut wanted);
        assert_eq!(wanted.len(), MOST_RECENT_LOGS);
        assert_eq!(snapshot.recent_log(&key(59)), Some(None));
        assert!(snapshot.unchecked.iter().any(|u| u.what == "logs of 10 more ready containers"));
    }
}
