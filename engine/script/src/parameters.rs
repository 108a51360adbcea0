//! The names of the parameters that the engine's own functions take, for errors about a name that is none of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use starlark::docs::{DocFunction, DocItem, DocMember, DocModule};

use crate::{globals, values};

type Parameters = BTreeMap<String, BTreeSet<String>>;

/// By the name of the function. Where two have the same name, what one takes is a guess for the other.
static PARAMETERS: LazyLock<Parameters> = LazyLock::new(|| {
    let mut all = Parameters::new();
    for globals in [globals::library(), globals::build(), globals::workspace()] {
        module(&globals.documentation(), &mut all);
    }
    for (name, member) in values::types().iter().flat_map(|ty| &ty.members) {
        if let DocMember::Function(documented) = member {
            function(name, documented, &mut all);
        }
    }
    all
});

/// The names of the parameters of a function.
pub(crate) fn of(function: &str) -> impl Iterator<Item = &'static str> {
    let name = function.rsplit('.').next().unwrap_or(function);
    PARAMETERS.get(name).into_iter().flatten().map(String::as_str)
}

fn module(documented: &DocModule, all: &mut Parameters) {
    for (name, item) in &documented.members {
        match item {
            DocItem::Module(inner) => module(inner, all),
            DocItem::Type(ty) => ty.constructor.iter().for_each(|constructor| function(name, constructor, all)),
            DocItem::Member(DocMember::Function(documented)) => function(name, documented, all),
            DocItem::Member(DocMember::Property(_)) => {}
        }
    }
}

fn function(name: &str, documented: &DocFunction, all: &mut Parameters) {
    // What can be given by position only is not named.
    let params = &documented.params;
    let names = params.pos_or_named.iter().chain(&params.named_only).map(|param| param.name.clone());
    all.entry(name.to_owned()).or_default().extend(names);
}
