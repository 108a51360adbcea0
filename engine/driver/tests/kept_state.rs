//! After any sequence of edits, a build that starts from the kept state gives what a build from nothing gives: the same
//! outputs, byte for byte, or the same errors. `EDITS` and `SEED` in the environment make it longer or another one.

mod workspace;

use std::fs;

use workspace::{Built, Workspace, build};

/// Numbers that look random and are the same on every machine.
#[derive(Clone)]
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }
}

/// How many packages there may be.
const PACKAGES: u64 = 6;

/// A workspace's texts, so that edits are made to them and not to what happens to be on disk.
#[derive(Clone)]
struct Model {
    dice: Dice,
    packages: Vec<Option<Package>>,
    rule_version: u64,
    rule_comment: u64,
}

#[derive(Clone, Default)]
struct Package {
    /// Contents of the sources `0.txt`, `1.txt`, ...
    sources: Vec<Option<u64>>,
    nested: Option<u64>,
    texts: [u64; 3],
    deps: Vec<(u64, u64)>,
    comments: u64,
    public: bool,
    manual: bool,
    renamed: bool,
    conditional: bool,
}

impl Model {
    fn new(seed: u64) -> Self {
        let mut model =
            Self { dice: Dice(seed), packages: vec![None; PACKAGES as usize], rule_version: 0, rule_comment: 0 };
        for index in 0..PACKAGES / 2 {
            let package = model.new_package(index);
            model.packages[index as usize] = Some(package);
        }
        model
    }

    fn new_package(&mut self, index: u64) -> Package {
        let candidates: Vec<u64> = (0..index).filter(|_| self.dice.percent(50)).collect();
        let deps = candidates.into_iter().map(|package| (package, self.dice.below(3))).collect();
        Package { sources: vec![Some(index), None, Some(7)], deps, public: true, ..Package::default() }
    }

    /// One random edit; says what it was.
    fn edit(&mut self) -> String {
        let index = self.dice.below(PACKAGES);
        let value = self.dice.below(1000);
        if self.packages[index as usize].is_none() || self.dice.percent(4) {
            let fresh = if self.packages[index as usize].is_none() { Some(self.new_package(index)) } else { None };
            self.packages[index as usize] = fresh;
            return format!("package {index} appears or goes");
        }
        if self.dice.percent(6) {
            self.rule_version = value % 3;
            return format!("rule version {}", self.rule_version);
        }
        if self.dice.percent(6) {
            self.rule_comment = value;
            return "a comment in the rule file".to_owned();
        }
        let kind = self.dice.below(12);
        let other = (self.dice.below(PACKAGES), self.dice.below(3));
        let package = self.packages[index as usize].as_mut().expect("it was looked at above");
        match kind {
            0..=2 => package.sources[(value % 3) as usize] = Some(value),
            3 => package.sources[(value % 3) as usize] = None,
            4 => package.texts[(value % 3) as usize] = value,
            5 => package.comments = value,
            6 => package.deps.push(other),
            7 => _ = package.deps.pop(),
            8 => package.public = !package.public,
            9 => package.manual = !package.manual,
            10 => package.nested = if package.nested.is_some() { None } else { Some(value) },
            _ if value.is_multiple_of(2) => package.renamed = !package.renamed,
            _ => package.conditional = !package.conditional,
        }
        format!("edit {kind} of package {index} ({value})")
    }

    fn write(&self, workspace: &Workspace) {
        workspace.write("WORKSPACE.star", "workspace(name = \"w\")\n");
        workspace.write("rules/BUILD.star", "");
        workspace.write("rules/defs.star", &self.rule());
        for (index, package) in self.packages.iter().enumerate() {
            let folder = format!("p{index}");
            match package {
                None => workspace.remove(&folder),
                Some(package) => self.write_package(workspace, &folder, package),
            }
        }
    }

    fn rule(&self) -> String {
        let version = self.rule_version;
        format!(
            r#"# {}
def _impl(ctx):
    out = ctx.actions.declare_file(ctx.label.name + ".out")
    parts = ["version {version}", ctx.attr.text]
    for dep in ctx.attr.deps:
        parts += [f.path for f in dep[DefaultInfo].files.to_list()]
    ctx.actions.write(output = out, content = "\n".join(parts))
    outs = [out]
    for src in ctx.files.srcs:
        copy = ctx.actions.declare_file(ctx.label.name + "_" + src.basename)
        ctx.actions.symlink(output = copy, target_file = src)
        outs.append(copy)
    return [DefaultInfo(files = depset(outs))]

thing = rule(
    implementation = _impl,
    attrs = {{
        "srcs": attr.label_list(allow_files = True),
        "deps": attr.label_list(),
        "text": attr.string(),
    }},
)
"#,
            self.rule_comment
        )
    }

    fn write_package(&self, workspace: &Workspace, folder: &str, package: &Package) {
        for (number, source) in package.sources.iter().enumerate() {
            let path = format!("{folder}/{number}.txt");
            match source {
                Some(value) => workspace.write(&path, &format!("source {value}\n")),
                None => workspace.remove(&path),
            }
        }
        match package.nested {
            Some(value) => workspace.write(&format!("{folder}/sub/n.txt"), &value.to_string()),
            None => workspace.remove(&format!("{folder}/sub")),
        }
        let name = |number: u64, package: &Package| match number {
            2 if package.renamed => "renamed".to_owned(),
            _ => format!("t{number}"),
        };
        let mut text = format!("load(\"//rules:defs.star\", \"thing\")\n# {}\n", package.comments);
        let visibility = if package.public { "//visibility:public" } else { "//visibility:private" };
        text.push_str(&format!("package(default_visibility = [\"{visibility}\"])\n"));
        let mut deps: Vec<String> = package
            .deps
            .iter()
            .filter(|(other, _)| format!("p{other}") != folder)
            .map(|(other, target)| {
                format!("\"//p{other}:{}\"", if *target == 2 { "t1".into() } else { format!("t{target}") })
            })
            .collect();
        deps.sort();
        deps.dedup();
        for number in 0..3 {
            let srcs = match number {
                0 => "glob([\"*.txt\"])".to_owned(),
                1 => "glob([\"**/*.txt\"], exclude = [\"1.txt\"])".to_owned(),
                _ if package.conditional => "select({\"//conditions:default\": [\"0.txt\"]})".to_owned(),
                _ => "[\"2.txt\"]".to_owned(),
            };
            let deps = if number == 1 { deps.join(", ") } else { String::new() };
            let tags = if package.manual && number == 0 { "tags = [\"manual\"], " } else { "" };
            let value = package.texts[number as usize];
            let name = name(number, package);
            text.push_str(&format!(
                "thing(name = \"{name}\", {tags}srcs = {srcs}, deps = [{deps}], text = \"{value}\")\n"
            ));
        }
        workspace.write(&format!("{folder}/BUILD.star"), &text);
    }
}

#[test]
fn what_a_link_leads_to_is_seen_without_and_beside_a_watcher() {
    for watched in [false, true] {
        let workspace = Workspace::new();
        Model::new(1).write(&workspace);
        std::os::unix::fs::symlink("../far/far.txt", workspace.root().join("p0/far.txt")).unwrap();
        workspace.settle();
        let _watcher = watched.then(|| workspace.watcher());
        // Nothing of what happens to the file that the link leads to shows in the folder of the link.
        let built = || match workspace::run(&workspace, &["//p0:t0"], |_| ()) {
            (counts, Built::Made(made)) => (counts, made.get("p0/t0_far.txt").cloned()),
            (_, Built::Failed(error)) => panic!("{error}, watched: {watched}"),
        };
        assert_eq!(built().1, None);
        for text in ["first", "second"] {
            workspace.write("far/far.txt", text);
            assert_eq!(built().1.as_deref(), Some(text), "watched: {watched}");
            let (again, _) = built();
            assert_eq!((again.packages, again.targets, again.ran), (0, 0, 0), "nothing changed, watched: {watched}");
        }
        workspace.remove("far");
        // The copy that was shown stays in build-out; the target has one source less.
        assert_eq!(built().0.targets, 1, "watched: {watched}");
    }
}

#[test]
fn random_edits_build_as_from_nothing() {
    random_edits(false);
}

#[test]
fn random_edits_beside_a_watcher_build_as_from_nothing() {
    random_edits(true);
}

fn random_edits(watched: bool) {
    let number =
        |name: &str, default: u64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let edits = number("EDITS", 50);
    match std::env::var("SEED") {
        Ok(_) => random_edits_from(number("SEED", 1), edits, watched),
        // Five once found rows that nothing needed for a while, and that were believed afterwards.
        Err(_) => [1, 5].into_iter().for_each(|seed| random_edits_from(seed, edits, watched)),
    }
}

fn random_edits_from(seed: u64, edits: u64, watched: bool) {
    let mut model = Model::new(seed);
    let kept = Workspace::new();
    let mut history = Vec::new();
    let mut succeeded: usize = 0;
    model.write(&kept);
    let _watcher = watched.then(|| kept.watcher());
    let mut looked_at = 0;
    let mut good = model.packages.clone();
    for step in 0..edits {
        model.write(&kept);
        let clean = Workspace::new();
        model.write(&clean);
        let (with_state, from_nothing) = (build(&kept, &["//..."]), build(&clean, &["//..."]));
        let context = format!("seed {seed}, step {step} after {:?}", history.iter().rev().take(6).collect::<Vec<_>>());
        match (&with_state, &from_nothing) {
            (Built::Made(_), Built::Made(expected)) => {
                succeeded += 1;
                for (path, content) in expected {
                    let found = fs::read_to_string(kept.root().join("build-out").join(path));
                    assert_eq!(found.as_deref().ok(), Some(content.as_str()), "{path}: {context}");
                }
            }
            (Built::Failed(error), Built::Failed(expected)) => assert_eq!(error, expected, "{context}"),
            _ => panic!("{with_state:?} with a state, {from_nothing:?} without: {context}"),
        }
        let again = workspace::counted(&kept, &["//..."]);
        if matches!(with_state, Built::Made(_)) {
            assert_eq!((again.packages, again.targets, again.ran), (0, 0, 0), "nothing changed: {context}");
            looked_at += usize::from(again.stats > 0);
        }
        // What fails for long tells little: often, the next edit is to take the last ones back.
        match with_state {
            Built::Made(_) => good = model.packages.clone(),
            Built::Failed(_) if model.dice.percent(60) => model.packages.clone_from(&good),
            Built::Failed(_) => {}
        }
        history.push(model.edit());
    }
    // A watcher that a busy machine keeps from answering in time is done without.
    let expected = if watched { 0..=succeeded / 4 } else { succeeded..=succeeded };
    assert!(expected.contains(&looked_at), "{looked_at} of {succeeded} commands looked at files");
    assert!(succeeded as u64 * 4 > edits, "only {succeeded} of {edits} builds succeeded: too few to tell anything");
}
