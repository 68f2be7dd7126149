//! What a gateway counts. No label names a session: there may be any number of them.

use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// One label and its value.
type Label = [(&'static str, &'static str); 1];

/// Seconds of requests: from what a proxy adds to what a slow application takes.
const REQUESTS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Seconds until a pod answers.
const CREATIONS: [f64; 10] = [0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0];

/// What is counted.
pub(super) struct Metrics {
    registry: Registry,
    pods: Gauge,
    sessions: Gauge,
    waiters: Gauge,
    tasks: Gauge,
    leads: Gauge,
    silence: Gauge,
    /// By the first digit of the status, from 1 on.
    requests: [Histogram; 5],
    creation: Family<Label, Histogram, fn() -> Histogram>,
    deletions: Family<Label, Counter>,
    idle_timeouts: Counter,
    failures: Family<Label, Counter>,
    heals: Counter,
    pub(super) retries: Counter,
    pub(super) refused: Counter,
    flushes: Family<Label, Counter>,
    warm: Family<Label, Gauge>,
    claims: Family<Label, Counter>,
    /// Nothing where there is no certificate.
    certificate: Family<[(&'static str, &'static str); 0], Gauge>,
}

/// What is true at one moment.
pub(super) struct Moment {
    /// Sessions with a pod that may answer.
    pub(super) pods: usize,
    pub(super) sessions: usize,
    /// Requests that wait for a session.
    pub(super) waiters: usize,
    /// Connections of clients, and to pods, and what else runs by itself.
    pub(super) tasks: usize,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let requests = Family::<Label, Histogram, _>::new_with_constructor(|| Histogram::new(REQUESTS));
        let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"];
        let mut all = Self {
            registry: Registry::default(),
            pods: Gauge::default(),
            sessions: Gauge::default(),
            waiters: Gauge::default(),
            tasks: Gauge::default(),
            leads: Gauge::default(),
            silence: Gauge::default(),
            requests: classes.map(|class| requests.get_or_create(&[("code", class)]).clone()),
            creation: Family::new_with_constructor(|| Histogram::new(CREATIONS)),
            deletions: Family::default(),
            idle_timeouts: Counter::default(),
            failures: Family::default(),
            heals: Counter::default(),
            retries: Counter::default(),
            refused: Counter::default(),
            flushes: Family::default(),
            warm: Family::default(),
            claims: Family::default(),
            certificate: Family::default(),
        };
        let registry = &mut all.registry;
        registry.register("session_pods_active", "Sessions with a pod that may answer", all.pods.clone());
        registry.register("session_sessions", "Sessions", all.sessions.clone());
        registry.register("session_waiters", "Requests that are waiting for a session", all.waiters.clone());
        registry.register("session_tasks", "Connections and background tasks", all.tasks.clone());
        registry.register("session_leader", "Whether this gateway cleans up", all.leads.clone());
        registry.register(
            "session_watch_interrupted",
            "Whether the watches of records and pods are interrupted",
            all.silence.clone(),
        );
        registry.register(
            "session_request_duration_seconds",
            "Seconds from a request to its response headers, by status class",
            requests,
        );
        registry.register(
            "session_pod_creation_duration_seconds",
            "Seconds until the pod of a new session answered, by phase",
            all.creation.clone(),
        );
        registry.register(
            "session_pod_creation_failures",
            "Sessions that did not become ready, by type of problem",
            all.failures.clone(),
        );
        registry.register("session_pod_deletion", "Pods that were deleted, by reason", all.deletions.clone());
        registry.register(
            "session_idle_timeout",
            "Sessions that were cleaned up because they were idle",
            all.idle_timeouts.clone(),
        );
        registry.register("session_heals", "Pods that were replaced", all.heals.clone());
        registry.register(
            "session_dial_retries",
            "Requests that did not reach their pod at once",
            all.retries.clone(),
        );
        registry.register(
            "session_cap_refusals",
            "Sessions that were refused at the maximum",
            all.refused.clone(),
        );
        registry.register(
            "session_activity_writes",
            "Updates of the last use in records, by result",
            all.flushes.clone(),
        );
        registry.register("session_warm_pods", "Warm pods, by state", all.warm.clone());
        registry.register(
            "session_warm_claims",
            "New sessions, by whether they got a warm pod",
            all.claims.clone(),
        );
        registry.register(
            "session_certificate_expiry_timestamp_seconds",
            "When the certificate of the gateway expires, in seconds since 1970",
            all.certificate.clone(),
        );
        all
    }

    /// Notes an answer, and how long after its request it came.
    pub(super) fn answered(&self, status: http::StatusCode, after: Duration) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(1);
        if let Some(histogram) = self.requests.get(class) {
            histogram.observe(after.as_secs_f64());
        }
    }

    /// Notes how long a phase of a creation took.
    pub(super) fn created(&self, phase: &'static str, seconds: f64) {
        self.creation.get_or_create(&[("phase", phase)]).observe(seconds);
    }

    /// Notes that a session could not be made ready.
    pub(super) fn failed(&self, kind: &'static str) {
        self.failures.get_or_create(&[("reason", kind)]).inc();
    }

    /// Notes that a pod is deleted.
    pub(super) fn deleted(&self, reason: &'static str) {
        self.deletions.get_or_create(&[("reason", reason)]).inc();
        if reason == "idle" {
            self.idle_timeouts.inc();
        }
    }

    pub(super) fn healed(&self) {
        self.heals.inc();
    }

    /// Notes whether a use could be written.
    pub(super) fn flushed(&self, is_written: bool) {
        let result = if is_written { "written" } else { "failed" };
        self.flushes.get_or_create(&[("result", result)]).inc();
    }

    /// Notes how many warm pods are ready, and how many are not yet.
    pub(super) fn warm(&self, (ready, starting): (usize, usize)) {
        for (state, count) in [("ready", ready), ("starting", starting)] {
            self.warm.get_or_create(&[("state", state)]).set(number(count));
        }
    }

    /// Notes whether a new session got a warm pod.
    pub(super) fn claimed(&self, is_warm: bool) {
        let result = if is_warm { "claimed" } else { "missed" };
        self.claims.get_or_create(&[("result", result)]).inc();
    }

    pub(super) fn leads(&self, leads: bool) {
        self.leads.set(leads.into());
    }

    pub(super) fn is_interrupted(&self, is_interrupted: bool) {
        self.silence.set(is_interrupted.into());
    }

    /// Notes when the certificate ends, in seconds since 1970.
    pub(super) fn certificate_ends(&self, at: Option<u64>) {
        if let Some(at) = at.and_then(|at| i64::try_from(at).ok()) {
            self.certificate.get_or_create(&[]).set(at);
        }
    }

    /// All of it, as Prometheus reads it.
    pub(super) fn text(&self, moment: &Moment) -> String {
        self.pods.set(number(moment.pods));
        self.sessions.set(number(moment.sessions));
        self.waiters.set(number(moment.waiters));
        self.tasks.set(number(moment.tasks));
        let mut text = String::new();
        // Text always takes more text.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What a gateway says that has met everything.
    fn text() -> String {
        let metrics = Metrics::new();
        metrics.answered(http::StatusCode::OK, Duration::from_millis(3));
        metrics.created("total", 2.5);
        metrics.failed("no-pod");
        metrics.deleted("idle");
        metrics.flushed(true);
        metrics.warm((2, 1));
        metrics.claimed(true);
        metrics.certificate_ends(Some(1_800_000_000));
        metrics.text(&Moment {
            pods: 3,
            sessions: 4,
            waiters: 0,
            tasks: 1,
        })
    }

    #[test]
    fn values_are_in_the_format_of_prometheus() {
        let text = text();
        for line in [
            "session_pods_active 3",
            "session_request_duration_seconds_bucket{le=\"0.005\",code=\"2xx\"} 1",
            "session_pod_creation_duration_seconds_count{phase=\"total\"} 1",
            "session_pod_deletion_total{reason=\"idle\"} 1",
            "session_idle_timeout_total 1",
            "session_warm_pods{state=\"ready\"} 2",
            "session_warm_claims_total{result=\"claimed\"} 1",
            "session_certificate_expiry_timestamp_seconds 1800000000",
        ] {
            assert!(text.lines().any(|known| known == line), "{line}:\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn dashboard_alerts_and_documents_name_metrics_that_exist_and_none_is_left_out_there() {
        let word = regex::Regex::new(r"\bsession_[a-z_]+\b").unwrap();
        let words = |text: &str| -> BTreeSet<String> { word.find_iter(text).map(|word| word.as_str().to_owned()).collect() };
        let text = text();
        let all = words(&text);
        let plain = |name: &str| {
            let ends = ["_bucket", "_count", "_sum"];
            ends.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name).to_owned()
        };
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let samples: BTreeSet<String> = samples.flat_map(words).map(|name| plain(&name)).collect();
        let document = include_str!("../../docs/serve.md");
        assert_eq!(words(document), samples);
        let dashboard = include_str!("../../examples/monitoring/dashboard.json");
        let shown: BTreeSet<String> = words(dashboard).iter().map(|name| plain(name)).collect();
        let of_few = ["session_idle_timeout_total", "session_tasks"].map(str::to_owned);
        assert!(samples.difference(&shown).eq(&of_few), "{:?}", samples.difference(&shown));
        for text in [dashboard, include_str!("../../examples/monitoring/alerts.yaml")] {
            let unknown: Vec<String> = words(text).difference(&all).cloned().collect();
            assert_eq!(unknown, Vec::<String>::new());
        }
    }
}
