//! `build query`: questions about the target graph. Loads packages, analyses nothing.

use loading::QueryFormat;

use crate::error::{Error, ErrorKind};
use crate::session::Session;

/// Answers a query; the text is the command's standard output.
pub fn query(session: &Session, expression: &str, output: QueryFormat) -> Result<String, Error> {
    let failed = |error| Error::of(ErrorKind::Query, error);
    let result = loading::query(&session.loader, expression, &session.package).map_err(failed)?;
    result.render(&session.loader, output).map_err(failed)
}
