//! What is known of a request before a server is chosen for it: the key by which it belongs to one, or the choice of a rule of the
//! caller's.

use std::sync::Arc;

use super::balance::{Balance, Candidate, Wish};
use super::custom::{Choice, CustomBalance};
use super::record::Member;
use super::shared::Shared;
use crate::connect::{Attempts, ConnectRequest, UpstreamId};

impl<C> Shared<C> {
    pub(super) fn wish(
        &self,
        balance: &Balance,
        request: &ConnectRequest<'_>,
        attempts: &Attempts,
        counts: bool,
    ) -> Wish {
        match balance {
            Balance::Hash(key) => key.of(request).map_or(Wish::Any, Wish::Key),
            Balance::Custom(rule) => match self.chosen_by(rule, request, attempts, counts) {
                Some(id) => Wish::Server(id),
                None => self.wish(rule.other(), request, attempts, counts),
            },
            _ => Wish::Any,
        }
    }

    /// The server that a rule of the caller's has chosen. It is asked without the lock.
    fn chosen_by(
        &self,
        rule: &CustomBalance,
        request: &ConnectRequest<'_>,
        attempts: &Attempts,
        counts: bool,
    ) -> Option<UpstreamId> {
        let is_choice = |member: &&Arc<Member<C>>| !member.record.is_backup();
        let members: Vec<_> = self.members().iter().filter(is_choice).cloned().collect();
        let source = |member: &Arc<Member<C>>| {
            let (source, _) = member.found?;
            Some(self.sources.get(source)?.name())
        };
        let choices: Vec<_> = members
            .iter()
            .map(|member| {
                let record = &*member.record;
                Choice {
                    name: record.name(),
                    source: source(member),
                    weight: record.weight(),
                    tunnels: Candidate::tunnels(&record),
                    is_open: !record.is_down()
                        && record.is_open()
                        && (!counts || record.has_room())
                        && !attempts.contains(record.id()),
                }
            })
            .collect();
        let at = rule.choose(request, &choices)?;
        choices.get(at).filter(|choice| choice.is_open)?;
        members.get(at).map(|member| member.record.id())
    }
}
