//! Which server a request gets: of those that it has not had, one that is healthy and has room; a backup where there is
//! none; and where all are ejected, one of them anyway.

use std::sync::Arc;

use super::balance::{self, Balance, Wish};
use super::record::{Member, Record, chance};
use crate::connect::{Attempts, ConnectError};
use crate::tunnel::Permit;

/// At most so many servers are remembered that have left.
const GONE: usize = 1024;

/// The servers of a group, in a fixed order, and whose turn it is.
pub(super) struct Members<C> {
    list: Vec<Arc<Member<C>>>,
    turns: Vec<i64>,
    /// Those that have left and still have tunnels. One that comes back is the server that it was.
    gone: Vec<Arc<Member<C>>>,
}

impl<C> Default for Members<C> {
    fn default() -> Self {
        Members {
            list: Vec::new(),
            turns: Vec::new(),
            gone: Vec::new(),
        }
    }
}

impl<C> Members<C> {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Member<C>>> {
        self.list.iter()
    }

    /// Those that have left, as far as they are remembered.
    pub(super) fn gone(&self) -> impl Iterator<Item = &Arc<Member<C>>> {
        self.gone.iter()
    }

    /// Forgets those that have left and have no tunnels any more.
    pub(super) fn forget_gone(&mut self) {
        self.gone.retain(|member| member.record.tunnels() > 0);
    }

    /// Adds servers, and takes away those that are not to be kept. Those that stay keep their turns, and one that somebody
    /// else has found meanwhile is not added again. Returns how many there are, and those that were taken away.
    pub(super) fn change(
        &mut self,
        keep: impl Fn(&Member<C>) -> bool,
        new: Vec<Arc<Member<C>>>,
    ) -> (usize, Vec<Arc<Member<C>>>) {
        let (list, turns) = (std::mem::take(&mut self.list), std::mem::take(&mut self.turns));
        let (kept, removed): (Vec<_>, Vec<_>) =
            list.into_iter().zip(turns).partition(|(member, _)| keep(member));
        (self.list, self.turns) = kept.into_iter().unzip();
        for member in new {
            let is_there = |other: &Arc<Member<C>>| other.found.is_some() && other.found == member.found;
            if !self.list.iter().any(is_there) {
                let is_it = |other: &Arc<Member<C>>| {
                    let is_named_so = other.record.name() == member.record.name();
                    // Without tunnels it would be the same server only where it has not been forgotten yet.
                    is_there(other) && is_named_so && other.record.tunnels() > 0
                };
                let former = self
                    .gone
                    .iter()
                    .position(is_it)
                    .map(|at| self.gone.swap_remove(at));
                let member = former
                    .inspect(|former| former.record.come_back())
                    .unwrap_or(member);
                self.list.push(member);
                self.turns.push(0);
            }
        }
        let removed: Vec<_> = removed.into_iter().map(|(member, _)| member).collect();
        for member in &removed {
            member.record.leave();
        }
        self.gone.extend(removed.iter().cloned());
        if self.gone.len() > GONE {
            // Those without tunnels first: the others may come back.
            self.forget_gone();
        }
        let too_many = self.gone.len().saturating_sub(GONE);
        self.gone.drain(..too_many);
        if !cfg!(feature = "metrics") {
            // With metrics they are recorded once more.
            self.forget_gone();
        }
        (self.list.len(), removed)
    }

    /// Chooses a server, where what counts has its place from now on.
    pub(super) fn choose(
        &mut self,
        balance: &Balance,
        wish: Wish,
        attempts: &Attempts,
        counts: bool,
    ) -> Result<(Arc<Member<C>>, Option<Permit>), ConnectError> {
        let has_tried = attempts.count() > 0;
        let is_new = |record: &Arc<Record>| !has_tried || !attempts.contains(record.id());
        // Only a server that shares its cap with other groups can be full in spite of the room that it had.
        for _ in 0..=self.list.len() {
            let at = [(false, true), (true, true), (false, false), (true, false)]
                .into_iter()
                .find_map(|(backup, sound)| {
                    self.pick(balance, wish, |record| {
                        !record.is_down()
                            && record.is_backup() == backup
                            && is_new(record)
                            && (!sound || record.is_open())
                            && (!counts || record.has_room())
                    })
                });
            let Some(member) = at.and_then(|at| self.list.get(at)) else {
                let is_left = |record: &Arc<Record>| is_new(record) && !record.is_down();
                let any = self.list.iter().any(|member| is_left(&member.record));
                return Err(match any {
                    true => ConnectError::Full,
                    false => ConnectError::NoUpstream,
                });
            };
            let permit = member.record.try_acquire().filter(|_| counts);
            if permit.is_some() || !counts {
                member.record.begin();
                return Ok((member.clone(), permit));
            }
        }
        Err(ConnectError::Full)
    }

    fn pick(
        &mut self,
        balance: &Balance,
        wish: Wish,
        is_fit: impl Fn(&Arc<Record>) -> bool,
    ) -> Option<usize> {
        if let Wish::Server(id) = wish {
            let is_it = |member: &Arc<Member<C>>| member.record.id() == id && is_fit(&member.record);
            if let Some(at) = self.list.iter().position(is_it) {
                return Some(at);
            }
        }
        let members = self.list.iter().map(|member| &member.record).enumerate();
        let mut fit = members
            .filter(|(_, record)| is_fit(record))
            .map(|(at, record)| (at, &**record));
        match (balance.without_custom(), wish) {
            (Balance::Hash(_), Wish::Key(key)) => balance::by_key(key, fit),
            (balance @ (Balance::LeastTunnels | Balance::Random | Balance::PowerOfTwo), _) => {
                // Asked once each: the answer may differ from one moment to the next.
                let fit: Vec<_> = fit.by_ref().collect();
                let fit = fit.into_iter();
                match balance {
                    Balance::LeastTunnels => balance::by_tunnels(&mut self.turns, fit),
                    Balance::PowerOfTwo => balance::by_two_chances([chance(), chance()], fit),
                    _ => balance::by_chance(chance(), fit),
                }
            }
            _ => balance::by_turns(&mut self.turns, fit),
        }
    }
}
