//! What the API server says when it refuses a pod or a claim, and what that means.

use crate::model::code::Code;
use crate::text::Url;

/// A parsed refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A quota is used up.
    Exhausted {
        quota: String,
        requested: Vec<(String, String)>,
        used: Vec<(String, String)>,
        limited: Vec<(String, String)>,
    },
    /// A quota wants values that the pod does not set.
    MustSpecify { quota: String, values: Vec<(String, String)> },
    /// A LimitRange does not allow the values.
    LimitRange(String),
    /// The namespace's Pod Security level.
    PodSecurity { level: String, violations: String },
    /// A webhook or policy said no.
    Denied { by: String, reason: String },
    /// A webhook did not answer.
    WebhookDown {
        webhook: String,
        service: Option<(String, String)>,
        reason: String,
    },
    /// A ServiceAccount that does not exist.
    ServiceAccount(String),
    /// A PriorityClass that does not exist.
    PriorityClass(String),
    /// A RuntimeClass that does not exist.
    RuntimeClass(String),
    /// The pod is not valid.
    Invalid(String),
    /// The namespace is being deleted.
    Terminating,
    /// Another refusal.
    Other(String),
}

impl Refusal {
    /// The finding code for it.
    pub const fn code(&self) -> Code {
        match self {
            Self::Exhausted { .. } | Self::MustSpecify { .. } => Code::QuotaExceeded,
            Self::LimitRange(_) => Code::LimitRangeViolated,
            Self::PodSecurity { .. } => Code::PodSecurityViolated,
            Self::Denied { .. } => Code::AdmissionDenied,
            Self::WebhookDown { .. } => Code::WebhookUnavailable,
            Self::ServiceAccount(_) => Code::ServiceAccountMissing,
            Self::PriorityClass(_) => Code::PriorityClassMissing,
            Self::RuntimeClass(_) => Code::RuntimeClassMissing,
            Self::Invalid(_) => Code::InvalidPodSpec,
            Self::Terminating => Code::NamespaceTerminating,
            Self::Other(_) => Code::ObjectCreationFailing,
        }
    }
}

/// The text without what controllers and the event recorder put in front of it:
/// `(combined from similar events): Error creating: pods "api-x" is forbidden: …`.
pub fn bare(message: &str) -> &str {
    let message = message.trim().trim_start_matches("(combined from similar events): ");
    let message = message.strip_prefix("Error creating: ").unwrap_or(message);
    // StatefulSets: `create Pod db-0 in StatefulSet db failed error: …`.
    message
        .find(" failed error: ")
        .map_or(message, |at| &message[at + " failed error: ".len()..])
}

/// The names of violations, without what to set in which container: that stands in parentheses.
pub fn titles(violations: &str) -> String {
    let mut depth = 0;
    let is_outside = |c: &char| {
        depth += i32::from(*c == '(');
        let is_outside = depth == 0;
        depth -= i32::from(*c == ')');
        is_outside
    };
    let titles: String = violations.chars().filter(is_outside).collect();
    titles.replace(" ,", ",").trim().to_owned()
}

/// Understands a refusal.
pub fn parse(message: &str) -> Refusal {
    let text = bare(message);
    let after = |mark: &str| text.split_once(mark).map(|(_, rest)| rest);
    if let Some(rest) = after("exceeded quota: ") {
        let (quota, rest) = rest.split_once(", requested: ").unwrap_or((rest, ""));
        let (requested, rest) = rest.split_once(", used: ").unwrap_or((rest, ""));
        let (used, limited) = rest.split_once(", limited: ").unwrap_or((rest, ""));
        return Refusal::Exhausted {
            quota: quota.trim().to_owned(),
            requested: pairs(requested),
            used: pairs(used),
            limited: pairs(limited),
        };
    }
    if let Some(rest) = after("insufficient quota to match these scopes: ") {
        return Refusal::Other(format!("no quota allows pods of this scope: {rest}"));
    }
    if let Some(rest) = after("failed quota: ") {
        let (quota, rest) = rest.split_once(": must specify ").unwrap_or((rest, ""));
        let values = rest
            .split(';')
            .filter_map(|part| {
                let (value, containers) = part.trim().split_once(" for: ").unwrap_or((part.trim(), ""));
                (!value.is_empty()).then(|| (value.to_owned(), containers.to_owned()))
            })
            .collect();
        return Refusal::MustSpecify {
            quota: quota.trim().to_owned(),
            values,
        };
    }
    if let Some(rest) = after("violates PodSecurity ") {
        let (level, violations) = rest.split_once(": ").unwrap_or((rest, ""));
        return Refusal::PodSecurity {
            level: level.trim_matches('"').to_owned(),
            violations: violations.to_owned(),
        };
    }
    if let Some(rest) = after("failed calling webhook ") {
        let webhook = quoted(rest);
        let reason = rest.split_once(": ").map_or(rest, |(_, r)| r).to_owned();
        return Refusal::WebhookDown {
            webhook,
            service: service_of(&reason),
            reason,
        };
    }
    if let Some(rest) = after("admission webhook ") {
        let reason = rest
            .split_once("denied the request")
            .map_or(rest, |(_, r)| r.trim_start_matches([':', ' ']));
        return Refusal::Denied {
            by: format!("the admission webhook {}", quoted(rest)),
            reason: reason.trim_start_matches("without explanation").to_owned(),
        };
    }
    if let Some(rest) = after("ValidatingAdmissionPolicy ") {
        let reason = rest.split_once("denied request: ").map_or(rest, |(_, r)| r);
        return Refusal::Denied {
            by: format!("the ValidatingAdmissionPolicy {}", quoted(rest)),
            reason: reason.to_owned(),
        };
    }
    if let Some(rest) = after("serviceaccount ").filter(|_| text.contains("not found")) {
        return Refusal::ServiceAccount(quoted(rest));
    }
    if let Some(rest) = after("no PriorityClass with name ") {
        return Refusal::PriorityClass(rest.split_whitespace().next().unwrap_or_default().to_owned());
    }
    if let Some(rest) = after("RuntimeClass ").filter(|_| text.contains("not found")) {
        return Refusal::RuntimeClass(quoted(rest));
    }
    if text.contains("because it is being terminated") {
        return Refusal::Terminating;
    }
    let detail = after(" is forbidden: ").unwrap_or(text);
    let of_limits = [
        "usage per Container is",
        "usage per Pod is",
        "max limit to request ratio per",
        "usage per PersistentVolumeClaim is",
    ];
    if of_limits.iter().any(|words| text.contains(words)) {
        return Refusal::LimitRange(detail.trim_matches(['[', ']']).to_owned());
    }
    if let Some(rest) = after(" is invalid: ") {
        return Refusal::Invalid(rest.trim_matches(['[', ']']).to_owned());
    }
    Refusal::Other(detail.to_owned())
}

/// `a=1,b=2`
fn pairs(text: &str) -> Vec<(String, String)> {
    text.split(',')
        .filter_map(|pair| pair.trim().split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// The first word in double or single quotes, else the first word.
fn quoted(text: &str) -> String {
    let text = text.trim_start();
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''));
    match quote {
        Some(quote) => text[1..].split(quote).next().unwrap_or_default().to_owned(),
        None => text.split_whitespace().next().unwrap_or_default().trim_end_matches(':').to_owned(),
    }
}

/// The Service of `Post "https://NAME.NAMESPACE.svc:443/…"`, as (namespace, name).
fn service_of(reason: &str) -> Option<(String, String)> {
    let url = Url::parse(reason);
    url.scheme?;
    let mut labels = url.host.split([':', '"']).next()?.split('.');
    let (name, namespace, svc) = (labels.next()?, labels.next()?, labels.next()?);
    (svc == "svc").then(|| (namespace.to_owned(), name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn violations_are_named_without_what_to_set() {
        let violations = r#"unrestricted capabilities (container "c" must set capabilities.drop=["ALL"]), seccompProfile (pod or container "c" must set it (to "RuntimeDefault"))"#;
        assert_eq!(titles(violations), "unrestricted capabilities, seccompProfile");
    }

    #[test]
    fn every_refusal_has_its_code() {
        for (message, code) in [
            (
                r#"(combined from similar events): Error creating: pods "api-68ff858d8-pxmmh" is forbidden: exceeded quota: small, requested: pods=1, used: pods=1, limited: pods=1"#,
                Code::QuotaExceeded,
            ),
            (
                r#"Error creating: pods "api-68ff858d8-lhscs" is forbidden: failed quota: compute: must specify limits.memory for: c; requests.cpu for: c"#,
                Code::QuotaExceeded,
            ),
            (
                r#"Error creating: pods "api-5c45cfc59f-5999s" is forbidden: [maximum memory usage per Container is 64Mi, but limit is 1Gi, cpu max limit to request ratio per Container is 2, but no request is specified or request is 0]"#,
                Code::LimitRangeViolated,
            ),
            (
                r#"Error creating: pods "api-6588678d9d-n54dr" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "c" must set securityContext.allowPrivilegeEscalation=false)"#,
                Code::PodSecurityViolated,
            ),
            (
                r#"Error creating: pods "prio-c89656cb9-" is forbidden: no PriorityClass with name very-high was found"#,
                Code::PriorityClassMissing,
            ),
            (
                r#"Error creating: pods "rtc-849894b49d-" is forbidden: pod rejected: RuntimeClass "gvisor" not found"#,
                Code::RuntimeClassMissing,
            ),
            (
                r#"Error creating: pods "sa-7f48fd7db6-" is forbidden: error looking up service account r2-refs/nobody: serviceaccount "nobody" not found"#,
                Code::ServiceAccountMissing,
            ),
            (
                r#"Error creating: admission webhook "policy.example.com" denied the request: no root"#,
                Code::AdmissionDenied,
            ),
            (
                r#"Error creating: pods "a-" is forbidden: ValidatingAdmissionPolicy 'no-latest' with binding 'no-latest' denied request: name a tag"#,
                Code::AdmissionDenied,
            ),
            (
                r#"Error creating: Internal error occurred: failed calling webhook "v.example.com": failed to call webhook: Post "https://hook.infra.svc:443/validate?timeout=10s": service "hook" not found"#,
                Code::WebhookUnavailable,
            ),
            (
                r#"Error creating: Pod "a-x" is invalid: spec.containers[0].resources.requests: Invalid value: "200m": must be less than or equal to cpu limit of 100m"#,
                Code::InvalidPodSpec,
            ),
            (
                r#"Error creating: pods "a-x" is forbidden: unable to create new content in namespace n because it is being terminated"#,
                Code::NamespaceTerminating,
            ),
            (r#"Error creating: something new"#, Code::ObjectCreationFailing),
        ] {
            assert_eq!(parse(message).code(), code, "{message}");
        }
    }

    #[test]
    fn numbers_and_names_are_taken_from_the_text() {
        assert_eq!(
            parse(
                r#"pods "x" is forbidden: exceeded quota: compute, requested: limits.memory=2Gi,requests.cpu=1500m, used: limits.memory=0,requests.cpu=0, limited: limits.memory=1Gi,requests.cpu=1"#
            ),
            Refusal::Exhausted {
                quota: "compute".into(),
                requested: vec![("limits.memory".into(), "2Gi".into()), ("requests.cpu".into(), "1500m".into())],
                used: vec![("limits.memory".into(), "0".into()), ("requests.cpu".into(), "0".into())],
                limited: vec![("limits.memory".into(), "1Gi".into()), ("requests.cpu".into(), "1".into())],
            }
        );
        assert_eq!(
            parse(
                r#"create Pod db-0 in StatefulSet db failed error: pods "db-0" is forbidden: failed quota: compute: must specify limits.memory for: c; requests.cpu for: c"#
            ),
            Refusal::MustSpecify {
                quota: "compute".into(),
                values: vec![("limits.memory".into(), "c".into()), ("requests.cpu".into(), "c".into())],
            }
        );
        let Refusal::WebhookDown { webhook, service, .. } = parse(
            r#"Internal error occurred: failed calling webhook "v.example.com": failed to call webhook: Post "https://hook.infra.svc:443/validate?timeout=10s": dial tcp 10.0.0.1:443: connect: connection refused"#,
        ) else {
            panic!("a webhook");
        };
        assert_eq!(
            (webhook.as_str(), service),
            ("v.example.com", Some(("infra".to_owned(), "hook".to_owned())))
        );
    }
}
