//! `<<`: the starlark crate drops the bits above the 32nd of a small number (`1 << 31` is negative there), so the operator is
//! a function of ours, under a name that no file can write.

use std::collections::HashMap;
use std::sync::LazyLock;

use model::{Diagnostic, Diagnostics};
use starlark::environment::{Globals, GlobalsBuilder};
use starlark::starlark_module;
use starlark::syntax::ast::{AssignOp, AstStmt, StmtP};
use starlark::syntax::{AstModule, Dialect};
use starlark::values::{Heap, Value};

use crate::diagnose;

/// The operator, and the global that stands for it.
const OPERATOR: &str = "<<";

static REPLACED: LazyLock<HashMap<String, String>> =
    LazyLock::new(|| HashMap::from([(OPERATOR.to_owned(), OPERATOR.to_owned())]));

/// The function, under a name of its own. It lives as long as the process, and so do those who refer to it.
static FUNCTIONS: LazyLock<Globals> = LazyLock::new(|| GlobalsBuilder::new().with(functions).build());

/// Parses a text; its shifts call our function.
pub(crate) fn parse(path: &str, text: String, dialect: &Dialect) -> starlark::Result<AstModule> {
    let shifts = text.contains(OPERATOR);
    let mut module = AstModule::parse(path, text, dialect)?;
    if shifts {
        module.replace_binary_operators(&REPLACED);
    }
    Ok(module)
}

/// Refuses `<<=`, which no function can stand for.
pub(crate) fn check(module: &AstModule) -> Result<(), Diagnostics> {
    let mut wrong = Vec::new();
    find(module, module.statement(), &mut wrong);
    if wrong.is_empty() { Ok(()) } else { Err(Diagnostics(wrong)) }
}

fn find(module: &AstModule, statement: &AstStmt, wrong: &mut Vec<Diagnostic>) {
    if let StmtP::AssignModify(_, AssignOp::LeftShift, _) = &statement.node {
        let error = Diagnostic::error("`<<=` is not supported").hint("write `x = x << n`");
        wrong.push(diagnose::at(error, &module.file_span(statement.span)));
    }
    statement.visit_stmt(|inner| find(module, inner, wrong));
}

/// The function behind the operator.
pub(crate) fn globals(builder: &mut GlobalsBuilder) {
    for (_, function) in FUNCTIONS.iter() {
        builder.set(OPERATOR, function);
    }
}

#[starlark_module]
fn functions(builder: &mut GlobalsBuilder) {
    fn left_shift<'v>(
        #[starlark(require = pos)] number: Value<'v>,
        #[starlark(require = pos)] by: Value<'v>,
        heap: Heap<'v>,
    ) -> starlark::Result<Value<'v>> {
        match (number.unpack_i32(), by.unpack_i32()) {
            // 32 bits and 31 more.
            (Some(number), Some(by @ 0..32)) => Ok(heap.alloc(i64::from(number) << by)),
            _ => number.left_shift(by, heap),
        }
    }
}
