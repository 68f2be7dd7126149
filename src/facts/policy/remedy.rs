//! What opens the way: the rules that a policy lacks, and one command that adds them all. Commands that are printed side by side must not
//! undo each other, whichever of them runs first.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::facts::policy::allows;
use crate::facts::policy::allows::Direction;
use crate::facts::policy::rule::{Side, flow, missing, selector};
use crate::text::{Command, command};

/// A rule that a policy lacks.
#[derive(Clone, Debug)]
pub struct NoMatch<'a> {
    /// For which way.
    pub direction: Direction,
    /// The end that the policy selects.
    pub bound: &'a Side,
    /// The other end.
    pub peer: &'a Side,
    /// The port of the pod that is called.
    pub port: i32,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: &'a str,
}

impl NoMatch<'_> {
    fn rule(&self, namespace: &str) -> Value {
        missing(self.direction, namespace, self.peer, self.port, self.protocol)
    }

    /// The labels by which a policy can be about this end alone.
    fn labels(&self) -> Option<&BTreeMap<String, String>> {
        match self.bound {
            Side::Pod { labels, .. } if !labels.is_empty() => Some(labels),
            _ => None,
        }
    }

    /// `web-to-db-5432`: another port is another policy, so that none takes the place of one that was added before.
    fn name(&self) -> String {
        let other = match self.peer {
            Side::Pod { workload, .. } => workload.name.clone(),
            Side::Address(ip) => ip.to_string().replace(':', "-"),
            Side::Name(name) => name.clone(),
            Side::Dns => "dns".to_owned(),
        };
        let word = match self.direction {
            Direction::Ingress => "from",
            Direction::Egress => "to",
        };
        let own = self.bound.object().map(|o| o.name).unwrap_or_default();
        let port = match (self.peer, self.protocol) {
            (Side::Dns, _) => String::new(),
            (_, "TCP") => format!("-{}", self.port),
            (_, protocol) => format!("-{}-{}", self.port, protocol.to_lowercase()),
        };
        let room = LONGEST_NAME - port.len();
        let short: String = format!("{own}-{word}-{other}").chars().take(room).collect();
        format!("{}{port}", short.trim_end_matches(['-', '.']))
    }
}

/// Names of policies may be longer than labels; this many characters everything takes.
const LONGEST_NAME: usize = 63;

/// What to do about all that a policy lacks, and the command that does it: rules more in the policy, or, where that policy is about every pod
/// of its namespace, policies for the one end alone.
pub fn of(policy: &NetworkPolicy, lacks: &[NoMatch<'_>]) -> (String, Option<Command>) {
    let (name, namespace) = (policy.name_any(), policy.namespace().unwrap_or_default());
    let is_of_all =
        policy.spec.as_ref().and_then(|s| s.pod_selector.as_ref()).is_none_or(|s| {
            s.match_labels.as_ref().is_none_or(BTreeMap::is_empty) && s.match_expressions.as_ref().is_none_or(Vec::is_empty)
        });
    let (alone, inside): (Vec<&NoMatch<'_>>, Vec<&NoMatch<'_>>) = lacks.iter().partition(|lack| is_of_all && lack.labels().is_some());
    let (mut texts, mut commands) = (Vec::new(), Vec::new());
    let documents = distinct(alone.iter().map(|lack| document(lack, &namespace)));
    if !documents.is_empty() {
        let of = distinct(alone.iter().filter_map(|lack| lack.bound.object()).map(|object| object.short()));
        let rules = shown(&alone, &namespace);
        texts.push(format!(
            "NetworkPolicy {name} is about every pod of namespace {namespace}: add {} for {} alone with {rules}",
            if documents.len() == 1 { "one" } else { "some" },
            of.join(" and "),
        ));
        let all = match documents.as_slice() {
            [only] => only.clone(),
            several => json!({"apiVersion": "v1", "kind": "List", "items": several}),
        };
        commands.push(command("echo {} | kubectl apply -f -", &[&all]));
    }
    let patch: Vec<Value> = [Direction::Ingress, Direction::Egress]
        .into_iter()
        .flat_map(|direction| additions(policy, direction, &rules(&inside, direction, &namespace)))
        .collect();
    if !patch.is_empty() {
        let word = if inside.len() == 1 { "a rule" } else { "rules" };
        texts.push(format!("add {word} to NetworkPolicy {name}: {}", shown(&inside, &namespace)));
        commands.push(command(
            "kubectl patch networkpolicy {} -n {} --type=json -p {}",
            &[&name, &namespace, &Value::Array(patch)],
        ));
    }
    let command = commands.into_iter().reduce(|first, next| first.and(&next));
    (texts.join("; "), command)
}

/// The rules of a direction, each once.
fn rules(lacks: &[&NoMatch<'_>], direction: Direction, namespace: &str) -> Vec<Value> {
    let of = lacks.iter().filter(|lack| lack.direction == direction);
    distinct(of.map(|lack| lack.rule(namespace)))
}

fn distinct<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    let mut found: Vec<T> = Vec::new();
    for one in all {
        if !found.contains(&one) {
            found.push(one);
        }
    }
    found
}

/// `egress: [{…}, {…}]`
fn shown(lacks: &[&NoMatch<'_>], namespace: &str) -> String {
    let of = |direction: Direction| {
        let rules: Vec<String> = rules(lacks, direction, namespace).iter().map(flow).collect();
        (!rules.is_empty()).then(|| format!("{}: [{}]", direction.as_str(), rules.join(", ")))
    };
    let both = [Direction::Ingress, Direction::Egress].into_iter().filter_map(of);
    both.collect::<Vec<_>>().join(", ")
}

/// Operations of a JSON patch. A list that is not there yet is added with all of its rules: a second one would take its place.
fn additions(policy: &NetworkPolicy, direction: Direction, rules: &[Value]) -> Vec<Value> {
    let path = format!("/spec/{}", direction.as_str());
    if rules.is_empty() {
        Vec::new()
    } else if allows::rules(policy, direction).is_empty() {
        vec![json!({"op": "add", "path": path, "value": rules})]
    } else {
        rules
            .iter()
            .map(|rule| json!({"op": "add", "path": format!("{path}/-"), "value": rule}))
            .collect()
    }
}

/// A policy for one end alone that has one rule.
fn document(lack: &NoMatch<'_>, namespace: &str) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": lack.name(), "namespace": namespace},
        "spec": {
            "podSelector": lack.labels().map(selector),
            "policyTypes": [if lack.direction == Direction::Ingress { "Ingress" } else { "Egress" }],
            lack.direction.as_str(): [lack.rule(namespace)],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::finding::ObjectRef;
    use crate::model::kind;

    fn side(name: &str) -> Side {
        Side::Pod {
            workload: ObjectRef::new(&kind::DEPLOYMENT, "shop", name),
            name: None,
            labels: BTreeMap::from([("app".to_owned(), name.to_owned())]),
            node: None,
        }
    }

    fn policy(spec: &str) -> NetworkPolicy {
        serde_saphyr::from_str(&format!("{{metadata: {{name: p, namespace: shop}}, spec: {spec}}}")).unwrap()
    }

    fn lack<'a>(direction: Direction, bound: &'a Side, peer: &'a Side, port: i32) -> NoMatch<'a> {
        NoMatch {
            direction,
            bound,
            peer,
            port,
            protocol: "TCP",
        }
    }

    #[test]
    fn a_rule_is_added_where_it_opens_no_more_than_it_must() {
        let (db, web) = (side("db"), side("web"));
        let command = |spec: &str| String::from(of(&policy(spec), &[lack(Direction::Ingress, &db, &web, 80)]).1.unwrap());
        assert_eq!(
            command("{podSelector: {matchLabels: {app: db}}}"),
            r#"kubectl patch networkpolicy p -n shop --type=json -p '[{"op":"add","path":"/spec/ingress","value":[{"from":[{"podSelector":{"matchLabels":{"app":"web"}}}],"ports":[{"port":80}]}]}]'"#
        );
        assert!(
            command("{podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{port: 1}]}]}").contains(r#""path":"/spec/ingress/-""#)
        );
        let of_all = command("{podSelector: {}}");
        assert!(
            of_all.starts_with("echo '{") && of_all.contains(r#""name":"db-from-web-80""#) && of_all.ends_with("}' | kubectl apply -f -"),
            "{of_all}"
        );
    }

    #[test]
    fn all_that_a_policy_lacks_is_one_command() {
        let (db, web) = (side("db"), side("web"));
        let lacks = [
            lack(Direction::Egress, &web, &Side::Dns, 53),
            lack(Direction::Egress, &web, &db, 5432),
            lack(Direction::Egress, &web, &db, 5432),
            lack(Direction::Ingress, &db, &web, 5432),
        ];
        let dns = r#"{"ports":[{"port":53,"protocol":"UDP"},{"port":53,"protocol":"TCP"}]}"#;
        let to_db = r#"{"to":[{"podSelector":{"matchLabels":{"app":"db"}}}],"ports":[{"port":5432}]}"#;
        let from_web = r#"{"from":[{"podSelector":{"matchLabels":{"app":"web"}}}],"ports":[{"port":5432}]}"#;
        let patch = |spec: &str| String::from(of(&policy(spec), &lacks).1.unwrap());
        let some = "{podSelector: {matchExpressions: [{key: app, operator: Exists}]}";
        assert_eq!(
            patch(&format!("{some}}}")),
            format!(
                r#"kubectl patch networkpolicy p -n shop --type=json -p '[{{"op":"add","path":"/spec/ingress","value":[{from_web}]}},{{"op":"add","path":"/spec/egress","value":[{dns},{to_db}]}}]'"#
            )
        );
        assert_eq!(
            patch(&format!("{some}, egress: [{{ports: [{{port: 1}}]}}]}}")),
            format!(
                r#"kubectl patch networkpolicy p -n shop --type=json -p '[{{"op":"add","path":"/spec/ingress","value":[{from_web}]}},{{"op":"add","path":"/spec/egress/-","value":{dns}}},{{"op":"add","path":"/spec/egress/-","value":{to_db}}}]'"#
            )
        );
        let (text, command) = of(&policy("{podSelector: {}}"), &lacks);
        let command = String::from(command.unwrap());
        assert!(
            text.contains("egress: [{ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]}, {to"),
            "{text}"
        );
        assert!(command.contains(r#""kind":"List""#), "{command}");
        for name in ["web-to-dns", "web-to-db-5432", "db-from-web-5432"] {
            assert_eq!(command.matches(&format!(r#""name":"{name}""#)).count(), 1, "{command}");
        }
    }

    #[test]
    fn names_stay_short_and_differ_by_port() {
        let (long, web) = (side(&"x".repeat(80)), side("web"));
        let name = |port: i32| lack(Direction::Ingress, &long, &web, port).name();
        assert!(name(80).len() <= LONGEST_NAME && name(80) != name(81), "{}", name(80));
    }
}
