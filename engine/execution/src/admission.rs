//! Which of the actions that could run may: as many as the machine holds, by their processors and their memory.
//!
//! The policy is strict: the action with the highest priority starts next, and while it does not fit, nothing behind it
//! starts either. So a big one waits for what runs already and for no more than that; what is idle meanwhile is the
//! price for never starving it. One that is bigger than the machine runs alone. Since what runs never waits for what is
//! queued, the head always starts in the end.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use model::Resources;

/// The queue of what could run, and the sum of what runs.
pub(crate) struct Admission<T> {
    cpus: u32,
    memory: Limit,
    used: Resources,
    /// By priority, then in the order of arrival.
    queue: BTreeMap<(Reverse<u64>, u64), (Resources, T)>,
    queued: Resources,
    arrivals: u64,
}

/// How much memory actions may take in sum.
enum Limit {
    /// To be asked of the machine by the first action that declares any.
    Unasked(fn() -> u64),
    /// Megabytes.
    Known(u64),
}

/// What an admitted action was given, to be given back.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(crate) struct Grant(Resources);

const NOTHING: Resources = Resources { cpu: 0, memory: 0 };

impl<T> Admission<T> {
    /// `memory` in megabytes; `None` for what the machine has to spare.
    pub(crate) fn new(cpus: usize, memory: Option<u64>) -> Self {
        Self {
            cpus: u32::try_from(cpus).unwrap_or(u32::MAX).max(1),
            memory: memory.map_or(Limit::Unasked(spare_memory), Limit::Known),
            used: NOTHING,
            queue: BTreeMap::new(),
            queued: NOTHING,
            arrivals: 0,
        }
    }

    /// Puts an action in the queue.
    pub(crate) fn push(&mut self, priority: u64, wanted: Resources, item: T) {
        let granted = self.clamp(wanted);
        self.queued = sum(self.queued, granted);
        self.queue.insert((Reverse(priority), self.arrivals), (granted, item));
        self.arrivals += 1;
    }

    /// Whether not all that is queued fits beside what runs, so that the order matters.
    pub(crate) fn is_contended(&self) -> bool {
        !self.fits(self.queued)
    }

    /// Gives each queued action another priority.
    pub(crate) fn reorder(&mut self, priority: impl Fn(&T) -> u64) {
        let queue = std::mem::take(&mut self.queue);
        self.queue = queue
            .into_iter()
            .map(|((_, arrival), (granted, item))| ((Reverse(priority(&item)), arrival), (granted, item)))
            .collect();
    }

    /// The next action that may start, if one may now. One of a lower priority than `least` may not.
    pub(crate) fn admit(&mut self, least: u64) -> Option<(Grant, T)> {
        let head = self.queue.first_entry()?;
        let ((Reverse(priority), _), granted) = (*head.key(), head.get().0);
        if priority < least || !self.fits(granted) {
            return None;
        }
        let (_, item) = self.queue.pop_first()?.1;
        self.queued = difference(self.queued, granted);
        self.used = sum(self.used, granted);
        Some((Grant(granted), item))
    }

    /// Takes back what an action was given.
    pub(crate) fn release(&mut self, grant: Grant) {
        self.used = difference(self.used, grant.0);
    }

    fn fits(&self, more: Resources) -> bool {
        let memory = match self.memory {
            Limit::Unasked(_) => u64::MAX,
            Limit::Known(memory) => memory,
        };
        let total = sum(self.used, more);
        total.cpu <= self.cpus && total.memory <= memory
    }

    /// What is taken for an action: at least one processor, and the whole machine for one that asks for more than that.
    fn clamp(&mut self, wanted: Resources) -> Resources {
        let memory = match self.memory {
            _ if wanted.memory == 0 => u64::MAX,
            Limit::Known(memory) => memory,
            Limit::Unasked(ask) => {
                let memory = ask();
                self.memory = Limit::Known(memory);
                memory
            }
        };
        if wanted.cpu > self.cpus || wanted.memory > memory {
            return Resources { cpu: self.cpus, memory: wanted.memory.min(memory) };
        }
        Resources { cpu: wanted.cpu.max(1), memory: wanted.memory }
    }
}

/// Four fifths of what the machine has available, so that it stays usable; without limit where that is not known.
fn spare_memory() -> u64 {
    host::memory::available().map_or(u64::MAX, |megabytes| megabytes / 5 * 4)
}

fn sum(a: Resources, b: Resources) -> Resources {
    Resources { cpu: a.cpu.saturating_add(b.cpu), memory: a.memory.saturating_add(b.memory) }
}

fn difference(a: Resources, b: Resources) -> Resources {
    Resources { cpu: a.cpu.saturating_sub(b.cpu), memory: a.memory.saturating_sub(b.memory) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(cpu: u32, memory: u64) -> Resources {
        Resources { cpu, memory }
    }

    /// Admits all that may start.
    fn admit(admission: &mut Admission<&'static str>) -> Vec<(Grant, &'static str)> {
        std::iter::from_fn(|| admission.admit(0)).collect()
    }

    fn names(admitted: &[(Grant, &'static str)]) -> Vec<&'static str> {
        admitted.iter().map(|(_, name)| *name).collect()
    }

    #[test]
    fn the_highest_priority_starts_first_and_equals_in_order() {
        let mut admission = Admission::new(2, Some(0));
        for (priority, name) in [(1, "c"), (5, "a"), (1, "d"), (3, "b")] {
            admission.push(priority, Resources::default(), name);
        }
        let running = admit(&mut admission);
        assert_eq!(names(&running), ["a", "b"]);
        running.into_iter().for_each(|(grant, _)| admission.release(grant));
        assert_eq!(names(&admit(&mut admission)), ["c", "d"]);
    }

    #[test]
    fn memory_limits_as_processors_do_and_the_head_is_not_overtaken() {
        let mut admission = Admission::new(8, Some(1000));
        admission.push(9, of(1, 600), "first");
        admission.push(8, of(1, 600), "big");
        admission.push(7, of(1, 100), "small");
        let first = admit(&mut admission);
        assert_eq!(names(&first), ["first"], "small would fit, but not before big");
        first.into_iter().for_each(|(grant, _)| admission.release(grant));
        assert_eq!(names(&admit(&mut admission)), ["big", "small"]);
    }

    #[test]
    fn what_exceeds_the_machine_runs_alone() {
        for wanted in [of(64, 0), of(1, 5000), of(64, 5000)] {
            let mut admission = Admission::new(4, Some(1000));
            admission.push(2, wanted, "huge");
            admission.push(1, of(1, 0), "small");
            let huge = admit(&mut admission);
            assert_eq!(names(&huge), ["huge"]);
            huge.into_iter().for_each(|(grant, _)| admission.release(grant));
            assert_eq!(names(&admit(&mut admission)), ["small"]);
        }
    }

    #[test]
    fn the_order_matters_only_when_something_must_wait() {
        let mut admission = Admission::new(2, Some(0));
        admission.push(0, Resources::default(), "a");
        admission.push(0, Resources::default(), "b");
        assert!(!admission.is_contended());
        admission.push(0, Resources::default(), "c");
        assert!(admission.is_contended());
        admission.reorder(|name| u64::from(*name == "c"));
        assert!(admission.admit(2).is_none(), "something more urgent is about to come");
        assert_eq!(names(&admit(&mut admission)), ["c", "a"]);
    }

    #[test]
    fn memory_is_asked_of_the_machine_only_for_an_action_that_declares_some() {
        let mut admission = Admission::new(2, None);
        admission.memory = Limit::Unasked(|| panic!("asked"));
        admission.push(0, of(2, 0), "a");
        assert_eq!(names(&admit(&mut admission)), ["a"]);
        admission.memory = Limit::Unasked(|| 10);
        admission.push(0, of(1, 1), "b");
        assert!(matches!(admission.memory, Limit::Known(10)));
    }

    proptest! {
        /// Whatever is asked for: the machine is never exceeded, and everything runs in the end.
        #[test]
        fn all_run_and_never_more_than_fits(wanted in prop::collection::vec((0u32..9, 0u64..1500, 0u64..4), 1..40)) {
            let mut admission = Admission::new(4, Some(1000));
            for (index, (cpu, memory, priority)) in wanted.iter().enumerate() {
                admission.push(*priority, of(*cpu, *memory), index);
            }
            let (mut running, mut ran) = (Vec::new(), 0);
            while ran < wanted.len() {
                running.extend(std::iter::from_fn(|| admission.admit(0)));
                prop_assert!(admission.used.cpu <= 4 && admission.used.memory <= 1000);
                prop_assert!(!running.is_empty(), "nothing runs and nothing starts");
                let (grant, _) = running.remove(0);
                admission.release(grant);
                ran += 1;
            }
            prop_assert_eq!(admission.used, NOTHING);
        }
    }
}
