//! What is written into a state is read from it again, shared where it was shared, also by the next process.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{
    Artifact, Configurable, Data, Depset, Digest, Label, Order, Package, PackageId, Part, ProviderId, ProviderInstance,
    RelPath, RuleId, Select, Target, Visibility,
};
use proptest::prelude::*;
use snapshot::{State, Table};

fn label() -> impl Strategy<Value = Label> {
    ("[a-z]{0,3}", "[a-z]{1,3}(/[a-z]{1,3})?", "[a-z.]{1,4}x")
        .prop_map(|(repository, path, name)| PackageId::new(&repository, &path).unwrap().label(&name).unwrap())
}

/// A path has one owner and is one kind of thing, as analysis makes sure.
fn file() -> impl Strategy<Value = Artifact> {
    (label(), any::<bool>()).prop_map(|(label, source)| match source {
        true => Artifact::source(&label),
        false => {
            let path = format!("out/c/{}/{}", label.to_string().replace(['@', '/', ':'], "_"), label.name());
            Artifact::output(RelPath::new(&path).unwrap(), path.len() % 2 == 0, &label)
        }
    })
}

fn plain(depth: u32) -> BoxedStrategy<Data> {
    let leaf = prop_oneof![
        Just(Data::None),
        any::<bool>().prop_map(Data::Bool),
        any::<i64>().prop_map(Data::Int),
        ".{0,6}".prop_map(|text| Data::text(&text)),
        label().prop_map(Data::Label),
    ];
    leaf.prop_recursive(depth, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|list| Data::List(list.into())),
            prop::collection::vec((inner.clone(), inner.clone()), 0..3).prop_map(|pairs| Data::Dict(pairs.into())),
            prop::collection::btree_map("[a-z]{1,3}", inner, 0..3).prop_map(|fields| Data::Struct(Arc::new(
                fields.into_iter().map(|(k, v)| (Arc::from(k), v)).collect()
            ))),
        ]
    })
    .boxed()
}

/// Sets of which each may include those before it.
fn sets() -> impl Strategy<Value = Vec<Arc<Depset>>> {
    let one =
        (prop::collection::vec(file(), 0..3), prop::collection::vec(any::<prop::sample::Index>(), 0..3), 0..4_usize);
    prop::collection::vec(one, 1..8).prop_map(|specs| {
        let mut made: Vec<Arc<Depset>> = Vec::new();
        for (files, parts, order) in specs {
            let order = [Order::Default, Order::Postorder, Order::Preorder, Order::Topological][order];
            let transitive = match made.is_empty() {
                true => Vec::new(),
                false => parts.iter().map(|part| Arc::clone(part.get(&made))).collect(),
            };
            made.push(Arc::new(Depset { order, direct: files.into_iter().map(Data::File).collect(), transitive }));
        }
        made
    })
}

fn saved(state: &State, folder: &tempfile::TempDir) -> State {
    let path = folder.path().join("state");
    state.save(&path).unwrap();
    let mut again = State::open(&path, b"test").unwrap().unwrap();
    assert!(again.is_sound(&Table::ALL));
    again.read_index();
    again
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn providers_and_their_sets(data in plain(3), sets in sets()) {
        let mut fields = BTreeMap::from([(Arc::from("plain"), data)]);
        for (index, set) in sets.iter().enumerate() {
            fields.insert(Arc::from(format!("set{index}")), Data::Depset(Arc::clone(set)));
        }
        let id = ProviderId { file: Label::absolute("//r:d.star").unwrap(), name: Arc::from("Info") };
        let providers = BTreeMap::from([(id.clone(), Arc::new(ProviderInstance { id, fields }))]);
        let folder = tempfile::tempdir().unwrap();
        let mut state = State::new(b"test");
        let bytes = snapshot::encode_providers(&providers, &mut state);
        let count = state.len(Table::Depsets);
        prop_assert_eq!(&snapshot::encode_providers(&providers, &mut state), &bytes);
        prop_assert_eq!(state.len(Table::Depsets), count, "equal sets are one row");
        let mut again = saved(&state, &folder);
        let read = snapshot::decode_providers(&bytes, &mut again).unwrap();
        prop_assert_eq!(&read, &providers);
        // What another process encodes of the same value is the same, down to the ids.
        prop_assert_eq!(&snapshot::encode_providers(&providers, &mut again), &bytes);
        prop_assert_eq!(again.len(Table::Depsets), count);
    }

    #[test]
    fn packages(values in prop::collection::vec((plain(2), any::<bool>()), 1..4), line in 1..100_u32) {
        let id = PackageId::new("", "p").unwrap();
        let attributes = values.into_iter().enumerate().map(|(index, (data, select))| {
            let condition = Label::absolute("//c:c").unwrap();
            let select = match select {
                true => Configurable::Sum(vec![
                    Part::Plain(data.clone()),
                    Part::Select(Select { branches: vec![(condition, data)], default: None, no_match_error: Some("no".into()) }),
                ]),
                false => Configurable::Plain(data),
            };
            (Arc::from(format!("a{index}")), select)
        });
        let target = |line: u32| Target {
            label: id.label("t").unwrap(),
            rule: RuleId { file: Label::absolute("@rules//x:y.star").unwrap(), name: Arc::from("r") },
            attributes: attributes.clone().collect(),
            explicit: vec![Arc::from("a0")],
            visibility: Visibility::Private,
            location: Some(model::Location { file: Arc::from("p/BUILD.star"), line, column: 1, end_column: 9 }),
            outputs: vec![Arc::from("o")],
        };
        let package = Package {
            id: id.clone(),
            targets: BTreeMap::from([(Arc::from("t"), Arc::new(target(line)))]),
            exported_files: BTreeMap::from([(Arc::from("f"), Visibility::Public)]),
        };
        prop_assert_eq!(snapshot::decode_package(&snapshot::encode_package(&package)).unwrap(), package);
        prop_assert_eq!(snapshot::target_stamp(&target(line)), snapshot::target_stamp(&target(line + 1)));
        let other = Target { visibility: Visibility::Public, ..target(line) };
        prop_assert_ne!(snapshot::target_stamp(&target(line)), snapshot::target_stamp(&other));
    }

    /// A state against a map: rows put, pushed and replaced in several saves.
    #[test]
    fn rows_over_several_saves(rounds in prop::collection::vec(prop::collection::vec((0..12_u32, ".{0,8}"), 0..6), 1..5)) {
        let folder = tempfile::tempdir().unwrap();
        let mut expected: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
        let mut state = State::new(b"test");
        for round in rounds {
            for (id, text) in round {
                state.put(Table::Answer, id, text.clone().into_bytes());
                expected.insert(id, text.into_bytes());
            }
            state = saved(&state, &folder);
            for (id, row) in &expected {
                prop_assert_eq!(state.row(Table::Answer, *id), &row[..]);
            }
        }
        prop_assert!(State::open(&folder.path().join("state"), b"other").unwrap().is_none());
    }
}

#[test]
fn a_row_that_is_no_row_is_no_value() {
    let mut state = State::new(b"test");
    for length in 0..40 {
        let bytes = vec![0xff; length];
        assert!(snapshot::decode_package(&bytes).is_none());
        assert!(length == 0 || snapshot::decode_providers(&bytes, &mut state).is_none());
    }
    assert_eq!(state.content(7), None);
    assert_eq!(Digest::of(state.row(Table::Targets, 3)), Digest::of(b""));
}
