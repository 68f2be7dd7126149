//! Calls to the API server that an application makes and is not allowed to make, as its log tells.

use kube::ResourceExt;

use crate::facts::calls::callers::Caller;
use crate::facts::calls::trouble::Trouble;
use crate::model::code::Code::ApiAccessForbidden;
use crate::model::finding::{Confidence, Finding, ObjectRef};
use crate::model::kind;
use crate::text::{Command, command, redact, shorten};
use crate::view::View;

/// What the API server refused: `User "U" cannot VERB resource "R" in API group "G" in the namespace "N"`.
#[derive(Debug, PartialEq, Eq)]
struct Refusal<'t> {
    namespace: &'t str,
    account: &'t str,
    verb: &'t str,
    resource: &'t str,
    group: &'t str,
    /// Where it was asked for; none for the whole cluster.
    scope: Option<&'t str>,
}

impl Refusal<'_> {
    /// `deployments.apps`
    fn resource(&self) -> String {
        let (resource, below) = self.resource.split_once('/').unwrap_or((self.resource, ""));
        let group = if self.group.is_empty() {
            String::new()
        } else {
            format!(".{}", self.group)
        };
        let below = if below.is_empty() { String::new() } else { format!("/{below}") };
        format!("{resource}{group}{below}")
    }

    fn command(&self) -> Command {
        let (verb, resource, account) = (self.verb, self.resource(), format!("{}:{}", self.namespace, self.account));
        let name = format!("{}-{verb}-{}", self.account, self.resource.replace('/', "-"));
        match self.scope {
            Some(scope) => command(
                "kubectl create role {} --verb={} --resource={} -n {} && \
                 kubectl create rolebinding {} --role={} --serviceaccount={} -n {}",
                &[&name, &verb, &resource, &scope, &name, &name, &account, &scope],
            ),
            None => command(
                "kubectl create clusterrole {} --verb={} --resource={} && \
                 kubectl create clusterrolebinding {} --clusterrole={} --serviceaccount={}",
                &[&name, &verb, &resource, &name, &name, &account],
            ),
        }
    }
}

fn parse(line: &str) -> Option<Refusal<'_>> {
    // JSON logs escape the quotes.
    let user = line.split_once("system:serviceaccount:")?.1;
    let end = user.find(['"', '\\'])?;
    let (namespace, account) = user[..end].split_once(':')?;
    let rest = user[end..].split_once(" cannot ")?.1;
    let (verb, rest) = rest.split_once(' ')?;
    let resource = quoted(rest.split_once("resource")?.1)?;
    let group = rest.split_once("in API group").and_then(|(_, r)| quoted(r)).unwrap_or_default();
    let scope = rest.split_once("in the namespace").and_then(|(_, r)| quoted(r));
    Some(Refusal {
        namespace,
        account,
        verb,
        resource,
        group,
        scope,
    })
}

/// The text between the next pair of quotes, whether escaped or not.
fn quoted(text: &str) -> Option<&str> {
    let inner = text.split_once('"')?.1;
    let end = inner.find('"')?;
    Some(inner[..end].trim_end_matches('\\'))
}

/// What the API server refused to a container in trouble.
pub fn check(view: &View<'_>, caller: &Caller<'_>) -> Option<Finding> {
    let (source, line, refusal) = caller
        .lines
        .iter()
        .rev()
        .find_map(|(source, line)| Some((source, line, parse(line)?)))?;
    let container = &caller.container;
    let own = container.pod.namespace().unwrap_or_default();
    let account = ObjectRef::new(&kind::SERVICE_ACCOUNT, refusal.namespace, refusal.account);
    let place = match refusal.scope {
        Some(scope) => format!("in namespace {scope}"),
        None => "in the whole cluster".to_owned(),
    };
    let mut finding = Finding::error(
        ApiAccessForbidden,
        view.subject_of(container),
        format!(
            "container {} may not {} {} {place}: ServiceAccount {} has no such right",
            container.name(),
            refusal.verb,
            refusal.resource(),
            refusal.account
        ),
    )
    .confidence(if refusal.namespace == own {
        Confidence::Likely
    } else {
        Confidence::Possible
    })
    .evidence(source, shorten(&redact(line), 200))
    .related("account", account)
    .fix_command("grant the right, if the application should have it", refusal.command());
    if !matches!(caller.trouble, Trouble::Suspect | Trouble::Ready) {
        for effect in view.container_effects(container) {
            finding = finding.breaking(effect);
        }
    }
    Some(finding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_read() {
        let line = r#"Error: pods is forbidden: User "system:serviceaccount:shop:api" cannot list resource "pods" in API group "" in the namespace "shop""#;
        let refusal = parse(line).unwrap();
        assert_eq!(
            refusal.command().to_string(),
            "kubectl create role api-list-pods --verb=list --resource=pods -n shop && \
             kubectl create rolebinding api-list-pods --role=api-list-pods --serviceaccount=shop:api -n shop"
        );
        let cluster = r#"{"error":"deployments.apps is forbidden: User \"system:serviceaccount:ops:bot\" cannot watch resource \"deployments\" in API group \"apps\" at the cluster scope"}"#;
        let refusal = parse(cluster).unwrap();
        assert_eq!(
            (refusal.scope, refusal.resource().as_str(), refusal.verb),
            (None, "deployments.apps", "watch")
        );
        assert!(
            refusal
                .command()
                .to_string()
                .starts_with("kubectl create clusterrole bot-watch-deployments --verb=watch --resource=deployments.apps")
        );
        let scale =
            r#"User "system:serviceaccount:a:b" cannot update resource "deployments/scale" in API group "apps" in the namespace "a""#;
        assert_eq!(parse(scale).unwrap().resource(), "deployments.apps/scale");
        assert_eq!(parse("connection refused"), None);
    }
}
