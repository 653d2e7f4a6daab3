//! What is counted of tunnels.

use std::time::Duration;

use ::metrics::{Counter, Gauge};

use super::series::Series;
use super::{
    BYTES_BY, CLOSES_BY, DURATION, ENDED_BY, FRAMES_BY, MESSAGES_BY, OPEN, OPENED, PAYLOAD_BY, PING,
};
use crate::side::Side;
use crate::telemetry::{Bytes, Closer, Moved, TunnelEnd, side_name};

/// In the order of [`FrameNumbers`](crate::telemetry::FrameNumbers).
const OPCODES: [&str; 5] = ["text", "binary", "close", "ping", "pong"];

fn opened() -> &'static Series<Counter> {
    series!(OPENED of Counter)
}

fn open() -> &'static Series<Gauge> {
    series!(OPEN of Gauge)
}

/// Touches the series that have no labels.
pub(super) fn touch() {
    opened().add(0);
    open().change(0.0);
}

pub(in crate::telemetry) fn ping_answered(side: Side, took: Duration) {
    let pings = match side {
        Side::Downstream => series!(PING of Histogram, "side" => "downstream"),
        Side::Upstream => series!(PING of Histogram, "side" => "upstream"),
    };
    pings.record(took);
}

/// What was not reported before.
pub(crate) fn moved(moved: &Moved) {
    if *moved == Moved::default() {
        return;
    }
    let sides = [
        (Side::Downstream, moved.from_downstream),
        (Side::Upstream, moved.from_upstream),
    ];
    for (side, Bytes { copied, spliced }) in sides {
        for (mode, bytes) in [("copied", copied), ("spliced", spliced)] {
            if bytes > 0 {
                BYTES_BY.add([side_name(side), mode], bytes);
            }
        }
    }
    for (side, numbers) in [Side::Downstream, Side::Upstream].into_iter().zip(&moved.frames) {
        if numbers.iter().all(|number| *number == 0) {
            continue;
        }
        let (frames, others) = numbers.split_at(OPCODES.len());
        let (payload, messages) = others.split_at(OPCODES.len());
        for (words, numbers) in [
            (&FRAMES_BY, frames),
            (&PAYLOAD_BY, payload),
            (&MESSAGES_BY, messages),
        ] {
            for (opcode, number) in OPCODES.into_iter().zip(numbers) {
                if *number > 0 {
                    words.add([side_name(side), opcode], *number);
                }
            }
        }
    }
}

/// A tunnel that counts as open.
#[derive(Debug)]
pub(in crate::telemetry) struct OpenTunnel {
    has_ended: bool,
}

impl OpenTunnel {
    pub(in crate::telemetry) fn start() -> Self {
        opened().add(1);
        open().change(1.0);
        OpenTunnel { has_ended: false }
    }

    pub(in crate::telemetry) fn end(mut self, end: &TunnelEnd) {
        self.has_ended = true;
        ENDED_BY.add([end.reason, end.side.map_or("none", side_name)], 1);
        series!(DURATION of Histogram).record(end.took);
        for (closer, code) in end.closes.into_iter().flatten() {
            let from = match closer {
                Closer::Side(side) => side_name(side),
                Closer::Proxy => "proxy",
            };
            CLOSES_BY.add([from, code_name(code)], 1);
        }
        if let Some(bytes) = &end.moved {
            moved(bytes);
        }
    }
}

impl Drop for OpenTunnel {
    fn drop(&mut self) {
        open().change(-1.0);
        if !self.has_ended {
            ENDED_BY.add(["dropped", "none"], 1);
        }
    }
}

/// Codes of a peer's own choice are one label for each range: RFC 6455, section 7.4.2.
fn code_name(code: u16) -> &'static str {
    match code {
        1000 => "1000",
        1001 => "1001",
        1002 => "1002",
        1003 => "1003",
        1005 => "none",
        1007 => "1007",
        1008 => "1008",
        1009 => "1009",
        1010 => "1010",
        1011 => "1011",
        1012 => "1012",
        1013 => "1013",
        1014 => "1014",
        3000..4000 => "3xxx",
        4000..5000 => "4xxx",
        _ => "other",
    }
}
