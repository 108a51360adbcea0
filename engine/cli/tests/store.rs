//! The store under the real program: what is lost, damaged or collected is made again and is never an error.

mod support;

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use support::Folder;

/// A chain of eight and a file of its own beside each; the inputs are sources.
fn chain() -> String {
    let mut text = "== BUILD.star\n".to_owned();
    for n in 0..8 {
        let before = if n == 0 { "in.txt".to_owned() } else { format!(":c{}", n - 1) };
        text += &format!(
            "genrule(name = \"c{n}\", srcs = [\"{before}\"], outs = [\"c{n}.txt\"], \
             cmd = \"cat $(location {before}) > $@; echo {n} >> $@\")\n\
             genrule(name = \"o{n}\", outs = [\"o{n}.txt\"], cmd = \"echo other {n} > $@\")\n"
        );
    }
    text + "== in.txt\nbegin\n"
}

fn outputs(folder: &Folder) -> BTreeMap<String, String> {
    let names = (0..8).flat_map(|n| [format!("c{n}.txt"), format!("o{n}.txt")]);
    names.map(|name| (name.clone(), folder.read(&format!("build-out/{name}")))).collect()
}

fn store(folder: &Folder) -> PathBuf {
    folder.path().with_extension("store").join("v1")
}

/// The files of all contents, in order.
fn blobs(folder: &Folder) -> Vec<PathBuf> {
    let shards = std::fs::read_dir(store(folder).join("blobs")).unwrap();
    let list = |shard: std::fs::DirEntry| std::fs::read_dir(shard.path()).unwrap().map(|blob| blob.unwrap().path());
    let mut blobs: Vec<PathBuf> = shards.flat_map(|shard| list(shard.unwrap())).collect();
    blobs.sort();
    blobs
}

/// Writes to a blob and leaves its time as it was, as faults of a disk do.
fn damage(blob: &Path, bytes: &[u8]) {
    let stat = std::fs::metadata(blob).unwrap();
    std::fs::set_permissions(blob, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(blob, bytes).unwrap();
    std::fs::File::options().write(true).open(blob).unwrap().set_modified(stat.modified().unwrap()).unwrap();
    std::fs::set_permissions(blob, stat.permissions()).unwrap();
}

/// The blob that an output is a link to.
fn blob_of(folder: &Folder, output: &str) -> PathBuf {
    let inode = std::fs::metadata(folder.path().join("build-out").join(output)).unwrap().ino();
    let mut blobs = blobs(folder).into_iter();
    blobs.find(|blob| std::fs::metadata(blob).unwrap().ino() == inode).expect("an output is a link to its blob")
}

/// The action gives the same content again, which takes the place of the damaged one; what is shown is another name of that.
#[test]
fn a_damaged_output_is_replaced_when_its_action_runs_again() {
    let folder = Folder::of(&chain()).with_fresh_store();
    folder.build(&["build", "//..."]).expect(0);
    let expected = outputs(&folder);
    damage(&folder.path().join("build-out/c7.txt"), b"bad");
    folder.replace("BUILD.star", "echo 7 >> $@", "echo 7 >>  $@");
    folder.build(&["build", "//..."]).expect(0);
    assert_eq!(outputs(&folder), expected);
    folder.build(&["fsck"]).expect(0);
}

/// A command for which there is nothing else to do: what somebody wrote into an output is not what was built.
#[test]
fn an_output_that_was_edited_in_place_is_shown_anew() {
    let folder = Folder::of(&chain()).with_fresh_store();
    let other = Folder::of(&chain()).with_store(&folder.path().with_extension("store"));
    for each in [&folder, &other] {
        each.build(&["build", "//..."]).expect(0);
    }
    let expected = outputs(&folder);
    let output = folder.path().join("build-out/c3.txt");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o7777;
    std::fs::set_permissions(&output, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(&output, "forged").unwrap();
    folder.build(&["build", "//..."]).expect(0);
    assert_eq!((outputs(&folder), mode(&output)), (expected.clone(), 0o555));

    // Modes alone, of all at once; no action is run again for them, and none sees them.
    for name in expected.keys() {
        let path = folder.path().join("build-out").join(name);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
    }
    assert_eq!(folder.build(&["build", "//..."]).expect(0).count("Ran"), 0);
    assert_eq!(mode(&output), 0o555);
    other.build(&["build", "//..."]).expect(0);
    assert_eq!(outputs(&other), expected);
    assert_eq!(mode(&other.path().join("build-out/c3.txt")), 0o555);
}

/// Modes are content: an action is given a file with its own (an output of a genrule can be executed), whatever became of
/// the file in another checkout.
#[test]
fn actions_see_the_modes_that_their_inputs_were_made_with() {
    let text = "== BUILD.star\ngenrule(name = \"a\", outs = [\"a.txt\"], cmd = \"echo x > $@\")\n\
        genrule(name = \"b\", srcs = [\":a\"], outs = [\"b.txt\"], cmd = \"stat -L -c %a $< > $@\")\n";
    let folder = Folder::of(text).with_fresh_store();
    folder.build(&["build", ":a"]).expect(0);
    std::fs::set_permissions(folder.path().join("build-out/a.txt"), std::fs::Permissions::from_mode(0o777)).unwrap();
    let other = Folder::of(text).with_store(&folder.path().with_extension("store"));
    other.build(&["build", ":b"]).expect(0);
    assert_eq!(other.read("build-out/b.txt"), "555\n");
}

#[test]
fn a_clean_beside_builds_stops_none_of_them() {
    let folder = Folder::of(&chain()).with_fresh_store();
    folder.build(&["build", "//..."]).expect(0);
    let expected = outputs(&folder);
    let ended = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(std::sync::atomic::Ordering::SeqCst) {
                let cleaned = folder.command(&["clean"]).output().unwrap();
                assert!(cleaned.status.success(), "{}", String::from_utf8_lossy(&cleaned.stderr));
            }
        });
        for _ in 0..20 {
            let built = folder.command(&["build", "//..."]).output().unwrap();
            assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        }
        ended.store(true, std::sync::atomic::Ordering::SeqCst);
    });
    folder.build(&["build", "//..."]).expect(0);
    assert_eq!(outputs(&folder), expected);
}

#[test]
fn the_store_is_not_removed_while_others_use_it() {
    let folder = Folder::of("== BUILD.star\ngenrule(name = \"a\", outs = [\"a\"], cmd = \"sleep 600; echo > $@\")\n")
        .with_fresh_store();
    let mut other = folder.start(&["build", "//..."]);
    while !std::fs::read_dir(store(&folder).join("tmp")).is_ok_and(|entries| entries.count() > 1) {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    folder.build(&["clean", "--expunge"]).expect(36).says(&["other commands use the store", "hint: wait"]);
    other.kill().unwrap();
    other.wait().unwrap();
    folder.build(&["clean", "--expunge"]).expect(0);
    assert!(!store(&folder).exists());
}

#[test]
fn lost_contents_are_made_again() {
    let folder = Folder::of(&chain()).with_fresh_store();
    folder.build(&["build", "//..."]).expect(0);
    let expected = outputs(&folder);
    let mut seed = 1u64;
    for round in 0..6 {
        for blob in blobs(&folder) {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if (seed >> 33).is_multiple_of(3) {
                std::fs::remove_file(blob).unwrap();
            }
        }
        if round % 2 == 0 {
            std::fs::remove_dir_all(folder.path().join("build-out")).unwrap();
        }
        folder.build(&["build", "//..."]).expect(0);
        assert_eq!(outputs(&folder), expected, "round {round}");
    }
    folder.build(&["fsck"]).expect(0);
}

#[test]
fn outputs_come_back_as_links_and_nothing_runs() {
    let folder = Folder::of(&chain()).with_fresh_store();
    folder.build(&["build", "//..."]).expect(0);
    let expected = outputs(&folder);
    std::fs::remove_dir_all(folder.path().join("build-out")).unwrap();
    assert_eq!(folder.build(&["build", "//..."]).expect(0).count("Ran"), 0);
    assert_eq!(outputs(&folder), expected);
    blob_of(&folder, "c7.txt");
    blob_of(&folder, "o0.txt");
}

#[test]
fn a_collection_beside_a_build_takes_nothing_from_it() {
    let folder = Folder::of(&chain()).with_fresh_store();
    for round in 0..3 {
        folder.write("in.txt", &format!("begin {round}\n"));
        let mut build = folder.start(&["build", "//..."]);
        let mut collections = 0;
        while build.try_wait().unwrap().is_none() {
            folder.build(&["gc", "--max_size=0"]).expect(0);
            collections += 1;
        }
        let output = build.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(collections > 0);
        assert!(outputs(&folder)["c7.txt"].starts_with(&format!("begin {round}\n0\n")));
    }
}

#[test]
fn a_collection_frees_what_it_says() {
    let folder = Folder::of(&chain()).with_fresh_store();
    folder.build(&["build", "//..."]).expect(0);
    let count = blobs(&folder).len();
    assert!(folder.build(&["gc"]).expect(0).stdout.starts_with("freed 0 bytes: 0 results, 0 contents, 0 trees; "));
    let unchanged = folder.build(&["gc", "--max_age=30d"]).expect(0).stdout;
    assert!(unchanged.starts_with("freed 0 bytes"), "{unchanged}");
    let dry = folder.build(&["gc", "--max_size=0", "--dry_run"]).expect(0).stdout;
    assert!(dry.starts_with("would free "), "{dry}");
    assert_eq!(blobs(&folder).len(), count);
    let done = folder.build(&["gc", "--max_size=0"]).expect(0).stdout;
    assert_eq!(done.strip_prefix("freed "), dry.strip_prefix("would free "));
    assert_eq!(blobs(&folder).len(), 0);
    assert_eq!(folder.build(&["info", "store-contents"]).expect(0).stdout, "0 bytes in 0 files\n");
    // What is shown is still right, so there is nothing to do; without it all is made again.
    assert_eq!(folder.build(&["build", "//..."]).expect(0).count("Ran"), 0);
    std::fs::remove_dir_all(folder.path().join("build-out")).unwrap();
    let again = folder.build(&["build", "//..."]).expect(0);
    assert!(again.count("Ran") >= 16);
}

#[test]
fn the_first_command_of_a_day_makes_room() {
    let folder = Folder::of(&chain()).with_fresh_store().with_env("BUILD_STORE_MAX_SIZE", "1");
    let first = folder.build(&["build", "//..."]).expect(0);
    assert!(!first.stderr.contains("freed in the store"), "{}", first.stderr);
    let note = std::fs::File::options().write(true).open(store(&folder).join("collected")).unwrap();
    note.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(25 * 3600)).unwrap();
    let next = folder.build(&["build", ":o1"]).expect(0).says(&["freed in the store"]);
    assert_eq!(next.count("Ran"), 0);
    assert_eq!(blobs(&folder).len(), 0);
    let later = folder.build(&["build", ":o1"]).expect(0);
    assert!(!later.stderr.contains("freed in the store"), "once a day:\n{}", later.stderr);
    assert_eq!(folder.read("build-out/o1.txt"), "other 1\n");
}

#[test]
fn a_check_finds_a_flipped_bit() {
    let folder = Folder::of(&chain()).with_fresh_store();
    folder.build(&["build", "//..."]).expect(0);
    let sound = folder.build(&["fsck"]).expect(0).stdout;
    assert!(sound.starts_with(&format!("contents: {} checked, 0 damaged\n", blobs(&folder).len())), "{sound}");
    let blob = blob_of(&folder, "c3.txt");
    let mut bytes = std::fs::read(&blob).unwrap();
    bytes[2] ^= 1;
    damage(&blob, &bytes);
    folder.build(&["fsck", "--quick"]).expect(0);
    let found = folder.build(&["fsck"]).expect(1).stdout;
    // The name of an executable's file has more than its digest.
    let digest = &blob.file_name().unwrap().to_str().unwrap()[..64];
    assert!(found.contains(&format!("\nremoved {digest}\n")), "{found}");
    assert!(!blob.exists());
    folder.build(&["fsck"]).expect(0);
    folder.build(&["build", "//..."]).expect(0);
    assert!(folder.read("build-out/c3.txt").starts_with("begin\n"));

    // A quick check reads what its time makes suspicious.
    let blob = blob_of(&folder, "c4.txt");
    std::fs::set_permissions(&blob, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(&blob, "?").unwrap();
    folder.build(&["fsck", "--quick"]).expect(1);
    folder.build(&["fsck"]).expect(0);
}

#[test]
fn after_a_power_cut_the_next_build_is_right() {
    let folder = Folder::of(&chain()).with_fresh_store();
    folder.build(&["build", "//..."]).expect(0);
    let expected = outputs(&folder);
    // Nothing of it had reached the disk but names, times and sizes; of the results, only a part had.
    for output in ["c2.txt", "c5.txt", "o3.txt"] {
        let blob = blob_of(&folder, output);
        let length = std::fs::metadata(&blob).unwrap().len();
        damage(&blob, &vec![0; usize::try_from(length).unwrap()]);
    }
    for log in std::fs::read_dir(store(&folder).join("results")).unwrap().take(20) {
        let log = std::fs::File::options().write(true).open(log.unwrap().path()).unwrap();
        log.set_len(log.metadata().unwrap().len() / 2).unwrap();
    }
    std::fs::write(store(&folder).join("epoch"), "another-run-of-the-machine 1\n").unwrap();
    folder.build(&["build", "//..."]).expect(0);
    assert_eq!(outputs(&folder), expected);
    // Logs of results that no command has opened since still end in the midst of a record, which is no damage.
    folder.build(&["fsck"]).expect(0);
}
