//! The engine's values inside Starlark: small wrappers around shared Rust data, without references into a heap.

/// Derives what every value needs; its behaviour is written in its `impl StarlarkValue`.
macro_rules! wrapper {
    ($(#[$meta:meta])* $name:ident($inner:ty)) => {
        $(#[$meta])*
        #[derive(
            Debug,
            starlark::values::ProvidesStaticType,
            starlark::values::StarlarkPagablePanic,
            allocative::Allocative,
        )]
        pub(crate) struct $name(#[allocative(skip)] pub $inner);
        starlark::starlark_simple_value!($name);
    };
}

mod actions;
mod args;
mod attr;
mod context;
mod data;
mod depset;
mod file;
mod function;
mod label;
mod native;
mod persistent;
mod process;
mod provider;
mod rule;
mod runfiles;
mod select;
mod target;

/// The types whose methods rules call.
pub(crate) fn types() -> Vec<starlark::docs::DocType> {
    use starlark::docs::DocType;
    vec![
        DocType::from_starlark_value::<actions::ActionsValue>(),
        DocType::from_starlark_value::<args::ArgsValue>(),
        DocType::from_starlark_value::<ContextValue>(),
        DocType::from_starlark_value::<RunfilesValue>(),
        DocType::from_starlark_value::<LabelValue>(),
    ]
}

pub(crate) use attr::{AttributeValue, attr_module};
pub(crate) use context::{ActionState, ContextData, ContextValue, Output};
pub(crate) use data::{from_data, to_data};
pub(crate) use depset::{DepsetValue, depset_globals};
pub(crate) use file::FileValue;
pub(crate) use label::{LabelValue, label_globals};
pub(crate) use native::NativeValue;
pub(crate) use provider::{InstanceValue, ProviderValue, default_info, instances, provider_globals};
pub(crate) use rule::rule_globals;
pub(crate) use runfiles::RunfilesValue;
pub(crate) use select::{SelectValue, select_globals};
pub(crate) use target::TargetValue;
