//! Container images: deterministic layers, images by the OCI image specification, and registries.
//!
//! An image is a `model::Tree` in the OCI image layout (`oci-layout`, `index.json`, `blobs/sha256/...`), so it composes,
//! is cached and is shipped like any other tree. Equal contents give equal bytes: nothing here reads a clock or a name.

mod auth;
mod client;
mod config;
mod credentials;
mod digest;
mod error;
mod foundation;
mod image;
mod layer;
mod layout;
mod params;
mod pull;
mod push;
mod registry;
mod tar;
mod token;

pub use auth::Auth;
pub use config::{Configuration, ContainerConfig, Overrides, RootFs};
pub use digest::{Sha256, Sha256Error};
pub use error::{Direction, OciError};
pub use image::{Image, ImageRequest, image};
pub use layer::{Layer, LayerContent, LayerDescriptor, LayerEntry, LayerRequest, Owner, layer};
pub use layout::{Descriptor, Manifest, digest_of, read_configuration, read_manifest};
pub use params::{ImageParams, Inputs, LayerParams, PullParams};
pub use pull::{PullRequest, pull};
pub use push::{PushReport, PushRequest, push};
pub use registry::Registry;
