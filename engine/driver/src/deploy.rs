//! `build run` of a deploy target.

use analysis::Analysis;
use model::ConfiguredTarget;

use crate::error::{Error, ErrorKind};
use crate::options::RunRequest;
use crate::session::Session;

pub(crate) struct DeployTarget;

impl DeployTarget {
    pub(crate) fn of(_target: &ConfiguredTarget) -> Result<Option<Self>, Error> {
        Ok(None)
    }
}

pub(crate) async fn run(_: &Session, _: &Analysis, _: &DeployTarget, _: &RunRequest) -> Result<i32, Error> {
    Err(Error::new(ErrorKind::Internal, "not there yet"))
}

/// x
pub async fn show(_: &Session, _: &str) -> Result<String, Error> {
    Err(Error::new(ErrorKind::Internal, "not there yet"))
}
