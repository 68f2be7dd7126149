//! Sessions as objects: what the API server knows of them.

use std::collections::BTreeMap;

use http::{Response, StatusCode};
use hyper::body::Bytes;
use k8s_openapi::api::core::v1::Pod;

use crate::exit::{Exit, Failure};
use crate::gateway::auth::{self, Caller};
use crate::gateway::control::Control;
use crate::gateway::gate::{About, Ask};
use crate::gateway::problem::{self, Problem};
use crate::model::kind;
use crate::model::report::API_VERSION;
use crate::model::session::{Session, SessionList};
use crate::observe::session::objects::Objects as _;
use crate::observe::session::{all_selector, is_present, pod_of};
use crate::session::record::Record;
use crate::session::state;

impl Control<'_> {
    pub(super) async fn answer(&self, ask: Ask) {
        let answer = match &ask.about {
            About::One(id) => self.one(id, &ask.caller).await,
            About::All => self.all(&ask.caller).await,
            About::Delete(id) => self.delete(id, &ask.caller).await,
        };
        let answer = match answer {
            Ok(Some(answer)) => answer,
            Ok(None) => auth::forbidden().answer(),
            Err(failure) if failure.exit == Exit::NotFound && !ask.caller.may_know() => auth::forbidden().answer(),
            Err(failure) => Problem::of(failure).answer(),
        };
        // Who asked may have gone.
        let _ = ask.answer.send(answer);
    }

    /// A session; none: it belongs to somebody else.
    async fn one(&self, id: &str, caller: &Caller) -> Result<Option<Response<Bytes>>, Failure> {
        let record = self.sessions.existing(id).await?;
        // Before its pod is read: the time must not tell others that there is a session.
        if !caller.owns(record.owner.as_deref()) {
            return Ok(None);
        }
        let pods = self.sessions.pods(&record.name).await?;
        let pod = pods.iter().find(|pod| is_present(&record, pod));
        let session = state::report(&record, pod, self.sessions.now());
        Ok(Some(document(&session)))
    }

    async fn all(&self, caller: &Caller) -> Result<Option<Response<Bytes>>, Failure> {
        let (records, unreadable) = self.sessions.records().await?;
        for why in unreadable.values() {
            self.say(why);
        }
        let pods = self.sessions.objects.list(&kind::POD, &all_selector(), false).await?;
        let named = |pod: Pod| Some((pod.metadata.name.clone()?, pod));
        let pods: BTreeMap<String, Pod> = pods.into_iter().filter_map(pod_of).filter_map(named).collect();
        let now = self.sessions.now();
        let report = |record: &Record| {
            let pod = pods.get(&record.pod()).filter(|pod| is_present(record, pod));
            state::report(record, pod, now)
        };
        let mut items: Vec<Session> = records
            .values()
            .filter(|record| caller.owns(record.owner.as_deref()) && caller.may_use(&record.id))
            .map(report)
            .collect();
        items.sort_by(|a, b| a.id.cmp(&b.id));
        let (api_version, kind) = (API_VERSION, "SessionList");
        Ok(Some(document(&SessionList { api_version, kind, items })))
    }

    async fn delete(&self, id: &str, caller: &Caller) -> Result<Option<Response<Bytes>>, Failure> {
        match self.sessions.record(id).await? {
            Some(record) if !caller.owns(record.owner.as_deref()) => return Ok(None),
            Some(record) => {
                self.sessions.delete_record(&record).await?;
                self.gate.metrics.deleted("request");
            }
            None if !caller.may_know() => return Ok(None),
            None => {}
        }
        // Requests behind this one must not find the pod that goes.
        self.table.remove(id);
        let mut answer = problem::own(StatusCode::NO_CONTENT, "application/json", String::new());
        answer.headers_mut().remove(http::header::CONTENT_TYPE);
        Ok(Some(answer))
    }
}

fn document(report: &impl serde::Serialize) -> Response<Bytes> {
    let text = serde_json::to_string(report).unwrap_or_default();
    problem::own(StatusCode::OK, "application/json", text)
}
