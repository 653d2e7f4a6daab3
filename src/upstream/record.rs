//! What a group keeps of a server: how many tunnels it has, and how it is doing.
//!
//! Knows one server. It must not know how servers are chosen.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::balance::{Candidate, hash};
use super::condition::{Condition, Health, Tolerance};
use super::server::Server;
use crate::connect::{PoolKey, UpstreamId};
use crate::telemetry::{self, Place};
use crate::tunnel::{Cap, Permit};

/// What its group can say of a server: for a status page.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerStatus {
    /// What it is called.
    pub name: String,
    /// Its place in the group: servers are numbered from 0 on in the order in which they came. One keeps its place when others leave,
    /// and no other ever gets it.
    pub place: usize,
    /// Its weight.
    pub weight: u32,
    /// Whether it is a backup.
    pub backup: bool,
    /// How many tunnels it has, those included that are on their way.
    pub tunnels: usize,
    /// How many it may have; `None` is no limit.
    pub max_tunnels: Option<usize>,
    /// Whether it was [taken out](super::Group::set_down) by hand.
    pub down: bool,
    /// How it is doing.
    pub health: Health,
    /// How many requests it has been chosen for.
    pub tried: u64,
    /// How many of them have failed there.
    pub failed: u64,
}

/// A server in its group.
pub(super) struct Member<C> {
    pub(super) connect: C,
    pub(super) pool_key: PoolKey,
    /// The source that it was found by, and its address there.
    pub(super) found: Option<(usize, SocketAddr)>,
    pub(super) record: Arc<Record>,
}

/// What is known of a server, apart from how to connect to it.
pub(super) struct Record {
    id: UpstreamId,
    place: Place,
    number: usize,
    identity: u64,
    weight: u32,
    backup: bool,
    cap: Cap,
    tolerance: Tolerance,
    condition: Mutex<Condition>,
    /// Whether there is anything in the condition: mostly there is not, and nobody has to look.
    is_troubled: AtomicBool,
    /// It was taken out by hand.
    is_down: AtomicBool,
    /// It is in its group no more.
    has_left: AtomicBool,
    /// It is back, and nobody has looked yet.
    is_back: AtomicBool,
    tried: AtomicU64,
    failed: AtomicU64,
}

impl<C> Member<C> {
    /// A server of the group with this name.
    pub(super) fn new(
        server: Server<C>,
        group: &Arc<str>,
        number: usize,
        found: Option<(usize, SocketAddr)>,
    ) -> Self {
        let record = Record {
            id: UpstreamId::unique(),
            identity: hash(server.name.as_bytes()),
            place: Place::new(group.clone(), server.name.into()),
            number,
            weight: server.weight,
            backup: server.backup,
            cap: server.cap,
            tolerance: server.tolerance,
            condition: Mutex::default(),
            is_troubled: AtomicBool::new(false),
            is_down: AtomicBool::new(false),
            has_left: AtomicBool::new(false),
            is_back: AtomicBool::new(found.is_some()),
            tried: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        };
        Member {
            connect: server.connect,
            // Zero is the key that all connections share.
            pool_key: PoolKey::new(number as u64 + 1),
            found,
            record: Arc::new(record),
        }
    }
}

impl Record {
    pub(super) fn name(&self) -> &str {
        &self.place.server
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// How many servers came into its group before it.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// What it is in, in a word: none where it has left its group.
    #[cfg(feature = "metrics")]
    pub(super) fn state(&self) -> Option<&'static str> {
        match () {
            () if self.has_left.load(Ordering::Acquire) => None,
            () if self.is_down() => Some("down"),
            () => Some(self.condition().health(Instant::now(), &self.tolerance).name()),
        }
    }

    pub(super) fn shared_name(&self) -> Arc<str> {
        self.place.server.clone()
    }

    /// What distinguishes it from other servers among the attempts of a request.
    pub(super) fn id(&self) -> UpstreamId {
        self.id
    }

    pub(super) fn is_backup(&self) -> bool {
        self.backup
    }

    /// Whether it gets requests as far as its health goes.
    pub(super) fn is_open(&self) -> bool {
        !self.is_troubled.load(Ordering::Acquire) || self.condition().is_open(Instant::now())
    }

    /// Whether it was taken out by hand.
    pub(super) fn is_down(&self) -> bool {
        self.is_down.load(Ordering::Acquire)
    }

    /// True if it was not so before.
    pub(super) fn set_down(&self, down: bool) -> bool {
        let is_changed = self.is_down.swap(down, Ordering::AcqRel) != down;
        if is_changed {
            self.is_back.store(!down, Ordering::Release);
        }
        is_changed
    }

    /// Its group does not have it any more.
    pub(super) fn leave(&self) {
        self.has_left.store(true, Ordering::Release);
    }

    /// Its group has it again: what was known against it was known of the time before.
    pub(super) fn come_back(&self) {
        *self.condition() = Condition::default();
        self.is_troubled.store(false, Ordering::Release);
        self.is_down.store(false, Ordering::Release);
        self.has_left.store(false, Ordering::Release);
        self.is_back.store(true, Ordering::Release);
    }

    /// How many tunnels it has.
    pub(super) fn tunnels(&self) -> usize {
        self.cap.open()
    }

    /// Whether nothing new is to be sent there, by hand or because it has left.
    pub(super) fn is_leaving(&self) -> bool {
        self.is_down() || self.has_left.load(Ordering::Acquire)
    }

    /// Whether its tunnels are to end: it is leaving, or [was lost](Record::is_lost) and has not worked since.
    pub(super) fn loses_tunnels(&self) -> bool {
        let is_lost = || self.is_troubled.load(Ordering::Acquire) && self.condition().was_lost();
        self.is_leaving() || is_lost()
    }

    pub(super) fn weight(&self) -> u32 {
        self.weight
    }

    /// Whether it has come back since this was asked last.
    pub(super) fn take_back(&self) -> bool {
        self.is_back.load(Ordering::Acquire) && self.is_back.swap(false, Ordering::AcqRel)
    }

    /// Whether it has been ejected for longer than this. Says so once for each time.
    pub(super) fn is_lost(&self, limit: Duration) -> bool {
        self.is_troubled.load(Ordering::Acquire) && self.condition().is_lost(Instant::now(), limit)
    }

    /// Whether it has room for a tunnel.
    pub(super) fn has_room(&self) -> bool {
        self.cap.limit().is_none_or(|limit| self.cap.open() < limit)
    }

    pub(super) fn try_acquire(&self) -> Option<Permit> {
        self.cap.try_acquire()
    }

    /// It gets a request, of which the outcome will be reported.
    pub(super) fn begin(&self) {
        self.tried.fetch_add(1, Ordering::Relaxed);
        if self.is_troubled.load(Ordering::Acquire) {
            self.condition().begin(Instant::now());
        }
    }

    /// What a request has shown: that it works, that it does not, or nothing.
    pub(super) fn shown(&self, works: Option<bool>) {
        match works {
            Some(false) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                self.change(|condition| condition.failed(Instant::now(), &self.tolerance, chance()));
            }
            _ if !self.is_troubled.load(Ordering::Acquire) => {}
            Some(true) => self.change(|condition| condition.succeeded(Instant::now(), &self.tolerance)),
            None => self.change(Condition::given_up),
        }
    }

    pub(super) fn status(&self) -> ServerStatus {
        ServerStatus {
            name: self.place.server.to_string(),
            place: self.number,
            weight: self.weight,
            backup: self.backup,
            tunnels: self.cap.open(),
            max_tunnels: self.cap.limit(),
            down: self.is_down(),
            health: self.condition().health(Instant::now(), &self.tolerance),
            tried: self.tried.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }

    fn condition(&self) -> MutexGuard<'_, Condition> {
        // Nothing in here panics halfway.
        self.condition.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Condition)) {
        let (before, after) = {
            let mut condition = self.condition();
            let now = Instant::now();
            let before = condition.health(now, &self.tolerance).name();
            change(&mut condition);
            self.is_troubled.store(!condition.is_healthy(), Ordering::Release);
            (before, condition.health(now, &self.tolerance).name())
        };
        // Without the lock: what a subscriber does is its own business.
        if before != after {
            if after == Health::Healthy.name() && before != "failing" {
                self.is_back.store(true, Ordering::Release);
            }
            telemetry::server_changed(&self.place, after);
        }
    }
}

impl Candidate for &Record {
    fn weight(&self) -> u32 {
        self.weight
    }

    fn tunnels(&self) -> usize {
        self.cap.open()
    }

    fn identity(&self) -> u64 {
        self.identity
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.status().fmt(f)
    }
}

/// A number from 0 to 1. Its only purpose is that servers differ: it need not be hard to guess.
pub(super) fn chance() -> f64 {
    // The keys of every state are others.
    let number = RandomState::new().build_hasher().finish();
    number as f64 / u64::MAX as f64
}
