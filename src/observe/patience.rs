//! Says on a terminal what takes long, so that a waiting run does not look as if it hangs.

use std::collections::BTreeSet;

use crate::io::Stream;
use crate::model::dial::Reply;
use crate::model::snapshot::Snapshot;
use crate::text::few;
use crate::view::Need;

/// Names of pods that are written out.
const SHOWN: usize = 3;

/// Says which ports are waited for that have accepted a connection and said nothing: the second look at them takes longer.
pub fn announce(stderr: &Stream, snapshot: &Snapshot, needs: &BTreeSet<Need>) {
    if !stderr.is_terminal() {
        return;
    }
    let silent = needs.iter().filter_map(|need| match need {
        Need::Dial(key) if key.again => {
            let dial = snapshot.dial(&key.first())?;
            (dial.inside == Reply::Silent).then(|| format!("port {} of pod/{}", key.port, key.pod))
        }
        _ => None,
    });
    let silent: Vec<String> = silent.collect();
    if !silent.is_empty() {
        stderr.line(&format!(
            "Waiting for an answer on {}: it accepts connections, but has not answered yet",
            few(&silent, SHOWN)
        ));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::model::dial::{Dial, DialKey, Speech};
    use crate::testing::{noon, snapshot};

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn announced(inside: Reply, terminal: bool) -> String {
        let key = DialKey {
            namespace: "shop".into(),
            pod: "api".into(),
            port: 8080,
            speech: Speech::Http,
            path: "/".into(),
            again: false,
        };
        let mut seen = snapshot("{apiVersion: v1, kind: Pod, metadata: {name: api}, spec: {containers: []}}");
        seen.put_dial(Dial {
            key: key.clone(),
            at: noon(),
            address: Reply::TimedOut,
            inside,
        });
        let kept = Kept::default();
        let needs = BTreeSet::from([Need::Dial(DialKey { again: true, ..key })]);
        announce(&Stream::new(Box::new(kept.clone()), terminal, None), &seen, &needs);
        let bytes = kept.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_second_dial_of_a_silent_port_is_announced() {
        let line = announced(Reply::Silent, true);
        assert!(line.starts_with("Waiting for an answer on port 8080 of pod/api: "), "{line}");
        // A refusal is looked at again at once, and a log has the answer alone.
        assert_eq!(announced(Reply::Refused, true) + &announced(Reply::Silent, false), "");
    }
}
