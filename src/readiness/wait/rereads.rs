//! What is read beside the watches, one request at a time: objects that are not watched, nodes that are lost, and once more everything that
//! the verdict `ready` rests on, because watches may lag.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::model::finding::ObjectRef;
use crate::readiness::wait::api_health::Trouble;

/// A read that failed is repeated after this time.
const READ_AGAIN: Duration = Duration::from_secs(2);
/// How often a node that is not ready is read again.
const LOST_NODES: Duration = Duration::from_secs(5);

/// What is to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reread {
    /// Objects that are read one by one.
    pub objects: BTreeSet<ObjectRef>,
    /// Nodes by name.
    pub nodes: BTreeSet<String>,
    /// Whether all pods are listed.
    pub pods: bool,
}

/// What is being read, and the result.
#[derive(Debug, Default)]
pub(crate) struct Rereads {
    under_way: Option<UnderWay>,
    /// Requests so far.
    begun: u32,
    /// Objects that were read; what may not be read is not tried again.
    known: BTreeSet<ObjectRef>,
    /// Why the last request failed, and when to repeat it.
    failed: Option<(Trouble, Duration)>,
    next_nodes: Duration,
    is_confirmed: bool,
}

#[derive(Debug)]
struct UnderWay {
    id: u32,
    confirms: bool,
    objects: BTreeSet<ObjectRef>,
}

impl Rereads {
    /// Reads objects that were never read, else lost nodes now and then, else repeats what failed.
    pub(crate) fn look(&mut self, mut objects: BTreeSet<ObjectRef>, lost_nodes: BTreeSet<String>, now: Duration) -> Option<(u32, Reread)> {
        objects.retain(|object| !self.known.contains(object));
        if self.under_way.is_some() {
            return None;
        }
        if !objects.is_empty() {
            self.known.extend(objects.iter().cloned());
            return Some(self.begin(objects, BTreeSet::new(), false));
        }
        if !lost_nodes.is_empty() && now >= self.next_nodes {
            self.next_nodes = now + LOST_NODES;
            return Some(self.begin(BTreeSet::new(), lost_nodes, false));
        }
        let is_due = self.failed.as_ref().is_some_and(|(_, again)| now >= *again);
        is_due.then(|| self.begin(BTreeSet::new(), BTreeSet::new(), false))
    }

    /// Reads everything again that a verdict rests on, unless that is under way or the API server does not answer.
    pub(crate) fn confirm(&mut self, objects: BTreeSet<ObjectRef>, nodes: BTreeSet<String>) -> Option<(u32, Reread)> {
        (!self.is_confirming() && self.failed.is_none()).then(|| self.begin(objects, nodes, true))
    }

    /// Whether a confirmation is under way.
    pub(crate) fn is_confirming(&self) -> bool {
        self.under_way.as_ref().is_some_and(|read| read.confirms)
    }

    /// Whether everything was read again since it became ready.
    pub(crate) const fn is_confirmed(&self) -> bool {
        self.is_confirmed
    }

    /// It is not ready any more: an earlier confirmation is void.
    pub(crate) fn forget_confirmation(&mut self) {
        self.is_confirmed = false;
        if self.is_confirming() {
            self.under_way = None;
        }
    }

    /// Whether objects are being read that were never read before.
    pub(crate) fn reads_new_objects(&self) -> bool {
        self.under_way
            .as_ref()
            .is_some_and(|read| !read.confirms && !read.objects.is_empty())
    }

    /// Whether a request is under way and its outcome counts.
    pub(crate) fn awaits(&self, id: u32) -> bool {
        self.under_way.as_ref().is_some_and(|read| read.id == id)
    }

    /// Takes in the outcome of a request.
    pub(crate) fn take(&mut self, id: u32, outcome: Result<(), Trouble>, now: Duration) {
        let Some(read) = self.under_way.take_if(|read| read.id == id) else {
            return;
        };
        match outcome {
            Ok(()) => {
                self.is_confirmed = read.confirms;
                self.failed = None;
            }
            Err(trouble) => {
                self.known.retain(|object| !read.objects.contains(object));
                self.failed = Some((trouble, now + READ_AGAIN));
            }
        }
    }

    /// Why the last request failed.
    pub(crate) fn trouble(&self) -> Option<&Trouble> {
        self.failed.as_ref().map(|(trouble, _)| trouble)
    }

    /// When to repeat the request that failed.
    pub(crate) fn due(&self) -> Option<Duration> {
        self.failed.as_ref().filter(|_| self.under_way.is_none()).map(|(_, again)| *again)
    }

    /// Reads these objects and nodes; pods too to confirm, or where there is nothing else to read.
    fn begin(&mut self, objects: BTreeSet<ObjectRef>, nodes: BTreeSet<String>, confirms: bool) -> (u32, Reread) {
        self.begun += 1;
        let pods = confirms || (objects.is_empty() && nodes.is_empty());
        self.under_way = Some(UnderWay {
            id: self.begun,
            confirms,
            objects: objects.clone(),
        });
        (self.begun, Reread { objects, nodes, pods })
    }
}
