//! What rules lack: they take what was read, and note what was not.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::model::certificate::{Certificate, CertificateKey};
use crate::model::dial::{Dial, DialKey};
use crate::model::finding::{Finding, ObjectRef};
use crate::model::kind::Kind;
use crate::model::snapshot::LogKey;
use crate::model::sockets::PodSockets;
use crate::view::log::log_key;
use crate::view::{ContainerView, LogView, View};

/// Something that a rule lacks to decide; `observe::reads` fetches it, and the rules run again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// A container's log (the last lines of it).
    Log(LogKey),
    /// The last lines of a container that is ready, each with its time.
    RecentLog(LogKey),
    /// A connection to a port of a pod.
    Dial(DialKey),
    /// The certificate that the address of an Ingress serves.
    Certificate(CertificateKey),
    /// The listening sockets of a pod (namespace, name).
    Sockets(String, String),
    /// One object with its content.
    Object(ObjectRef),
    /// All objects of a kind, in one namespace or (none) everywhere.
    List(Kind, Option<String>),
}

/// What a run of rules gives.
#[derive(Debug, Default)]
pub struct Out {
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What was not read yet and could tell more.
    pub needs: Needs,
}

/// What was not read yet and could tell more.
#[derive(Debug, Default)]
pub struct Needs(BTreeSet<Need>);

impl Needs {
    /// Asks for something that was not read yet.
    pub fn need(&mut self, need: Need) {
        self.0.insert(need);
    }

    /// Everything that was asked for.
    pub fn into_set(self) -> BTreeSet<Need> {
        self.0
    }

    /// A container's log; asks for it where it was not read yet.
    pub fn log<'a>(&mut self, view: &View<'a>, container: &ContainerView<'_>, previous: bool) -> Option<LogView<'a>> {
        let log = view.read_log(container, previous);
        if log.is_none() {
            self.need(Need::Log(log_key(container, previous)));
        }
        log
    }

    /// The last lines of a container that is ready, each with its time; asks for them where they were not read yet.
    pub fn recent_log<'a>(&mut self, view: &View<'a>, container: &ContainerView<'_>) -> Option<&'a str> {
        let key = log_key(container, false);
        let log = view.snapshot.recent_log(&key);
        if log.is_none() {
            self.need(Need::RecentLog(key));
        }
        log.flatten()
    }

    /// The log that tells how a container last ended: of the previous instance if it has been started again, else the present one.
    /// Where the previous log is gone, the present one is asked for instead.
    pub fn end_log<'a>(&mut self, view: &View<'a>, container: &ContainerView<'_>) -> Option<LogView<'a>> {
        if container.terminated().is_none() && container.restarts() > 0 {
            match self.log(view, container, true) {
                Some(previous) if previous.text.is_some_and(|text| !text.trim().is_empty()) => return Some(previous),
                // A dump of the cluster has the present log alone, and nothing more can be read.
                None if !view.snapshot.local => return None,
                _ => {}
            }
        }
        self.log(view, container, false)
    }

    /// What came of a dial; asks for it where it was not made yet and is allowed.
    pub fn dial<'a>(&mut self, view: &View<'a>, key: DialKey) -> Option<&'a Dial> {
        let made = view.snapshot.dial(&key);
        if made.is_none() && view.options.dial {
            self.need(Need::Dial(key));
        }
        made
    }

    /// Which certificate an address serves; asks for it where it was not read yet and that is allowed.
    pub fn certificate<'a>(&mut self, view: &View<'a>, key: &CertificateKey) -> Option<&'a Certificate> {
        let seen = view.snapshot.certificate(key);
        if seen.is_none() && view.options.dial {
            self.need(Need::Certificate(key.clone()));
        }
        seen
    }

    /// The listening sockets of a pod; asks for them where they were not read yet and that is allowed.
    pub fn sockets<'a>(&mut self, view: &View<'a>, pod: &Pod) -> Option<&'a PodSockets> {
        self.ask_sockets(view, pod);
        view.snapshot
            .sockets(&pod.namespace().unwrap_or_default(), &pod.name_any())
            .flatten()
    }

    /// Asks for the listening sockets of a pod, which the port table shows, where they were not read yet and that is allowed.
    pub fn ask_sockets(&mut self, view: &View<'_>, pod: &Pod) {
        let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
        if view.options.sockets && view.snapshot.sockets(&namespace, &name).is_none() {
            self.need(Need::Sockets(namespace, name));
        }
    }

    /// Whether a list was read completely; asks for it where it was not read yet.
    pub fn list(&mut self, view: &View<'_>, kind: &Kind, namespace: &str) -> bool {
        let namespace = if kind.namespaced { namespace } else { "" };
        if view.snapshot.coverage(kind, namespace).is_none() {
            self.need(Need::List(kind.clone(), (!namespace.is_empty()).then(|| namespace.to_owned())));
        }
        view.snapshot.is_complete(kind, namespace)
    }
}
