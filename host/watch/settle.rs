//! When to look at files after something happened, and when to believe what is seen.
//!
//! Editors save in many ways: they cut a file and write it, rename another one over it, delete it and make it anew. In
//! between it is empty or not there. So one waits until nothing happens for a moment; and a file that has gone or is empty
//! gets some time to come back.

use std::time::{Duration, Instant};

use super::{Change, ChangeKind};

/// One waits until nothing has happened for so long ..
const QUIET: Duration = Duration::from_millis(40);
/// .. but not longer than this in all.
const MOST: Duration = Duration::from_secs(1);
/// How long a file may be empty or away before that is taken for meant.
const PATIENCE: Duration = Duration::from_millis(700);

/// A clock-less account of what happened: times are arguments.
#[derive(Debug, Default)]
pub struct Settle {
    /// The first and the last thing that happened since somebody looked.
    since: Option<(Instant, Instant)>,
    /// Since when something is empty or away.
    doubtful: Option<Instant>,
}

/// What to make of what was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything is as it was.
    Same,
    /// Something is empty or away; look again when [`Settle::due`] says.
    Wait,
    /// This is what somebody meant.
    Changed,
}

impl Settle {
    /// Something happened.
    pub fn touched(&mut self, now: Instant) {
        let first = self.since.map_or(now, |(first, _)| first);
        self.since = Some((first, now));
    }

    /// When to look; nothing while there is no reason to.
    pub fn due(&self) -> Option<Instant> {
        let quiet = self.since.map(|(first, last)| (last + QUIET).min(first + MOST));
        let doubt = self.doubtful.map(|since| since + PATIENCE);
        quiet.into_iter().chain(doubt).min()
    }

    /// Somebody looked and saw these changes.
    pub fn looked(&mut self, now: Instant, changes: &[Change]) -> Verdict {
        self.since = None;
        let sure = changes.iter().all(|change| change.kind == ChangeKind::Other);
        if sure {
            self.doubtful = None;
            return if changes.is_empty() { Verdict::Same } else { Verdict::Changed };
        }
        let since = *self.doubtful.get_or_insert(now);
        if now < since + PATIENCE {
            return Verdict::Wait;
        }
        self.doubtful = None;
        Verdict::Changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(kinds: &[ChangeKind]) -> Vec<Change> {
        kinds.iter().map(|kind| Change { path: "a".into(), kind: *kind }).collect()
    }

    #[test]
    fn one_looks_when_it_is_quiet_or_has_taken_long() {
        let start = Instant::now();
        let mut settle = Settle::default();
        assert_eq!(settle.due(), None);
        let step = QUIET / 2;
        let mut now = start;
        for _ in 0..200 {
            settle.touched(now);
            assert!(settle.due().unwrap() <= start + MOST);
            assert!(settle.due().unwrap() > now || now >= start + MOST);
            now += step;
        }
        assert_eq!(settle.due(), Some(start + MOST));
        assert_eq!(settle.looked(now, &[]), Verdict::Same);
        assert_eq!(settle.due(), None);
        settle.touched(now);
        assert_eq!(settle.due(), Some(now + QUIET));
        assert_eq!(settle.looked(now + QUIET, &changes(&[ChangeKind::Other])), Verdict::Changed);
        assert_eq!(settle.due(), None);
    }

    #[test]
    fn what_is_empty_or_away_may_come_back() {
        for kind in [ChangeKind::Gone, ChangeKind::Emptied] {
            let start = Instant::now();
            let doubt = changes(&[ChangeKind::Other, kind]);
            let mut settle = Settle::default();
            settle.touched(start);
            assert_eq!(settle.looked(start, &doubt), Verdict::Wait);
            assert_eq!(settle.due(), Some(start + PATIENCE));
            // It is written meanwhile.
            settle.touched(start + QUIET);
            assert_eq!(settle.due(), Some(start + QUIET * 2));
            assert_eq!(settle.looked(start + QUIET * 2, &changes(&[ChangeKind::Other])), Verdict::Changed);
            assert_eq!(settle.due(), None);
            // It stays away.
            assert_eq!(settle.looked(start, &doubt), Verdict::Wait);
            assert_eq!(settle.looked(start + QUIET, &doubt), Verdict::Wait);
            assert_eq!(settle.looked(start + PATIENCE, &doubt), Verdict::Changed);
            assert_eq!(settle.due(), None);
            // It comes back as it was.
            assert_eq!(settle.looked(start, &doubt), Verdict::Wait);
            assert_eq!(settle.looked(start + QUIET, &[]), Verdict::Same);
            assert_eq!(settle.due(), None);
        }
    }
}
