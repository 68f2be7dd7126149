//! Diagnoses a cluster: reads what the user named, runs the rules, and reads what they still need.

use std::time::Instant;

use futures::future::join;

use crate::cluster::Connection;
use crate::diagnosis::assess;
use crate::diagnosis::assess::Question;
use crate::exit::Failure;
use crate::io::Io;
use crate::model::finding::ObjectRef;
use crate::model::report::Diagnosis;
use crate::model::snapshot::Snapshot;
use crate::model::{duration, kind};
use crate::observe::named::named_objects;
use crate::observe::reads::Rights;
use crate::observe::targets::{Resolver, Selection, Wanted};
use crate::observe::{neighbourhood, patience, reads};
use crate::rules::listen;
use crate::view::Needs;

/// What is to be diagnosed, and what may be done for it.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) selection: Selection,
    /// What is asked about the selection, before its objects are known.
    pub(crate) question: Question,
    pub(crate) rights: Rights,
    /// Whether the objects that were read are saved or followed: then the whole namespace is read.
    pub(crate) keeps_objects: bool,
}

/// A diagnosis, and what it was made from.
pub(crate) struct Answer {
    pub(crate) diagnosis: Diagnosis,
    pub(crate) snapshot: Snapshot,
    /// The question, with the objects of the selection.
    pub(crate) question: Question,
}

/// A connection, and the objects that the files of `-f` name.
pub(crate) struct Engine {
    pub(crate) connection: Connection,
    /// None without `-f`.
    pub(crate) documents: Option<Vec<serde_json::Value>>,
}

impl Engine {
    /// The namespace that is looked at; none for all.
    pub(crate) fn namespace(&self, selection: &Selection) -> Option<&str> {
        (!selection.all_namespaces).then(|| self.connection.default_namespace())
    }

    /// Reads, runs the rules, reads what they need, and judges.
    pub(crate) async fn diagnose(&self, request: &Request, io: &Io) -> Result<Answer, Failure> {
        let start = Instant::now();
        let before = self.connection.request_count();
        let mut answer = self.answer(request, io).await?;
        answer.diagnosis.requests = self.connection.request_count() - before;
        answer.diagnosis.elapsed_seconds = duration::rounded(start.elapsed().as_secs_f64());
        Ok(answer)
    }

    async fn answer(&self, request: &Request, io: &Io) -> Result<Answer, Failure> {
        let about = |targets| Question {
            targets,
            ..request.question.clone()
        };
        if let Some((target, snapshot)) = self.neighbourhood(request, (io.now)()).await {
            let answer = self
                .judge_with_needs(about(Some(vec![target])), &request.rights, snapshot, io)
                .await;
            if !neighbourhood::leads_beyond(&answer.diagnosis, &answer.snapshot) {
                return Ok(answer);
            }
        }
        let selection = &request.selection;
        let namespace = self.connection.default_namespace().to_owned();
        let namespaces = if selection.all_namespaces {
            Vec::new()
        } else {
            vec![namespace.clone()]
        };
        let named = named_objects(self.documents.as_deref().unwrap_or_default(), &namespace)?;
        let (read, own) = join(reads::first_round(&self.connection, &namespaces, (io.now)()), async {
            match selection.all_namespaces {
                true => Ok(None),
                false => reads::namespace(&self.connection, &namespace).await,
            }
        })
        .await;
        let own = own?;
        if own == Some(None) && !selection.is_cluster_wide() {
            return Err(reads::no_such_namespace(&self.connection, &namespace).await);
        }
        let (mut snapshot, refused) = read?;
        // One that is being deleted explains what goes wrong in it.
        let is_ending = |own: &serde_json::Value| !own["metadata"]["deletionTimestamp"].is_null();
        if let Some(own) = own.flatten().filter(is_ending) {
            reads::note_bad(&mut snapshot, own);
            snapshot.sort();
        }
        let names_objects = !named.is_empty() || selection.names_objects();
        if let Some(refused) = refused.filter(|_| !names_objects) {
            return Err(refused.into());
        }
        let resolver = Resolver {
            connection: &self.connection,
            selection,
            rights: &request.rights,
            options: &request.question.options,
        };
        let mut wanted = resolver.resolve(&mut snapshot, &namespace).await?;
        wanted.extend(resolver.named_in_files(named, &mut snapshot).await?);
        let is_whole = selection.is_whole() && self.documents.is_none();
        Ok(self
            .judge_with_needs(about((!is_whole).then_some(wanted)), &request.rights, snapshot, io)
            .await)
    }

    /// The neighbourhood of the one object that is named, where that is enough to answer. What a saved snapshot, names of containers and looks
    /// into pods need is the whole namespace.
    async fn neighbourhood(&self, request: &Request, now: jiff::Timestamp) -> Option<(ObjectRef, Snapshot)> {
        let question = &request.question;
        let is_plain = self.documents.is_none() && question.containers.is_empty() && !request.keeps_objects && !question.options.sockets;
        let [Wanted::Named(kind_name, name)] = request.selection.wanted.as_slice() else {
            return None;
        };
        let kind = kind::named(kind_name).filter(|_| is_plain)?;
        let namespace = self.connection.default_namespace();
        // Whatever goes wrong goes wrong again, and is reported, when the whole namespace is read.
        let read = neighbourhood::read(&self.connection, kind, namespace, name, now).await.ok()??;
        Some((ObjectRef::new(kind, namespace, name), read))
    }

    /// Reads what rules need beyond the lists, and judges what was read.
    async fn judge_with_needs(&self, question: Question, rights: &Rights, mut snapshot: Snapshot, io: &Io) -> Answer {
        let rules = |seen: &Snapshot| {
            let mut run = assess::run(seen, &question);
            let needs = std::mem::take(&mut run.needs);
            patience::announce(&io.stderr, seen, &needs);
            (run, needs)
        };
        let run = reads::further_rounds(&self.connection, &mut snapshot, rights, reads::RULE_ROUNDS, rules).await;
        for added in rights.reach.take_added() {
            io.stderr.line(&format!(
                "Warning: added ephemeral container {added}; it stays until the pod is replaced"
            ));
        }
        if question.options.dial {
            let view = assess::view(&snapshot, &question);
            let scope = assess::scope(&view, &question);
            let unsaid = listen::unsettled(&view, &mut Needs::default(), |workload| scope.has(workload));
            snapshot.unchecked.extend(unsaid);
        }
        let diagnosis = assess::diagnose(&snapshot, &question, run);
        Answer {
            diagnosis,
            snapshot,
            question,
        }
    }
}
