//! Warm pods in a cluster: made, removed, and claimed by sessions.

use std::hash::{BuildHasher as _, RandomState};

use serde_json::Value;

use crate::cluster::{ApiErrorKind, Deletion};
use crate::exit::Failure;
use crate::model::kind;
use crate::observe::session::Sessions;
use crate::observe::session::objects::Objects;
use crate::observe::session::settle::of_uid;
use crate::session::record::Record;
use crate::session::template::Template;
use crate::session::{name, warm};

impl<O: Objects> Sessions<O> {
    /// Takes a warm pod for a record that names it. False: it is gone, or another session has it, and this one never will.
    ///
    /// The pod is written as it was read, or not at all: of any number of sessions that name it, one gets it.
    pub(super) async fn claim(&self, record: &Record, name: &str) -> Result<bool, Failure> {
        use ApiErrorKind::{Conflict, Forbidden, Invalid, NotFound};
        loop {
            let Some(mut pod) = self.objects.get(&kind::POD, name).await? else {
                return Ok(false);
            };
            if record.owns(&pod) {
                return Ok(true);
            }
            if !warm::is_free(&pod, &record.template) {
                return Ok(false);
            }
            warm::give(&mut pod, record);
            match self.objects.replace(&kind::POD, name, &pod).await {
                Ok(_) => return Ok(true),
                // The kubelet writes it too.
                Err(error) if error.kind == Conflict => {}
                // Who may not write pods makes them.
                Err(error) if matches!(error.kind, Forbidden | Invalid | NotFound) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Makes a warm pod that goes with the Lease of a uid, isolated as sessions are.
    pub(crate) async fn make_warm(&self, template: &Template, policy: &Value, keeper: &str) -> Result<Value, Failure> {
        let name = name::of_warm(RandomState::new().hash_one(0));
        self.share(&kind::NETWORK_POLICY, policy).await?;
        let made = self.objects.create(&kind::POD, &template.warm_pod(&name, keeper)).await?;
        // Only now nobody takes the policy for unused.
        self.share(&kind::NETWORK_POLICY, policy).await?;
        Ok(made)
    }

    /// Removes a warm pod as it was read: a session may have taken it in the meantime.
    pub(crate) async fn remove_warm(&self, name: &str, uid: &str, version: &str) -> Result<(), Failure> {
        let mut deletion = of_uid(uid);
        deletion.preconditions.resource_version = Some(version.to_owned());
        self.delete_object(&kind::POD, name, &deletion).await?;
        Ok(())
    }

    /// Deletes the pod of a session that nobody has used, so that it gets another one.
    pub(crate) async fn give_up(&self, name: &str, uid: &str) -> Result<(), Failure> {
        let deletion = Deletion {
            grace_period_seconds: Some(1),
            ..of_uid(uid)
        };
        self.delete_object(&kind::POD, name, &deletion).await?;
        Ok(())
    }
}
