use crate::model::code::Code;
use crate::model::finding::{Effect, ObjectRef};
use crate::model::kind;
use crate::testing::check;

const DEPLOYMENT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, uid: d}
spec: {replicas: 3, selector: {matchLabels: {app: api}}, template: {metadata: {labels: {app: api}}, spec: {containers: [{name: c, image: i}]}}}
---
";

fn replica_set(replicas: i32, message: &str) -> String {
    format!(
        "{DEPLOYMENT}
apiVersion: apps/v1
kind: ReplicaSet
metadata: {{name: api-h, uid: r, ownerReferences: [{{apiVersion: apps/v1, kind: Deployment, name: api, uid: d, controller: true}}]}}
spec: {{replicas: 3, selector: {{matchLabels: {{app: api}}}}}}
status:
  replicas: {replicas}
  conditions: [{{type: ReplicaFailure, status: 'True', reason: FailedCreate, lastTransitionTime: 2026-01-01T11:55:00Z, message: '{message}'}}]
"
    )
}

fn event(kind: &str, name: &str, uid: &str, reason: &str, time: &str, message: &str) -> String {
    format!(
        "---
apiVersion: v1
kind: Event
metadata: {{name: e-{reason}-{uid}}}
reason: {reason}
message: '{message}'
lastTimestamp: {time}
involvedObject: {{kind: {kind}, name: {name}, namespace: shop, uid: {uid}}}
"
    )
}

const QUOTA: &str = r#"pods "api-68ff858d8-84csc" is forbidden: exceeded quota: small, requested: pods=1, used: pods=1, limited: pods=1"#;

#[test]
fn a_used_up_quota_is_said_of_the_workload_with_numbers() {
    let found = check(crate::rules::admission::check, &replica_set(1, QUOTA));
    assert_eq!(found.len(), 1);
    let finding = &found[0];
    assert_eq!((finding.code, finding.cause.as_str()), (Code::QuotaExceeded, "exhausted"));
    let deployment = ObjectRef::new(&kind::DEPLOYMENT, "shop", "api");
    assert_eq!(finding.subject.object, deployment);
    assert_eq!(finding.related[0].object, ObjectRef::new(&kind::RESOURCE_QUOTA, "shop", "small"));
    assert!(
        finding.summary.contains("2 pods") && finding.summary.contains("requests 1, 1 of 1 used"),
        "{}",
        finding.summary
    );
    assert!(finding.effects.contains(&Effect::NotReady(deployment)));
}

#[test]
fn a_refusal_that_is_over_is_silent() {
    assert!(check(crate::rules::admission::check, &replica_set(3, QUOTA)).is_empty());
}

#[test]
fn a_newer_event_beats_the_text_of_the_condition() {
    let newer = event(
        "ReplicaSet",
        "api-h",
        "r",
        "FailedCreate",
        "2026-01-01T11:59:00Z",
        r#"(combined from similar events): Error creating: pods "api-h-x" is forbidden: error looking up service account shop/nobody: serviceaccount "nobody" not found"#,
    );
    let found = check(crate::rules::admission::check, &(replica_set(0, QUOTA) + &newer));
    assert_eq!(found.iter().map(|f| f.code).collect::<Vec<_>>(), [Code::ServiceAccountMissing]);
    let account = "---\n{apiVersion: v1, kind: ServiceAccount, metadata: {name: nobody}}\n";
    assert!(
        check(crate::rules::admission::check, &(replica_set(0, QUOTA) + &newer + account)).is_empty(),
        "it exists by now"
    );
}

const STATEFUL_SET: &str = "
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, uid: s}
spec: {replicas: 1, serviceName: db, selector: {matchLabels: {app: db}}, template: {spec: {containers: [{name: c, image: i}]}}}
status: {replicas: 0}
";
const MUST: &str = r#"create Pod db-0 in StatefulSet db failed error: pods "db-0" is forbidden: failed quota: compute: must specify limits.memory for: c; requests.cpu for: c"#;

#[test]
fn a_stateful_set_tells_by_event_alone() {
    let failed = event("StatefulSet", "db", "s", "FailedCreate", "2026-01-01T11:58:00Z", MUST);
    let found = check(crate::rules::admission::check, &(STATEFUL_SET.to_owned() + &failed));
    assert_eq!((found[0].code, found[0].cause.as_str()), (Code::QuotaExceeded, "must-specify"));
    assert_eq!(found[0].subject.container.as_deref(), Some("c"));
    let made = event("StatefulSet", "db", "s", "SuccessfulCreate", "2026-01-01T11:59:00Z", "made");
    assert!(check(crate::rules::admission::check, &(STATEFUL_SET.to_owned() + &failed + &made)).is_empty());
    assert!(
        check(
            crate::rules::admission::check,
            &(STATEFUL_SET.replace("replicas: 0", "replicas: 1") + &failed)
        )
        .is_empty()
    );
}

#[test]
fn a_webhook_suffers_from_its_service() {
    let message = r#"Internal error occurred: failed calling webhook "v.example.com": failed to call webhook: Post "https://hook.infra.svc:443/validate?timeout=10s": service "hook" not found"#;
    let found = check(crate::rules::admission::check, &replica_set(0, message));
    assert_eq!(found[0].code, Code::WebhookUnavailable);
    assert!(found[0].suffers.contains(&Effect::Service("infra".into(), "hook".into())));
}

#[test]
fn a_terminating_namespace_explains_its_objects() {
    let namespace = "---
apiVersion: v1
kind: Namespace
metadata: {name: shop, deletionTimestamp: 2026-01-01T11:50:00Z}
status: {phase: Terminating, conditions: [{type: NamespaceFinalizersRemaining, status: 'True', message: 'Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances'}]}
";
    let refused = r#"pods "api-h-x" is forbidden: unable to create new content in namespace shop because it is being terminated"#;
    let found = check(crate::rules::admission::check, &(replica_set(0, refused) + namespace));
    assert_eq!(found.iter().map(|f| f.code).collect::<Vec<_>>(), [Code::NamespaceTerminating]);
    assert!(
        found[0]
            .effects
            .contains(&Effect::NotReady(ObjectRef::new(&kind::DEPLOYMENT, "shop", "api")))
    );
}
