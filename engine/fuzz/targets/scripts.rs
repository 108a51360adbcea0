//! BUILD.star, .star and WORKSPACE.star: whatever comes is evaluated, or is an error with its place. The first byte says
//! which. Long evaluations are the business of the limits in `script`; here texts are short.

#![no_main]

use std::collections::BTreeMap;
use std::sync::Arc;

use libfuzzer_sys::{Corpus, fuzz_target};
use model::{Diagnostics, Label, PackageId};
use script::{PackageContext, Source, eval_build, eval_library, eval_workspace, loads};

struct Nothing;

impl PackageContext for Nothing {
    fn glob(&self, _: &[String], _: &[String], _: bool) -> Result<Vec<String>, String> {
        Ok(vec!["a.txt".to_owned()])
    }

    fn subpackages(&self, _: &[String], _: &[String]) -> Result<Vec<String>, String> {
        Ok(Vec::new())
    }
}

fn evaluate(kind: u8, text: &str) -> Result<(), Diagnostics> {
    let root = PackageId::root();
    let path = ["BUILD.star", "lib.star", "WORKSPACE.star"][usize::from(kind % 3)];
    let label = Label::parse(path, &root).expect("a label");
    let source = Source { label, path: Arc::from(path), text: Arc::from(text) };
    loads(&source)?;
    match kind % 3 {
        0 => eval_build(&source, &BTreeMap::new(), None, &root, &Nothing).map(|_| ()),
        1 => eval_library(&source, &BTreeMap::new()).map(|_| ()),
        _ => eval_workspace(&source).map(|_| ()),
    }
}

/// What only takes long and much, which is not looked for here.
fn takes_long(text: &str) -> bool {
    text.len() > 4000 || ["*", "range", "<<", "%"].iter().any(|word| text.contains(word)) && text.bytes().filter(u8::is_ascii_digit).count() > 3
}

fuzz_target!(|data: &[u8]| -> Corpus {
    let Some((kind, bytes)) = data.split_first() else { return Corpus::Reject };
    let Ok(text) = std::str::from_utf8(bytes) else { return Corpus::Reject };
    if takes_long(text) {
        return Corpus::Reject;
    }
    if let Err(errors) = evaluate(*kind, text) {
        assert!(!errors.0.is_empty(), "an error says something");
        let whole = errors.0.iter().all(|error| error.location.is_some() || error.to_string().contains(".star"));
        assert!(whole, "an error without a place: {errors:?}");
    }
    Corpus::Keep
});
