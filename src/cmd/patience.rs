//! What takes long is said on a terminal, so that nobody takes a run that waits for one that hangs.

use std::collections::BTreeSet;

use super::reach::SLOW_ANSWER;
use crate::io::Stream;
use crate::model::dial::Reply;
use crate::model::snapshot::Snapshot;
use crate::model::text::few;
use crate::rules::Need;

/// Names of pods that are written out; more make a line that nobody reads.
const SHOWN: usize = 3;

/// Says which ports are waited for that have accepted a connection and said nothing: the second look at them takes longer.
pub fn tell(stderr: &Stream, snapshot: &Snapshot, needs: &BTreeSet<Need>) {
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
            "Waiting up to {} s for an answer on {}: a connection is accepted there, and nothing is said",
            SLOW_ANSWER.as_secs(),
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
    use crate::rules::testing::{noon, snapshot};

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

    fn told(inside: Reply, terminal: bool) -> String {
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
        tell(&Stream::new(Box::new(kept.clone()), terminal, None), &seen, &needs);
        let bytes = kept.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_second_look_at_a_port_that_is_silent_is_told_to_who_watches() {
        let line = told(Reply::Silent, true);
        assert!(
            line.starts_with("Waiting up to 10 s for an answer on port 8080 of pod/api: "),
            "{line}"
        );
        // A refusal is looked at again at once, and a log has the answer alone.
        assert_eq!(told(Reply::Refused, true) + &told(Reply::Silent, false), "");
    }
}
