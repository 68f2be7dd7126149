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

use super::create::{IfExists, Making, Unmade, Wanted};
use super::gc::{Pass, What, beginnings};
use super::objects::Objects;
use super::{Sessions, records_selector};
use crate::cluster::{ApiError, ApiErrorKind, Deletion, List, WatchEvent};
use crate::exit::Exit;
use crate::model::kind;
use crate::model::kind::Kind;
use crate::session::record::{Phase, Record};
use crate::session::slots::Slots;
use crate::session::template::Template;
use crate::session::template::options::{Options, volume};
use crate::session::template::policy;
use crate::session::warm::{self, ReadyPods};
use crate::session::{MANAGED_BY, SESSION, SLOT, TEMPLATE, name, slots};

/// The idle timeout of every session.
const TIMEOUT: Duration = Duration::from_secs(600);
const MAXIMUM: u32 = 2;
const IDS: [&str; 4] = ["a", "a/../b", "user-42", "User_42"];

/// An API server with its garbage collector, and a kubelet that does what the test says.
#[derive(Default)]
struct Server {
    objects: BTreeMap<(String, String), Value>,
    /// The records that there were when one was created, by its version.
    moments: BTreeMap<String, Vec<Value>>,
    counter: u64,
    now: Timestamp,
    /// Since when time passes by tokio's clock, also while a request is under way.
    ticking: Option<Instant>,
    /// Kind of the objects that it does not take, and the error.
    refuses: Option<(Kind, ApiErrorKind)>,
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
        let is_record = |lease: &&Value| matches(&lease["metadata"]["labels"], &records_selector());
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

    async fn list_at(&self, _: &Kind, _: &str, version: &str) -> Result<Vec<Value>, ApiError> {
        self.turn().await;
        let found = self.server.borrow().moments[version].clone();
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
            if let Some((_, error)) = server.refuses.as_ref().filter(|(refused, _)| refused == kind) {
                return Err(ApiError::in_test(*error));
            }
            server.stamp(&mut object);
            object["metadata"]["uid"] = format!("uid-{}", server.counter).into();
            object["metadata"]["namespace"] = "shop".into();
            if kind == &kind::POD {
                object["status"] = json!({"phase": "Running"});
            }
            server.objects.insert(key(kind, &name), object.clone());
            if kind == &kind::LEASE {
                let records = server.labelled(kind, &records_selector());
                let version = object["metadata"]["resourceVersion"].as_str().unwrap();
                server.moments.insert(version.to_owned(), records);
            }
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
    /// Pods that were warm, and the record that each was given to.
    given: RefCell<BTreeMap<String, String>>,
}

/// Warm pods of a world that has some.
const WARM: u64 = 3;

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
            given: RefCell::default(),
        }
    }

    /// One with warm pods, and gateways that keep them.
    fn with_warm_pods() -> Self {
        let world = Self::new();
        let labels = json!({MANAGED_BY.0: MANAGED_BY.1});
        let keeper = json!({"metadata": {"name": warm::KEEPER, "labels": labels}, "spec": {"renewTime": "2027-01-01T12:00:00.000000Z"}});
        let (sessions, _) = world.sessions(None);
        let keeper = finish(&world, sessions.objects.create(&kind::LEASE, &keeper)).unwrap();
        let wanted = wanted("", IfExists::Reuse);
        for number in 0..WARM {
            let pod = wanted
                .template
                .warm_pod(&name::of_warm(number), keeper["metadata"]["uid"].as_str().unwrap());
            finish(&world, sessions.objects.create(&kind::POD, &pod)).unwrap();
        }
        world
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
            slots: RefCell::default(),
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
                let wanted = wanted(IDS[id], if_exists);
                for number in 0..WARM {
                    wanted.warm.put(&name::of_warm(number));
                }
                match sessions.create(&wanted).await {
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
        for pod in server.of_kind(&kind::POD) {
            let [uid, owner] = ["/metadata/uid", "/metadata/ownerReferences/0/uid"].map(|at| pod.pointer(at).unwrap().as_str().unwrap());
            if pod["metadata"]["labels"][SESSION] != "" {
                let mut given = self.given.borrow_mut();
                let first = given.entry(uid.to_owned()).or_insert_with(|| owner.to_owned());
                assert_eq!(first, owner, "a pod was given twice");
            }
        }
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
                _ if name == warm::KEEPER || object["metadata"]["labels"][SESSION] == "" => true,
                _ if kind == "networkpolicies" => {
                    !records.is_empty() || server.of_kind(&kind::POD).any(|pod| pod["metadata"]["labels"][SESSION] == "")
                }
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
        max_sessions_of_owner: None,
        if_exists,
        warm: ReadyPods::default(),
    }
}

fn run(happenings: &[(Happening, Option<u32>)], choices: &[u8]) {
    for world in [World::new(), World::with_warm_pods()] {
        run_in(world, happenings, choices);
    }
}

fn run_in(mut world: World, happenings: &[(Happening, Option<u32>)], choices: &[u8]) {
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

    #[test]
    fn an_owner_never_has_more_sessions_than_allowed_and_as_many_if_nobody_dies(
        deaths in prop::collection::vec(prop::option::weighted(0.3, 0_u32..7), 3..8),
        choices in prop::collection::vec(any::<u8>(), 8..256),
    ) {
        const MOST: u32 = 2;
        let mut world = World::new();
        let refused = Rc::<Cell<usize>>::default();
        for (number, writes_left) in deaths.iter().enumerate() {
            let (sessions, is_dead) = world.sessions(*writes_left);
            let refused = refused.clone();
            let wanted = Wanted {
                owner: Some("ann".to_owned()),
                max_sessions: None,
                max_sessions_of_owner: Some(MOST),
                // Two clients each.
                ..wanted(IDS[number / 2], IfExists::ReuseOwn)
            };
            let act = async move {
                match sessions.attempt(&wanted, &Making::default()).await {
                    Err(Unmade::OwnerFull(_)) => refused.set(refused.get() + 1),
                    made => drop(made.unwrap()),
                }
            };
            world.running.push((Box::pin(act), is_dead));
        }
        for choice in choices {
            world.step(usize::from(choice));
            let records = world.server.borrow().records();
            prop_assert!(records.iter().filter(|record| !record.is_on_trial).count() <= MOST as usize);
        }
        world.settle();
        let records = world.server.borrow().records();
        prop_assert!(records.iter().all(|record| record.phase == Phase::Active && !record.is_on_trial));
        prop_assert!(records.len() <= MOST as usize);
        if deaths.iter().all(Option::is_none) {
            let ids = deaths.len().div_ceil(2);
            prop_assert_eq!(records.len(), ids.min(MOST as usize));
            prop_assert!(refused.get() > 0 || ids <= MOST as usize);
        }
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
        world.server.borrow_mut().refuses = Some((kind.clone(), ApiErrorKind::Invalid));
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
fn a_pass_goes_on_behind_an_error_and_ends_when_the_api_server_gives_no_answers() {
    for (broken, goes_on) in [(2, true), (4, false)] {
        let world = World::new();
        let (sessions, _) = world.sessions(None);
        for id in &IDS[..broken] {
            let wanted = Wanted {
                max_sessions: None,
                ..wanted(id, IfExists::Reuse)
            };
            finish(&world, sessions.create(&wanted)).unwrap();
        }
        world.server.borrow_mut().objects.retain(|(kind, _), _| kind != "pods");
        world.server.borrow_mut().refuses = Some((kind::POD, ApiErrorKind::Server));
        let mut waiting = 0;
        let passed = finish(
            &world,
            sessions.pass(Pass::default(), async |act| waiting += usize::from(act.what == What::Waiting)),
        );
        assert_eq!(passed.is_ok(), goes_on, "{broken}");
        assert_eq!(waiting, 2, "{broken}");
    }
}

#[test]
fn a_watch_of_slots_that_is_behind_neither_loses_a_place_nor_gives_one_away() {
    let world = World::new();
    let (sessions, _) = world.sessions(None);
    let create = |id: &str| finish(&world, sessions.create(&wanted(id, IfExists::Reuse)));
    let watch = || {
        let items: Vec<Value> = world.server.borrow().of_kind(&kind::LEASE).cloned().collect();
        let resource_version = String::new();
        match sessions.without_slots(WatchEvent::Listed(List { items, resource_version })) {
            Some(WatchEvent::Listed(records)) => records.items.len(),
            other => panic!("{other:?}"),
        }
    };
    // Of the slots that are taken from here on, none is seen.
    assert_eq!(watch(), 0);
    for number in 0..MAXIMUM {
        create(&format!("session-{number}")).unwrap();
    }
    assert_eq!(create("one more").unwrap_err().exit, Exit::Bad);
    // Those that are seen are taken no longer.
    assert_eq!(watch(), MAXIMUM as usize);
    finish(&world, sessions.delete("session-0", false)).unwrap();
    world.server.borrow_mut().tick();
    create("one more").unwrap();
    assert_eq!(create("another one").unwrap_err().exit, Exit::Bad);
    // A slot comes and goes.
    let slot = slots::lease(7, &world.server.borrow().records()[0]);
    let seen = || sessions.slots.borrow().as_ref().map(Slots::taken);
    let before = seen().unwrap();
    assert!(sessions.without_slots(WatchEvent::Applied(slot.clone())).is_none());
    assert_eq!(seen(), Some(before + 1));
    assert!(sessions.without_slots(WatchEvent::Deleted(slot)).is_none());
    assert_eq!(seen(), Some(before));
}

#[test]
fn a_volume_that_was_kept_outlives_a_session_that_gets_no_pod() {
    for refused in [kind::SERVICE, kind::POD] {
        let world = World::new();
        let (sessions, _) = world.sessions(None);
        finish(&world, sessions.create(&whole_session("a"))).unwrap();
        finish(&world, sessions.delete("a", true)).unwrap();
        world.server.borrow_mut().tick();
        let claim = key(&kind::CLAIM, &name::of("a").unwrap());
        let uid = world.server.borrow().objects[&claim]["metadata"]["uid"].clone();
        world.server.borrow_mut().refuses = Some((refused, ApiErrorKind::Invalid));
        finish(&world, sessions.create(&whole_session("a"))).unwrap_err();
        world.server.borrow_mut().tick();
        assert_eq!(world.server.borrow().objects[&claim]["metadata"]["uid"], uid);
        // The next one has it, and a run that takes its own session back leaves it.
        world.server.borrow_mut().refuses = None;
        let record = finish(&world, sessions.create(&whole_session("a"))).unwrap().record;
        assert!(record.owns(&world.server.borrow().objects[&claim]));
        for (asked, kept) in [("1024Mi:/data", None), ("2Gi:/data", Some("1Gi"))] {
            let options = Options {
                volume: Some(volume(asked).unwrap()),
                ..Options::default()
            };
            let template = Template::of_image("app:1", &options).unwrap();
            assert_eq!(finish(&world, sessions.kept_size(&record, &template)).unwrap().as_deref(), kept);
        }
        finish(&world, sessions.take_back(&record)).unwrap();
        world.server.borrow_mut().tick();
        assert_eq!(world.server.borrow().objects[&claim]["metadata"]["uid"], uid);
        // What it made itself goes with it.
        let record = finish(&world, sessions.create(&whole_session("b"))).unwrap().record;
        finish(&world, sessions.take_back(&record)).unwrap();
        world.server.borrow_mut().tick();
        assert!(!world.server.borrow().objects.contains_key(&key(&kind::CLAIM, &record.name)));
    }
}

#[test]
fn a_session_that_is_kept_longer_is_idle_since_its_last_use() {
    let world = World::new();
    let (sessions, _) = world.sessions(None);
    finish(&world, sessions.create(&wanted("a", IfExists::Reuse))).unwrap();
    finish(&world, sessions.touch("a", Duration::from_hours(1))).unwrap();
    let passes = |seconds: i64| world.server.borrow_mut().now += SignedDuration::from_secs(seconds);
    let reaped = || {
        let mut reaped = false;
        finish(
            &world,
            sessions.pass(Pass::default(), async |act| reaped |= act.what == What::Reaped),
        )
        .unwrap();
        reaped
    };
    passes(700);
    let record = finish(&world, sessions.existing("a")).unwrap();
    assert_eq!(record.idle(sessions.now()), Duration::from_secs(700));
    assert!(!reaped());
    // Another use does not shorten it.
    finish(&world, sessions.touch("a", Duration::ZERO)).unwrap();
    passes(2899);
    assert!(!reaped());
    passes(1);
    assert!(reaped());
}

#[test]
fn healing_brings_the_policy_back_and_says_when_the_next_pod_comes() {
    let world = World::new();
    let (sessions, _) = world.sessions(None);
    finish(&world, sessions.create(&wanted("a", IfExists::Reuse))).unwrap();
    let acts = || {
        let mut acts = Vec::new();
        finish(&world, sessions.pass(Pass::default(), async |act| acts.push((act.what, act.why)))).unwrap();
        acts
    };
    let fail = || world.server.borrow_mut().pod("a").unwrap()["status"]["phase"] = "Failed".into();
    let policy = key(&kind::NETWORK_POLICY, policy::NAME);
    world.server.borrow_mut().objects.remove(&policy);
    fail();
    assert_eq!(acts()[0].0, What::Healed);
    assert!(world.server.borrow().objects.contains_key(&policy));
    fail();
    let waiting = acts();
    assert_eq!(waiting[0].0, What::Waiting);
    assert!(waiting[0].1.contains("the next one starts at 2026-01-01T12:00:10Z"), "{waiting:?}");
}

#[test]
fn slots_are_no_records() {
    assert!(matches(&json!({SESSION: "a", MANAGED_BY.0: MANAGED_BY.1}), &records_selector()));
    assert!(!matches(
        &json!({SESSION: "a", SLOT: "1", MANAGED_BY.0: MANAGED_BY.1}),
        &records_selector()
    ));
}

fn gone(world: &World, number: u64) {
    world.server.borrow_mut().objects.remove(&key(&kind::POD, &name::of_warm(number)));
}

#[test]
fn a_session_takes_a_warm_pod_and_the_next_generation_is_its_own() {
    let world = World::with_warm_pods();
    let (sessions, _) = world.sessions(None);
    let wanted = wanted("a", IfExists::Reuse);
    wanted.warm.put(&name::of_warm(1));
    let record = finish(&world, sessions.create(&wanted)).unwrap().record;
    assert_eq!((record.pod(), record.generation), (name::of_warm(1), 1));
    let pod = world.server.borrow_mut().pod("a").unwrap().clone();
    assert!(
        record.owns(&pod) && pod["metadata"]["labels"][SESSION] == record.name.as_str(),
        "{pod}"
    );
    assert_eq!(pod["metadata"]["annotations"]["podlife.dev/id"], "a");
    world.server.borrow_mut().pod("a").unwrap()["status"]["phase"] = "Failed".into();
    let record = finish(&world, sessions.create(&wanted)).unwrap().record;
    assert_eq!((record.pod(), record.generation), (name::of_pod(&record.name, 2), 2));
}

#[test]
fn who_loses_a_warm_pod_takes_the_next_one_or_makes_one() {
    for left in [Some(1), None] {
        let world = World::with_warm_pods();
        let (sessions, _) = world.sessions(None);
        let wanted = wanted("a", IfExists::Reuse);
        gone(&world, 0);
        for number in [Some(0), left].into_iter().flatten() {
            wanted.warm.put(&name::of_warm(number));
        }
        let record = finish(&world, sessions.create(&wanted)).unwrap().record;
        let expected = left.map_or_else(|| name::of_pod(&record.name, 1), name::of_warm);
        assert_eq!((record.pod(), record.generation), (expected, 1));
    }
}

#[test]
fn a_session_whose_creator_died_before_it_claimed_its_warm_pod_is_completed() {
    for is_left in [true, false] {
        let world = World::with_warm_pods();
        // Policy, template and record are written.
        let (dying, _) = world.sessions(Some(2));
        let wanted = wanted("a", IfExists::Reuse);
        wanted.warm.put(&name::of_warm(2));
        {
            let mut create = std::pin::pin!(dying.create(&wanted));
            for _ in 0..100 {
                assert!(create.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            }
        }
        assert_eq!(world.server.borrow().records()[0].pod(), name::of_warm(2));
        if !is_left {
            gone(&world, 2);
        }
        let (sessions, _) = world.sessions(None);
        finish(&world, sessions.pass(whole(), async |_| {})).unwrap();
        let record = world.server.borrow().records().pop().unwrap();
        let expected = if is_left { name::of_warm(2) } else { name::of_pod(&record.name, 1) };
        assert_eq!((record.phase, record.pod()), (Phase::Active, expected));
        world.check_settled();
    }
}

#[test]
fn warm_pods_go_when_no_gateway_keeps_them() {
    let world = World::with_warm_pods();
    let (sessions, _) = world.sessions(None);
    let pods = || world.server.borrow().of_kind(&kind::POD).count();
    finish(&world, sessions.pass(whole(), async |_| {})).unwrap();
    world.server.borrow_mut().tick();
    assert_eq!(pods(), 3);
    world.server.borrow_mut().now = "2027-01-01T12:01:00Z".parse().unwrap();
    finish(&world, sessions.pass(Pass::default(), async |_| {})).unwrap();
    world.server.borrow_mut().tick();
    assert_eq!(pods(), 3);
    let mut acts = Vec::new();
    finish(&world, sessions.pass(whole(), async |act| acts.push(act.why))).unwrap();
    world.server.borrow_mut().tick();
    assert_eq!((pods(), acts), (0, vec!["no gateway maintains it".to_owned(); 3]));
}
