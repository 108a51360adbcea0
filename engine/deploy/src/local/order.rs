//! The order in which services start: after those that they call, where calls do not lead back.

use std::collections::{BTreeMap, BTreeSet};

/// For each service the callees that it waits for: all but those that call it, be it through others.
pub(super) fn before(calls: &BTreeMap<String, Vec<String>>) -> BTreeMap<String, Vec<String>> {
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        calls.keys().map(|name| (name.as_str(), reach(name, calls))).collect();
    let waits = |name: &str, callee: &str| reached.get(callee).is_some_and(|reached| !reached.contains(name));
    let of = |(name, callees): (&String, &Vec<String>)| {
        (name.clone(), callees.iter().filter(|callee| waits(name, callee)).cloned().collect())
    };
    calls.iter().map(of).collect()
}

/// What a service calls, itself or through others.
fn reach<'a>(name: &str, calls: &'a BTreeMap<String, Vec<String>>) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&'a String> = calls.get(name).into_iter().flatten().collect();
    while let Some(next) = open.pop() {
        if reached.insert(next.as_str()) {
            open.extend(calls.get(next).into_iter().flatten());
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callees_come_first_unless_they_call_back() {
        let calls =
            [("front", "users orders"), ("orders", "users ledger"), ("ledger", "orders"), ("users", "users gone")];
        let calls = calls.map(|(name, callees)| (name.to_owned(), callees.split(' ').map(str::to_owned).collect()));
        let before = before(&calls.into());
        assert_eq!(before["front"], ["users", "orders"]);
        assert_eq!(before["orders"], ["users"]);
        assert!(before["ledger"].is_empty() && before["users"].is_empty(), "{before:?}");
    }
}
