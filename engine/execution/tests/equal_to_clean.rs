//! After any sequence of edits, changed rules and damage to the store, a build gives what a clean build would, and a
//! second one runs nothing.

mod fixture;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use execution::Content;
use fixture::{Fixture, artifact, concat};
use model::Action;
use proptest::prelude::*;

const SOURCES: usize = 4;
const ACTIONS: usize = 6;

#[derive(Debug, Clone)]
enum Step {
    /// Writes a source.
    Edit(usize, u8),
    /// Lets an action read others: a bit for each source and each earlier action.
    Rewire(usize, u16),
    /// Removes or overwrites the blob of a source or an output.
    Damage(usize, bool),
    /// Drops the whole memo table.
    Forget,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..SOURCES, 0..3u8).prop_map(|(source, text)| Step::Edit(source, text)),
        2 => (0..ACTIONS, any::<u16>()).prop_map(|(action, reads)| Step::Rewire(action, reads)),
        2 => (0..SOURCES + ACTIONS, any::<bool>()).prop_map(|(which, remove)| Step::Damage(which, remove)),
        1 => Just(Step::Forget),
    ];
    proptest::collection::vec(step, 1..9)
}

/// What there is, and what each file should hold: the specification that the executor is held to.
struct Workspace {
    sources: [u8; SOURCES],
    reads: [u16; ACTIONS],
}

impl Workspace {
    fn name(which: usize) -> String {
        if which < SOURCES { format!("p/s{which}") } else { format!("out/cfg/p/o{}", which - SOURCES) }
    }

    fn inputs(&self, action: usize) -> Vec<usize> {
        (0..SOURCES + action).filter(|which| self.reads[action] & (1 << which) != 0).collect()
    }

    fn text(&self, which: usize) -> String {
        match which.checked_sub(SOURCES) {
            None => self.sources[which].to_string(),
            Some(action) => self.inputs(action).into_iter().map(|input| self.text(input)).collect(),
        }
    }

    fn actions(&self) -> Vec<Action> {
        let action = |action| {
            let names: Vec<String> = self.inputs(action).into_iter().map(Self::name).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            concat(&names, &Self::name(SOURCES + action))
        };
        (0..ACTIONS).map(action).collect()
    }
}

fn damage(fixture: &Fixture, content: &Content, remove: bool) {
    let Content::File { digest, .. } = content else { panic!("only files here") };
    let Ok(blob) = fixture.store.blob_path(digest, false) else { return };
    if remove {
        return fs::remove_file(blob).unwrap();
    }
    fs::set_permissions(&blob, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(blob, "damaged").unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn an_incremental_build_equals_a_clean_one(reads in any::<[u16; ACTIONS]>(), steps in steps()) {
        let fixture = Fixture::new();
        let mut workspace = Workspace { sources: [0; SOURCES], reads };
        (0..SOURCES).for_each(|source| fixture.write(&Workspace::name(source), "0"));
        let names: Vec<String> = (0..SOURCES + ACTIONS).map(Workspace::name).collect();
        let wanted: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut contents = BTreeMap::new();
        for step in [Step::Edit(0, 0)].into_iter().chain(steps) {
            match step {
                Step::Edit(source, text) => {
                    workspace.sources[source] = text;
                    fixture.write(&Workspace::name(source), &text.to_string());
                }
                Step::Rewire(action, reads) => workspace.reads[action] = reads,
                Step::Damage(which, remove) => {
                    damage(&fixture, &contents[artifact(&Workspace::name(which)).path()], remove);
                }
                Step::Forget => {
                    for log in fs::read_dir(fixture.store.root().join("results")).unwrap() {
                        fs::write(log.unwrap().path(), "").unwrap();
                    }
                }
            }
            let (outcome, _) = fixture.build(&workspace.actions(), &wanted);
            prop_assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
            for which in 0..SOURCES + ACTIONS {
                prop_assert_eq!(fixture.text(&outcome, &Workspace::name(which)), workspace.text(which));
            }
            let (_, counts) = fixture.build(&workspace.actions(), &wanted);
            prop_assert_eq!(counts, format!("ran 0 cached {ACTIONS} failed 0 skipped 0"));
            contents = outcome.contents;
        }
    }
}
