//! The flags of what becomes of tunnels whose server leaves its group, or where another one comes back.

use std::num::NonZeroU32;
use std::time::Duration;

use switchover::tunnel::{EndRequest, Tunnels};
use switchover::upstream::Evacuation;

use super::values::{close, duration, duration_or_zero, positive};

#[derive(Debug, Default)]
pub(super) struct MovingFlags {
    window: Option<Duration>,
    ejected: Option<Duration>,
    close: Option<EndRequest>,
    rebalance: Option<NonZeroU32>,
}

impl MovingFlags {
    /// Whether it is one of these flags.
    pub(super) fn set(&mut self, flag: &str, value: &str) -> Result<bool, String> {
        match flag {
            "--evacuate" => self.window = Some(duration_or_zero(value)?),
            "--evacuate-ejected" => self.ejected = Some(duration(value)?),
            "--evacuate-close" => self.close = Some(close(value)?),
            "--rebalance" => {
                let rate = u32::try_from(positive(value)?).unwrap_or(u32::MAX);
                self.rebalance = NonZeroU32::new(rate);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    pub(super) fn check(&self, knows_frames: bool) -> Result<(), String> {
        let others = [
            ("--evacuate-ejected", self.ejected.is_some()),
            ("--evacuate-close", self.close.is_some()),
            ("--rebalance", self.rebalance.is_some()),
        ];
        let alone = others
            .into_iter()
            .find(|(_, is_set)| *is_set && self.window.is_none());
        if let Some((flag, _)) = alone {
            return Err(format!("{flag} needs --evacuate"));
        }
        if self.close.is_some() && !knows_frames {
            return Err("--evacuate-close needs --tunnel-mode websocket".to_owned());
        }
        Ok(())
    }

    pub(super) fn is_set(&self) -> bool {
        self.window.is_some()
    }

    pub(super) fn evacuation(&self, tunnels: &Tunnels) -> Option<Evacuation> {
        let evacuation = Evacuation::of(tunnels.clone())
            .window(self.window?)
            .ejected_longer_than(self.ejected)
            .rebalance(self.rebalance);
        Some(match &self.close {
            Some(close) => evacuation.close(close.clone()),
            None => evacuation,
        })
    }
}
