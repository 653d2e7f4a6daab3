//! The keys that seal tickets: each seals for six hours, and opens what it has sealed for six more.
//!
//! It must not know what is sealed, or how.

use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use tokio::time::Instant;
use tokio_rustls::rustls::crypto::SecureRandom;
use tokio_rustls::rustls::crypto::cipher::AeadKey;

use crate::clock::After;

/// How long a key seals tickets. It opens them for as long again.
pub(super) const LIFETIME: Duration = Duration::from_secs(6 * 60 * 60);

pub(super) const SECRET: usize = 32;

/// Names are public: every ticket shows its key's.
pub(super) const NAME: usize = 16;
pub(super) type Name = [u8; NAME];

/// Shared by all connections of a configuration, on whichever thread.
pub(super) struct Keys {
    random: &'static dyn SecureRandom,
    held: RwLock<Held>,
}

struct Held {
    current: Key,
    /// Seals no more, and still opens: until the current key ends.
    previous: Option<Key>,
}

struct Key {
    name: Name,
    /// Overwritten when it is dropped.
    secret: AeadKey,
    seals_until: Instant,
}

impl Keys {
    /// None where there is no randomness.
    pub(super) fn new(random: &'static dyn SecureRandom, now: Instant) -> Option<Self> {
        let current = Key::new(random, now.after(LIFETIME))?;
        Some(Keys {
            random,
            held: RwLock::new(Held {
                current,
                previous: None,
            }),
        })
    }

    /// The key that seals now, and its name.
    pub(super) fn current(&self, now: Instant) -> Option<(Name, AeadKey)> {
        self.rotate(now)?;
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        Some((held.current.name, held.current.secret()?))
    }

    /// The key of this name, if it opens tickets now.
    pub(super) fn named(&self, name: &Name, now: Instant) -> Option<AeadKey> {
        self.rotate(now)?;
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let known = [Some(&held.current), held.previous.as_ref()];
        let key = known.into_iter().flatten().find(|key| key.name == *name)?;
        key.secret()
    }

    /// Changes keys when it is time. None where there is no randomness for a new one: then nothing is sealed or opened.
    fn rotate(&self, now: Instant) -> Option<()> {
        let ends = |held: &Held| held.current.seals_until;
        if now < ends(&self.held.read().unwrap_or_else(PoisonError::into_inner)) {
            return Some(());
        }
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let ended = ends(&held);
        // Another thread may have been here in between.
        if now >= ended {
            let is_recent = now < ended.after(LIFETIME);
            let since = if is_recent { ended } else { now };
            let next = Key::new(self.random, since.after(LIFETIME))?;
            let last = std::mem::replace(&mut held.current, next);
            held.previous = is_recent.then_some(last);
        }
        Some(())
    }
}

impl Key {
    fn new(random: &dyn SecureRandom, seals_until: Instant) -> Option<Key> {
        let (mut name, mut secret) = ([0; NAME], [0; SECRET]);
        random.fill(&mut name).ok()?;
        random.fill(&mut secret).ok()?;
        Some(Key {
            name,
            secret: AeadKey::from(secret),
            seals_until,
        })
    }

    fn secret(&self) -> Option<AeadKey> {
        let secret: [u8; SECRET] = self.secret.as_ref().try_into().ok()?;
        Some(AeadKey::from(secret))
    }
}

#[cfg(all(test, feature = "ring"))]
mod tests {
    use tokio_rustls::rustls::crypto::GetRandomFailed;
    use tokio_rustls::rustls::crypto::ring::default_provider;

    use super::*;

    fn keys(now: Instant) -> Keys {
        Keys::new(default_provider().secure_random, now).unwrap()
    }

    #[test]
    fn a_key_seals_for_six_hours_and_opens_for_six_more() {
        const HOUR: Duration = Duration::from_secs(3600);
        let second = Duration::from_secs(1);
        // When it seals, when it is looked at first, when it is to open; and whether it does.
        for (sealed, between, opened, opens) in [
            (Duration::ZERO, None, HOUR * 6 - second, true),
            (Duration::ZERO, None, HOUR * 6, true),
            (Duration::ZERO, None, HOUR * 12 - second, true),
            (Duration::ZERO, None, HOUR * 12, false),
            (HOUR * 6 - second, None, HOUR * 12 - second, true),
            (HOUR * 6 - second, None, HOUR * 12, false),
            (HOUR * 6, None, HOUR * 18 - second, true),
            (HOUR * 6, None, HOUR * 18, false),
            (Duration::ZERO, Some(HOUR * 9), HOUR * 12 - second, true),
            (Duration::ZERO, Some(HOUR * 9), HOUR * 12, false),
            (Duration::ZERO, None, HOUR * 1000, false),
        ] {
            let start = Instant::now();
            let keys = keys(start);
            let (name, secret) = keys.current(start + sealed).unwrap();
            if let Some(between) = between {
                assert!(keys.named(&name, start + between).is_some());
            }
            let found = keys.named(&name, start + opened);
            assert_eq!(
                found.is_some(),
                opens,
                "sealed at {sealed:?}, {between:?}, opened at {opened:?}"
            );
            assert!(found.is_none_or(|found| found.as_ref() == secret.as_ref()));
        }
    }

    #[test]
    fn a_key_that_has_ended_is_not_kept() {
        let start = Instant::now();
        let keys = keys(start);
        let names = || {
            let held = keys.held.read().unwrap();
            (held.current.name, held.previous.as_ref().map(|key| key.name))
        };
        let (first, none) = names();
        assert_eq!(none, None);
        keys.rotate(start + LIFETIME).unwrap();
        let (second, previous) = names();
        assert!(second != first && previous == Some(first));
        keys.rotate(start + LIFETIME * 2).unwrap();
        let (third, previous) = names();
        assert!(third != second && previous == Some(second));
        keys.rotate(start + LIFETIME * 9).unwrap();
        let (fourth, previous) = names();
        assert!(fourth != third && previous.is_none());
    }

    #[test]
    fn a_key_that_has_ended_seals_no_more_where_there_is_no_randomness() {
        #[derive(Debug)]
        struct Nothing;
        impl SecureRandom for Nothing {
            fn fill(&self, _bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
                Err(GetRandomFailed)
            }
        }
        let start = Instant::now();
        assert!(Keys::new(&Nothing, start).is_none());
        let keys = Keys {
            random: &Nothing,
            ..keys(start)
        };
        let (name, _) = keys.current(start).unwrap();
        assert!(keys.named(&name, start).is_some());
        assert!(keys.current(start + LIFETIME).is_none());
        assert!(keys.named(&name, start + LIFETIME).is_none());
    }
}
