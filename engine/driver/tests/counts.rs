//! What commands do when little or nothing changed, counted: files looked at and read, BUILD.star files and rules
//! evaluated, actions run, bytes written.

mod workspace;

use workspace::{Built, Counts, Workspace, counted, run};

/// Packages in a row, each with targets that need the ones of the package before.
const PACKAGES: usize = 20;

const RULES: &str = r#"
def _impl(ctx):
    out = ctx.actions.declare_file(ctx.label.name + ".txt")
    names = [f.path for dep in ctx.attr.deps for f in dep[DefaultInfo].files.to_list()]
    ctx.actions.write(output = out, content = ctx.attr.text + "\n".join(names))
    copy = ctx.actions.declare_file(ctx.label.name + ".copy")
    ctx.actions.symlink(output = copy, target_file = ctx.file.src)
    return [DefaultInfo(files = depset([out, copy]))]

thing = rule(implementation = _impl, attrs = {
    "src": attr.label(allow_single_file = True),
    "deps": attr.label_list(),
    "text": attr.string(),
})
"#;

fn build_file(index: usize, text: &str) -> String {
    let deps = if index == 0 { String::new() } else { format!("\"//p{}:t\"", index - 1) };
    format!(
        "load(\"//rules:defs.star\", \"thing\")\npackage(default_visibility = [\"//visibility:public\"])\n\
         thing(name = \"t\", src = \"s.txt\", deps = [{deps}], text = \"{text}\")\n"
    )
}

/// A workspace that was built, and whose files are old enough for their times to be trusted.
fn built() -> Workspace {
    let workspace = Workspace::new();
    workspace.write("WORKSPACE.star", "workspace(name = \"w\")\n");
    workspace.write("rules/BUILD.star", "");
    workspace.write("rules/defs.star", RULES);
    for index in 0..PACKAGES {
        workspace.write(&format!("p{index}/BUILD.star"), &build_file(index, "text"));
        workspace.write(&format!("p{index}/s.txt"), &format!("source {index}\n"));
    }
    workspace.settle();
    let first = counted(&workspace, &["//..."]);
    assert_eq!((first.packages, first.targets, first.ran), (PACKAGES + 1, PACKAGES, 2 * PACKAGES));
    // The build itself made `build-out` in the top folder, and its folders are as young as it is.
    workspace.settle();
    counted(&workspace, &["//..."]);
    workspace
}

/// Files and folders that say what the workspace is: BUILD.star and source of each package, the rules, WORKSPACE.star,
/// and the folders in which packages are looked for.
const LOOKED_AT: usize = 2 * PACKAGES + 3 + (PACKAGES + 2);

#[test]
fn nothing_changed() {
    let workspace = built();
    let all = 2 * PACKAGES;
    let expected = Counts { stats: LOOKED_AT, unchanged: all, ..Counts::default() };
    assert_eq!(counted(&workspace, &["//..."]), expected);
}

#[test]
fn one_source_was_edited() {
    let workspace = built();
    workspace.write("p19/s.txt", "edited\n");
    let counts = counted(&workspace, &["//..."]);
    assert_eq!((counts.stats, counts.reads, counts.packages, counts.targets), (LOOKED_AT, 1, 0, 0));
    assert_eq!((counts.ran, counts.unchanged), (1, 2 * PACKAGES - 1));
    assert!(counts.written < 2000, "{} bytes", counts.written);
}

#[test]
fn a_source_that_was_only_touched_is_read_and_no_more() {
    let workspace = built();
    let path = workspace.root().join("p3/s.txt");
    std::fs::File::open(path).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    let counts = counted(&workspace, &["//..."]);
    assert_eq!((counts.reads, counts.packages, counts.targets, counts.ran), (1, 0, 0, 0));
}

#[test]
fn a_comment_in_a_build_file_evaluates_that_file_only() {
    let workspace = built();
    workspace.write("p3/BUILD.star", &format!("# a comment\n\n{}", build_file(3, "text")));
    let counts = counted(&workspace, &["//..."]);
    assert_eq!((counts.packages, counts.targets, counts.ran), (1, 0, 0));
    assert_eq!(counted(&workspace, &["//..."]).packages, 0);
}

#[test]
fn an_attribute_evaluates_the_target_and_runs_its_action() {
    let workspace = built();
    workspace.write("p3/BUILD.star", &build_file(3, "other"));
    let counts = counted(&workspace, &["//..."]);
    // Others see the same files of it, so that the analysis stops there; the next one's content names no content.
    assert_eq!((counts.packages, counts.targets, counts.ran), (1, 1, 1));
}

#[test]
fn a_comment_in_a_rule_file_analyses_its_users_and_runs_nothing() {
    let workspace = built();
    workspace.write("rules/defs.star", &format!("# a comment{RULES}"));
    let counts = counted(&workspace, &["//..."]);
    assert_eq!((counts.packages, counts.targets, counts.ran), (PACKAGES, PACKAGES, 0));
}

#[test]
fn another_target_among_the_patterns_and_a_new_package() {
    let workspace = built();
    workspace.write(
        "q/BUILD.star",
        "load(\"//rules:defs.star\", \"thing\")\nthing(name = \"q\", src = \"s.txt\", deps = [\"//p1:t\"])\n",
    );
    workspace.write("q/s.txt", "q");
    let counts = counted(&workspace, &["//..."]);
    assert_eq!((counts.packages, counts.targets, counts.ran), (1, 1, 2));
}

#[test]
fn flags_there_and_back_analyse_nothing_again() {
    let workspace = built();
    let optimised = |workspace: &Workspace| {
        run(workspace, &["//..."], |options| options.compilation_mode = Some("opt".to_owned())).0
    };
    assert_eq!(optimised(&workspace).targets, PACKAGES);
    for _ in 0..2 {
        let back = counted(&workspace, &["//..."]);
        assert_eq!((back.packages, back.targets, back.ran), (0, 0, 0));
        let again = optimised(&workspace);
        assert_eq!((again.packages, again.targets, again.ran), (0, 0, 0));
    }
}

#[test]
fn outputs_that_were_removed_or_replaced_come_back_without_an_action() {
    let workspace = built();
    let output = workspace.root().join("build-out/p3/t.copy");
    std::fs::remove_file(&output).unwrap();
    let other = workspace.root().join("build-out/p4/t.copy");
    std::fs::remove_file(&other).unwrap();
    std::fs::write(&other, "not mine").unwrap();
    let counts = counted(&workspace, &["//..."]);
    assert_eq!((counts.ran, counts.cached), (0, 0));
    assert_eq!(std::fs::read_to_string(&output).unwrap(), "source 3\n");
    assert_eq!(std::fs::read_to_string(&other).unwrap(), "source 4\n");
}

#[test]
fn a_mode_is_shown_anew_when_other_outputs_come_to_be_shown() {
    use std::os::unix::fs::PermissionsExt as _;
    let workspace = built();
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(workspace.root().join("p3/s.txt"), executable).unwrap();
    workspace.write(
        "q/BUILD.star",
        "load(\"//rules:defs.star\", \"thing\")\nthing(name = \"q\", src = \"s.txt\", deps = [\"//p1:t\"])\n",
    );
    workspace.write("q/s.txt", "q");
    assert_eq!(counted(&workspace, &["//..."]).ran, 3);
    let shown = std::fs::metadata(workspace.root().join("build-out/p3/t.copy")).unwrap();
    assert_eq!(shown.permissions().mode() & 0o777, 0o555);
}

#[test]
fn a_state_that_is_cut_or_changed_is_not_believed() {
    let workspace = built();
    let folder =
        std::fs::read_dir(workspace.root().join("../store/v1/requests")).unwrap().next().unwrap().unwrap().path();
    let file = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    let whole = std::fs::read(&file).unwrap();
    for step in 0..60 {
        let mut bytes = whole.clone();
        let at = whole.len() * step / 60;
        if step % 2 == 0 {
            bytes.truncate(at)
        } else {
            bytes[at] ^= 0x10
        }
        std::fs::remove_file(&file).unwrap();
        std::fs::write(&file, bytes).unwrap();
        workspace.write("p3/s.txt", &format!("edit {step}\n"));
        assert!(matches!(run(&workspace, &["//..."], |_| ()).1, Built::Made(_)), "step {step}");
        let output = std::fs::read_to_string(workspace.root().join("build-out/p3/t.copy")).unwrap();
        assert_eq!(output, format!("edit {step}\n"));
    }
}

#[test]
fn a_build_that_failed_is_not_taken_for_done() {
    let workspace = built();
    workspace.write("p7/s.txt", "first\n");
    workspace
        .write("p3/BUILD.star", "load(\"//rules:defs.star\", \"thing\")\nthing(name = \"t\", src = \"none.txt\")\n");
    assert!(matches!(run(&workspace, &["//..."], |_| ()).1, Built::Failed(_)));
    workspace.write("p3/BUILD.star", &build_file(3, "text"));
    assert_eq!(counted(&workspace, &["//..."]).ran, 1);
    assert_eq!(std::fs::read_to_string(workspace.root().join("build-out/p7/t.copy")).unwrap(), "first\n");
}

#[test]
fn a_build_that_was_stopped_is_not_taken_for_done() {
    let workspace = built();
    workspace.write("p7/s.txt", "second\n");
    workspace::stopped(&workspace, &["//..."]);
    assert_eq!(counted(&workspace, &["//..."]).ran, 1);
    assert_eq!(std::fs::read_to_string(workspace.root().join("build-out/p7/t.copy")).unwrap(), "second\n");
}

#[test]
fn a_request_that_nobody_makes_is_forgotten_and_one_that_is_made_is_not() {
    let workspace = built();
    let one = ["//p1:t"];
    counted(&workspace, &one);
    let age = |days: u64| std::time::SystemTime::now() - std::time::Duration::from_secs(days * 86_400);
    workspace
        .requests()
        .iter()
        .for_each(|file| std::fs::File::options().append(true).open(file).unwrap().set_modified(age(40)).unwrap());
    // A command notes that the request is still made, though nothing else is written.
    assert_eq!(counted(&workspace, &one).written, 0);
    workspace::collect(&workspace);
    assert_eq!(workspace.requests().len(), 1);
    assert_eq!(counted(&workspace, &one).targets, 0);
    assert_eq!(counted(&workspace, &["//..."]).targets, PACKAGES);
}

#[test]
fn another_workspace_file_is_noticed() {
    let workspace = built();
    workspace.write("WORKSPACE.star", "workspace(name = \"w\", ignore = [\"p19\"])\n");
    assert_eq!(counted(&workspace, &["//..."]).targets, PACKAGES - 1);
    assert_eq!(counted(&workspace, &["//..."]).targets, 0);
}

/// A build for which there is nothing to do asks the store for nothing, and writes nothing but the time of its state.
#[test]
fn what_only_null_builds_use_stays_longer_than_what_nobody_uses() {
    for used in ["a", "b"] {
        let workspace = Workspace::new();
        workspace.write("WORKSPACE.star", "workspace(name = \"w\")\n");
        workspace.write("rules/BUILD.star", "");
        workspace.write("rules/defs.star", RULES);
        let build = |package: &str| counted(&workspace, &[&format!("//{package}:t")]);
        for package in ["a", "b"] {
            workspace.write(&format!("{package}/BUILD.star"), &build_file(0, &package.repeat(100_000)));
            workspace.write(&format!("{package}/s.txt"), package);
            let before = workspace.requests();
            assert_eq!(build(package).ran, 2);
            let state = workspace.requests().into_iter().find(|file| !before.contains(file)).unwrap();
            // As if the other one had not been built for two days.
            if package == used {
                let later = std::time::SystemTime::now() + std::time::Duration::from_secs(2 * 86_400);
                std::fs::File::open(&state).unwrap().set_modified(later).unwrap();
            }
        }
        workspace::collect_beyond(&workspace, Some(150_000));
        workspace.requests().iter().for_each(|file| std::fs::remove_file(file).unwrap());
        workspace.remove("build-out");
        for package in ["a", "b"] {
            let counts = build(package);
            assert_eq!(counts.ran == 0, package == used, "{package}: {counts:?}");
        }
    }
}
