//! `oci_layer`, `oci_image`, `oci_pull`: container images.

use std::sync::Arc;

use execution::{Builtin, BuiltinCall, Content, Made};
use model::Reporter;
use oci::{ImageParams, Inputs, LayerContent, LayerParams, PullParams, PullRequest, Registry};

use super::{Outputs, chain, input, output, parameters, path};

/// Makes a layer: its blob and its descriptor.
pub(super) struct Layer;

/// Makes an image: its tree and its digest as text.
pub(super) struct Image;

/// Brings an image from the registry that the machine names for images: its tree and its digest as text.
pub(super) struct Pull {
    pub(super) endpoints: Arc<fetch::Endpoints>,
    pub(super) reporter: Arc<dyn Reporter>,
}

impl Builtin for Layer {
    fn version(&self) -> u32 {
        2
    }

    fn run(&self, call: &BuiltinCall<'_>) -> Outputs {
        let params: LayerParams = parameters(call)?;
        let layer = params.run(&*inputs(call), call.store).map_err(|error| chain(&error))?;
        let descriptor = serde_json::to_vec(&layer.descriptor).map_err(|error| chain(&error))?;
        let blob = Content::File { digest: layer.blob, size: layer.descriptor.size, executable: false };
        Ok(Made::Outputs(vec![(path(call, 0)?, blob), output(call, 1, &descriptor)?]))
    }
}

impl Builtin for Image {
    fn version(&self) -> u32 {
        2
    }

    fn run(&self, call: &BuiltinCall<'_>) -> Outputs {
        let params: ImageParams = parameters(call)?;
        let image = params.run(&*inputs(call), call.store).map_err(|error| chain(&error))?;
        image_outputs(call, &image)
    }
}

impl Builtin for Pull {
    fn version(&self) -> u32 {
        1
    }

    fn run(&self, call: &BuiltinCall<'_>) -> Outputs {
        let params: PullParams = parameters(call)?;
        let configured = self.endpoints.registry("images").ok_or(NO_REGISTRY)?;
        let registry = Registry::from_machine(&configured.endpoint(), &params.repository);
        let registry = registry.map_err(|error| explain(&error))?;
        let registry = registry.with_timeout(self.endpoints.network().timeout);
        let PullParams { repository, digest, platform } = params;
        let request = PullRequest { repository, digest, platform };
        // Built-in actions run on threads that may block, beside the runtime.
        let pull = oci::pull(&request, &registry, call.store, &self.reporter);
        let image = tokio::runtime::Handle::current().block_on(pull).map_err(|error| explain(&error))?;
        image_outputs(call, &image)
    }

    fn waits(&self) -> bool {
        true
    }
}

const NO_REGISTRY: &str = "no registry is configured to pull base images from; set BUILD_REGISTRY_IMAGES=host:port, or \
    `images` under [registries] in build/config.toml";

/// A failure of a registry with its hints.
fn explain(error: &oci::OciError) -> String {
    error.hints(oci::Direction::Pull).iter().fold(chain(error), |text, hint| format!("{text}\n  hint: {hint}"))
}

fn image_outputs(call: &BuiltinCall<'_>, image: &oci::Image) -> Outputs {
    let digest = output(call, 1, image.digest.to_string().as_bytes())?;
    Ok(Made::Outputs(vec![(path(call, 0)?, Content::Tree(image.content)), digest]))
}

fn inputs<'a>(call: &'a BuiltinCall<'_>) -> Box<Inputs<'a>> {
    Box::new(move |path| match input(call, path).ok()? {
        Content::File { digest, size, executable } => {
            Some(LayerContent::File { digest: *digest, size: *size, executable: *executable })
        }
        Content::Tree(digest) => Some(LayerContent::Tree(*digest)),
    })
}
