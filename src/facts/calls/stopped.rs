//! Failed calls that a NetworkPolicy stops.

use crate::facts::calls::failure::{Failure, How};
use crate::facts::calls::names;
use crate::facts::calls::places::Place;
use crate::facts::calls::trouble::Trouble;
use crate::facts::policy;
use crate::facts::policy::denied::Denied;
use crate::view::{Needs, View, endpoints, ports};

/// What explains a failed call to a Service that exists, or to a host outside.
pub fn by_policy<'a>(view: &View<'a>, needs: &mut Needs, failure: &Failure<'a>) -> Option<Denied<'a>> {
    let caller = failure.container.pod;
    let (service, host) = match &failure.place {
        Place::Service { namespace, name } => (Some(view.service(namespace, name)?), ""),
        // What the spec names may not be called at all: only the caller's own words count.
        Place::Outside(host) if failure.line.is_some() && failure.trouble != Trouble::Suspect => (None, host.as_str()),
        Place::Outside(_) | Place::Own => return None,
    };
    match failure.how {
        How::Unresolved => policy::denies_dns(view, needs, caller),
        How::Timeout | How::Unknown => {
            let is_at_fault = |service| ports::wrong_port(view, service, failure.port) || !endpoints::by_pods(view, service).is_ready();
            if service.is_some_and(is_at_fault) {
                return None;
            }
            // A client with a time limit of its own may still have been asking for the name; an address in the line says that it was not.
            let has_address = failure
                .line
                .as_ref()
                .is_some_and(|(_, line)| names::in_line(line).iter().any(|m| m.ip().is_some()));
            if let Some(found) = (!has_address).then(|| policy::denies_dns(view, needs, caller)).flatten() {
                return Some(found);
            }
            match service {
                Some(service) => policy::denies(view, needs, caller, service, failure.port),
                None => policy::denies_outside(view, needs, caller, host, failure.port?),
            }
        }
        _ => None,
    }
}
