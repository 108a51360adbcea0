//! What a client that wants a lock has seen of the one who holds it. Pure; time is the observer's own.

use std::time::Duration;

use serde_json::Value as Json;

use super::who;

/// The longest time that a Lease may ask to be waited for.
const LONGEST: Duration = Duration::from_secs(300);

/// The Lease as it was last seen, and since when it is so.
pub(super) struct Sighting {
    me: String,
    usual: Duration,
    last: Option<Seen>,
}

struct Seen {
    lease: Json,
    since: Duration,
    /// Whether it was seen to be renewed.
    alive: bool,
}

/// What a Lease says about a claim to it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// It may be taken; `silent` tells whether somebody held it and was not heard of.
    Free { silent: bool },
    /// It is held by another.
    Held { holder: String, since: String, alive: bool },
}

impl Sighting {
    /// `usual` is how long a Lease holds that does not say so.
    pub(super) fn new(me: String, usual: Duration) -> Self {
        Self { me, usual, last: None }
    }

    /// Looks at the Lease at a time of the observer's clock. It has expired when the observer itself saw no change for
    /// as long as it holds: what its times say was written by another clock.
    pub(super) fn look(&mut self, lease: Option<&Json>, now: Duration) -> Claim {
        let spec = lease.map_or(&Json::Null, |lease| &lease["spec"]);
        let identity = spec["holderIdentity"].as_str().unwrap_or_default();
        // Our own, when the answer to our taking it was lost.
        if identity.is_empty() || identity == self.me {
            return Claim::Free { silent: false };
        }
        let seen = match self.last.take() {
            Some(seen) if seen.lease == *spec => seen,
            before => Seen {
                lease: spec.clone(),
                since: now,
                alive: before.is_some_and(|before| before.lease["holderIdentity"] == identity),
            },
        };
        let (quiet, alive) = (now.saturating_sub(seen.since), seen.alive);
        self.last = Some(seen);
        if quiet > self.duration(spec) {
            return Claim::Free { silent: true };
        }
        let since = spec["acquireTime"].as_str().unwrap_or("an unknown time").to_owned();
        Claim::Held { holder: who(identity).to_owned(), since, alive }
    }

    fn duration(&self, spec: &Json) -> Duration {
        let seconds = spec["leaseDurationSeconds"].as_u64().filter(|seconds| *seconds > 0);
        seconds.map_or(self.usual, Duration::from_secs).max(self.usual).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lease(holder: &str, renewed: &str) -> Json {
        json!({"spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": renewed, "acquireTime": "t"}})
    }

    /// Looks at each lease at a second of the observer's clock: `.` free, `!` free after silence, `h` held by who never
    /// was seen to renew it, `H` held by who was.
    fn looks(leases: &[(u64, Option<Json>)]) -> String {
        let mut sighting = Sighting::new("me/1".into(), Duration::from_secs(15));
        let look =
            |(second, lease): &(u64, Option<Json>)| match sighting.look(lease.as_ref(), Duration::from_secs(*second)) {
                Claim::Free { silent: false } => '.',
                Claim::Free { silent: true } => '!',
                Claim::Held { alive: false, .. } => 'h',
                Claim::Held { alive: true, .. } => 'H',
            };
        leases.iter().map(look).collect()
    }

    #[test]
    fn a_lock_is_free_when_its_holder_was_silent_for_as_long_as_it_holds() {
        let at = |second, renewed| (second, Some(lease("bob/1", renewed)));
        assert_eq!(looks(&[(0, None)]), ".");
        assert_eq!(looks(&[(0, Some(json!({"spec": {"leaseDurationSeconds": 15}})))]), ".", "given up");
        assert_eq!(looks(&[(0, Some(lease("me/1", "a")))]), ".", "our own");
        assert_eq!(looks(&[at(0, "a"), at(15, "a"), at(16, "a")]), "hh!");
        assert_eq!(looks(&[at(0, "a"), at(14, "b"), at(28, "b"), at(30, "b")]), "hHH!", "renewed once");
    }

    #[test]
    fn no_clock_but_the_observers_counts() {
        let far = |second, renewed: &str| (second, Some(lease("bob/1", renewed)));
        assert_eq!(looks(&[far(0, "1970-01-01T00:00:00Z"), far(10, "1970-01-01T00:00:00Z")]), "hh", "an hour behind");
        assert_eq!(looks(&[far(0, "2999-01-01T00:00:00Z"), far(16, "2999-01-01T00:00:00Z")]), "h!", "a day ahead");
    }

    #[test]
    fn each_holder_has_a_lease_time_of_its_own() {
        let by = |second, holder| (second, Some(lease(holder, "a")));
        assert_eq!(looks(&[by(0, "bob/1"), by(10, "eve/2"), by(20, "eve/2"), by(26, "eve/2")]), "hhh!");
        // The same user on the same machine, in another process or container.
        assert_eq!(looks(&[by(0, "me/2"), by(14, "me/2")]), "hh");
    }
}
