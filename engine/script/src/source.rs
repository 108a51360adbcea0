//! Source files and their parsing.

use std::sync::Arc;

use model::{Diagnostics, Label, Location};
use starlark::syntax::{AstModule, Dialect, DialectTypes};

use crate::{diagnose, nesting, shift};

/// The text of a file to evaluate.
#[derive(Debug, Clone)]
pub struct Source {
    /// The label of the file: `@rules//go:defs.star`, `//a:BUILD.star`.
    pub label: Label,
    /// The file's path for people: `a/BUILD.star`, `@rules//go/defs.star`.
    pub path: Arc<str>,
    /// The text.
    pub text: Arc<str>,
}

/// .star files: all of Bazel's dialect, and typed signatures.
pub(crate) const LIBRARY_DIALECT: Dialect = Dialect {
    enable_def: true,
    enable_lambda: true,
    enable_load: true,
    enable_keyword_only_arguments: true,
    enable_positional_only_arguments: false,
    enable_types: DialectTypes::Enable,
    enable_load_reexport: true,
    enable_top_level_stmt: false,
    enable_f_strings: false,
    _non_exhaustive: (),
};

/// BUILD.star files declare; what computes belongs in .star files.
pub(crate) const BUILD_DIALECT: Dialect = Dialect {
    enable_def: false,
    enable_lambda: false,
    enable_types: DialectTypes::Disable,
    enable_load_reexport: false,
    ..LIBRARY_DIALECT
};

/// WORKSPACE.star: as BUILD.star, without `load`.
pub(crate) const WORKSPACE_DIALECT: Dialect = Dialect { enable_load: false, ..BUILD_DIALECT };

impl Source {
    pub(crate) fn parse(&self, dialect: &Dialect) -> Result<AstModule, Diagnostics> {
        // Some editors begin a file with a byte order mark, which is no part of the text.
        let text = self.text.strip_prefix('\u{feff}').unwrap_or(&self.text);
        nesting::check(&self.path, text)?;
        let module = shift::parse(&self.path, text.to_owned(), dialect).map_err(|error| diagnose::error(&error))?;
        shift::check(&module)?;
        Ok(module)
    }
}

/// The modules that the file's `load` statements name, as written, with their places.
pub fn loads(source: &Source) -> Result<Vec<(String, Location)>, Diagnostics> {
    // The dialect of .star files takes all that the others take, so that one look suffices for every kind of file;
    // what BUILD.star may not contain is reported when it is evaluated.
    let module = source.parse(&LIBRARY_DIALECT)?;
    let loads = module.loads().into_iter();
    Ok(loads.map(|load| (load.module_id.to_owned(), diagnose::location(&load.span))).collect())
}
