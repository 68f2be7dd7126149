//! The objects that run a gateway in a cluster.

use serde_json::{Value, json};

use crate::session::MANAGED_BY;
use crate::session::template::GATEWAY;

/// The name of everything that a gateway is made of.
const NAME: &str = "podlife-gateway";
/// Where the gateway listens in its pods: as no root, it takes no port below 1024.
pub(crate) const PORT: u16 = 8080;
/// The same for its metrics.
pub(crate) const METRICS_PORT: u16 = 9090;
/// Where the Secret with certificate and key is mounted, as cert-manager writes it.
pub(crate) const TLS: &str = "/etc/podlife/tls";
/// The Secret with the secret of tokens, and its key.
const TOKEN_SECRET: (&str, &str) = ("podlife-gateway-auth", "secret");

/// What differs from one gateway to another.
pub(crate) struct Setup<'a> {
    pub(crate) namespace: &'a str,
    /// The image with podlife.
    pub(crate) image: &'a str,
    /// Arguments of podlife.
    pub(crate) arguments: &'a [String],
    /// The rules of the role.
    pub(crate) rules: &'a [Value],
    /// The template of sessions, as a ConfigMap.
    pub(crate) template: Value,
    /// Whether it speaks TLS, with the Secret of that name.
    pub(crate) has_tls: bool,
    /// Whether it takes tokens that are signed with a secret.
    pub(crate) has_token_secret: bool,
    /// Whether the API server is asked about tokens.
    pub(crate) reviews_tokens: bool,
    /// Seconds that requests and streams may take to end.
    pub(crate) drain: u64,
    /// Whether the objects of the Prometheus operator are there, too.
    pub(crate) has_monitoring: bool,
}

/// The objects, in the order in which they are applied.
pub(crate) fn manifests(setup: &Setup<'_>) -> Vec<Value> {
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": setup.namespace, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
    });
    let mut template = setup.template.clone();
    // The gateway needs it, whether or not there are sessions.
    if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
        labels.retain(|key, _| key == MANAGED_BY.0);
    }
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": NAME}});
    let api = "rbac.authorization.k8s.io";
    let role = json!({"apiVersion": format!("{api}/v1"), "kind": "Role", "metadata": {"name": NAME}, "rules": setup.rules});
    let subjects = json!([{"kind": "ServiceAccount", "name": NAME, "namespace": setup.namespace}]);
    let binding = json!({
        "apiVersion": format!("{api}/v1"), "kind": "RoleBinding", "metadata": {"name": NAME},
        "roleRef": {"apiGroup": api, "kind": "Role", "name": NAME}, "subjects": subjects,
    });
    let mut all = vec![template, account, role, binding];
    all.extend([deployment(setup), service(setup), metrics_service(), budget(), policy()]);
    if setup.has_monitoring {
        all.extend([monitor(), rules(setup)]);
    }
    for object in &mut all {
        object["metadata"]["namespace"] = setup.namespace.into();
    }
    if setup.reviews_tokens {
        all.push(json!({
            "apiVersion": format!("{api}/v1"), "kind": "ClusterRoleBinding",
            "metadata": {"name": format!("{NAME}-{}", setup.namespace)},
            "roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": "system:auth-delegator"}, "subjects": subjects,
        }));
    }
    all.insert(0, namespace);
    all
}

fn labels() -> Value {
    json!({"app.kubernetes.io/name": NAME})
}

fn deployment(setup: &Setup<'_>) -> Value {
    let scheme = if setup.has_tls { "HTTPS" } else { "HTTP" };
    let probe = |path: &str| json!({"httpGet": {"path": path, "port": "http", "scheme": scheme}, "periodSeconds": 5});
    let mut pod_labels = labels();
    // What the NetworkPolicy of sessions lets in.
    pod_labels[GATEWAY] = "true".into();
    let mut container = json!({
        "name": "gateway", "image": setup.image, "args": setup.arguments,
        "ports": [{"name": "http", "containerPort": PORT}, {"name": "metrics", "containerPort": METRICS_PORT}],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
        },
        "readinessProbe": probe("/readyz"),
        "livenessProbe": probe("/healthz"),
    });
    let mut spec = json!({
        "serviceAccountName": NAME, "enableServiceLinks": false,
        // Longer than what is left to requests and streams, with a moment for the last notes.
        "terminationGracePeriodSeconds": setup.drain + 15,
        "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "topologySpreadConstraints": [{
            "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {"matchLabels": labels()},
        }],
    });
    if setup.has_token_secret {
        let (name, key) = TOKEN_SECRET;
        container["env"] = json!([{"name": "AUTH_TOKEN_SECRET", "valueFrom": {"secretKeyRef": {"name": name, "key": key}}}]);
    }
    if setup.has_tls {
        container["volumeMounts"] = json!([{"name": "tls", "mountPath": TLS, "readOnly": true}]);
        spec["volumes"] = json!([{"name": "tls", "secret": {"secretName": format!("{NAME}-tls")}}]);
    }
    spec["containers"] = json!([container]);
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": NAME, "labels": labels()},
        "spec": {
            "replicas": 2, "selector": {"matchLabels": labels()},
            "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {"metadata": {"labels": pod_labels}, "spec": spec},
        },
    })
}

fn service(setup: &Setup<'_>) -> Value {
    let (name, port) = if setup.has_tls { ("https", 443) } else { ("http", 80) };
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": NAME, "labels": labels()},
        "spec": {
            "type": "LoadBalancer", "selector": labels(),
            "ports": [{"name": name, "port": port, "targetPort": "http"}],
        },
    })
}

fn budget() -> Value {
    json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": NAME},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": labels()}},
    })
}

/// Who may connect to gateways: everybody to requests, and to metrics only what the namespace of Prometheus holds.
fn policy() -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": NAME},
        "spec": {
            "podSelector": {"matchLabels": labels()}, "policyTypes": ["Ingress"],
            "ingress": [
                {"ports": [{"port": PORT}]},
                {
                    "from": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"app.kubernetes.io/name": "prometheus"}}}],
                    "ports": [{"port": METRICS_PORT}],
                },
            ],
        },
    })
}

/// Where metrics are read: at each gateway, and not through the address of the others.
fn metrics_service() -> Value {
    let labels = json!({"app.kubernetes.io/name": NAME, "app.kubernetes.io/component": "metrics"});
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": format!("{NAME}-metrics"), "labels": labels},
        "spec": {
            "clusterIP": "None", "publishNotReadyAddresses": true, "selector": self::labels(),
            "ports": [{"name": "metrics", "port": METRICS_PORT, "targetPort": "metrics"}],
        },
    })
}

fn monitor() -> Value {
    let labels = json!({"app.kubernetes.io/name": NAME, "app.kubernetes.io/component": "metrics"});
    json!({
        "apiVersion": "monitoring.coreos.com/v1", "kind": "ServiceMonitor", "metadata": {"name": NAME, "labels": self::labels()},
        "spec": {"selector": {"matchLabels": labels}, "endpoints": [{"port": "metrics"}]},
    })
}

fn rules(setup: &Setup<'_>) -> Value {
    let own = format!("namespace=\"{}\"", setup.namespace);
    // Clients that ask for what is not theirs, or for too much, are no fault of the gateway.
    let failures = format!("session_pod_creation_failures_total{{{own},reason!~\"forbidden|gone|too-many-sessions\"}}");
    let total = format!("session_pod_creation_duration_seconds_bucket{{{own},phase=\"total\"}}");
    let claims = |results: &str| format!("sum(rate(session_warm_claims_total{{{own}{results}}}[10m]))");
    let missed = format!("{} / {} > 0.5", claims(",result=\"missed\""), claims(""));
    let rule = |name: &str, expression: String, lasts: &str, severity: &str, summary: &str| json!({"alert": name, "expr": expression, "for": lasts, "labels": {"severity": severity}, "annotations": {"summary": summary}});
    json!({
        "apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule", "metadata": {"name": NAME, "labels": labels()},
        "spec": {"groups": [{"name": NAME, "rules": [
            rule("SessionCreationFails", format!("sum(rate({failures}[5m])) > 0.02"), "5m", "warning", "sessions do not become ready"),
            rule("SessionCreationSlow", format!("histogram_quantile(0.95, sum by (le) (rate({total}[10m]))) > 30"), "10m", "warning", "one new session in twenty takes more than 30 seconds"),
            rule("SessionGatewayDown", format!("absent(session_leader{{{own}}})"), "2m", "critical", "no gateway is running"),
            rule("SessionGatewayWithoutLeader", format!("sum(session_leader{{{own}}}) < 1"), "5m", "warning", "no gateway cleans up"),
            rule("SessionCertificateEnds", format!("min(session_certificate_expiry_timestamp_seconds{{{own}}}) - time() < 7 * 86400"), "1m", "warning", "the certificate of the gateway expires within a week"),
            rule("SessionWarmPodsMissing", missed, "15m", "warning", "most new sessions find no warm pod"),
        ]}]},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup<'a>(arguments: &'a [String], rules: &'a [Value]) -> Setup<'a> {
        Setup {
            namespace: "shop",
            image: "podlife:1",
            arguments,
            rules,
            template: json!({"kind": "ConfigMap", "metadata": {"name": "podlife-template-0", "labels": {MANAGED_BY.0: MANAGED_BY.1, "podlife.dev/template": "0"}}}),
            has_tls: true,
            has_token_secret: true,
            reviews_tokens: true,
            drain: 30,
            has_monitoring: true,
        }
    }

    fn of<'a>(all: &'a [Value], kind: &str) -> &'a Value {
        all.iter().find(|object| object["kind"] == kind).unwrap()
    }

    #[test]
    fn every_object_is_in_the_namespace() {
        let all = manifests(&setup(&[], &[]));
        assert_eq!(all[0]["kind"], "Namespace");
        for object in &all {
            let is_wide = ["Namespace", "ClusterRoleBinding"].iter().any(|kind| object["kind"] == *kind);
            assert_eq!(object["metadata"]["namespace"] == "shop", !is_wide, "{object}");
        }
    }

    #[test]
    fn what_the_gateway_needs_is_no_orphan() {
        let all = manifests(&setup(&[], &[]));
        assert_eq!(of(&all, "ConfigMap")["metadata"]["labels"], json!({MANAGED_BY.0: MANAGED_BY.1}));
    }

    #[test]
    fn a_gateway_is_told_to_end_before_it_is_killed() {
        let all = manifests(&setup(&[], &[]));
        let pod = &of(&all, "Deployment")["spec"]["template"];
        assert!(pod["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap() > 30);
        assert_eq!(pod["metadata"]["labels"][GATEWAY], "true");
        assert_eq!(pod["spec"]["containers"][0]["readinessProbe"]["httpGet"]["scheme"], "HTTPS");
        assert_eq!(pod["spec"]["volumes"][0]["secret"]["secretName"], "podlife-gateway-tls");
    }
}
