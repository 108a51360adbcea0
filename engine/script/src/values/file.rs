//! `File`: an artifact as rules see it.

use std::fmt;

use model::{Artifact, ArtifactRoot};
use serde::{Serialize, Serializer};
use starlark::collections::StarlarkHasher;
use starlark::environment::{Methods, MethodsBuilder};
use starlark::starlark_module;
use starlark::values::structs::AllocStruct;
use starlark::values::{Heap, StarlarkValue, Value, ValueLike, starlark_value};

use super::LabelValue;

wrapper! {
    /// A file or a tree.
    FileValue(Artifact)
}

impl fmt::Display for FileValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl Serialize for FileValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self.0.path())
    }
}

starlark::methods_static!(FILE_METHODS = file_methods);

#[starlark_value(type = "File")]
impl<'v> StarlarkValue<'v> for FileValue {
    fn get_methods() -> Option<&'static Methods> {
        Some(FILE_METHODS.methods())
    }

    fn equals(&self, other: Value<'v>) -> starlark::Result<bool> {
        Ok(other.downcast_ref::<Self>().is_some_and(|other| other.0 == self.0))
    }

    fn compare(&self, other: Value<'v>) -> starlark::Result<std::cmp::Ordering> {
        match other.downcast_ref::<Self>() {
            Some(other) => Ok(self.0.path().cmp(other.0.path())),
            None => starlark::values::ValueError::unsupported_with(self, "compare", other),
        }
    }

    fn write_hash(&self, hasher: &mut StarlarkHasher) -> starlark::Result<()> {
        std::hash::Hash::hash(self.0.path(), hasher);
        Ok(())
    }
}

/// The root of an output: `out/<configuration>`; empty for a source file.
fn root_path(artifact: &Artifact) -> &str {
    let path = artifact.path().as_str();
    match artifact.root() {
        ArtifactRoot::Source => "",
        ArtifactRoot::Output => path.strip_suffix(artifact.short_path()).unwrap_or("").trim_end_matches('/'),
    }
}

#[starlark_module]
fn file_methods(builder: &mut MethodsBuilder) {
    #[starlark(attribute)]
    fn path<'v>(this: &'v FileValue) -> starlark::Result<&'v str> {
        Ok(this.0.path().as_str())
    }

    #[starlark(attribute)]
    fn short_path<'v>(this: &'v FileValue) -> starlark::Result<&'v str> {
        Ok(this.0.short_path())
    }

    #[starlark(attribute)]
    fn basename<'v>(this: &'v FileValue) -> starlark::Result<&'v str> {
        Ok(this.0.path().file_name())
    }

    #[starlark(attribute)]
    fn extension<'v>(this: &'v FileValue) -> starlark::Result<&'v str> {
        Ok(this.0.path().file_name().rsplit_once('.').map_or("", |(_, extension)| extension))
    }

    #[starlark(attribute)]
    fn dirname<'v>(this: &'v FileValue) -> starlark::Result<&'v str> {
        Ok(this.0.path().as_str().rsplit_once('/').map_or("", |(folder, _)| folder))
    }

    #[starlark(attribute)]
    fn is_directory(this: &FileValue) -> starlark::Result<bool> {
        Ok(this.0.is_tree())
    }

    #[starlark(attribute)]
    fn is_source(this: &FileValue) -> starlark::Result<bool> {
        Ok(this.0.root() == ArtifactRoot::Source)
    }

    #[starlark(attribute)]
    fn owner(this: &FileValue) -> starlark::Result<LabelValue> {
        Ok(LabelValue(this.0.owner().clone()))
    }

    #[starlark(attribute)]
    fn root<'v>(this: &FileValue, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        Ok(heap.alloc(AllocStruct([("path", root_path(&this.0))])))
    }
}
