//! From a bundle to a running environment: render -> plan -> apply -> wait -> record. The only crate that touches the world.
//!
//! A [`Bundle`] is pure data, made by the built-in action [`bundle`]. [`render`] turns it into Kubernetes objects.

mod assemble;
mod bundle;
mod kinds;
mod local;
mod names;
mod object;
mod render;
mod show;

pub use assemble::{AssembleError, BUNDLE_BUILTIN_VERSION, bundle};
pub use bundle::{
    BUNDLE_FORMAT, Bundle, BundleError, Environment, Image, Kind, Ports, Probe, Release, Requirement, Resources,
    SecretKey, Service, Setting, State, Value, Var, VarType,
};
pub use local::{
    Local, LocalAddress, LocalCall, LocalError, LocalOptions, LocalRequest, LocalService, LocalState, local_services, unpack,
};
pub use names::namespace;
pub use object::{Object, ObjectKey, Origin};
pub use render::{Place, render};
pub use show::{show, yaml};
