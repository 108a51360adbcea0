//! What is chosen to go, against a simple model.

use proptest::prelude::*;

use super::*;

fn content(n: u8) -> Digest {
    Digest::of(&[n])
}

/// Ten contents, of one to ten blocks.
fn blobs() -> HashMap<Digest, Blob> {
    (0..10u8).map(|n| (content(n), Blob { bytes: BLOCK * (u64::from(n) + 1), ..Blob::default() })).collect()
}

fn bytes_of(digests: &HashSet<Digest>) -> u64 {
    let blobs = blobs();
    digests.iter().map(|digest| blobs[digest].bytes).sum()
}

fn item(used: u64, key: u8, contents: &[u8]) -> Item {
    Item { used, key: Some(Digest::of(&[200, key])), blobs: contents.iter().map(|n| content(*n)).collect() }
}

fn keys(victims: &Victims) -> HashSet<Digest> {
    victims.keys.iter().copied().collect()
}

#[test]
fn the_latest_used_stay() {
    let items = || vec![item(PRECISION + 1, 1, &[0, 1]), item(PRECISION + 3, 3, &[1, 2]), item(PRECISION + 2, 2, &[3])];
    // Contents 1 and 2 take five blocks, 3 takes four more, 0 one more.
    for (room, gone) in [(10, &[][..]), (9, &[1]), (8, &[1, 2]), (4, &[1, 2, 3])] {
        let limits = Limits { size: Some(room * BLOCK), ..Limits::default() };
        let victims = choose(items(), &blobs(), &limits, None);
        assert_eq!(keys(&victims), gone.iter().map(|n| Digest::of(&[200, *n])).collect(), "{room} blocks");
    }
}

#[test]
fn age_counts_from_the_last_use() {
    let now = seconds();
    let items = vec![item(now - 100 + PRECISION, 1, &[0]), item(now - 5000 + PRECISION, 2, &[0, 1])];
    let limits = Limits { age: Some(Duration::from_secs(1000)), ..Limits::default() };
    let victims = choose(items, &blobs(), &limits, None);
    assert_eq!(keys(&victims), HashSet::from([Digest::of(&[200, 2])]));
    assert_eq!(victims.live, HashSet::from([content(0)]), "what the younger needs stays");
}

proptest! {
    #[test]
    fn what_stays_is_whole_fits_and_was_used_later(
        uses in proptest::collection::vec((0..1000u64, proptest::collection::vec(0..10u8, 0..4)), 0..12),
        room in 0..60u64,
        start in proptest::option::of(0..1000u64),
    ) {
        let item_at = |n: usize| item(PRECISION + uses[n].0, u8::try_from(n).unwrap(), &uses[n].1);
        let items: Vec<Item> = (0..uses.len()).map(item_at).collect();
        let limits = Limits { size: Some(room * BLOCK), ..Limits::default() };
        let protected = start.map(|start| start + PRECISION);
        let victims = choose(items, &blobs(), &limits, protected);
        let gone = keys(&victims);
        let in_use = |item: &Item| protected.is_some_and(|start| item.used >= start);
        let (stay, go): (Vec<Item>, Vec<Item>) =
            (0..uses.len()).map(item_at).partition(|item| !gone.contains(&item.key.unwrap()));
        let needed: HashSet<Digest> = stay.iter().flat_map(|item| item.blobs.clone()).collect();
        prop_assert_eq!(&needed, &victims.live, "what stays is whole, and nothing else stays");
        prop_assert_eq!(bytes_of(&needed), victims.kept);
        prop_assert!(!go.iter().any(in_use), "nothing goes that somebody may use");
        let forced: HashSet<Digest> = stay.iter().filter(|item| in_use(item)).flat_map(|item| item.blobs.clone()).collect();
        prop_assert!(victims.kept <= limits.size.unwrap().max(bytes_of(&forced)), "the limit holds");
        // Whoever goes would not have found room beside those used later.
        for item in &go {
            let later = (0..uses.len()).map(item_at).filter(|other| other.used >= item.used);
            let all: HashSet<Digest> = later.flat_map(|other| other.blobs).collect();
            prop_assert!(bytes_of(&all) > limits.size.unwrap(), "{:?} had room", item.key);
        }
    }
}
