//! What a gateway asks the cluster: it watches records and pods, makes sessions ready, notes their use, and answers questions about them.
//!
//! All of it runs on one thread, and requests on others: a request that needs none of this never waits for it.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::LocalBoxFuture;
use futures::stream::{self, BoxStream, FuturesUnordered, StreamExt as _};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};

use crate::cluster::{ApiError, ListQuery, WatchEvent};
use crate::exit::{Exit, Failure};
use crate::gateway::activity::Cause;
use crate::gateway::auth::keys::Keys;
use crate::gateway::auth::{Auth, Inquiry, Reviews};
use crate::gateway::backend::{Dialer, Tunnel};
use crate::gateway::flights::{Flights, Start};
use crate::gateway::gate::{Ask, Gate};
use crate::gateway::headers::RequestIds;
use crate::gateway::known::Known;
use crate::gateway::leader;
use crate::gateway::metrics::Metrics;
use crate::gateway::owners::Owners;
use crate::gateway::plan::{Access, Plan, Reread};
use crate::gateway::pool::Pool;
use crate::gateway::server;
use crate::gateway::table::Table;
use crate::gateway::tls::Tls;
use crate::io::{Interruption, Io};
use crate::model::kind;
use crate::model::kind::Kind;
use crate::observe::session::create::Wanted;
use crate::observe::session::objects::InCluster;
use crate::observe::session::{Sessions, all_selector};
use crate::text::sanitise;

/// How often is looked whether use has to be noted, and which connections are kept for too long.
pub(super) const TICK: Duration = Duration::from_secs(1);
/// The pause before a watch is begun again that has failed for good.
pub(super) const WATCH_AGAIN: Duration = Duration::from_secs(5);
/// How long clients have to take the last word of a gateway that ends.
const FAREWELL: Duration = Duration::from_secs(2);

type Watch = BoxStream<'static, Result<WatchEvent, ApiError>>;

/// Serves sessions until the process is told to end.
pub(crate) async fn run(plan: Plan, sessions: &Sessions<InCluster>, io: &Io) -> Result<Exit, Failure> {
    let fault = |what: &str, error: std::io::Error| Failure::new(Exit::Fault, format!("{what}: {error}"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("gateway")
        .build()
        .map_err(|error| fault("starting threads", error))?;
    let (starts, started) = unbounded_channel();
    let (asks, asked) = unbounded_channel();
    let (tunnels, tunnelled) = unbounded_channel();
    let (inquiries, inquired) = unbounded_channel();
    let table = Arc::new(Table::new());
    let gate = Arc::new(Gate {
        table: table.clone(),
        flights: Arc::new(Flights::new(plan.limits, starts)),
        dialer: if plan.is_local { Dialer::Tunnels(tunnels) } else { Dialer::Direct },
        limits: plan.limits,
        naming: plan.naming,
        owners: Owners::new(plan.limits.requests_of_owner),
        asks,
        auth: match plan.access {
            Access::Everybody => Auth::Nobody,
            Access::Jwt(claims, source) => Auth::Jwt(Keys::new(claims, source)),
            Access::TokenReview(ref audiences) => Auth::Review(Reviews::new(inquiries, audiences.clone())),
        },
        metrics: Metrics::new(),
        ids: RequestIds::new(),
        is_ready: false.into(),
        is_ending: false.into(),
    });
    let (stop, stopped) = watch::channel(None);
    let tls = plan.tls.map(Arc::new);
    let server = runtime.spawn(server::serve(plan.listener, tls.clone(), gate.clone(), stopped));
    if let Some(listener) = plan.metrics {
        runtime.spawn(server::metrics(listener, gate.clone()));
    }
    let wanted = plan.wanted;
    let pool = Pool::new(
        plan.warm.size,
        plan.limits.ready_timeout,
        wanted.template.hash(),
        wanted.warm.clone(),
    );
    let control = Control {
        sessions,
        io,
        gate: &gate,
        table: &table,
        wanted: RefCell::new(wanted),
        pool: RefCell::new(pool),
        keeper: RefCell::default(),
        warm_request: plan.warm.request,
        reread: plan.reread,
        tls: tls.as_deref(),
        noting: RefCell::default(),
        making: RefCell::default(),
        cleanup_interval: plan.cleanup_interval,
        acts: Cell::new(0),
        leads: Cell::new(false),
        calm: Cell::new([None; 2]),
    };
    let inbox = Inbox {
        started,
        asked,
        tunnelled,
        inquired,
    };
    let ended = match control.read_keys().await {
        Ok(()) => control.run(inbox, plan.port, stop, server).await,
        Err(failure) => Err(failure),
    };
    // Dropped here, it would wait for its threads, which an asynchronous task must not do.
    runtime.shutdown_background();
    ended
}

/// What requests send to the control thread.
struct Inbox {
    started: UnboundedReceiver<Start>,
    asked: UnboundedReceiver<Ask>,
    tunnelled: UnboundedReceiver<Tunnel>,
    inquired: UnboundedReceiver<Inquiry>,
}

/// What runs on the control thread.
pub(super) struct Control<'a> {
    pub(super) sessions: &'a Sessions<InCluster>,
    pub(super) io: &'a Io,
    pub(super) gate: &'a Gate,
    pub(super) table: &'a Table,
    pub(super) wanted: RefCell<Wanted>,
    /// Pods that wait for sessions, the uid of the Lease that they go with, and the path at which they are told their session.
    pub(super) pool: RefCell<Pool>,
    pub(super) keeper: RefCell<Option<String>>,
    pub(super) warm_request: Option<String>,
    pub(super) reread: Option<Reread>,
    pub(super) tls: Option<&'a Tls>,
    /// Sessions whose use is being noted.
    pub(super) noting: RefCell<HashSet<Arc<str>>>,
    /// Sessions that are being made, by owner and id: they count against the owner's maximum.
    pub(super) making: RefCell<HashSet<(String, Arc<str>)>>,
    pub(super) cleanup_interval: Duration,
    /// How many acts have been told.
    pub(super) acts: Cell<usize>,
    /// Whether this gateway cleans up.
    pub(super) leads: Cell<bool>,
    /// Since when the watches of records and of pods have worked without interruption.
    pub(super) calm: Cell<[Option<Instant>; 2]>,
}

type Server = tokio::task::JoinHandle<std::io::Result<()>>;

impl Control<'_> {
    async fn run(
        &self,
        mut inbox: Inbox,
        port: Option<u16>,
        stop: watch::Sender<Option<Duration>>,
        mut server: Server,
    ) -> Result<Exit, Failure> {
        let told = self.io.stop.told();
        tokio::pin!(told);
        let mut known = Known::new(port, self.warm_request.is_some(), self.sessions.now());
        let (mut records, mut pods) = (self.watch(&kind::LEASE), self.watch(&kind::POD));
        let mut listed = (false, false);
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let identity = leader::identity(&self.sessions.agent);
        let (lead, clean, files, keys) = (self.lead(&identity), self.clean(), self.keep_certificate(), self.keep_keys());
        let (again, warm) = (self.read_again(), self.keep_warm());
        tokio::pin!(lead, clean, files, keys, again, warm);
        let mut jobs: FuturesUnordered<LocalBoxFuture<'_, ()>> = FuturesUnordered::new();
        // Since the process was told to end, and until when it drains.
        let mut ending: Option<(Exit, Instant)> = None;
        loop {
            let end = ending.map(|(_, until)| until);
            tokio::select! {
                biased;
                interruption = &mut told, if ending.is_none() => {
                    self.io.stop.linger();
                    self.gate.is_ready.store(false, Ordering::Relaxed);
                    self.gate.is_ending.store(true, Ordering::Relaxed);
                    // Who is told by a signal of its orchestrator has clients that learn of it a moment later.
                    let notice = if interruption == Interruption::Terminate { self.gate.limits.notice() } else { Duration::ZERO };
                    stop.send_replace(Some(notice));
                    ending = Some((interruption.into(), Instant::now() + self.gate.limits.drain));
                }
                served = &mut server => {
                    let Some((exit, _)) = ending else {
                        let why = served.map_or_else(|error| error.to_string(), |ended| ended.map_or_else(|error| error.to_string(), |()| "it ended".to_owned()));
                        return Err(Failure::new(Exit::Fault, format!("serving: {why}")));
                    };
                    return Ok(self.end(exit, &identity).await);
                }
                () = sleep_until(end.unwrap_or_else(Instant::now)), if end.is_some() => {
                    let exit = ending.map_or(Exit::Good, |(exit, _)| exit);
                    self.say("requests and streams that did not finish in time are cut off");
                    for entry in self.table.all() {
                        entry.activity.cut(Cause::Gateway);
                    }
                    let _ = timeout(FAREWELL, &mut server).await;
                    return Ok(self.end(exit, &identity).await);
                }
                event = records.next() => match event {
                    Some(Ok(event)) => {
                        self.heard(0, &event);
                        listed.0 |= matches!(event, WatchEvent::Listed(_));
                        let event = self.sessions.without_slots(event);
                        for why in event.into_iter().flat_map(|event| known.at(self.sessions.now()).records(event, self.table)) {
                            self.say(&why);
                        }
                    }
                    failed => records = self.again(&kind::LEASE, failed, listed.0)?,
                },
                event = pods.next() => match event {
                    Some(Ok(event)) => {
                        self.heard(1, &event);
                        listed.1 |= matches!(event, WatchEvent::Listed(_));
                        self.pool.borrow_mut().see(&event);
                        known.at(self.sessions.now()).pods(event, self.table);
                    }
                    failed => pods = self.again(&kind::POD, failed, listed.1)?,
                },
                Some(start) = inbox.started.recv() => jobs.push(Box::pin(self.fly(start))),
                Some(ask) = inbox.asked.recv() => jobs.push(Box::pin(self.answer(ask))),
                Some(inquiry) = inbox.inquired.recv() => jobs.push(Box::pin(self.review(inquiry))),
                Some(tunnel) = inbox.tunnelled.recv() => jobs.push(Box::pin(self.tunnel(tunnel))),
                Some(()) = jobs.next() => {}
                _ = ticks.tick() => self.tick(&jobs),
                () = &mut lead => {}
                () = &mut clean => {}
                () = &mut files => {}
                () = &mut keys => {}
                () = &mut again => {}
                () = &mut warm => {}
            }
            if listed == (true, true) && ending.is_none() {
                self.gate.is_ready.store(true, Ordering::Relaxed);
            }
        }
    }

    fn watch(&self, kind: &Kind) -> Watch {
        let query = ListQuery {
            label_selector: all_selector(),
            ..ListQuery::default()
        };
        let connection = &self.sessions.objects.connection;
        connection.watch(kind, Some(&self.sessions.namespace), &query, None)
    }

    /// Begins a watch again that has ended. One that has never worked will not.
    fn again(&self, kind: &Kind, failed: Option<Result<WatchEvent, ApiError>>, has_worked: bool) -> Result<Watch, Failure> {
        if let Some(Err(error)) = failed {
            if !has_worked {
                return Err(error.into());
            }
            self.say(&error.to_string());
        }
        self.calm.set([None; 2]);
        let pause = stream::once(sleep(WATCH_AGAIN)).filter_map(|()| std::future::ready(None));
        Ok(pause.chain(self.watch(kind)).boxed())
    }

    /// Notes whether a watch works.
    fn heard(&self, watch: usize, event: &WatchEvent) {
        let mut calm = self.calm.get();
        match event {
            WatchEvent::Interrupted(error) => {
                calm[watch] = None;
                self.say(&error.to_string());
            }
            _ => drop(calm[watch].get_or_insert_with(Instant::now)),
        }
        self.calm.set(calm);
        self.gate.metrics.is_interrupted(calm.contains(&None));
    }

    pub(super) fn say(&self, what: &str) {
        tracing::warn!("{}", sanitise(what));
    }
}
