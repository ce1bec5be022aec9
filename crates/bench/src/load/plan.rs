//! The course of a load test, known before it begins: how many users are active at any time, and so
//! when each user starts and stops.

use crate::limits::{MAX_SECONDS, MAX_USERS};
use crate::{Error, Result};
use planforge_core::LoadStage;
use std::time::Duration;

/// Stages laid end to end.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    stages: Vec<Span>,
    /// Times at which the number of users changes, with the number from then on.
    changes: Vec<(Duration, u32)>,
}

/// From when until when, since the start of the test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: Duration,
    pub(super) end: Duration,
}

impl Plan {
    /// The course of `stages`. With a spawn rate the k-th user (from 0) joins or leaves k / rate
    /// seconds into the stage; a stage that is too short for its ramp ends where the ramp got to.
    pub(super) fn new(stages: &[LoadStage]) -> Result<Self> {
        let users = stages.iter().map(|stage| stage.users).max().unwrap_or(0);
        let seconds = stages.iter().map(|stage| u64::from(stage.seconds)).sum();
        if !(1..=MAX_USERS).contains(&users) || !(1..=MAX_SECONDS).contains(&seconds) {
            return Err(Error::LoadSize { users, seconds });
        }
        let mut plan = Self { stages: Vec::with_capacity(stages.len()), changes: Vec::new() };
        let (mut start, mut level) = (Duration::ZERO, 0);
        for stage in stages {
            let end = start + Duration::from_secs(stage.seconds.into());
            level = plan.ramp(stage, Span { start, end }, level);
            plan.stages.push(Span { start, end });
            start = end;
        }
        Ok(plan)
    }

    /// Adds the changes of one stage; the level it ends with.
    fn ramp(&mut self, stage: &LoadStage, span: Span, mut level: u32) -> u32 {
        let Some(rate) = stage.spawn_rate else {
            self.changes.push((span.start, stage.users));
            return stage.users;
        };
        for index in 0..u64::from(level.abs_diff(stage.users)) {
            let at = span.start + Duration::from_nanos(index * 1_000_000_000 / u64::from(rate.max(1)));
            if at >= span.end {
                break;
            }
            level = if level < stage.users { level + 1 } else { level - 1 };
            self.changes.push((at, level));
        }
        level
    }

    /// Length of the whole test.
    pub(super) fn end(&self) -> Duration {
        self.stages.last().map_or(Duration::ZERO, |stage| stage.end)
    }

    /// The stages in order.
    pub(super) fn stages(&self) -> &[Span] {
        &self.stages
    }

    /// The stage that `time` is in; the last one for times after the end.
    pub(super) fn stage_at(&self, time: Duration) -> usize {
        self.stages.partition_point(|stage| stage.end <= time).min(self.stages.len() - 1)
    }

    /// Users active at the end of a span.
    pub(super) fn users_before(&self, end: Duration) -> u32 {
        let after = self.changes.partition_point(|(at, _)| *at < end);
        after.checked_sub(1).map_or(0, |last| self.changes[last].1)
    }

    /// Peak of users.
    pub(super) fn max_users(&self) -> u32 {
        self.changes.iter().map(|(_, level)| *level).max().unwrap_or(0)
    }

    /// When each user is active: the last to join is the first to leave.
    pub(super) fn activity(&self) -> Vec<Vec<Span>> {
        let mut activity = vec![Vec::new(); self.max_users() as usize];
        let mut level = 0;
        for &(at, next) in self.changes.iter().chain([&(self.end(), 0)]) {
            for spans in &mut activity[level..(next as usize).max(level)] {
                spans.push(Span { start: at, end: at });
            }
            for spans in &mut activity[next as usize..level.max(next as usize)] {
                if let Some(span) = spans.last_mut() {
                    span.end = at;
                }
            }
            level = next as usize;
        }
        activity
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(users: u32, seconds: u32, spawn_rate: Option<u32>) -> LoadStage {
        LoadStage { users, seconds, spawn_rate }
    }

    fn span(start: u64, end: u64) -> Span {
        Span { start: Duration::from_millis(start), end: Duration::from_millis(end) }
    }

    #[test]
    fn users_come_and_go_at_once_without_a_rate() {
        let plan = Plan::new(&[stage(1, 2, None), stage(3, 1, None), stage(2, 1, None)]).unwrap();
        assert_eq!(plan.activity(), [vec![span(0, 4000)], vec![span(2000, 4000)], vec![span(2000, 3000)]]);
        assert_eq!((plan.max_users(), plan.end()), (3, Duration::from_secs(4)));
        let seconds: Vec<_> = (1..=4).map(|second| plan.users_before(Duration::from_secs(second))).collect();
        assert_eq!(seconds, [1, 1, 3, 2]);
    }

    #[test]
    fn users_ramp_up_and_down_at_the_rate() {
        let plan = Plan::new(&[stage(3, 2, Some(2)), stage(1, 2, Some(1))]).unwrap();
        assert_eq!(plan.activity(), [vec![span(0, 4000)], vec![span(500, 3000)], vec![span(1000, 2000)]]);
    }

    #[test]
    fn a_user_may_come_back() {
        let plan = Plan::new(&[stage(2, 1, None), stage(1, 1, None), stage(2, 1, None)]).unwrap();
        assert_eq!(plan.activity()[1], [span(0, 1000), span(2000, 3000)]);
    }

    #[test]
    fn a_ramp_ends_with_its_stage() {
        let plan = Plan::new(&[stage(100, 2, Some(3)), stage(100, 1, Some(1))]).unwrap();
        assert_eq!(plan.users_before(Duration::from_secs(2)), 6);
        assert_eq!(plan.max_users(), 7);
    }

    #[test]
    fn times_belong_to_the_stage_that_began_last() {
        let plan = Plan::new(&[stage(1, 2, None), stage(2, 1, None)]).unwrap();
        let stages: Vec<_> =
            [0, 1999, 2000, 2999, 9000].map(|time| plan.stage_at(Duration::from_millis(time))).to_vec();
        assert_eq!(stages, [0, 0, 1, 1, 1]);
    }

    #[test]
    fn empty_and_excessive_tests_are_refused() {
        for stages in [vec![], vec![stage(0, 5, None)], vec![stage(1, 0, None)], vec![stage(10_001, 1, None)]] {
            assert!(matches!(Plan::new(&stages), Err(Error::LoadSize { .. })), "{stages:?}");
        }
        let error = Plan::new(&[stage(1, u32::MAX, None)]).unwrap_err().to_string();
        assert!(error.contains("4294967295 s") && error.contains("86400 s"), "{error}");
    }
}
