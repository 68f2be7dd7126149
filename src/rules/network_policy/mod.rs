//! NetworkPolicies that stand between a caller and a Service whose pods are well.
//!
//! Only a timeout is blamed on a policy: a refusal has come from the other end.

mod closed;
#[cfg(test)]
mod tests;

use crate::facts::calls::failure::Failure;
use crate::facts::calls::places::Place;
use crate::facts::calls::trouble::Trouble;
use crate::facts::calls::{callers, stopped};
use crate::facts::policy::denied::Denied;
use crate::facts::policy::{denies_all, denies_outside};
use crate::model::cause::NetworkPolicyBlocks;
use crate::model::finding::{Confidence, Finding, ObjectRef};
use crate::model::kind;
use crate::text::{redact, shorten};
use crate::view::{Out, View};

/// Calls that time out because a policy denies them.
pub fn check(view: &View<'_>, out: &mut Out) {
    let callers = callers::callers(view, &mut out.needs);
    let failures: Vec<Failure<'_>> = callers
        .iter()
        .flat_map(|caller| callers::of_caller(view, &mut out.needs, caller))
        .collect();
    let blamed = failures
        .iter()
        .filter_map(|failure| Some((failure, stopped::by_policy(view, &mut out.needs, failure)?)));
    let (calls, denied): (Vec<_>, Vec<_>) = blamed.unzip();
    // Without DNS the call does not get as far as the port, nor without a way out as far as the other end: that would be the next fault.
    let next = calls.iter().zip(&denied).filter_map(|(failure, one)| match &failure.place {
        Place::Service { namespace, name } => {
            let service = view.service(namespace, name)?;
            denies_all(view, &mut out.needs, failure.container.pod, service, failure.port)
        }
        Place::Outside(host) if one.cause() == NetworkPolicyBlocks::Dns => {
            denies_outside(view, &mut out.needs, failure.container.pod, host, failure.port?).map(|denied| vec![denied])
        }
        Place::Outside(_) | Place::Own => None,
    });
    let next: Vec<Denied<'_>> = next.flatten().collect();
    let all: Vec<Denied<'_>> = denied.iter().cloned().chain(next).collect();
    let each = calls.iter().zip(&denied);
    out.findings
        .extend(each.filter_map(|(failure, one)| Some(blame(view, failure, one.finding(&all)?))));
    // What a caller has met says more than the policies do: a refusal has come through, and a timeout has its own finding.
    let refused = callers
        .iter()
        .filter(|caller| caller.was_refused)
        .flat_map(|caller| &caller.references);
    let called: Vec<&Place> = failures
        .iter()
        .map(|f| &f.place)
        .chain(refused.map(|reference| &reference.place))
        .collect();
    out.findings.extend(closed::check(view, &called));
}

fn blame(view: &View<'_>, failure: &Failure<'_>, finding: Finding) -> Finding {
    let service = match &failure.place {
        Place::Service { namespace, name } => Some(ObjectRef::new(&kind::SERVICE, namespace, name)),
        _ => None,
    };
    // Where its own words tell of no call, the policy is in the way of one that its spec names, and no more is known.
    let is_silent = failure.line.is_none() && failure.trouble.lasts();
    let finding = finding.confidence(if is_silent { Confidence::Possible } else { Confidence::Likely });
    // What was seen stands before what was evaluated.
    let evaluated = finding.evidence.clone();
    let mut finding = Finding {
        evidence: Vec::new(),
        ..finding
    };
    finding = match &failure.line {
        Some((source, line)) => finding.evidence(source, shorten(&redact(line), 200)),
        None if is_silent => finding.evidence(
            failure.container.source(),
            format!(
                "{}, its log does not say why, and its {} names {}",
                if failure.trouble == Trouble::Deaf {
                    "does not listen"
                } else {
                    "is not ready"
                },
                failure.named_by,
                service.as_ref().map(|service| service.name.as_str()).unwrap_or_default()
            ),
        ),
        None => finding.evidence(failure.container.source(), "waits, and its log does not say why"),
    };
    finding.evidence.extend(evaluated);
    if let Some(service) = service {
        finding = finding.related("service", service);
    }
    if failure.trouble != Trouble::Suspect {
        for effect in view.container_effects(&failure.container) {
            finding = finding.breaking(effect);
        }
    }
    finding
}
