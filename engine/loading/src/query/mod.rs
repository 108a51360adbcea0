//! The query language, with Bazel's names and meanings: `deps(//x) intersect kind("go_.*", //...)`.

mod eval;
mod output;
mod parse;

use model::{Diagnostics, Label, PackageId};

use crate::loader::Loader;

pub use output::QueryFormat;

/// The labels that a query found: sorted, but for `somepath`, which is in the order of the path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryResult {
    /// The labels, each once.
    pub labels: Vec<Label>,
}

/// Evaluates a query typed in a package's folder.
pub fn query(loader: &Loader, expression: &str, package: &PackageId) -> Result<QueryResult, Diagnostics> {
    let parsed = parse::parse(expression)?;
    let labels = eval::Evaluation::new(loader, expression, package).run(&parsed)?;
    Ok(QueryResult { labels })
}

impl QueryResult {
    /// The result as text, ending with a line break unless it is empty.
    pub fn render(&self, loader: &Loader, format: QueryFormat) -> Result<String, Diagnostics> {
        output::render(loader, &self.labels, format)
    }
}
