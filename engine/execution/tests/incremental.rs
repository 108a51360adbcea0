//! What runs, what does not, and that it is counted exactly.

mod fixture;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};

use execution::{Builtin, BuiltinCall, Content, Made, Refused};
use fixture::{Fixture, action, artifact, concat, spawn};
use model::{ActionKind, ActionOutcome, Event};

/// Two sources, each copied by an action; one action needs both, one only the first.
fn diamond() -> Vec<model::Action> {
    vec![
        concat(&["p/a"], "out/cfg/p/a2"),
        concat(&["p/b"], "out/cfg/p/b2"),
        concat(&["out/cfg/p/a2", "out/cfg/p/b2"], "out/cfg/p/ab"),
        concat(&["out/cfg/p/a2"], "out/cfg/p/aa"),
        concat(&["p/b"], "out/cfg/p/unwanted"),
    ]
}

const WANTED: [&str; 2] = ["out/cfg/p/ab", "out/cfg/p/aa"];

fn with_sources() -> Fixture {
    let fixture = Fixture::new();
    fixture.write("p/a", "A");
    fixture.write("p/b", "B");
    fixture
}

#[test]
fn a_second_build_runs_nothing() {
    let fixture = with_sources();
    let (outcome, counts) = fixture.build(&diamond(), &WANTED);
    assert_eq!(counts, "ran 4 cached 0 failed 0 skipped 0");
    assert_eq!(fixture.text(&outcome, "out/cfg/p/ab"), "AB");
    assert!(!outcome.was_cached(artifact("out/cfg/p/ab").path()));
    let (outcome, counts) = fixture.build(&diamond(), &WANTED);
    assert_eq!(counts, "ran 0 cached 4 failed 0 skipped 0");
    assert_eq!(fixture.ran(), "");
    assert_eq!(fixture.text(&outcome, "out/cfg/p/ab"), "AB");
    assert!(outcome.was_cached(artifact("out/cfg/p/ab").path()));
}

#[test]
fn an_edit_runs_its_dependents_only() {
    let fixture = with_sources();
    fixture.build(&diamond(), &WANTED);
    fixture.write("p/b", "C");
    let (outcome, counts) = fixture.build(&diamond(), &WANTED);
    assert_eq!(
        (fixture.ran().as_str(), counts.as_str()),
        ("out/cfg/p/ab out/cfg/p/b2", "ran 2 cached 2 failed 0 skipped 0")
    );
    assert_eq!(fixture.text(&outcome, "out/cfg/p/ab"), "AC");
    fixture.write("p/b", "B");
    let (outcome, counts) = fixture.build(&diamond(), &WANTED);
    assert_eq!(counts, "ran 0 cached 4 failed 0 skipped 0", "the old state is remembered");
    assert_eq!(fixture.text(&outcome, "out/cfg/p/ab"), "AB");
}

#[test]
fn equal_outputs_cut_off_what_follows() {
    let fixture = with_sources();
    let actions = [
        spawn("write out/cfg/p/constant same", &["p/a"], &["out/cfg/p/constant"]),
        concat(&["out/cfg/p/constant"], "out/cfg/p/end"),
    ];
    fixture.build(&actions, &["out/cfg/p/end"]);
    fixture.write("p/a", "edited");
    let (_, counts) = fixture.build(&actions, &["out/cfg/p/end"]);
    assert_eq!((fixture.ran().as_str(), counts.as_str()), ("out/cfg/p/constant", "ran 1 cached 1 failed 0 skipped 0"));
}

#[test]
fn a_command_is_part_of_the_key_and_the_owner_is_not() {
    let fixture = with_sources();
    let mut one = concat(&["p/a"], "out/cfg/p/x");
    fixture.build(std::slice::from_ref(&one), &["out/cfg/p/x"]);
    one.owner.label = fixture::label("elsewhere/y");
    one.mnemonic = Arc::from("Other");
    one.progress = Arc::from("Doing it");
    assert_eq!(fixture.build(std::slice::from_ref(&one), &["out/cfg/p/x"]).1, "ran 0 cached 1 failed 0 skipped 0");
    if let ActionKind::Spawn(spawn) = &mut one.kind {
        spawn.env.insert("X".to_owned(), "1".to_owned());
    }
    assert_eq!(fixture.build(&[one], &["out/cfg/p/x"]).1, "ran 1 cached 0 failed 0 skipped 0");
}

#[test]
fn the_place_of_the_workspace_is_not_part_of_the_key() {
    let (mut one, two) = (with_sources(), with_sources());
    let (first, _) = one.build(&diamond(), &WANTED);
    let (second, _) = two.build(&diamond(), &WANTED);
    assert_eq!(first.contents, second.contents);
    one.store = two.store.clone();
    assert_eq!(one.build(&diamond(), &WANTED).1, "ran 0 cached 4 failed 0 skipped 0");
}

#[test]
fn damaged_and_removed_blobs_are_made_again() {
    for damage in ["remove", "overwrite"] {
        let fixture = with_sources();
        let (outcome, _) = fixture.build(&diamond(), &WANTED);
        let Content::File { digest, .. } = outcome.contents[artifact("out/cfg/p/a2").path()] else { panic!() };
        // `out/cfg/p/aa` and the source have the same content, and so the same blob.
        let blob = fixture.store.blob_path(&digest, false).unwrap();
        match damage {
            "remove" => fs::remove_file(&blob).unwrap(),
            _ => {
                fs::set_permissions(&blob, fs::Permissions::from_mode(0o644)).unwrap();
                fs::write(&blob, "?").unwrap();
            }
        }
        fixture.write("p/a", "A");
        let (outcome, _) = fixture.build(&diamond(), &WANTED);
        assert_eq!(fixture.text(&outcome, "out/cfg/p/ab"), "AB");
        assert_eq!(fixture.text(&outcome, "out/cfg/p/aa"), "A");
        assert!(fixture.store.fsck(false, &|_, _| ()).unwrap().corrupt.is_empty());
    }
}

#[test]
fn an_input_lost_during_the_build_is_made_again() {
    let fixture = with_sources();
    let actions = [
        spawn("write out/cfg/p/lost lost", &["p/a"], &["out/cfg/p/lost"]),
        concat(&["out/cfg/p/lost", "p/b"], "out/cfg/p/end"),
    ];
    let (outcome, _) = fixture.build(&actions, &["out/cfg/p/end"]);
    let Content::File { digest, .. } = outcome.contents[artifact("out/cfg/p/lost").path()] else { panic!() };
    fixture.write("p/b", "edited");
    let blob = fixture.store.blob_path(&digest, false).unwrap();
    let gate = Mutex::new(Some(blob));
    let builtin: Arc<dyn Builtin> = Arc::new(Remover(gate));
    let mut fixture = fixture;
    fixture.builtins.insert(Arc::from("remove"), builtin);
    let kind = ActionKind::Builtin { name: Arc::from("remove"), params: serde_json::Value::Null };
    let mut actions = actions.to_vec();
    actions.push(action(kind, &["out/cfg/p/lost"], &["out/cfg/p/gate"]));
    actions[1] = concat(&["out/cfg/p/lost", "p/b", "out/cfg/p/gate"], "out/cfg/p/end");
    let (outcome, counts) = fixture.build(&actions, &["out/cfg/p/end"]);
    assert_eq!(
        (fixture.ran().as_str(), counts.as_str()),
        ("out/cfg/p/end out/cfg/p/lost", "ran 3 cached 0 failed 0 skipped 0")
    );
    assert_eq!(fixture.text(&outcome, "out/cfg/p/end"), "lostedited");
}

#[test]
fn a_process_that_failed_over_an_input_lost_meanwhile_runs_again() {
    let entries = vec![("t".to_owned(), artifact("out/cfg/p/lost"))];
    let actions = [
        spawn("write out/cfg/p/lost lost", &["p/a"], &["out/cfg/p/lost"]),
        action(ActionKind::Tree { entries }, &["out/cfg/p/lost"], &["out/cfg/q/dir"]),
        spawn("concat out/cfg/end out/cfg/q/dir/t p/b", &["out/cfg/q/dir", "p/b"], &["out/cfg/end"]),
    ];
    for lost in ["source", "file of a tree", "tree"] {
        let fixture = with_sources();
        let (outcome, _) = fixture.build(&actions, &["out/cfg/q/dir"]);
        let Content::Tree(tree) = outcome.contents[artifact("out/cfg/q/dir").path()] else { panic!() };
        let (store, gone) = (fixture.store.clone(), Mutex::new(false));
        *fixture.runner.hook.lock().unwrap() = Some(Arc::new(move || {
            if std::mem::replace(&mut *gone.lock().unwrap(), true) {
                return;
            }
            let folder = store.tree_path(&tree).unwrap();
            match lost {
                "source" => fs::remove_file(store.blob_path(&model::Digest::of(b"B"), false).unwrap()).unwrap(),
                "tree" => fs::remove_dir_all(folder).unwrap(),
                _ => fs::remove_file(folder.join("t")).unwrap(),
            }
        }));
        let (outcome, counts) = fixture.build(&actions, &["out/cfg/end"]);
        assert!(outcome.failures.is_empty(), "{lost}: {:?}", outcome.failures);
        assert_eq!(fixture.text(&outcome, "out/cfg/end"), "lostB", "{lost}: {counts}");
    }
}

#[test]
fn trees_that_lost_a_file_are_made_again() {
    let entries = vec![("t".to_owned(), artifact("out/cfg/p/dir"))];
    let actions = [
        spawn("write out/cfg/p/dir/x hello", &[], &["out/cfg/p/dir"]),
        action(ActionKind::Tree { entries }, &["out/cfg/p/dir"], &["out/cfg/q/dir"]),
        spawn("concat out/cfg/end out/cfg/q/dir/t/x", &["out/cfg/q/dir"], &["out/cfg/end"]),
    ];
    for damage in ["remove", "overwrite", "remove before the end only"] {
        let fixture = with_sources();
        let before = if damage == "remove before the end only" { "out/cfg/q/dir" } else { "out/cfg/p/dir" };
        let (outcome, _) = fixture.build(&actions, &[before]);
        let Content::Tree(digest) = outcome.contents[artifact(before).path()] else { panic!() };
        // The folder of the tree stays, which else is proof that its files are there.
        fixture.store.tree_path(&digest).unwrap();
        let blob = fixture.store.blob_path(&model::Digest::of(b"hello"), false).unwrap();
        match damage {
            "overwrite" => {
                fs::set_permissions(&blob, fs::Permissions::from_mode(0o644)).unwrap();
                fs::write(&blob, "?").unwrap();
            }
            _ => fs::remove_file(&blob).unwrap(),
        }
        let wanted = ["out/cfg/end", "out/cfg/p/dir", "out/cfg/q/dir"];
        let (outcome, counts) = fixture.build(&actions, &wanted);
        assert!(outcome.failures.is_empty(), "{damage}: {:?}", outcome.failures);
        assert_eq!(fixture.text(&outcome, "out/cfg/end"), "hello", "{damage}: {counts}");
        assert!(!fixture.store.is_damaged());
        for tree in &wanted[1..] {
            let Content::Tree(digest) = outcome.contents[artifact(tree).path()] else { panic!() };
            fixture.store.tree_path(&digest).unwrap();
        }
    }
}

/// Removes a blob once, as another process might.
struct Remover(Mutex<Option<std::path::PathBuf>>);

impl Builtin for Remover {
    fn version(&self) -> u32 {
        1
    }

    fn run(&self, call: &BuiltinCall<'_>) -> Result<Made, Refused> {
        if let Some(blob) = self.0.lock().unwrap().take() {
            fs::remove_file(blob).unwrap();
        }
        let digest = call.store.put_bytes(b"").unwrap();
        let empty = Content::File { digest, size: 0, executable: false };
        Ok(Made::Outputs(vec![(call.outputs[0].path().clone(), empty)]))
    }
}

#[test]
fn a_source_edited_while_its_action_runs_poisons_nothing() {
    let fixture = with_sources();
    let source = fixture.folder.path().join("workspace/p/a");
    *fixture.runner.hook.lock().unwrap() = Some(Arc::new(move || fs::write(&source, "edited").unwrap()));
    let actions = [concat(&["p/a"], "out/cfg/p/x")];
    let (outcome, _) = fixture.build(&actions, &["out/cfg/p/x"]);
    assert_eq!(fixture.text(&outcome, "out/cfg/p/x"), "A", "the action saw a snapshot");
    *fixture.runner.hook.lock().unwrap() = None;
    let (outcome, counts) = fixture.build(&actions, &["out/cfg/p/x"]);
    assert_eq!(
        (fixture.text(&outcome, "out/cfg/p/x").as_str(), counts.as_str()),
        ("edited", "ran 1 cached 0 failed 0 skipped 0")
    );
    fixture.write("p/a", "A");
    let (outcome, counts) = fixture.build(&actions, &["out/cfg/p/x"]);
    assert_eq!(
        (fixture.text(&outcome, "out/cfg/p/x").as_str(), counts.as_str()),
        ("A", "ran 0 cached 1 failed 0 skipped 0")
    );
}

#[test]
fn write_copy_and_tree_need_no_process() {
    let fixture = with_sources();
    let write = ActionKind::Write { content: Arc::from("text"), expansions: Vec::new(), executable: true };
    let copy = |path| ActionKind::Copy { source: artifact(path) };
    let entries = |list: &[(&str, &str)]| ActionKind::Tree {
        entries: list.iter().map(|(place, path)| ((*place).to_owned(), artifact(path))).collect(),
    };
    let actions = [
        action(write, &[], &["out/cfg/p/w"]),
        action(copy("out/cfg/p/w"), &[], &["out/cfg/p/c"]),
        action(entries(&[("bin/w", "out/cfg/p/c"), ("a", "p/a")]), &[], &["out/cfg/p/dir"]),
        action(entries(&[("", "out/cfg/p/dir"), ("sub", "out/cfg/p/dir"), ("b", "p/b")]), &[], &["out/cfg/q/dir"]),
    ];
    let (outcome, counts) = fixture.build(&actions, &["out/cfg/q/dir"]);
    assert_eq!((counts.as_str(), outcome.stats.builtin), ("ran 4 cached 0 failed 0 skipped 0", 4));
    assert_eq!(fixture.text(&outcome, "out/cfg/q/dir"), "a b bin/w sub/a sub/bin/w");
    let Content::Tree(digest) = outcome.contents[artifact("out/cfg/q/dir").path()] else { panic!() };
    let mode = fs::metadata(fixture.store.tree_path(&digest).unwrap().join("bin/w")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o555);
    assert_eq!(fixture.build(&actions, &["out/cfg/q/dir"]).1, "ran 0 cached 4 failed 0 skipped 0");
}

#[test]
fn trees_and_links_are_collected_without_leaving_the_folder() {
    let fixture = with_sources();
    let (outcome, _) = fixture.build(
        &[
            spawn("write out/cfg/p/dir/sub/x text", &[], &["out/cfg/p/dir"]),
            spawn("link out/cfg/p/l1 ../../../p/a", &["p/a"], &["out/cfg/p/l1"]),
        ],
        &["out/cfg/p/dir", "out/cfg/p/l1"],
    );
    assert_eq!(fixture.text(&outcome, "out/cfg/p/dir"), "sub/x");
    assert_eq!(fixture.text(&outcome, "out/cfg/p/l1"), "A", "a link to an input is that input");
    for target in ["/etc/passwd", "../../../../../../etc/passwd", "/work/../etc/passwd"] {
        let actions = [spawn(&format!("link out/cfg/p/l {target}"), &[], &["out/cfg/p/l"])];
        let (outcome, _) = fixture.build(&actions, &["out/cfg/p/l"]);
        assert!(
            outcome.failures[0].message.contains("outside of the action's folder"),
            "{}",
            outcome.failures[0].message
        );
    }
    for target in ["/etc/passwd", "../../p/a", "sub/../../../up"] {
        let words = format!("link out/cfg/p/dir/sub/l {target}");
        let (outcome, _) = fixture.build(&[spawn(&words, &[], &["out/cfg/p/dir"])], &["out/cfg/p/dir"]);
        let expected = format!(
            "the output out/cfg/p/dir cannot be taken: `sub/l` is a symbolic link to {target}, which leads out of the tree \
             it is in; copy the file instead"
        );
        assert_eq!(outcome.failures[0].message, expected);
    }
    let inside = [spawn("link out/cfg/p/dir/sub/l ../x", &[], &["out/cfg/p/dir"])];
    assert!(fixture.build(&inside, &["out/cfg/p/dir"]).0.failures.is_empty());
}

#[test]
fn outputs_may_be_links_to_one_another() {
    let fixture = with_sources();
    let p = "out/cfg/p";
    for (words, outputs, texts) in [
        ("write P/a x ; link P/b a", "a b", "x x"),
        ("write P/b x ; link P/a b", "a b", "x x"),
        ("write P/a x ; join P/b P/a", "a b", "x x"),
        ("link P/a b ; link P/b c ; write P/c x", "a b c", "x x x"),
        ("write P/d/a x ; link P/e d", "d/a e/a", "x x"),
        ("write P/one.dir/sub/a x ; link P/two.dir one.dir", "one.dir two.dir", "sub/a sub/a"),
        ("write P/one.dir/sub/a x ; link P/two.dir one.dir/sub", "one.dir two.dir", "sub/a a"),
        ("write P/z.dir/sub/a x ; link P/b.dir z.dir/sub ; link P/a z.dir/sub/a", "a b.dir z.dir", "x a sub/a"),
        // `..` counts from where a link leads.
        ("write P/d/e/f x ; link P/up d/e ; link P/a up/../e/f", "a", "x"),
    ] {
        let outputs: Vec<String> = outputs.split(' ').map(|name| format!("{p}/{name}")).collect();
        let outputs: Vec<&str> = outputs.iter().map(String::as_str).collect();
        let words = words.replace('P', p);
        let (outcome, _) = fixture.build(&[spawn(&words, &[], &outputs)], &outputs);
        assert!(outcome.failures.is_empty(), "{words}: {:?}", outcome.failures);
        let taken: Vec<String> = outputs.iter().map(|path| fixture.text(&outcome, path)).collect();
        assert_eq!(taken.join(" "), texts, "{words}");
    }
}

#[test]
fn links_that_lead_out_by_way_of_others_are_refused_also_in_what_is_composed() {
    let fixture = with_sources();
    let words = "write out/cfg/p/dir/a/b/x text ; link out/cfg/p/dir/a/b/up ../.. ; link out/cfg/p/dir/l a/b/up/../etc";
    let (outcome, _) = fixture.build(&[spawn(words, &[], &["out/cfg/p/dir"])], &["out/cfg/p/dir"]);
    assert!(outcome.failures[0].message.contains("`l` is a symbolic link to a/b/up/../etc, which leads out"));

    let place = |name: &str| (String::new(), artifact(name));
    let entries = vec![place("out/cfg/p/one.dir"), place("out/cfg/p/two.dir")];
    let actions = [
        spawn("link out/cfg/p/one.dir/a/b/c up/../x", &[], &["out/cfg/p/one.dir"]),
        spawn("link out/cfg/p/two.dir/a/b/up ../..", &[], &["out/cfg/p/two.dir"]),
        action(ActionKind::Tree { entries }, &[], &["out/cfg/p/both.dir"]),
    ];
    let (outcome, counts) = fixture.build(&actions, &["out/cfg/p/both.dir"]);
    assert_eq!(counts, "ran 2 cached 0 failed 1 skipped 0");
    assert!(outcome.failures[0].message.contains("which leads out"), "{}", outcome.failures[0].message);
}

#[test]
fn a_link_to_nothing_says_so() {
    let fixture = with_sources();
    for target in ["nowhere", "../p/nowhere", "l", "x/y"] {
        let actions = [spawn(&format!("write out/cfg/p/x text ; link out/cfg/p/l {target}"), &[], &["out/cfg/p/l"])];
        let message = &fixture.build(&actions, &["out/cfg/p/l"]).0.failures[0].message;
        assert!(message.contains("symbolic link"), "{message}");
    }
}

#[test]
fn events_have_unique_ids_and_the_plan_comes_first() {
    let fixture = with_sources();
    fixture.build(&diamond(), &WANTED);
    fixture.build(&diamond(), &WANTED);
    let ids: BTreeSet<u64> = fixture.outcomes().iter().map(|(id, _, _)| *id).collect();
    assert_eq!(ids.len(), 8);
    let outcomes: Vec<ActionOutcome> = fixture.outcomes().iter().map(|(_, outcome, _)| *outcome).collect();
    assert_eq!(outcomes[..4], [ActionOutcome::Ran; 4]);
    assert_eq!(outcomes[4..], [ActionOutcome::Cached; 4]);
    assert_eq!(fixture.events.0.lock().unwrap()[0], Event::ActionsPlanned { total: 4 });
}
