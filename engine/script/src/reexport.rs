//! Files that only load names and export them again, as the prelude does: a part of such a file can be evaluated for
//! itself, which saves evaluating what nobody asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use starlark::syntax::ast::{AssignTargetP, AstLiteral, ExprP, StmtP};

use crate::check::top;
use crate::source::{LIBRARY_DIALECT, Source};

/// The exports of such a file.
#[derive(Debug, Clone)]
pub struct Reexports {
    source: Source,
    /// Exported name -> the module it is loaded from, and its name there.
    names: BTreeMap<String, (String, String)>,
}

impl Reexports {
    /// The exports; `None` for a file that does more than loading names and giving them others.
    pub fn of(source: &Source) -> Option<Self> {
        let module = source.parse(&LIBRARY_DIALECT).ok()?;
        let mut local = BTreeMap::new();
        let mut names = BTreeMap::new();
        for statement in top(&module) {
            match &statement.node {
                StmtP::Expression(text) if matches!(text.node, ExprP::Literal(AstLiteral::String(_))) => {}
                StmtP::Load(load) => {
                    for arg in &load.args {
                        let from = (load.module.node.clone(), arg.their.node.clone());
                        local.insert(arg.local.node.ident.clone(), from);
                    }
                }
                StmtP::Assign(assign) => {
                    let AssignTargetP::Identifier(name) = &assign.lhs.node else { return None };
                    let ExprP::Identifier(value) = &assign.rhs.node else { return None };
                    names.insert(name.node.ident.clone(), local.get(&value.node.ident)?.clone());
                }
                _ => return None,
            }
        }
        Some(Self { source: source.clone(), names })
    }

    /// A file that exports those names only that are words of `text`, if there are others.
    pub fn part_for(&self, text: &str) -> Source {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let words: BTreeSet<&str> = text.split(|c| !is_part(c)).collect();
        let wanted = self.names.iter().filter(|(name, _)| words.contains(name.as_str()));
        let mut part = String::new();
        for (name, (module, symbol)) in wanted {
            part.push_str(&format!("load({module:?}, _{name} = {symbol:?})\n{name} = _{name}\n"));
        }
        Source { text: Arc::from(part), ..self.source.clone() }
    }
}
