//! Labels and target patterns: what is parsed is printed so that it gives the same again, and its path stays inside.

#![no_main]

use libfuzzer_sys::fuzz_target;
use model::{Label, PackageId, Members, PatternKind, RelPath, TargetPattern};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let package = PackageId::new("", "a/b").expect("a package");
    if let Ok(label) = Label::parse(text, &package) {
        assert_eq!(Label::absolute(&label.to_string()).as_ref(), Ok(&label));
        RelPath::new(&label.exec_path()).expect("a path that stays inside");
    }
    if let Ok(pattern) = TargetPattern::parse(text, &package) {
        let sign = if pattern.exclude { "-" } else { "" };
        // A target of this name can be named by a label, and in a pattern means all of them.
        if matches!(&pattern.kind, PatternKind::Target(label) if ["all", "*", "all-targets"].contains(&label.name())) {
            return;
        }
        let printed = match &pattern.kind {
            PatternKind::Target(label) => format!("{sign}{label}"),
            PatternKind::Path(label) => format!("{sign}{}", label.package().path()),
            PatternKind::Package(package, Members::Targets) => format!("{sign}{package}:all"),
            PatternKind::Package(package, Members::Files) => format!("{sign}{package}:*"),
            PatternKind::Below(package, members) => {
                let slash = if package.path().is_empty() { "" } else { "/" };
                let files = if *members == Members::Files { ":*" } else { "" };
                format!("{sign}{package}{slash}...{files}")
            }
        };
        assert_eq!(TargetPattern::parse(&printed, &PackageId::root()), Ok(pattern), "{text:?} as {printed:?}");
    }
});
