//! Clients that create, touch, pause, delete, clean up and die in any order, against an API server in memory.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::create::{IfExists, Wanted};
use super::gc::{Pass, What, beginnings};
use super::objects::Objects;
use super::{Sessions, records_selector};
use crate::cluster::{ApiError, ApiErrorKind, Deletion};
use crate::exit::Exit;
use crate::model::kind;
use crate::model::kind::Kind;
use crate::session::record::{Phase, Record};
use crate::session::template::Template;
use crate::session::template::options::{Options, volume};
use crate::session::template::policy;
use crate::session::{MANAGED_BY, SESSION, SLOT, TEMPLATE, name, slots};

/// The idle timeout of every session.
const TIMEOUT: Duration = Duration::from_secs(600);
const MAXIMUM: u32 = 2;
const IDS: [&str; 4] = ["a", "a/../b", "user-42", "User_42"];

/// An API server with its garbage collector, and a kubelet that does what the test says.
#[derive(Default)]
struct Server {
    objects: BTreeMap<(String, String), Value>,
    counter: u64,
    now: Timestamp,
    /// Since when time passes by tokio's clock, also while a request is under way.
    ticking: Option<Instant>,
    /// Kind of the objects that it does not take.
    refuses: Option<Kind>,
}

impl Server {
    fn now(&self) -> Timestamp {
        let passed = self.ticking.map_or(Duration::ZERO, |since| since.elapsed());
        self.now + SignedDuration::try_from(passed).unwrap()
    }

    fn stamp(&mut self, object: &mut Value) {
        self.counter += 1;
        object["metadata"]["resourceVersion"] = self.counter.to_string().into();
        // It has no annotations without a value.
        let annotations = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut);
        for value in annotations
            .into_iter()
            .flat_map(|all| all.values_mut())
            .filter(|value| value.is_null())
        {
            *value = "".into();
        }
    }

    /// Pods that were deleted go, and so does what belongs to an object that is gone.
    fn tick(&mut self) {
        let uids: BTreeSet<String> = self
            .objects
            .values()
            .filter_map(|o| Some(o["metadata"]["uid"].as_str()?.to_owned()))
            .collect();
        self.objects.retain(|_, object| {
            let owner = object["metadata"]["ownerReferences"][0]["uid"].as_str();
            owner.is_none_or(|owner| uids.contains(owner)) && object["metadata"]["deletionTimestamp"].is_null()
        });
    }

    fn of_kind<'a>(&'a self, kind: &Kind) -> impl Iterator<Item = &'a Value> + use<'a> {
        let plural = kind.plural.clone();
        self.objects
            .iter()
            .filter(move |((of, _), _)| *of == plural)
            .map(|(_, object)| object)
    }

    fn labelled(&self, kind: &Kind, selector: &str) -> Vec<Value> {
        let is_selected = |object: &&Value| matches(&object["metadata"]["labels"], selector);
        self.of_kind(kind).filter(is_selected).cloned().collect()
    }

    fn records(&self) -> Vec<Record> {
        let is_record = |lease: &&Value| lease["metadata"]["labels"][SLOT].is_null();
        self.of_kind(&kind::LEASE)
            .filter(is_record)
            .map(|lease| Record::read(lease).unwrap())
            .collect()
    }

    fn pod(&mut self, id: &str) -> Option<&mut Value> {
        let pod = self.records().into_iter().find(|record| record.id == id)?.pod();
        self.objects.get_mut(&(kind::POD.plural.to_string(), pod))
    }
}

/// What one client sees of the server; it dies after so many writes.
struct Client {
    server: Rc<RefCell<Server>>,
    writes_left: Cell<Option<u32>>,
    is_dead: Rc<Cell<bool>>,
}

/// Gives the others a turn.
struct Turn(bool);

impl Future for Turn {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        match std::mem::replace(&mut self.0, true) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

/// How long a request takes to the server, and its answer from there, where time passes.
const WAY: Duration = Duration::from_millis(50);

impl Client {
    /// Half of a request.
    async fn turn(&self) {
        let is_ticking = self.server.borrow().ticking.is_some();
        if is_ticking {
            sleep(WAY).await;
        } else {
            Turn(false).await;
        }
    }

    /// Does a write, and then perhaps nothing any more.
    async fn write<T>(&self, write: impl FnOnce(&mut Server) -> Result<T, ApiError>) -> Result<T, ApiError> {
        self.turn().await;
        let done = write(&mut self.server.borrow_mut());
        if let Some(left) = self.writes_left.get() {
            if left == 0 {
                self.is_dead.set(true);
                return std::future::pending().await;
            }
            self.writes_left.set(Some(left - 1));
        }
        self.turn().await;
        done
    }
}

fn key(kind: &Kind, name: &str) -> (String, String) {
    (kind.plural.to_string(), name.to_owned())
}

fn conflict() -> ApiError {
    ApiError::in_test(ApiErrorKind::Conflict)
}

fn not_found() -> ApiError {
    ApiError::in_test(ApiErrorKind::NotFound)
}

/// Whether labels match a selector of `KEY`, `!KEY` and `KEY=VALUE`.
fn matches(labels: &Value, selector: &str) -> bool {
    selector
        .split(',')
        .all(|part| match (part.strip_prefix('!'), part.split_once('=')) {
            (Some(key), _) => labels[key].is_null(),
            (None, Some((key, value))) => labels[key] == value,
            (None, None) => labels[part].is_string(),
        })
}

impl Objects for Client {
    async fn get(&self, kind: &Kind, name: &str) -> Result<Option<Value>, ApiError> {
        self.turn().await;
        let found = self.server.borrow().objects.get(&key(kind, name)).cloned();
        self.turn().await;
        Ok(found)
    }

    async fn list(&self, kind: &Kind, labels: &str, _: bool) -> Result<Vec<Value>, ApiError> {
        self.turn().await;
        let found = self.server.borrow().labelled(kind, labels);
        self.turn().await;
        Ok(found)
    }

    async fn create(&self, kind: &Kind, object: &Value) -> Result<Value, ApiError> {
        let mut object = object.clone();
        self.write(|server| {
            let name = object["metadata"]["name"].as_str().unwrap().to_owned();
            if server.objects.contains_key(&key(kind, &name)) {
                return Err(conflict());
            }
            if server.refuses.as_ref() == Some(kind) {
                return Err(ApiError::in_test(ApiErrorKind::Invalid));
            }
            server.stamp(&mut object);
            object["metadata"]["uid"] = format!("uid-{}", server.counter).into();
            object["metadata"]["namespace"] = "shop".into();
            if kind == &kind::POD {
                object["status"] = json!({"phase": "Running"});
            }
            server.objects.insert(key(kind, &name), object.clone());
            Ok(object)
        })
        .await
    }

    async fn replace(&self, kind: &Kind, name: &str, object: &Value) -> Result<Value, ApiError> {
        let mut object = object.clone();
        self.write(|server| {
            let there = server.objects.get(&key(kind, name)).ok_or_else(not_found)?;
            for field in ["uid", "resourceVersion"] {
                if there["metadata"][field] != object["metadata"][field] {
                    return Err(conflict());
                }
            }
            server.stamp(&mut object);
            server.objects.insert(key(kind, name), object.clone());
            Ok(object)
        })
        .await
    }

    async fn delete(&self, kind: &Kind, name: &str, deletion: &Deletion) -> Result<(), ApiError> {
        self.write(|server| {
            let now = server.now();
            let there = server.objects.get_mut(&key(kind, name)).ok_or_else(not_found)?;
            let wanted = &deletion.preconditions;
            for (field, wanted) in [("uid", &wanted.uid), ("resourceVersion", &wanted.resource_version)] {
                if wanted.as_ref().is_some_and(|wanted| there["metadata"][field] != wanted.as_str()) {
                    return Err(conflict());
                }
            }
            if kind == &kind::POD {
                there["metadata"]["deletionTimestamp"] = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into();
            } else {
                server.objects.remove(&key(kind, name));
            }
            Ok(())
        })
        .await
    }

    fn now(&self) -> Timestamp {
        self.server.borrow().now()
    }

    async fn wait(&self, duration: Duration) {
        Turn(false).await;
        let mut server = self.server.borrow_mut();
        server.now += SignedDuration::try_from(duration).unwrap();
        server.tick();
    }
}

/// What happens: an act of a client that may die, or something in the cluster.
#[derive(Clone, Debug)]
enum Happening {
    Create(usize, IfExists),
    Touch(usize),
    Pause(usize),
    Resume(usize),
    Delete(usize),
    Clean,
    PodFails(usize),
    PodGoes(usize),
    TimePasses(u16),
}

fn happenings() -> impl Strategy<Value = Happening> {
    let id = 0..IDS.len();
    prop_oneof![
        4 => (id.clone(), prop_oneof![4 => Just(IfExists::Reuse), 1 => Just(IfExists::Replace)]).prop_map(|(id, what)| Happening::Create(id, what)),
        3 => id.clone().prop_map(Happening::Touch),
        1 => id.clone().prop_map(Happening::Pause),
        1 => id.clone().prop_map(Happening::Resume),
        1 => id.clone().prop_map(Happening::Delete),
        4 => Just(Happening::Clean),
        2 => id.clone().prop_map(Happening::PodFails),
        2 => id.prop_map(Happening::PodGoes),
        3 => (0_u16..700).prop_map(Happening::TimePasses),
    ]
}

type Running = Pin<Box<dyn Future<Output = ()>>>;

/// Everything that a run of the model keeps.
struct World {
    server: Rc<RefCell<Server>>,
    running: Vec<(Running, Rc<Cell<bool>>)>,
    /// Records that a touch promised to keep, and until when.
    promised: Rc<RefCell<BTreeMap<String, (String, Timestamp)>>>,
    /// Ids that somebody deletes or replaces: nobody promises anything about them.
    deleted: BTreeSet<&'static str>,
}

impl World {
    fn new() -> Self {
        let server = Server {
            now: "2026-01-01T12:00:00Z".parse().unwrap(),
            ..Server::default()
        };
        Self {
            server: Rc::new(RefCell::new(server)),
            running: Vec::new(),
            promised: Rc::default(),
            deleted: BTreeSet::new(),
        }
    }

    fn sessions(&self, writes_left: Option<u32>) -> (Sessions<Client>, Rc<Cell<bool>>) {
        let is_dead = Rc::new(Cell::new(false));
        let objects = Client {
            server: self.server.clone(),
            writes_left: Cell::new(writes_left),
            is_dead: is_dead.clone(),
        };
        let sessions = Sessions {
            objects,
            namespace: "shop".to_owned(),
            agent: "test".to_owned(),
        };
        (sessions, is_dead)
    }

    fn begin(&mut self, happening: &Happening, writes_left: Option<u32>) {
        let (sessions, is_dead) = self.sessions(writes_left);
        let promised = self.promised.clone();
        if let Happening::Delete(id) | Happening::Create(id, IfExists::Replace) = *happening {
            self.deleted.insert(IDS[id]);
        }
        let act: Running = match *happening {
            Happening::Create(id, if_exists) => Box::pin(async move {
                match sessions.create(&wanted(IDS[id], if_exists)).await {
                    Ok(_) => {}
                    Err(failure) => assert_eq!(failure.exit, Exit::Bad, "{failure}"),
                }
            }),
            Happening::Touch(id) => Box::pin(async move {
                // Promised is what was true when it returned.
                match sessions.touch(IDS[id], Duration::ZERO).await {
                    Ok(record) => {
                        let until = record
                            .last_activity
                            .checked_add(SignedDuration::try_from(TIMEOUT).unwrap())
                            .unwrap();
                        let is_there = sessions.objects.server.borrow().records().iter().any(|now| now.uid == record.uid);
                        if is_there {
                            promised.borrow_mut().insert(IDS[id].to_owned(), (record.uid, until));
                        }
                    }
                    // It is gone, or there was no place for it.
                    Err(failure) => assert!([Exit::NotFound, Exit::Bad].contains(&failure.exit), "{failure}"),
                }
            }),
            Happening::Pause(id) => Box::pin(async move { drop(sessions.pause(IDS[id]).await) }),
            Happening::Resume(id) => Box::pin(async move { drop(sessions.resume(IDS[id]).await) }),
            Happening::Delete(id) => Box::pin(async move {
                sessions.delete(IDS[id], false).await.unwrap();
            }),
            Happening::Clean => Box::pin(async move {
                sessions.pass(whole(), async |_| {}).await.unwrap();
            }),
            Happening::PodFails(id) => {
                if let Some(pod) = self.server.borrow_mut().pod(IDS[id]) {
                    pod["status"]["phase"] = "Failed".into();
                }
                return;
            }
            Happening::PodGoes(id) => {
                if let Some(pod) = self.server.borrow_mut().pod(IDS[id]) {
                    pod["metadata"]["deletionTimestamp"] = "2026-01-01T12:00:00Z".into();
                }
                return;
            }
            Happening::TimePasses(seconds) => {
                let mut server = self.server.borrow_mut();
                server.now += SignedDuration::from_secs(seconds.into());
                server.tick();
                return;
            }
        };
        self.running.push((act, is_dead));
    }

    /// Lets one of the clients do one step.
    fn step(&mut self, choice: usize) {
        if self.running.is_empty() {
            return;
        }
        let at = choice % self.running.len();
        let ended = self.running[at].0.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
        if ended || self.running[at].1.get() {
            drop(self.running.swap_remove(at));
        }
        self.check();
    }

    /// What holds at every moment.
    fn check(&self) {
        let server = self.server.borrow();
        let records = server.records();
        let has_slot = |record: &&Record| record.slot.is_some();
        assert!(
            records.iter().filter(has_slot).count() <= MAXIMUM as usize,
            "more sessions than allowed"
        );
        for (id, (uid, until)) in self.promised.borrow().iter().filter(|(id, _)| !self.deleted.contains(id.as_str())) {
            let is_there = records.iter().any(|record| record.uid == *uid);
            assert!(
                is_there || server.now >= *until,
                "{id} was touched, and cleaned up before it was idle"
            );
        }
    }

    /// Lets everybody end, and cleans up.
    fn settle(&mut self) {
        for at in 0..100_000 {
            if self.running.is_empty() {
                break;
            }
            self.step(at);
            if at % 50 == 0 {
                self.server.borrow_mut().tick();
            }
        }
        assert!(self.running.is_empty(), "a client does not end");
        // Whoever failed often has to wait.
        for _ in 0..4 {
            let mut server = self.server.borrow_mut();
            server.now += SignedDuration::from_secs(20);
            server.tick();
            drop(server);
            self.begin(&Happening::Clean, None);
            while !self.running.is_empty() {
                self.step(0);
            }
        }
        self.server.borrow_mut().tick();
    }

    /// What holds when nobody does anything any more: one pod for each record that wants one, and nothing that belongs to no record.
    fn check_settled(&self) {
        let server = self.server.borrow();
        let records = server.records();
        for record in &records {
            let pods = server.of_kind(&kind::POD);
            let pods: Vec<&Value> = pods
                .filter(|pod| pod["metadata"]["labels"][SESSION] == record.name.as_str())
                .collect();
            let leases = server.of_kind(&kind::LEASE);
            let slots: Vec<&Value> = leases
                .filter(|lease| lease["metadata"]["labels"][SLOT].is_string() && record.owns(lease))
                .collect();
            assert_eq!(slots.len(), 1, "{record:?}: {slots:?}");
            let waits = record.failures > 0 && pods.is_empty();
            match record.phase {
                Phase::Paused => assert!(pods.is_empty(), "{record:?}: {pods:?}"),
                Phase::Failed => assert!(pods.len() <= 1),
                Phase::Active if waits || pods.iter().any(|pod| pod["status"]["phase"] == "Failed") => assert!(pods.len() <= 1),
                Phase::Active => {
                    assert_eq!(pods.len(), 1, "{record:?}: {pods:?}");
                    assert_eq!(pods[0]["metadata"]["name"], record.pod().as_str());
                }
                Phase::Pending => panic!("nobody made its pod: {record:?}"),
            }
        }
        let templates: BTreeSet<&str> = records.iter().map(|record| record.template.as_str()).collect();
        for ((kind, name), object) in &server.objects {
            let is_used = match object["metadata"]["labels"][TEMPLATE].as_str() {
                Some(hash) if kind == "configmaps" => templates.contains(hash),
                _ if kind == "networkpolicies" => !records.is_empty(),
                _ if matches(&object["metadata"]["labels"], &records_selector()) && kind == "leases" => true,
                _ => records.iter().any(|record| record.owns(object)),
            };
            assert!(is_used, "{kind}/{name} belongs to no record");
        }
    }
}

fn whole() -> Pass {
    Pass {
        dry_run: false,
        orphans: true,
    }
}

fn wanted(id: &str, if_exists: IfExists) -> Wanted {
    Wanted {
        id: id.to_owned(),
        template: Template::of_image("app:1", &Options::default()).unwrap(),
        policy: policy::policy(&[]),
        labels: BTreeMap::new(),
        owner: None,
        idle_timeout: Some(TIMEOUT),
        max_lifetime: None,
        max_sessions: Some(MAXIMUM),
        if_exists,
    }
}

fn run(happenings: &[(Happening, Option<u32>)], choices: &[u8]) {
    let mut world = World::new();
    let mut choices = choices.iter().map(|choice| usize::from(*choice)).cycle();
    for (happening, writes_left) in happenings {
        world.begin(happening, *writes_left);
        for _ in 0..choices.next().unwrap_or(0) % 24 {
            world.step(choices.next().unwrap_or(0));
        }
    }
    world.settle();
    world.check_settled();
}

proptest! {
    // PROPTEST_CASES says how many.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_acts_and_deaths_loses_a_live_session_or_leaves_an_object(
        happenings in prop::collection::vec((happenings(), prop::option::weighted(0.4, 0_u32..7)), 1..14),
        choices in prop::collection::vec(any::<u8>(), 8..64),
    ) {
        run(&happenings, &choices);
    }
}

#[test]
fn a_client_may_die_behind_each_of_its_writes() {
    for act in [
        Happening::Create(0, IfExists::Reuse),
        Happening::Create(0, IfExists::Replace),
        Happening::Pause(0),
        Happening::Resume(0),
        Happening::Delete(0),
        Happening::Clean,
    ] {
        for is_there in [false, true] {
            for fails in [false, true] {
                for writes in 0..12 {
                    let mut all = Vec::new();
                    if is_there {
                        all.push((Happening::Create(0, IfExists::Reuse), None));
                        all.push((Happening::TimePasses(60), None));
                    }
                    if fails {
                        all.push((Happening::PodFails(0), None));
                    }
                    all.push((act.clone(), Some(writes)));
                    run(&all, &[23; 8]);
                }
            }
        }
    }
}

/// How often `gc` makes a pass.
const EVERY: Duration = Duration::from_secs(60);

/// Users create a session every seven seconds and touch each one twice, while half of the pods fail and are healed in the same passes.
#[tokio::test(start_paused = true)]
async fn no_idle_session_is_kept_longer_than_its_timeout_and_the_interval() {
    const SESSIONS: usize = 200;
    let world = World::new();
    world.server.borrow_mut().ticking = Some(Instant::now());
    let [cleaner, user] = [world.sessions(None).0, world.sessions(None).0];
    let last_used = RefCell::new(BTreeMap::new());
    let (longest_pass, reaped) = (Cell::new(Duration::ZERO), Cell::new(0));
    let users = async {
        for number in 0..SESSIONS + 60 {
            sleep(Duration::from_secs(7)).await;
            if number < SESSIONS {
                let id = format!("session-{number}");
                let wanted = Wanted {
                    max_sessions: None,
                    ..wanted(&id, IfExists::Reuse)
                };
                let record = user.create(&wanted).await.unwrap().record;
                last_used.borrow_mut().insert(id.clone(), record.last_activity);
                if number % 2 == 0 {
                    world.server.borrow_mut().pod(&id).unwrap()["status"]["phase"] = "Failed".into();
                }
            }
            for id in [20, 60]
                .into_iter()
                .filter_map(|ago| number.checked_sub(ago))
                .map(|n| format!("session-{n}"))
            {
                if last_used.borrow().contains_key(&id) {
                    let record = user.touch(&id, Duration::ZERO).await.unwrap();
                    last_used.borrow_mut().insert(id, record.last_activity);
                }
            }
        }
        sleep(TIMEOUT + 2 * EVERY).await;
    };
    let passes = async {
        let mut beginnings = beginnings(EVERY);
        loop {
            beginnings.tick().await;
            let (begun, of_pass) = (Instant::now(), Cell::new(0));
            let act = async |act: super::gc::Act| {
                world.server.borrow_mut().tick();
                if act.what != What::Reaped {
                    return;
                }
                reaped.set(reaped.get() + 1);
                of_pass.set(of_pass.get() + 1);
                let kept = cleaner.now().duration_since(last_used.borrow()[&act.id.unwrap()]);
                let kept = Duration::try_from(kept).unwrap();
                // Two lists, and a deletion for each session that was due as well. A record has microseconds.
                let requests = 2 * WAY * (2 + of_pass.get()) + Duration::from_micros(1);
                assert!(TIMEOUT <= kept && kept <= TIMEOUT + EVERY + requests, "kept for {kept:?}");
            };
            cleaner.pass(Pass::default(), act).await.unwrap();
            longest_pass.set(begun.elapsed().max(longest_pass.get()));
        }
    };
    tokio::select! {
        () = users => {}
        () = passes => {}
    }
    assert_eq!(reaped.get(), SESSIONS);
    assert!(longest_pass.get() > Duration::from_secs(2), "a pass takes time: {longest_pass:?}");
}

#[test]
fn what_was_marked_as_unused_is_used_again() {
    // The pass dies behind its first and its second mark.
    for writes in 1..3 {
        run(
            &[
                (Happening::Create(0, IfExists::Reuse), None),
                (Happening::Delete(0), None),
                (Happening::Clean, Some(writes)),
                (Happening::Create(0, IfExists::Reuse), None),
            ],
            &[23; 8],
        );
    }
}

/// Lets a client end by itself.
fn finish<T>(world: &World, act: impl Future<Output = T>) -> T {
    let mut act = std::pin::pin!(act);
    for at in 0..10_000 {
        if let Poll::Ready(done) = act.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return done;
        }
        if at % 50 == 0 {
            world.server.borrow_mut().tick();
        }
    }
    panic!("a client does not end");
}

/// A session with everything that a session can have.
fn whole_session(id: &str) -> Wanted {
    let options = Options {
        port: Some(80),
        volume: Some(volume("1Gi:/data").unwrap()),
        service: true,
        ..Options::default()
    };
    let template = Template::of_image("app:1", &options).unwrap();
    Wanted {
        template,
        ..wanted(id, IfExists::Reuse)
    }
}

#[test]
fn what_has_the_name_of_a_sessions_object_is_neither_taken_nor_touched() {
    let name = name::of("a").unwrap();
    let slots = [0, 1].map(|number| (kind::LEASE, slots::name(number)));
    for foreign in [
        vec![(kind::CLAIM, name.clone())],
        vec![(kind::SERVICE, name.clone())],
        vec![(kind::POD, format!("{name}-g1"))],
        vec![(kind::LEASE, name.clone())],
        slots.to_vec(),
    ] {
        let world = World::new();
        let other = json!({"metadata": {"name": "other", "labels": {MANAGED_BY.0: MANAGED_BY.1}}});
        world.server.borrow_mut().objects.insert(key(&kind::NETWORK_POLICY, "other"), other);
        for (kind, name) in &foreign {
            let object = json!({"metadata": {"name": name, "uid": "foreign"}});
            world.server.borrow_mut().objects.insert(key(kind, name), object);
        }
        let before = world.server.borrow().objects.clone();
        let (sessions, _) = world.sessions(None);
        let failure = finish(&world, sessions.create(&whole_session("a"))).unwrap_err();
        assert_eq!(failure.exit, Exit::Bad, "{foreign:?}: {failure}");
        finish(&world, sessions.pass(whole(), async |_| {})).unwrap();
        world.server.borrow_mut().tick();
        assert_eq!(world.server.borrow().objects, before, "{foreign:?}");
    }
}

#[test]
fn what_the_api_server_does_not_take_is_no_fault_of_the_connection() {
    for kind in [
        kind::NETWORK_POLICY,
        kind::CONFIG_MAP,
        kind::LEASE,
        kind::CLAIM,
        kind::SERVICE,
        kind::POD,
    ] {
        let world = World::new();
        world.server.borrow_mut().refuses = Some(kind.clone());
        let (sessions, _) = world.sessions(None);
        let failure = finish(&world, sessions.create(&whole_session("a"))).unwrap_err();
        assert_eq!(failure.exit, Exit::Bad, "{kind:?}: {failure}");
        assert!(world.server.borrow().records().is_empty(), "{kind:?}");
    }
}

#[test]
fn a_policy_that_somebody_has_closed_stays_closed() {
    let world = World::new();
    let (sessions, _) = world.sessions(None);
    finish(&world, sessions.create(&wanted("a", IfExists::Reuse))).unwrap();
    let name = key(&kind::NETWORK_POLICY, policy::NAME);
    world.server.borrow_mut().objects.get_mut(&name).unwrap()["spec"]["ingress"] = json!([]);
    finish(&world, sessions.create(&wanted("a", IfExists::Reuse))).unwrap();
    let open = Wanted {
        policy: policy::policy(&[policy::allow_from("app=portal").unwrap()]),
        ..wanted("a", IfExists::Reuse)
    };
    let failure = finish(&world, sessions.create(&open)).unwrap_err();
    assert_eq!(failure.exit, Exit::Bad, "{failure}");
    assert_eq!(world.server.borrow().objects[&name]["spec"]["ingress"], json!([]));
}

#[test]
fn a_session_that_is_made_anew_waits_for_its_names() {
    let world = World::new();
    let (sessions, _) = world.sessions(None);
    finish(&world, sessions.create(&whole_session("a"))).unwrap();
    let anew = Wanted {
        if_exists: IfExists::Replace,
        ..whole_session("a")
    };
    let created = finish(&world, sessions.create(&anew)).unwrap();
    world.server.borrow_mut().tick();
    for kind in [kind::CLAIM, kind::SERVICE] {
        let server = world.server.borrow();
        let of_it: Vec<bool> = server.of_kind(&kind).map(|object| created.record.owns(object)).collect();
        assert_eq!(of_it, [true], "{kind:?}");
    }
}

#[test]
fn a_session_that_cannot_be_healed_keeps_no_other_one_from_being_cleaned_up() {
    let world = World::new();
    let (sessions, _) = world.sessions(None);
    for id in ["a", "user-42"] {
        finish(&world, sessions.create(&wanted(id, IfExists::Reuse))).unwrap();
    }
    world.server.borrow_mut().now += SignedDuration::try_from(TIMEOUT).unwrap();
    finish(&world, sessions.touch("a", Duration::ZERO)).unwrap();
    {
        let mut server = world.server.borrow_mut();
        server.objects.retain(|(kind, _), _| kind != "pods");
        let map = server.objects.iter_mut().find(|((kind, _), _)| kind == "configmaps").unwrap().1;
        map["data"] = json!({"template.json": "{}"});
    }
    let failure = finish(&world, sessions.create(&wanted("b", IfExists::Reuse))).unwrap_err();
    assert_eq!(failure.exit, Exit::Bad, "{failure}");
    let mut acts = Vec::new();
    finish(
        &world,
        sessions.pass(Pass::default(), async |act| acts.push((act.what, act.id.unwrap()))),
    )
    .unwrap();
    acts.sort_by(|a, b| a.1.cmp(&b.1));
    assert_eq!(acts, [(What::Waiting, "a".to_owned()), (What::Reaped, "user-42".to_owned())]);
}

#[test]
fn slots_are_no_records() {
    assert!(matches(&json!({SESSION: "a", MANAGED_BY.0: MANAGED_BY.1}), &records_selector()));
    assert!(!matches(
        &json!({SESSION: "a", SLOT: "1", MANAGED_BY.0: MANAGED_BY.1}),
        &records_selector()
    ));
}
