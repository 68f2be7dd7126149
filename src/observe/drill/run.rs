//! Makes the fault, proves it, holds it, takes it back, and waits for the recovery.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use futures::future::{join, join_all};
use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::json;
use tokio::time::Instant;

use crate::cluster::{ApiError, ApiErrorKind, Connection, Deletion, Patch, WriteOptions};
use crate::drill::change;
use crate::drill::change::{Change, by_object};
use crate::drill::created::{Created, owned_by};
use crate::drill::fault::Fault;
use crate::drill::inside;
use crate::drill::inside::Strike;
use crate::drill::journal::{Journal, VERSION};
use crate::drill::judge::{Limits, Outcome, judge, reasons};
use crate::drill::lanes::Lanes;
use crate::drill::meter::Moments;
use crate::drill::plan::{Plan, PodBefore, RESTARTED_AT, dependants};
use crate::drill::proof;
use crate::exit::{Exit, Failure};
use crate::io::{Interruption, Stop, Stream};
use crate::model::drill::{
    DataCheck, DrillEvent, DrillLog, DrillReport, DrillVerdict, EndpointGap, KeptBudget, MeasuredRole, Measurement, Restored,
};
use crate::model::duration::rounded;
use crate::model::finding::ObjectRef;
use crate::model::kind;
use crate::observe::drill::canary::Canary;
use crate::observe::drill::data::Data;
use crate::observe::drill::file::Reader;
use crate::observe::drill::inside::{Running, heal};
use crate::observe::drill::journal::Open;
use crate::observe::drill::logs::Logs;
use crate::observe::drill::meter as clients;
use crate::observe::drill::meter::{Meter, Target};
use crate::observe::drill::prepare::Prepared;
use crate::observe::drill::restore;
use crate::observe::prober::{Means, missing};
use crate::observe::store::Store;
use crate::text::command;
use crate::view::{Options, View, endpoints};

/// How long the targets are asked before the first change, and how long they may take to answer so long without a failure.
const BEFORE: Duration = Duration::from_millis(500);
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// How long a fault may take until it is seen.
const PROVEN_WITHIN: Duration = Duration::from_secs(60);
/// How long a recovery has to last: the objects come by watches of their own, and one may be behind.
const SETTLED: Duration = Duration::from_millis(300);
/// How long pods that were taken away are waited for.
const DRAINED_WITHIN: Duration = Duration::from_secs(60);
/// How long a ConfigMap may take to get into files: the kubelet looks every minute or a little later.
const IN_FILES_WITHIN: Duration = Duration::from_secs(150);
/// How long pods inside the cluster may take until they have connected.
const OPEN_WITHIN: Duration = Duration::from_secs(120);
/// Good answers in a row that make a recovery.
const GOOD_ANSWERS: usize = 5;
/// How often is looked where no object changes.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// How a drill is made.
pub(crate) struct Settings {
    pub(crate) limits: Limits,
    pub(crate) data: Option<Data>,
    /// Clients that make requests.
    pub(crate) meters: Vec<Meter>,
    /// What clients inside the cluster ask.
    pub(crate) inside: Vec<Target>,
    /// Where the journal is written, beside the namespace.
    pub(crate) folder: Option<PathBuf>,
    /// `user@host, process 17`
    pub(crate) by: String,
    pub(crate) clock: fn() -> Timestamp,
    pub(crate) stderr: Stream,
}

/// A time in which a Service has no ready endpoint.
struct Gap {
    service: String,
    from: Instant,
    to: Option<Instant>,
}

/// A drill that is under way.
struct Drill<'a> {
    connection: &'a Connection,
    plan: Plan,
    store: Store,
    settings: Settings,
    canaries: Vec<Canary>,
    clients_inside: Option<clients::Inside>,
    reader: Option<Reader>,
    journal: Option<Open>,
    /// Commands in containers.
    inside: Option<Running>,
    events: Vec<DrillEvent>,
    begun: Instant,
    /// The first change.
    fault: Option<Instant>,
    started_at: Timestamp,
    /// When everything was put back, or the fault was proven where nothing has to be.
    undone: Option<Instant>,
    lanes: Lanes,
    logs: Logs,
    /// Pods behind the Services that are only watched, as they were, and what becomes of them.
    dependants: (Vec<PodBefore>, Lanes),
    /// When Services had no ready endpoint.
    gaps: Vec<Gap>,
    /// The least of ready pods that each budget has seen since the first change.
    least: Vec<usize>,
    interruption: Option<Interruption>,
    say: &'a (dyn Fn(&str) + Send + Sync),
}

/// Why waiting has ended.
enum End {
    Met(String),
    /// Its time is up; what was missing last.
    Late(String),
    Interrupted,
}

/// Makes a drill. The report says how it ended; the interruption is the signal that cut it short.
pub(crate) async fn run(
    connection: &Connection,
    prepared: Prepared,
    settings: Settings,
    stop: &Stop,
    say: &(dyn Fn(&str) + Send + Sync),
) -> Result<(DrillReport, Option<Interruption>), Failure> {
    let started_at = (settings.clock)();
    let dependants = {
        let watched = settings.meters.iter().map(|meter| &meter.target).chain(&settings.inside);
        let watched = watched.filter(|target| target.client.role == MeasuredRole::Dependant);
        let services = watched.filter_map(|target| target.service.as_deref()).collect();
        let view = View::new(&prepared.store.snapshot, Options::default());
        let targets = &prepared.plan.request.targets;
        (
            dependants(&view, connection.default_namespace(), &services, targets),
            Lanes::default(),
        )
    };
    let mut drill = Drill {
        connection,
        plan: prepared.plan,
        store: prepared.store,
        settings,
        canaries: Vec::new(),
        clients_inside: None,
        reader: None,
        journal: None,
        inside: None,
        events: Vec::new(),
        begun: Instant::now(),
        fault: None,
        started_at,
        undone: None,
        lanes: Lanes::default(),
        logs: Logs::default(),
        dependants,
        gaps: Vec::new(),
        least: Vec::new(),
        interruption: None,
        say,
    };
    let outcome = drill.whole(started_at, stop).await;
    drill.end_inside().await;
    stop.release();
    Ok((outcome?, drill.interruption))
}

impl Drill<'_> {
    async fn whole(&mut self, started_at: Timestamp, stop: &Stop) -> Result<DrillReport, Failure> {
        self.start_inside().await?;
        self.baseline(stop).await?;
        self.open_canaries(stop).await?;
        if let Some(interruption) = self.interruption {
            return Err(Failure::new(interruption.into(), "interrupted before anything was changed"));
        }
        let data = self.data_before().await?;
        // From here on a signal undoes what was done, and takes the time that this takes: somebody listens for it all the while.
        let _listening = stop.told();
        stop.hold();
        self.begin(started_at).await?;
        self.event(
            "journal",
            format!("configmap/{} has what must be restored", crate::drill::journal::NAME),
        );
        let not_injected = self.inject(stop).await;
        if not_injected.is_none() && !self.plan.request.hold.is_zero() {
            self.hold(stop).await;
        }
        let restored = self.undo().await;
        let recovery = self.recover(stop).await;
        if recovery.is_ok() {
            self.drain(stop).await;
        }
        let data = match data.filter(|_| recovery.is_ok()) {
            Some(before) => self.data_after(&before).await,
            None => None,
        };
        if let Some(why) = self.logs.refused() {
            self.event("blind", format!("logs could not be read: {why}"));
        }
        let report = self.report(started_at, not_injected, recovery, restored, data);
        self.close(&report).await;
        Ok(report)
    }

    /// Starts what looks and asks from inside the cluster.
    async fn start_inside(&mut self) -> Result<(), Failure> {
        let request = &self.plan.request;
        let lives = request.hold + request.timeout + OPEN_WITHIN + PROVEN_WITHIN;
        let means = |labels: &BTreeMap<String, String>, every: Option<Duration>| Means {
            connection: self.connection.clone(),
            image: request.image.clone(),
            with_body: false,
            every,
            ends: Some(Instant::now() + lives),
            scheduling: OPEN_WITHIN,
            stderr: self.settings.stderr.clone(),
            labels: labels.clone(),
        };
        let namespace = self.connection.default_namespace();
        let canaries = self.plan.canaries.iter();
        self.canaries = canaries
            .map(|plan| Canary::start(plan.clone(), namespace, means(&plan.labels, None)))
            .collect();
        let Some(first) = self.settings.inside.first() else { return Ok(()) };
        let missing = missing(self.connection, namespace).await;
        if !missing.is_empty() {
            let why = format!(
                "refused: requests from inside the cluster need rights that are missing: {}",
                missing.join(", ")
            );
            let hint = command("kubectl podlife rbac drill -n {}", &[&namespace]);
            return Err(Failure::new(Exit::NotInjected, why).hint(hint.to_string()));
        }
        let means = means(&BTreeMap::new(), Some(first.client.interval));
        let (inside, meters) = clients::Inside::start(means, namespace, std::mem::take(&mut self.settings.inside));
        self.clients_inside = Some(inside);
        self.settings.meters.extend(meters);
        Ok(())
    }

    /// Waits until each canary has connected: what is closed before the fault proves nothing.
    async fn open_canaries(&mut self, stop: &Stop) -> Result<(), Failure> {
        if self.canaries.is_empty() {
            return Ok(());
        }
        let begun = Instant::now();
        self.until(true, OPEN_WITHIN, stop, |_, drill| {
            let mut waits = drill.canaries.iter().filter(|canary| canary.broken().is_none());
            waits.try_for_each(|canary| canary.open(begun).map(drop)).map(|()| String::new())
        })
        .await?;
        let mut opened = Vec::new();
        for canary in self.canaries.iter_mut().filter(|_| self.interruption.is_none()) {
            let open = canary.note_open(begun);
            opened.push(open.map_err(|why| Failure::new(Exit::NotInjected, format!("refused: nothing would prove the fault: {why}")))?);
        }
        for words in opened {
            self.event("open", words);
        }
        Ok(())
    }

    /// Ends it, and removes its Jobs.
    async fn end_inside(&self) {
        let canaries = join_all(self.canaries.iter().map(Canary::end));
        let clients = async {
            if let Some(inside) = &self.clients_inside {
                inside.end().await;
            }
        };
        join(canaries, clients).await;
    }

    fn event(&mut self, what: &str, detail: impl Into<String>) {
        let detail = detail.into();
        (self.say)(&format!("{what:<10} {detail}"));
        if let Some(journal) = &mut self.journal {
            journal.note(what, &detail);
        }
        let at = self.fault.map_or(0.0, |fault| rounded(fault.elapsed().as_secs_f64()));
        self.events.push(DrillEvent {
            at_seconds: at,
            what: what.to_owned(),
            detail,
        });
    }

    /// Waits until something is seen in the objects, looking at each change of them. A signal is noted, and ends it if it `ends`.
    async fn until(
        &mut self,
        ends: bool,
        limit: Duration,
        stop: &Stop,
        mut met: impl FnMut(&View<'_>, &Self) -> Result<String, String>,
    ) -> Result<End, Failure> {
        let deadline = Instant::now() + limit;
        let told = stop.told();
        tokio::pin!(told);
        loop {
            self.store.snapshot.taken_at = (self.settings.clock)();
            self.store.snapshot.sort();
            let missing = {
                let view = View::new(&self.store.snapshot, Options::default());
                if self.fault.is_some() {
                    note_gaps(&view, self.connection.default_namespace(), &self.plan, &mut self.gaps);
                }
                self.lanes.note(&view, &self.plan.request.targets, self.begun.elapsed());
                let (before, lanes) = &mut self.dependants;
                let workloads: BTreeSet<ObjectRef> = before.iter().map(|pod| pod.workload.clone()).collect();
                lanes.note(&view, &Vec::from_iter(workloads), self.begun.elapsed());
                let targets = &self.plan.request.targets;
                self.logs.note(&view, self.connection, targets, self.started_at);
                let ready = self.plan.budgets.iter().map(|budget| budget.ready(&view));
                self.least = match self.fault {
                    Some(_) => ready.zip(&self.least).map(|(now, least)| now.min(*least)).collect(),
                    None => Vec::new(),
                };
                match met(&view, self) {
                    Ok(seen) => return Ok(End::Met(seen)),
                    Err(missing) => missing,
                }
            };
            if Instant::now() >= deadline {
                return Ok(End::Late(missing));
            }
            tokio::select! {
                interruption = &mut told, if self.interruption.is_none() => {
                    self.interruption = Some(interruption);
                    if ends {
                        return Ok(End::Interrupted);
                    }
                }
                changed = self.store.changed() => changed?,
                () = tokio::time::sleep(LOOK_AGAIN.min(deadline - Instant::now())) => {}
            }
        }
    }

    /// Why a client measures no more.
    fn unmeasured(&self) -> Option<String> {
        let why = |meter: &Meter| Some(format!("{} was not measured to the end: {}", meter.named(), meter.trouble()?));
        self.settings.meters.iter().find_map(why)
    }

    /// Whether every target has answered so often in a row, as far as somebody asks it.
    fn answers(&self, times: impl Fn(&Meter) -> usize) -> Result<(), String> {
        let mut asking = self.settings.meters.iter().filter(|meter| meter.trouble().is_none());
        match asking.find(|meter| meter.good_in_a_row() < times(meter)) {
            Some(meter) => Err(meter.named()),
            None => Ok(()),
        }
    }

    /// Asks the targets before anything is changed: what does not answer now proves nothing later.
    async fn baseline(&mut self, stop: &Stop) -> Result<(), Failure> {
        if self.settings.meters.is_empty() {
            return Ok(());
        }
        let begun = self.settings.meters.iter().map(|meter| meter.begun).max().unwrap_or(self.begun);
        let enough = |meter: &Meter| {
            (BEFORE.div_duration_f64(meter.target.client.interval) as usize)
                .saturating_sub(1)
                .max(1)
        };
        let within = if self.clients_inside.is_some() {
            OPEN_WITHIN
        } else {
            ANSWERS_WITHIN
        };
        let end = self
            .until(true, within, stop, |_, drill| match drill.answers(enough) {
                _ if drill.unmeasured().is_some() => Ok(String::new()),
                Ok(()) if begun.elapsed() >= BEFORE => Ok(String::new()),
                Ok(()) => Err(String::new()),
                Err(name) => Err(name),
            })
            .await?;
        match end {
            End::Late(name) => {
                let meter = self.settings.meters.iter().find(|meter| meter.named() == name);
                let why = meter.and_then(Meter::last_failure).unwrap_or_else(|| "no answer".to_owned());
                Err(Failure::new(
                    Exit::NotInjected,
                    format!("{name} does not answer correctly before the fault: {why}"),
                )
                .hint("kubectl podlife diagnose, or another --target"))
            }
            End::Met(_) | End::Interrupted => match self.unmeasured() {
                Some(why) => Err(Failure::new(Exit::NotInjected, format!("refused: {why}"))),
                None => Ok(()),
            },
        }
    }

    async fn data_before(&self) -> Result<Option<String>, Failure> {
        let Some(data) = &self.settings.data else { return Ok(None) };
        let view = View::new(&self.store.snapshot, Options::default());
        data.before(self.connection, &view).await
    }

    async fn data_after(&mut self, before: &str) -> Option<DataCheck> {
        let data = self.settings.data.clone()?;
        let check = data.after(self.connection, &mut self.store, before).await?;
        self.event(if check.is_same { "verified" } else { "differs" }, check.after.clone());
        Some(check)
    }

    async fn begin(&mut self, started_at: Timestamp) -> Result<(), Failure> {
        let request = &self.plan.request;
        let journal = Journal {
            version: VERSION,
            id: request.id.clone(),
            fault: request.fault,
            server: self.connection.server(),
            namespace: self.connection.default_namespace().to_owned(),
            targets: request.targets.iter().map(ObjectRef::short).collect(),
            started_at,
            by: self.settings.by.clone(),
            changes: self.plan.changes.clone(),
            remedies: self.plan.remedies(),
            created: self.plan.created(),
        };
        self.journal = Some(Open::begin(self.connection, journal, self.settings.folder.clone()).await?);
        Ok(())
    }

    /// Makes the fault and waits until it is seen; the reason if it is not.
    async fn inject(&mut self, stop: &Stop) -> Option<String> {
        self.least = vec![usize::MAX; self.plan.budgets.len()];
        self.fault = Some(Instant::now());
        let made = self.make().await;
        match made {
            Err(why) => {
                self.event("failed", why.clone());
                return Some(why);
            }
            Ok(what) => self.event("injected", what),
        }
        let made = Instant::now();
        let files = self.plan.files.iter();
        let places: Vec<_> = files
            .map(|(pod, file)| (pod.clone(), file.container.clone(), file.path.clone()))
            .collect();
        self.reader = (!places.is_empty()).then(|| Reader::start(self.connection, places));
        let within = if self.reader.is_some() { IN_FILES_WITHIN } else { PROVEN_WITHIN };
        let value = self.plan.request.corruption.as_ref().map(|corruption| corruption.value.clone());
        let mut survived = None;
        let proven = self
            .until(true, within, stop, |view, drill| {
                survived = drill.inside.as_ref().and_then(|inside| inside.seen().survived);
                if survived.is_some() && drill.proven(view).is_err() {
                    return Ok(String::new());
                }
                survived = None;
                let mut seen = vec![drill.proven(view)?];
                for canary in &drill.canaries {
                    seen.push(canary.closed(made)?);
                }
                if let Some((reader, value)) = drill.reader.as_ref().zip(value.as_deref()) {
                    seen.push(reader.says(value)?);
                }
                seen.retain(|words| !words.is_empty());
                Ok(seen.join("; "))
            })
            .await;
        match proven {
            Ok(End::Met(_)) if survived.is_some() => survived,
            Ok(End::Met(seen)) => {
                self.event("proven", seen);
                None
            }
            Ok(End::Late(missing)) => Some(format!("it was not seen within {} s: {missing}", within.as_secs())),
            Ok(End::Interrupted) => Some("it was interrupted before the fault was seen".to_owned()),
            Err(failure) => Some(failure.message),
        }
    }

    /// Whether the fault is there to be seen; the error says what is not.
    fn proven(&self, view: &View<'_>) -> Result<String, String> {
        let (plan, pods) = (&self.plan, &view.snapshot.objects.pods);
        match &self.inside {
            Some(inside) if plan.request.fault == Fault::CpuResize => {
                inside::resized(&plan.changes, &inside.seen(), |change| Some(&change.ours))
            }
            Some(inside) => inside::proven(pods, &plan.strikes, &inside.seen()),
            None => proof::proven(view, plan),
        }
    }

    /// The writes of the fault. The error is what was refused.
    async fn make(&mut self) -> Result<String, String> {
        let namespace = self.connection.default_namespace().to_owned();
        let write = WriteOptions::default();
        let mut done = Vec::new();
        for changes in by_object(&self.plan.changes) {
            let Some(first) = changes.first() else { continue };
            let mut tries = 0;
            loop {
                let read = self.connection.get(&first.kind, Some(&namespace), &first.name, false).await;
                let object = read.map_err(|error| error.to_string())?;
                let patch = Patch::Json(change::make(changes, object.as_ref())?);
                let sub = first.subresource.as_deref();
                let made = self
                    .connection
                    .patch(&first.kind, Some(&namespace), &first.name, sub, &patch, &write)
                    .await;
                tries += 1;
                match made {
                    Ok(_) => break,
                    // Its status was written in between.
                    Err(error) if matches!(error.kind, ApiErrorKind::Invalid | ApiErrorKind::Conflict) && tries < 5 => {}
                    Err(error) => return Err(error.to_string()),
                }
            }
            done.extend(changes.iter().map(Change::request));
        }
        let mut owner = None;
        for mut manifest in self.plan.created.clone() {
            let Some(created) = Created::of(&manifest) else { continue };
            if let Some(owner) = &owner {
                owned_by(&mut manifest, owner);
            }
            let object = self.connection.create(&created.kind, Some(&namespace), &manifest, &write).await;
            let object = object.map_err(|error| error.to_string())?;
            owner.get_or_insert(object);
            done.push(created.request());
        }
        for (kind, name) in self.plan.restarts.clone() {
            let now = (self.settings.clock)().to_string();
            let patch = json!({"spec": {"template": {"metadata": {"annotations": { RESTARTED_AT: now }}}}});
            let made = self
                .connection
                .patch(&kind, Some(&namespace), &name, None, &Patch::Merge(patch), &write)
                .await;
            made.map_err(|error| error.to_string())?;
            done.push(format!("restart of {}/{name}", kind.singular()));
        }
        if self.plan.request.fault == Fault::CpuResize {
            self.inside = Some(Running::follow(self.connection, &namespace, &self.plan.changes));
        }
        if !self.plan.strikes.is_empty() {
            done.extend(self.plan.strikes.iter().map(Strike::request));
            self.inside = Some(Running::begin(self.connection, &namespace, &self.plan.strikes).await?);
        }
        self.take_pods(&namespace, &mut done).await?;
        Ok(done.join(", "))
    }

    /// Deletes or evicts the chosen pods. An eviction that a budget forbids ends them: those that were evicted are the fault.
    async fn take_pods(&mut self, namespace: &str, done: &mut Vec<String>) -> Result<(), String> {
        let fault = self.plan.request.fault;
        if !fault.takes_pods() {
            return Ok(());
        }
        let hit = std::mem::take(&mut self.plan.hit);
        let mut results = Vec::new();
        if fault == Fault::NodeLoss {
            results = join_all(hit.iter().map(|pod| self.take_pod(namespace, pod))).await;
        } else {
            for pod in &hit {
                results.push(self.take_pod(namespace, pod).await);
                if results.last().is_some_and(Result::is_err) {
                    break;
                }
            }
        }
        let mut refused = None;
        let mut taken = Vec::new();
        for (pod, result) in hit.into_iter().zip(results) {
            match result {
                Ok(true) => taken.push(pod),
                Ok(false) => {}
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        if let Some(error) = refused {
            let is_budget = error.kind == ApiErrorKind::TooManyRequests;
            if !is_budget || taken.is_empty() {
                // What was taken is gone; there is nothing to put back.
                return Err(error.to_string());
            }
            self.event("refused", error.to_string());
        }
        let verb = if fault.evicts() { "eviction" } else { "deletion" };
        done.extend(taken.iter().map(|pod| format!("{verb} of pod/{}", pod.name)));
        self.plan.hit = taken;
        Ok(())
    }

    /// Deletes or evicts a pod; false where it went by itself.
    async fn take_pod(&self, namespace: &str, pod: &PodBefore) -> Result<bool, ApiError> {
        let request = &self.plan.request;
        let deletion = Deletion {
            grace_period_seconds: request.force.then_some(0),
            ..Deletion::of_uid(Some(&pod.uid))
        };
        let taken = if request.fault.evicts() {
            self.connection.evict(namespace, &pod.name, &deletion).await
        } else {
            let deleted = self.connection.delete(&kind::POD, Some(namespace), &pod.name, &deletion).await;
            deleted.map(drop)
        };
        match taken {
            Ok(()) => Ok(true),
            Err(error) if error.kind == ApiErrorKind::NotFound => Ok(false),
            Err(error) if error.kind == ApiErrorKind::Conflict && !request.fault.evicts() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Holds the fault for the time that was asked for, or until it has ended what it was about.
    async fn hold(&mut self, stop: &Stop) {
        let hold = self.plan.request.hold;
        let is_over = |view: &View<'_>, drill: &Self| inside::have_ended(&view.snapshot.objects.pods, &drill.plan.strikes);
        let held = self
            .until(true, hold, stop, |view, drill| {
                is_over(view, drill).then(String::new).ok_or_else(String::new)
            })
            .await;
        if let Err(failure) = held {
            self.event("blind", failure.message);
        }
    }

    async fn undo(&mut self) -> Vec<Restored> {
        let namespace = self.connection.default_namespace().to_owned();
        let say = self.say;
        let mut restored = restore::created(self.connection, &namespace, &self.plan.request.id, &self.plan.created(), say).await;
        restored.extend(restore::changes(self.connection, &namespace, &self.plan.changes, say).await);
        restored.extend(heal(self.connection, &namespace, &self.plan.remedies(), say).await);
        if !self.plan.strikes.is_empty() {
            self.inside = None;
        }
        for one in &restored {
            let why = one.why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
            self.event("undone", format!("{}{why}", one.what));
        }
        restored
    }

    /// Waits until the targets are at their goal and answer. Seconds from the first change and from now.
    async fn recover(&mut self, stop: &Stop) -> Result<(f64, f64), String> {
        let (fault, undone) = (self.fault.unwrap_or_else(Instant::now), Instant::now());
        self.undone = Some(undone);
        let timeout = self.plan.request.timeout;
        let before = self
            .plan
            .changes
            .first()
            .and_then(|change| change.before.as_ref()?.as_str().map(str::to_owned));
        let (mut since, mut answered) = (None, None);
        let is_back = |view: &View<'_>, drill: &Self| {
            proof::recovered(view, &drill.plan)?;
            if let Some(inside) = &drill.inside {
                inside::resized(&drill.plan.changes, &inside.seen(), |change| change.before.as_ref())?;
            }
            if let Some((reader, before)) = drill.reader.as_ref().zip(before.as_deref()) {
                reader
                    .says(before)
                    .map(drop)
                    .or_else(|why| if reader.is_gone() { Ok(()) } else { Err(why) })?;
            }
            drill.canaries.iter().try_for_each(|canary| canary.reopened(undone))
        };
        let end = self
            .until(false, timeout, stop, |view, drill| {
                // The answers have to last too, which takes as long.
                let good = drill.answers(|_| GOOD_ANSWERS);
                match good {
                    Ok(()) => answered = answered.or_else(|| Some(Instant::now())),
                    Err(_) => answered = None,
                }
                if let Err(missing) = is_back(view, drill) {
                    since = None;
                    return Err(missing);
                }
                let since = *since.get_or_insert_with(Instant::now);
                good.map_err(|name| format!("{name} does not answer"))?;
                match since.elapsed() >= SETTLED {
                    true => Ok(String::new()),
                    false => Err("it has only just recovered".to_owned()),
                }
            })
            .await
            .map_err(|failure| failure.message)?;
        match end {
            End::Met(_) => {
                let back = since.max(answered).unwrap_or_else(Instant::now);
                let took = |from: Instant| rounded(back.saturating_duration_since(from).as_secs_f64());
                let took = (took(fault), took(undone));
                self.event("recovered", format!("after {} s", took.0));
                Ok(took)
            }
            End::Late(missing) => Err(format!(
                "not recovered within {}: {missing}",
                crate::model::duration::short(timeout)
            )),
            End::Interrupted => Err("interrupted before the recovery was seen".to_owned()),
        }
    }

    /// Goes on measuring until the pods that were taken away have ended: what they do at their end is part of the fault.
    async fn drain(&mut self, stop: &Stop) {
        if self.settings.meters.is_empty() {
            return;
        }
        let ended = self
            .until(true, DRAINED_WITHIN, stop, |view, drill| proof::drained(view, &drill.plan))
            .await;
        match ended {
            Ok(End::Met(_) | End::Interrupted) => {}
            Ok(End::Late(left)) => self.event("draining", left),
            Err(failure) => self.event("blind", failure.message),
        }
    }

    fn report(
        &mut self,
        started_at: Timestamp,
        not_injected: Option<String>,
        recovery: Result<(f64, f64), String>,
        restored: Vec<Restored>,
        data: Option<DataCheck>,
    ) -> DrillReport {
        let request = &self.plan.request;
        let fault = self.fault.unwrap_or_else(Instant::now);
        let undone = self.undone.unwrap_or_else(Instant::now);
        let measured = self.settings.meters.iter().map(|meter| {
            let at = Moments {
                fault: fault - meter.begun,
                undone: undone - meter.begun,
            };
            meter.measure(at)
        });
        let measured: Vec<Measurement> = measured.collect();
        let since = |moment: Instant| rounded(moment.duration_since(fault).as_secs_f64());
        let gaps = self.gaps.iter().map(|gap| EndpointGap {
            service: gap.service.clone(),
            from_seconds: since(gap.from),
            to_seconds: gap.to.map(since),
        });
        let all_restarts = self.lanes.restarts(&self.plan.before);
        let outcome = Outcome {
            not_injected,
            recovery: recovery.clone().map(|(seconds, _)| seconds),
            interrupted: self.interruption.is_some(),
            unmeasured: self.unmeasured(),
            restarts: all_restarts,
            measured: &measured,
            restored: &restored,
            data: data.as_ref(),
        };
        let (verdict, checks) = judge(&outcome, &self.settings.limits);
        let logs = self.logs_of_outages(&measured, verdict);
        let judged = measured.iter().filter(|seen| seen.role == MeasuredRole::Target);
        let down = judged.map(|seen| seen.downtime_seconds).reduce(f64::max);
        let surprise = down.and_then(|down| match (self.plan.expects_outage, down) {
            (true, 0.0) => Some("an outage was expected, but every request was answered".to_owned()),
            (false, down) if down > 0.0 => Some(format!("no outage was expected, but requests failed for {down} s")),
            _ => None,
        });
        let budgets: Vec<KeptBudget> = self
            .plan
            .budgets
            .iter()
            .zip(&self.least)
            .filter(|(_, least)| **least != usize::MAX)
            .map(|(budget, least)| KeptBudget {
                name: budget.name.clone(),
                says: budget.says.clone(),
                promised: budget.promised,
                least: *least,
            })
            .collect();
        let broken = budgets.iter().filter(|budget| budget.least < budget.promised).map(|budget| {
            format!(
                "poddisruptionbudget/{} requires {} ready pods, but {} were ready",
                budget.name, budget.promised, budget.least
            )
        });
        let surprises = surprise.into_iter().chain(broken).collect();
        let proven = self.events.iter().find(|event| event.what == "proven");
        DrillReport {
            api_version: "podlife/v1".into(),
            kind: "DrillReport".into(),
            verdict,
            reasons: reasons(&checks),
            checks,
            fault: request.fault.name().to_owned(),
            namespace: self.connection.default_namespace().to_owned(),
            targets: request.targets.clone(),
            started_at,
            injected_seconds: proven.map(|event| event.at_seconds),
            recovery_seconds: recovery.as_ref().ok().map(|(all, _)| *all),
            recovery_from_undo_seconds: recovery.as_ref().ok().filter(|_| !restored.is_empty()).map(|(_, undone)| *undone),
            restarts: all_restarts,
            dependant_restarts: self.dependants.1.restarts_of_each(&self.dependants.0),
            replacements: self.lanes.replacements(&self.plan.before),
            pods: self.lanes.lives(self.fault.unwrap_or(self.begun) - self.begun),
            surprises,
            logs,
            budgets,
            endpoint_gaps: gaps.collect(),
            measured,
            data,
            restored,
            events: self.events.clone(),
        }
    }

    /// What was logged while nobody was served.
    fn logs_of_outages(&self, measured: &[Measurement], verdict: DrillVerdict) -> Vec<DrillLog> {
        let Some(fault) = self.fault else { return Vec::new() };
        let at = |moment: Instant| self.started_at + (moment - self.begun);
        let after = |seconds: f64| at(fault) + Duration::from_secs_f64(seconds.max(0.0));
        let judged = measured.iter().filter(|seen| seen.role == MeasuredRole::Target);
        let outages = judged.flat_map(|seen| &seen.outages);
        let mut times: Vec<_> = outages
            .map(|outage| (after(outage.from_seconds), after(outage.to_seconds)))
            .collect();
        let now = Instant::now();
        times.extend(self.gaps.iter().map(|gap| (at(gap.from), at(gap.to.unwrap_or(now)))));
        if times.is_empty() && verdict != DrillVerdict::Held {
            times.push((at(fault), at(now)));
        }
        self.logs.within(&times, at(fault))
    }

    /// Closes the journal, unless something of the drill is left that it has to tell.
    async fn close(&mut self, report: &DrillReport) {
        let is_clean = report.restored.iter().all(|restored| restored.how.is_clean());
        if let Some(journal) = self.journal.as_mut().filter(|_| is_clean)
            && let Err(error) = journal.close(self.connection).await
        {
            (self.say)(&format!("Warning: {error}; kubectl podlife drill restore removes it"));
        }
    }
}

/// Notes since when, and until when, a Service of the targets has no ready endpoint.
fn note_gaps(view: &View<'_>, namespace: &str, plan: &Plan, gaps: &mut Vec<Gap>) {
    for service in plan.fronts.iter().filter_map(|name| view.service(namespace, name)) {
        let name = service.name_any();
        let open = gaps.iter_mut().find(|gap| gap.service == name && gap.to.is_none());
        match (open, endpoints::of(view, service, |_| true).is_nobody()) {
            (None, true) => gaps.push(Gap {
                service: name,
                from: Instant::now(),
                to: None,
            }),
            (Some(gap), false) => gap.to = Some(Instant::now()),
            _ => {}
        }
    }
}
