//! From a bundle to a running environment: render -> plan -> apply -> wait -> record. The only crate that touches the
//! world.
//!
//! A [`Bundle`] is pure data, made by the built-in action [`bundle`]. [`render`] turns it into Kubernetes objects. A
//! [`Rollout`] brings them to a [`Cluster`].

mod api;
mod apply;
mod assemble;
mod bundle;
mod cluster;
mod diagnosis;
mod error;
mod kinds;
mod local;
mod lock;
mod names;
mod object;
mod plan;
mod port_forward;
mod prerequisites;
mod prune;
mod record;
mod render;
mod requirement;
mod rollback;
mod rollout;
mod show;
mod wait;

pub use api::ApiError;
pub use assemble::{AssembleError, BUNDLE_BUILTIN_VERSION, bundle};
pub use bundle::{
    BUNDLE_FORMAT, Bundle, BundleError, Environment, Image, Kind, Ports, Probe, Release, Requirement, Resources,
    SecretKey, Service, Setting, State, Value, Var, VarType,
};
pub use cluster::{Cluster, ClusterError, Registry};
pub use diagnosis::Diagnosis;
pub use error::DeployError;
pub use local::{
    Local, LocalAddress, LocalCall, LocalError, LocalOptions, LocalRequest, LocalService, LocalState, StateLock,
    local_services, unpack,
};
pub use lock::LockError;
pub use names::namespace;
pub use object::{Object, ObjectKey, Origin};
pub use plan::{Change, ChangeAction, Plan, PlanError};
pub use port_forward::{ForwardError, Forwards};
pub use record::{Deployed, Journal, Member, Record, RecordError, Recorded, Smoke, read as read_record};
pub use render::{Place, render};
pub use requirement::Source;
pub use rollback::Rollback;
pub use rollout::{Options, Report, Rollout};
pub use show::{show, yaml};
pub use wait::{Cause, CauseKind, Expected, Past, Pods, Snapshot, Verdict, Wait, WatchEvent, Watched, verdict};
