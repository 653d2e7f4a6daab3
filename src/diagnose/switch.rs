//! What is wrong with a 101, by the verdict of the handshake, and what comes after a good one.

use http::header::SEC_WEBSOCKET_PROTOCOL;
use http::response;

use super::{Attempt, Diagnosis, Finding};
use crate::handshake::BadSwitch;

pub(super) fn judge(attempt: &Attempt, response: &response::Parts, findings: &mut Vec<Finding>) {
    if let Err(why) = attempt.judge(response) {
        let diagnosis = match why {
            BadSwitch::Version => Diagnosis::Http10Hop,
            BadSwitch::AcceptWrong => Diagnosis::AcceptWrong,
            BadSwitch::ExtensionNotOffered => Diagnosis::ExtensionNotOffered,
            BadSwitch::SubprotocolNotOffered => Diagnosis::SubprotocolNotOffered,
            _ => Diagnosis::SwitchInvalid,
        };
        let finding = Finding::certain(diagnosis).detail(why);
        findings.push(match diagnosis {
            Diagnosis::SwitchInvalid => finding.changing(why.hint()),
            _ => finding,
        });
        return;
    }
    let offered = attempt.request.headers.contains_key(SEC_WEBSOCKET_PROTOCOL);
    if offered && !response.headers.contains_key(SEC_WEBSOCKET_PROTOCOL) {
        findings.push(Finding::certain(Diagnosis::SubprotocolIgnored));
    }
    attempt.conversation.judge(findings);
}
