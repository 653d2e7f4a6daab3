//! The flags of tunnels that know the frames of a WebSocket.
//!
//! Knows these flags alone. Each needs `--tunnel-mode websocket`.

use std::time::Duration;

use switchover::Side;
use switchover::tunnel::{EndRequest, MessageLimits, WebSocketConfig};

use super::values::{close, close_or_none, duration, either, positive, rate};

#[derive(Debug, Default)]
pub(super) struct FrameFlags {
    knows_frames: bool,
    ping_interval: Option<Duration>,
    pong_timeout: Option<Duration>,
    /// Of what clients send.
    limits: MessageLimits,
    has_limit: bool,
    has_rate: bool,
    delays: Option<bool>,
    limit_close: Option<EndRequest>,
    drain_close: Option<EndRequest>,
    /// By the side that is sent it. `None` in it: no Close.
    abnormal_close: [Option<Option<EndRequest>>; 2],
    /// The first flag that needs frames.
    needs_frames: Option<String>,
}

impl FrameFlags {
    /// False if it is none of these flags.
    pub(super) fn set(&mut self, flag: &str, value: &str) -> Result<bool, String> {
        match flag {
            "--tunnel-mode" => {
                self.knows_frames = either(value, "stream", "websocket")?;
                return Ok(true);
            }
            "--ping-interval" => self.ping_interval = Some(duration(value)?),
            "--pong-timeout" => self.pong_timeout = Some(duration(value)?),
            "--over-rate" => self.delays = Some(either(value, "close", "delay")?),
            "--limit-close" => self.limit_close = Some(close(value)?),
            "--drain-close" => self.drain_close = Some(close(value)?),
            "--abnormal-close" => {
                self.abnormal_close[Side::Downstream as usize] = Some(close_or_none(value)?)
            }
            "--abnormal-close-upstream" => {
                self.abnormal_close[Side::Upstream as usize] = Some(close_or_none(value)?);
            }
            _ if !self.set_limit(flag, value)? => return Ok(false),
            _ => {}
        }
        self.needs_frames.get_or_insert_with(|| flag.to_owned());
        Ok(true)
    }

    fn set_limit(&mut self, flag: &str, value: &str) -> Result<bool, String> {
        let limits = self.limits;
        self.limits = match flag {
            "--max-message-bytes" => limits.max_message_bytes(positive(value)? as u64),
            "--max-frame-bytes" => limits.max_frame_bytes(positive(value)? as u64),
            "--max-fragments" => limits.max_fragments(positive(value)? as u64),
            "--max-messages-per-second" => limits.message_rate(rate(value)?),
            "--max-bytes-per-second" => limits.byte_rate(rate(value)?),
            "--max-control-frames-per-second" => limits.control_frame_rate(rate(value)?),
            _ => return Ok(false),
        };
        self.has_limit = true;
        self.has_rate |= flag.ends_with("-per-second");
        Ok(true)
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let needs = |flag: &str, other: &str| Err(format!("{flag} needs {other}"));
        if self.pong_timeout.is_some() && self.ping_interval.is_none() {
            return needs("--pong-timeout", "--ping-interval");
        }
        if self.delays.is_some() && !self.has_rate {
            return needs("--over-rate", "one of the limits per second");
        }
        if self.limit_close.is_some() && !self.has_limit {
            return needs("--limit-close", "one of the limits of messages");
        }
        match &self.needs_frames {
            Some(flag) if !self.knows_frames => needs(flag, "--tunnel-mode websocket"),
            _ => Ok(()),
        }
    }

    /// How tunnels treat the frames of a WebSocket, if they know them.
    pub(super) fn config(&self) -> Option<WebSocketConfig> {
        let default = WebSocketConfig::default();
        let pong_timeout = self.pong_timeout.unwrap_or(default.pong_limit());
        let limits = self.limits.throttle(self.delays.unwrap_or_default());
        let config = default
            .ping_interval(self.ping_interval)
            // Less than there is for it at the end of a drain.
            .close_timeout(Duration::from_millis(1500))
            .pong_timeout(pong_timeout)
            .limit_close(self.limit_close.clone().unwrap_or_default())
            .drain_close(self.drain_close.clone().unwrap_or_default())
            .limits_from(Side::Downstream, limits);
        let config = [Side::Downstream, Side::Upstream]
            .into_iter()
            .fold(config, |config, to| match &self.abnormal_close[to as usize] {
                Some(close) => config.abnormal_close(to, close.clone()),
                None => config,
            });
        self.knows_frames.then_some(config)
    }
}
