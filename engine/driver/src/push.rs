//! `build run` of an `oci_push` target: builds the image and sends what its registry lacks.

use std::sync::Arc;

use execution::Content;
use model::{Artifact, ConfiguredTarget, Data, Event, Tree};
use oci::{PushReport, PushRequest, Registry};

use crate::build;
use crate::error::{Error, ErrorKind};
use crate::plan::Plan;
use crate::run::Ran;
use crate::session::Session;

/// What `OciPushInfo` of @rules//oci says.
pub(crate) struct PushInfo {
    image: Artifact,
    registry: String,
    repository: String,
    tags: Vec<String>,
}

/// The push that a target stands for, if it does.
pub(crate) fn info(target: &ConfiguredTarget) -> Result<Option<PushInfo>, Error> {
    let found = target.providers.iter().find(|(id, _)| &*id.name == "OciPushInfo" && id.file.repository() == "rules");
    let Some((_, provider)) = found else { return Ok(None) };
    let text = |name: &str| provider.get(name).and_then(Data::as_str).unwrap_or_default().to_owned();
    let Some(image) = provider.get("image").and_then(Data::as_file).cloned() else {
        return Err(Error::new(ErrorKind::Internal, format!("{} has an OciPushInfo without an image", target.label())));
    };
    let tags = provider.get("tags").and_then(Data::as_list).unwrap_or_default();
    let tags = tags.iter().filter_map(|tag| tag.as_str().map(str::to_owned)).collect();
    Ok(Some(PushInfo { image, registry: text("registry"), repository: text("repository"), tags }))
}

/// Builds and pushes.
pub(crate) async fn run(session: &Session, plan: &Plan<'_>, info: PushInfo) -> Result<Ran, Error> {
    let built = plan.execute(&[], std::slice::from_ref(&info.image)).await?;
    build::fail_if_failed(&built)?;
    let address = session.registry(&info.registry)?;
    let Content::Tree(digest) = &built.contents[info.image.path()] else {
        return Err(Error::new(ErrorKind::Internal, format!("the image for `{}` is not a tree", info.repository)));
    };
    let tree = session.store.tree(digest)?;
    let report = image(session, &tree, &address.endpoint(), &info.repository, &info.tags).await?;
    let message = format!(
        "{}/{}@{}: {} blobs sent, {} there already",
        address.address,
        info.repository,
        report.digest,
        report.uploaded,
        report.skipped + report.mounted
    );
    session.reporter.report(Event::Progress { phase: Arc::from("push"), message: Arc::from(message) });
    Ok(Ran::Done(String::new()))
}

/// Sends an image to a registry.
pub(crate) async fn image(
    session: &Session,
    tree: &Tree,
    address: &str,
    repository: &str,
    tags: &[String],
) -> Result<PushReport, Error> {
    let failed = |error: oci::OciError| {
        let kind = if error.is_environment() { ErrorKind::Environment } else { ErrorKind::Rollout };
        Error::of(kind, error.to_diagnostic(oci::Direction::Push).into())
    };
    let registry = Registry::from_machine(address, repository).map_err(failed)?;
    // Before it answers, it may have to write a large blob.
    let registry = registry.with_timeout(session.endpoints()?.network().timeout * 2);
    let request = PushRequest { image: tree, registry: &registry, repository, tags };
    oci::push(&request, &session.store, &session.reporter).await.map_err(failed)
}
