//! `build query`: questions about the target graph. Loads packages, analyses nothing.

use crate::error::{Error, ErrorKind};
use crate::session::Session;

/// Answers a query; the text is the command's standard output.
pub fn query(session: &Session, expression: &str, output: &str) -> Result<String, Error> {
    loading::query(&session.loader, &session.package, expression, output)
        .map_err(|error| Error::of(ErrorKind::Query, error))
}
