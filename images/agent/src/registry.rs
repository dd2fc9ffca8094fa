//! Exactly once: which requests run, and the responses that may be asked for again.
//!
//! A response is kept as the bytes that were sent, so that asking again yields the same. It outlives connections. It is
//! forgotten once a request's `ack` reaches it, or a request's `done` names it.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

#[derive(Default)]
pub struct Registry {
    running: BTreeSet<u64>,
    /// Those running whose response nobody will ask for again.
    unwanted: BTreeSet<u64>,
    kept: BTreeMap<u64, Rc<[u8]>>,
    acknowledged: u64,
}

/// What to do with a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission {
    /// Seen for the first time: it is running from now on.
    New,
    /// Its response will come once, when it ends.
    Running,
    Kept(Rc<[u8]>),
    Acknowledged,
}

impl Registry {
    pub fn admit(&mut self, id: u64, ack: u64, done: &[u64]) -> Admission {
        self.acknowledge(ack);
        let admission = self.admission(id);
        // Last, since it may name the request itself.
        done.iter().for_each(|&id| self.forget(id));
        admission
    }

    fn acknowledge(&mut self, ack: u64) {
        if ack > self.acknowledged {
            self.acknowledged = ack;
            self.kept = self.kept.split_off(&ack.saturating_add(1));
            // A highest id of all would survive that.
            self.kept.remove(&ack);
        }
    }

    fn admission(&mut self, id: u64) -> Admission {
        if self.running.contains(&id) {
            return Admission::Running;
        }
        if let Some(response) = self.kept.get(&id) {
            return Admission::Kept(Rc::clone(response));
        }
        if id <= self.acknowledged {
            return Admission::Acknowledged;
        }
        self.running.insert(id);
        Admission::New
    }

    fn forget(&mut self, id: u64) {
        self.kept.remove(&id);
        if self.running.contains(&id) {
            self.unwanted.insert(id);
        }
    }

    /// Keeps a response that may be asked for; returns the bytes to send.
    pub fn finish(&mut self, id: u64, response: Vec<u8>) -> Rc<[u8]> {
        self.running.remove(&id);
        let response: Rc<[u8]> = response.into();
        if !self.unwanted.remove(&id) {
            self.kept.insert(id, Rc::clone(&response));
        }
        response
    }

    /// The greatest `ack` so far.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    pub fn running(&self) -> Vec<u64> {
        self.running.iter().copied().collect()
    }

    pub fn kept(&self) -> Vec<u64> {
        self.kept.keys().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [u64; 0] = [];

    #[test]
    fn a_request_runs_once_however_often_it_comes() {
        let mut registry = Registry::default();
        assert_eq!(registry.admit(1, 0, &[]), Admission::New);
        assert_eq!(registry.admit(1, 0, &[]), Admission::Running);
        registry.finish(1, vec![7]);
        assert_eq!(registry.admit(1, 0, &[]), Admission::Kept([7].into()));
        assert_eq!(registry.admit(2, 1, &[]), Admission::New);
        assert_eq!(registry.admit(1, 0, &[]), Admission::Acknowledged);
        assert_eq!((registry.running(), registry.kept()), (vec![2], vec![]));
    }

    #[test]
    fn ids_need_not_grow_one_by_one_but_only_unacknowledged_ones_run() {
        let mut registry = Registry::default();
        assert_eq!(registry.admit(10, 0, &[]), Admission::New);
        assert_eq!(registry.admit(5, 0, &[]), Admission::New);
        registry.finish(5, vec![5]);
        registry.finish(10, vec![10]);
        assert_eq!(registry.admit(11, 5, &[]), Admission::New);
        assert_eq!(registry.kept(), [10]);
        assert_eq!(registry.admit(3, 0, &[]), Admission::Acknowledged);
    }

    #[test]
    fn a_running_request_keeps_its_response_although_acknowledged_too_early() {
        let mut registry = Registry::default();
        assert_eq!(registry.admit(1, 0, &[]), Admission::New);
        assert_eq!(registry.admit(2, 1, &[]), Admission::New);
        registry.finish(1, vec![1]);
        assert_eq!(registry.admit(1, 1, &[]), Admission::Kept([1].into()));
    }

    #[test]
    fn the_highest_id_can_be_acknowledged() {
        let mut registry = Registry::default();
        assert_eq!(registry.admit(u64::MAX, 0, &[]), Admission::New);
        registry.finish(u64::MAX, vec![1]);
        assert_eq!(registry.admit(1, u64::MAX, &[]), Admission::Acknowledged);
        assert_eq!(registry.kept(), NONE);
    }

    #[test]
    fn a_response_that_is_done_with_is_forgotten_and_no_other() {
        let mut registry = Registry::default();
        for id in [1, 8, 9] {
            registry.admit(id, 0, &[]);
            registry.finish(id, vec![id as u8]);
        }
        assert_eq!(registry.admit(10, 0, &[8, 77]), Admission::New);
        assert_eq!((registry.kept(), registry.acknowledged()), (vec![1, 9], 0));
    }

    #[test]
    fn a_running_request_that_is_done_with_goes_on_and_its_response_is_not_kept() {
        let mut registry = Registry::default();
        assert_eq!(registry.admit(1, 0, &[]), Admission::New);
        assert_eq!(registry.admit(2, 0, &[1]), Admission::New);
        assert_eq!(registry.admit(1, 0, &[]), Admission::Running);
        assert_eq!(*registry.finish(1, vec![1]), [1]);
        registry.finish(2, vec![2]);
        assert_eq!((registry.running(), registry.kept()), (vec![], vec![2]));
    }

    #[test]
    fn a_request_may_name_itself_as_done_with() {
        let mut registry = Registry::default();
        assert_eq!(registry.admit(1, 0, &[1]), Admission::New);
        registry.finish(1, vec![1]);
        assert_eq!(registry.kept(), NONE);
        registry.admit(2, 0, &[]);
        registry.finish(2, vec![2]);
        assert_eq!(registry.admit(2, 0, &[2]), Admission::Kept([2].into()));
        assert_eq!(registry.kept(), NONE);
    }

    #[test]
    fn an_id_used_again_after_it_was_done_with_is_kept_again() {
        let mut registry = Registry::default();
        registry.admit(1, 0, &[1]);
        registry.finish(1, vec![1]);
        assert_eq!(registry.admit(1, 0, &[]), Admission::New);
        registry.finish(1, vec![2]);
        assert_eq!(registry.kept(), [1]);
    }
}
