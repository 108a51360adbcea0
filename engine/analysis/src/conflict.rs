//! No path is made twice.

use std::collections::HashMap;
use std::sync::Arc;

use loading::{Loader, Node};
use model::{Action, Diagnostic, Diagnostics, Location, RelPath};

/// Checks that no two actions make one path, and that no output lies inside another.
pub(crate) fn check_outputs(loader: &Loader, actions: &[Arc<Action>]) -> Result<(), Diagnostics> {
    let mut makers: HashMap<&RelPath, &Action> = HashMap::new();
    let mut wrong = Vec::new();
    for action in actions {
        for output in &action.outputs {
            if let Some(other) = makers.insert(output.path(), action)
                && !std::ptr::eq(other, &**action)
            {
                wrong.push(twice(loader, output.path(), other, action));
            }
        }
    }
    for action in actions {
        for output in &action.outputs {
            let mut folder = output.path().parent();
            while let Some(path) = folder {
                if let Some(outer) = makers.get(&path) {
                    wrong.push(inside(loader, output.path(), &path, action, outer));
                }
                folder = path.parent();
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(Diagnostics(wrong)) }
}

fn twice(loader: &Loader, path: &RelPath, first: &Action, second: &Action) -> Diagnostic {
    if first.owner == second.owner {
        let message = format!("two actions of {} make `{path}`", first.owner.label);
        let diagnostic = Diagnostic::error(message).note(format!("{} and {}", first.mnemonic, second.mnemonic));
        return at_owner(loader, diagnostic, second);
    }
    let message = format!("{} and {} both make `{path}`", first.owner.label, second.owner.label);
    let mut diagnostic = Diagnostic::error(message);
    if let Some(location) = location(loader, first) {
        diagnostic = diagnostic.note(format!("{location}: {} is declared here", first.owner.label));
    }
    at_owner(loader, diagnostic.hint("rename one of the outputs"), second)
}

fn inside(loader: &Loader, path: &RelPath, folder: &RelPath, inner: &Action, outer: &Action) -> Diagnostic {
    let message = format!("`{path}` of {} lies inside `{folder}` of {}", inner.owner.label, outer.owner.label);
    at_owner(loader, Diagnostic::error(message).hint("rename one of the outputs"), inner)
}

fn at_owner(loader: &Loader, diagnostic: Diagnostic, action: &Action) -> Diagnostic {
    loader.locate(diagnostic, location(loader, action).as_ref())
}

fn location(loader: &Loader, action: &Action) -> Option<Location> {
    match loader.node(&action.owner.label) {
        Ok(Node::Target(target, _)) => target.location.clone(),
        _ => None,
    }
}
