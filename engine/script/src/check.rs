//! What is checked on the text, before evaluation: Bazel's rules that the starlark crate does not know.

use std::collections::{BTreeMap, BTreeSet};

use model::{Diagnostic, Diagnostics};
use starlark::codemap::{FileSpan, Span};
use starlark::syntax::AstModule;
use starlark::syntax::ast::{
    ArgumentP, AstExpr, AstNoPayload, AstStmt, ClauseP, DefP, ExprP, ForClauseP, LambdaP, ParameterP, StmtP,
};

use crate::problem::Problem;
use crate::source::{BUILD_DIALECT, Source};
use crate::{diagnose, shift};

type Def = DefP<AstNoPayload>;

/// The statements of a file, in order.
pub(crate) fn top(ast: &AstModule) -> Vec<&AstStmt> {
    fn flatten<'a>(statement: &'a AstStmt, into: &mut Vec<&'a AstStmt>) {
        match &statement.node {
            StmtP::Statements(list) => list.iter().for_each(|inner| flatten(inner, into)),
            _ => into.push(statement),
        }
    }
    let mut statements = Vec::new();
    flatten(ast.statement(), &mut statements);
    statements
}

/// The names that a statement binds, with their places.
fn bound(statement: &AstStmt) -> Vec<(&str, Span)> {
    let mut names = Vec::new();
    match &statement.node {
        StmtP::Assign(assign) => assign.lhs.visit_lvalue(|name| names.push((name.ident.as_str(), name.span))),
        StmtP::AssignModify(target, _, _) => target.visit_lvalue(|name| names.push((name.ident.as_str(), name.span))),
        StmtP::Def(def) => names.push((def.name.ident.as_str(), def.name.span)),
        StmtP::Load(load) => {
            names.extend(load.args.iter().map(|arg| (arg.local.ident.as_str(), arg.local.span)));
        }
        _ => {}
    }
    names
}

fn at(ast: &AstModule, span: Span, diagnostic: Diagnostic) -> Diagnostic {
    diagnose::at(diagnostic, &ast.file_span(span))
}

/// .star files: no name is bound twice at the top level, and no function calls itself.
pub(crate) fn library(ast: &AstModule) -> Result<(), Diagnostics> {
    let mut errors = Vec::new();
    let mut first: BTreeMap<&str, Span> = BTreeMap::new();
    for (name, span) in top(ast).into_iter().flat_map(bound) {
        if let Some(earlier) = first.get(name) {
            let place = diagnose::location(&ast.file_span(*earlier));
            let error = Diagnostic::error(format!("the global `{name}` cannot be assigned again"));
            errors.push(at(ast, span, error.note(format!("it is first assigned at {place}"))));
        } else {
            first.insert(name, span);
        }
    }
    errors.extend(recursion(ast));
    if errors.is_empty() { Ok(()) } else { Err(Diagnostics(errors)) }
}

/// The functions defined at the top level, with their places.
pub(crate) fn functions(ast: &AstModule) -> BTreeMap<String, FileSpan> {
    let place = |def: &Def| ast.file_span(def.signature_span());
    defs(ast).into_iter().map(|def| (def.name.ident.clone(), place(def))).collect()
}

fn defs(ast: &AstModule) -> Vec<&Def> {
    top(ast)
        .into_iter()
        .filter_map(|statement| if let StmtP::Def(def) = &statement.node { Some(def) } else { None })
        .collect()
}

/// Functions that call themselves, directly or through others of the file. What goes through values is left to the
/// limit on nested calls.
fn recursion(ast: &AstModule) -> Option<Diagnostic> {
    let defs = defs(ast);
    let names: BTreeSet<&str> = defs.iter().map(|def| def.name.ident.as_str()).collect();
    let mut calls: BTreeMap<&str, Vec<(&str, Span)>> = BTreeMap::new();
    for def in &defs {
        let mut found = Vec::new();
        def.body.visit_expr(|expr| called(expr, &mut found));
        let parameters: BTreeSet<&str> =
            def.params.iter().filter_map(|parameter| parameter.ident()).map(|name| name.ident.as_str()).collect();
        found.retain(|(name, _)| names.contains(name) && !parameters.contains(name));
        calls.insert(def.name.ident.as_str(), found);
    }
    for def in &defs {
        let start = def.name.ident.as_str();
        let mut path = vec![start];
        let mut seen = BTreeSet::new();
        if let Some(span) = cycle(start, start, &calls, &mut path, &mut seen) {
            let path: Vec<String> = path.iter().chain([&start]).map(|name| format!("`{name}`")).collect();
            let error = Diagnostic::error(format!("the function `{start}` is recursive"));
            return Some(at(ast, span, error.note(format!("{} call each other in a circle", path.join(" -> ")))));
        }
    }
    None
}

fn called<'a>(expr: &'a AstExpr, found: &mut Vec<(&'a str, Span)>) {
    if let ExprP::Call(callee, _) = &expr.node
        && let ExprP::Identifier(name) = &callee.node
    {
        found.push((name.ident.as_str(), expr.span));
    }
    expr.visit_expr(|inner| called(inner, found));
}

/// Follows calls from `at` until `start` is called again; `path` then holds the way, and the last call's place is
/// returned.
fn cycle<'a>(
    start: &str,
    at: &'a str,
    calls: &BTreeMap<&'a str, Vec<(&'a str, Span)>>,
    path: &mut Vec<&'a str>,
    seen: &mut BTreeSet<&'a str>,
) -> Option<Span> {
    for (name, span) in calls.get(at)? {
        if *name == start {
            return Some(*span);
        }
        if seen.insert(name) {
            path.push(name);
            if let Some(span) = cycle(start, name, calls, path, seen) {
                return Some(span);
            }
            path.pop();
        }
    }
    None
}

/// The names that a file reads and binds at its top level.
#[derive(Default)]
pub(crate) struct Names {
    pub uses: BTreeSet<String>,
    pub assigns: BTreeSet<String>,
}

impl Names {
    pub fn of(ast: &AstModule) -> Self {
        let mut names = Self::default();
        for statement in top(ast) {
            names.assigns.extend(bound(statement).into_iter().map(|(name, _)| name.to_owned()));
            free(statement, &mut |name, _| {
                names.uses.insert(name.to_owned());
            });
        }
        names
    }
}

/// BUILD.star files: all names that are nowhere defined, and calls with `*` and `**`.
pub(crate) fn build(ast: &AstModule, known: &BTreeSet<String>) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    let statements = top(ast);
    let bound: BTreeSet<&str> =
        statements.iter().flat_map(|statement| bound(statement)).map(|(name, _)| name).collect();
    for statement in statements {
        free(statement, &mut |name, span| {
            if !known.contains(name) && !bound.contains(name) {
                let candidates = known.iter().map(String::as_str).chain(bound.iter().copied());
                let problem = Problem::new(format!("the name `{name}` is not defined")).nearest(name, candidates);
                errors.push(at(ast, span, diagnose::problem(&problem)));
            }
        });
        statement.visit_expr(|expr| spread(ast, expr, &mut errors));
    }
    errors
}

fn spread(ast: &AstModule, expr: &AstExpr, errors: &mut Vec<Diagnostic>) {
    if let ExprP::Call(_, args) = &expr.node {
        let starred = args.args.iter().filter(|arg| matches!(arg.node, ArgumentP::Args(_) | ArgumentP::KwArgs(_)));
        for arg in starred {
            let error = Diagnostic::error("a BUILD.star cannot spread arguments with `*` or `**`");
            errors.push(at(ast, arg.span, error.hint("name the arguments, or do it in a macro of a .star file")));
        }
    }
    expr.visit_expr(|inner| spread(ast, inner, errors));
}

/// Calls `visit` for each name that a statement of a BUILD.star reads from outside of itself.
fn free(statement: &AstStmt, visit: &mut dyn FnMut(&str, Span)) {
    statement.visit_expr(|expr| free_expr(expr, &mut Vec::new(), visit));
}

fn free_expr(expr: &AstExpr, local: &mut Vec<String>, visit: &mut dyn FnMut(&str, Span)) {
    match &expr.node {
        ExprP::Identifier(name) => {
            if !local.contains(&name.ident) {
                visit(&name.ident, name.span);
            }
        }
        ExprP::ListComprehension(element, first, clauses) => {
            comprehension(&[element], first, clauses, local, visit);
        }
        ExprP::DictComprehension(pair, first, clauses) => {
            comprehension(&[&pair.0, &pair.1], first, clauses, local, visit);
        }
        ExprP::Lambda(lambda) => lambda_expr(lambda, local, visit),
        _ => expr.visit_expr(|inner| free_expr(inner, local, visit)),
    }
}

fn lambda_expr(lambda: &LambdaP<AstNoPayload>, local: &mut Vec<String>, visit: &mut dyn FnMut(&str, Span)) {
    let depth = local.len();
    for parameter in &lambda.params {
        if let ParameterP::Normal(_, _, Some(default)) = &parameter.node {
            free_expr(default, local, visit);
        }
    }
    local.extend(lambda.params.iter().filter_map(|parameter| parameter.ident()).map(|name| name.ident.clone()));
    free_expr(&lambda.body, local, visit);
    local.truncate(depth);
}

fn comprehension(
    elements: &[&AstExpr],
    first: &ForClauseP<AstNoPayload>,
    clauses: &[ClauseP<AstNoPayload>],
    local: &mut Vec<String>,
    visit: &mut dyn FnMut(&str, Span),
) {
    let depth = local.len();
    let bind = |clause: &ForClauseP<AstNoPayload>, local: &mut Vec<String>, visit: &mut dyn FnMut(&str, Span)| {
        free_expr(&clause.over, local, visit);
        clause.var.visit_lvalue(|name| local.push(name.ident.clone()));
    };
    bind(first, local, visit);
    for clause in clauses {
        match clause {
            ClauseP::For(clause) => bind(clause, local, visit),
            ClauseP::If(condition) => free_expr(condition, local, visit),
        }
    }
    elements.iter().for_each(|element| free_expr(element, local, visit));
    local.truncate(depth);
}

/// The statements of a BUILD.star as files of their own, each at its own lines; those with unknown names are left out.
/// Also returns the names that those would define.
pub(crate) fn statements(
    ast: &AstModule,
    source: &Source,
    known: &BTreeSet<String>,
) -> (Vec<AstModule>, BTreeSet<String>) {
    let statements = top(ast);
    let bound: BTreeSet<&str> =
        statements.iter().flat_map(|statement| bound(statement)).map(|(name, _)| name).collect();
    let mut modules = Vec::new();
    let mut undefined = BTreeSet::new();
    for statement in statements {
        let mut defined = true;
        free(statement, &mut |name, _| defined &= known.contains(name) || bound.contains(name));
        let span = ast.file_span(statement.span);
        let resolved = span.resolve_span();
        let lines = "\n".repeat(resolved.begin.line);
        let indent = " ".repeat(resolved.begin.column);
        // Only a statement after a `;` is indented; the parser refuses the indent, and the statement is passed over.
        let text = format!("{lines}{indent}{}\n", span.source_span());
        match shift::parse(&source.path, text, &BUILD_DIALECT) {
            Ok(module) if defined => modules.push(module),
            _ => undefined.extend(self::bound(statement).into_iter().map(|(name, _)| name.to_owned())),
        }
    }
    (modules, undefined)
}

/// The place of a named argument of the call at `call`.
pub(crate) fn argument(source: &Source, call: &FileSpan, name: &str) -> Option<FileSpan> {
    let ast = source.parse(&BUILD_DIALECT).ok()?;
    let wanted = call.resolve_span();
    let mut found = None;
    ast.statement().visit_expr(|expr| find_argument(&ast, expr, &wanted, name, &mut found));
    found.map(|span| ast.file_span(span))
}

fn find_argument(
    ast: &AstModule,
    expr: &AstExpr,
    wanted: &starlark::codemap::ResolvedSpan,
    name: &str,
    found: &mut Option<Span>,
) {
    if let ExprP::Call(_, args) = &expr.node
        && ast.file_span(expr.span).resolve_span().begin == wanted.begin
    {
        let argument = args.args.iter().find(|arg| arg.name() == Some(name));
        if let Some(argument) = argument {
            *found = Some(argument.span);
        }
    }
    expr.visit_expr(|inner| find_argument(ast, inner, wanted, name, found));
}
