//! `limit_req` and `limit_conn`: how often, and how many at a time, by a key.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::findings::Findings;
use super::measures;
use super::names::Names;
use super::text::Text;
use super::tree::Directive;

/// How many keys a zone holds at most. Beyond that the oldest are forgotten, as in nginx.
const MOST_KEYS: usize = 65_536;

/// A zone of either kind, shared by all workers.
#[derive(Debug)]
pub(crate) struct Zone {
    pub(crate) name: String,
    key: Text,
    /// Thousandths of a request in a second; 0 is a zone of connections.
    rate: u64,
    levels: Levels,
    hashers: [RandomState; 2],
}

/// By a hash of each key, which may be as long as a head. Nobody can choose keys with one hash: the hashers are seeded at random.
type Levels = Mutex<HashMap<u128, Level>>;

#[derive(Clone, Copy, Debug)]
struct Level {
    /// Thousandths of requests that are still to be worked off.
    excess: u64,
    last: Instant,
    /// Requests that are being served.
    open: usize,
}

/// All zones, by their names.
pub(crate) type Zones = HashMap<String, Arc<Zone>>;

/// One `limit_req`.
#[derive(Clone, Debug)]
pub(crate) struct LimitReq {
    zone: Arc<Zone>,
    burst: u64,
    delay: u64,
}

/// One `limit_conn`.
#[derive(Clone, Debug)]
pub(crate) struct LimitConn {
    zone: Arc<Zone>,
    most: usize,
}

/// What a limit says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passes,
    Waits(Duration),
    Rejected,
}

/// A place under a `limit_conn`, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    zone: Arc<Zone>,
    key: u128,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut levels = self.zone.levels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(level) = levels.get_mut(&self.key) {
            level.open = level.open.saturating_sub(1);
            if level.open == 0 {
                levels.remove(&self.key);
            }
        }
    }
}

/// `limit_req_zone` and `limit_conn_zone`.
pub(crate) fn zones(lines: &[&Directive], names: &Names, findings: &mut Findings) -> Zones {
    let mut zones = Zones::new();
    for line in lines {
        match zone(line, names, findings) {
            Ok((name, zone)) => {
                zones.insert(name, Arc::new(zone));
            }
            Err(why) => findings.error(&line.place, format!("{}: {why}", line.shown())),
        }
    }
    zones
}

fn zone(line: &Directive, names: &Names, findings: &mut Findings) -> Result<(String, Zone), String> {
    let mut zone = Zone {
        name: String::new(),
        key: Text::parse(line.first(), names, &line.place, findings),
        rate: 0,
        levels: Levels::default(),
        hashers: Default::default(),
    };
    let mut name = None;
    for parameter in line.arguments.iter().skip(1) {
        match parameter.split_once('=') {
            Some(("zone", value)) => {
                let (named, _) = value.split_once(':').ok_or("a zone has a name and a size")?;
                name = Some(named.to_owned());
            }
            Some(("rate", value)) => zone.rate = rate(value)?,
            _ if parameter == "sync" => {}
            _ => return Err(format!("there is no parameter {parameter}")),
        }
    }
    if line.name == "limit_req_zone" && zone.rate == 0 {
        zone.rate = 1000;
    }
    zone.name = name.ok_or("it names no zone")?;
    Ok((zone.name.clone(), zone))
}

fn rate(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no rate, as in 10r/s or 30r/m");
    let (number, per) = match (text.strip_suffix("r/s"), text.strip_suffix("r/m")) {
        (Some(number), _) => (number, 1),
        (_, Some(number)) => (number, 60),
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    Some(number.saturating_mul(1000) / per)
        .filter(|rate| *rate > 0)
        .ok_or_else(wrong)
}

/// So many requests, in thousandths.
fn thousandths(text: &str) -> Result<u64, String> {
    measures::number(text).map(|number| (number as u64).saturating_mul(1000))
}

impl LimitReq {
    pub(crate) fn read(line: &Directive, zones: &Zones) -> Result<LimitReq, String> {
        let (mut zone, mut burst, mut delay) = (None, 0, 0);
        for parameter in &line.arguments {
            match parameter.split_once('=') {
                Some(("zone", name)) => zone = zones.get(name).filter(|zone| zone.rate > 0).cloned(),
                Some(("burst", value)) => burst = thousandths(value)?,
                Some(("delay", value)) => delay = thousandths(value)?,
                None if parameter == "nodelay" => delay = u64::MAX,
                _ => return Err(format!("{}: there is no parameter {parameter}", line.shown())),
            }
        }
        let zone = zone.ok_or_else(|| format!("{}: there is no such zone", line.shown()))?;
        Ok(LimitReq { zone, burst, delay })
    }

    pub(crate) fn key(&self) -> &Text {
        &self.zone.key
    }

    /// The name of its zone.
    pub(crate) fn zone(&self) -> &str {
        &self.zone.name
    }

    /// Whether it would reject a request with this key, which is not counted yet: as in nginx, one that any limit rejects counts for none.
    pub(crate) fn rejects(&self, key: &str) -> bool {
        let levels = self.zone.levels();
        let level = levels.get(&self.zone.hash(key)).filter(|_| !key.is_empty());
        level.is_some_and(|level| self.excess(level, Instant::now()) > self.burst)
    }

    /// What there is to be worked off with one request more.
    fn excess(&self, level: &Level, now: Instant) -> u64 {
        let passed = u64::try_from(now.duration_since(level.last).as_millis()).unwrap_or(u64::MAX);
        let worked_off = self.zone.rate.saturating_mul(passed) / 1000;
        level.excess.saturating_add(1000).saturating_sub(worked_off)
    }

    /// Counts a request with this key. An empty key is not counted.
    pub(crate) fn judge(&self, key: &str) -> Verdict {
        if key.is_empty() {
            return Verdict::Passes;
        }
        let now = Instant::now();
        let key = self.zone.hash(key);
        let mut levels = self.zone.levels();
        let Some(level) = levels.get_mut(&key) else {
            let fresh = Level {
                excess: 0,
                last: now,
                open: 0,
            };
            levels.insert(key, fresh);
            return Verdict::Passes;
        };
        let excess = self.excess(level, now);
        if excess > self.burst {
            return Verdict::Rejected;
        }
        level.excess = excess;
        level.last = now;
        match excess <= self.delay {
            true => Verdict::Passes,
            false => Verdict::Waits(Duration::from_millis(
                (excess - self.delay).saturating_mul(1000) / self.zone.rate,
            )),
        }
    }
}

impl LimitConn {
    pub(crate) fn read(line: &Directive, zones: &Zones) -> Result<LimitConn, String> {
        let [zone, most] = &line.arguments[..] else {
            return Err("limit_conn takes a zone and a number".to_owned());
        };
        let zone = zones.get(zone).filter(|zone| zone.rate == 0).cloned();
        let zone = zone.ok_or_else(|| format!("{}: there is no such zone", line.shown()))?;
        let most = measures::number(most)?;
        Ok(LimitConn { zone, most })
    }

    pub(crate) fn key(&self) -> &Text {
        &self.zone.key
    }

    /// The name of its zone.
    pub(crate) fn zone(&self) -> &str {
        &self.zone.name
    }

    /// A place for a request with this key; none where they are all taken. An empty key needs none.
    pub(crate) fn take(&self, key: &str) -> Result<Option<Place>, ()> {
        if key.is_empty() {
            return Ok(None);
        }
        let key = self.zone.hash(key);
        let mut levels = self.zone.levels();
        // Every key has a request open: nginx has no memory for another one then, and refuses.
        if levels.len() >= MOST_KEYS && !levels.contains_key(&key) {
            return Err(());
        }
        let level = levels.entry(key).or_insert(Level {
            excess: 0,
            last: Instant::now(),
            open: 0,
        });
        if level.open >= self.most {
            return Err(());
        }
        level.open += 1;
        let zone = self.zone.clone();
        Ok(Some(Place { zone, key }))
    }
}

impl Zone {
    fn hash(&self, key: &str) -> u128 {
        let [high, low] = &self.hashers;
        u128::from(high.hash_one(key)) << 64 | u128::from(low.hash_one(key))
    }

    fn levels(&self) -> std::sync::MutexGuard<'_, HashMap<u128, Level>> {
        let mut levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        if levels.len() >= MOST_KEYS {
            // Many at a time: so each key pays for a few looks, and not for one at all keys.
            let idle = levels.values().filter(|level| level.open == 0);
            let mut idle: Vec<Instant> = idle.map(|level| level.last).collect();
            if !idle.is_empty() {
                let eighth = idle.len() / 8;
                let (_, oldest, _) = idle.select_nth_unstable(eighth);
                let oldest = *oldest;
                levels.retain(|_, level| level.open > 0 || level.last > oldest);
            }
        }
        levels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(rate: u64) -> Arc<Zone> {
        Arc::new(Zone {
            name: "zone".to_owned(),
            key: Text::literal(""),
            rate,
            levels: Levels::default(),
            hashers: Default::default(),
        })
    }

    /// Requests of ever more clients: the oldest are forgotten, and the others are not.
    #[test]
    fn keys_that_have_been_longest_without_a_request() {
        let zone = zone(1);
        let limit = LimitReq {
            zone: zone.clone(),
            burst: 0,
            delay: 0,
        };
        for number in 0..=MOST_KEYS {
            assert_eq!(limit.judge(&number.to_string()), Verdict::Passes, "{number}");
            assert!(zone.levels.lock().unwrap().len() <= MOST_KEYS);
        }
        assert!(limit.rejects(&MOST_KEYS.to_string()));
        assert_eq!(limit.judge(&MOST_KEYS.to_string()), Verdict::Rejected);
        assert_eq!(limit.judge(&(MOST_KEYS / 2).to_string()), Verdict::Rejected);
        assert!(!limit.rejects("0"));
        assert_eq!(limit.judge("0"), Verdict::Passes);
    }

    /// A client with a request open is not forgotten: another one is refused.
    #[test]
    fn keys_with_an_open_request() {
        let limit = LimitConn {
            zone: zone(0),
            most: 1,
        };
        let mut places: Vec<Place> = (0..MOST_KEYS)
            .map(|number| limit.take(&number.to_string()).unwrap().unwrap())
            .collect();
        assert!(limit.take("another").is_err());
        assert!(limit.take("0").is_err());
        places.truncate(MOST_KEYS - 1);
        let another = limit.take("another").unwrap();
        assert!(another.is_some());
        assert!(limit.take("another").is_err());
        drop((places, another));
        assert!(limit.zone.levels.lock().unwrap().is_empty());
    }
}
