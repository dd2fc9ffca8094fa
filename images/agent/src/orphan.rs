//! How long no server has been connected.
//!
//! Time is counted in slices that were really waited for. A slice that took much longer than it should means that the
//! sandbox was frozen, or dumped and restored: the count begins anew, for the server must get its time to dial.

use std::time::{Duration, Instant};

const SLICES: u32 = 8;

pub struct Orphan {
    slice: Duration,
    waited: u32,
    /// When the current slice began; `None` while a server is connected.
    since: Option<Instant>,
}

impl Orphan {
    pub fn new(timeout: Duration, now: Instant) -> Self {
        Self { slice: timeout / SLICES, waited: 0, since: Some(now) }
    }

    pub fn adopted(&mut self, connected: bool, now: Instant) {
        self.waited = 0;
        self.since = (!connected).then_some(now);
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.since.map(|since| since + self.slice)
    }

    pub fn tick(&mut self, now: Instant) {
        let Some(since) = self.since else { return };
        let passed = now.saturating_duration_since(since);
        if passed < self.slice {
            return;
        }
        let frozen = passed >= self.slice * 2 + Duration::from_secs(1);
        self.waited = if frozen { 0 } else { self.waited + 1 };
        self.since = Some(now);
    }

    pub fn is_over(&self) -> bool {
        self.waited >= SLICES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(orphan: &mut Orphan, start: Instant, seconds: &[u64]) -> bool {
        seconds.iter().for_each(|&second| orphan.tick(start + Duration::from_secs(second)));
        orphan.is_over()
    }

    #[test]
    fn it_is_over_after_all_slices() {
        let start = Instant::now();
        let mut orphan = Orphan::new(Duration::from_secs(80), start);
        assert!(!after(&mut orphan, start, &[10, 20, 30, 40, 50, 60, 70]));
        assert!(after(&mut orphan, start, &[80]));
    }

    #[test]
    fn a_leap_of_the_clock_begins_anew() {
        let start = Instant::now();
        let mut orphan = Orphan::new(Duration::from_secs(80), start);
        assert!(!after(&mut orphan, start, &[10, 20, 30, 40, 50, 60, 70, 9000, 9010]));
    }

    #[test]
    fn a_server_stops_the_count() {
        let start = Instant::now();
        let mut orphan = Orphan::new(Duration::from_secs(80), start);
        orphan.adopted(true, start);
        assert_eq!(orphan.deadline(), None);
        assert!(!after(&mut orphan, start, &[10, 20, 30, 40, 50, 60, 70, 80, 90]));
    }
}
