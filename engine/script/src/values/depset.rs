//! `depset`: its elements are data from the start.

use std::fmt;
use std::sync::Arc;

use model::{Data, Depset, Order};
use starlark::environment::{GlobalsBuilder, Methods, MethodsBuilder};
use starlark::eval::Evaluator;
use starlark::starlark_module;
use starlark::values::list::AllocList;
use starlark::values::list_or_tuple::UnpackListOrTuple;
use starlark::values::none::NoneOr;
use starlark::values::{Heap, NoSerialize, StarlarkValue, Value, ValueLike, starlark_value};

use super::{from_data, to_data};
use crate::problem::{Problem, a, fail};
use crate::session::session;

wrapper! {
    /// A depset.
    #[derive(NoSerialize)]
    DepsetValue(Arc<Depset>)
}

impl fmt::Display for DepsetValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let elements: Vec<String> = self.0.to_list().iter().map(super::data::repr).collect();
        write!(f, "depset([{}])", elements.join(", "))
    }
}

starlark::methods_static!(DEPSET_METHODS = depset_methods);

#[starlark_value(type = "depset")]
impl<'v> StarlarkValue<'v> for DepsetValue {
    fn get_methods() -> Option<&'static Methods> {
        Some(DEPSET_METHODS.methods())
    }

    fn to_bool(&self) -> bool {
        !self.0.is_empty()
    }

    fn equals(&self, other: Value<'v>) -> starlark::Result<bool> {
        Ok(other.downcast_ref::<Self>().is_some_and(|other| Arc::ptr_eq(&other.0, &self.0)))
    }
}

#[starlark_module]
fn depset_methods(builder: &mut MethodsBuilder) {
    /// The elements without repetition.
    fn to_list<'v>(this: &DepsetValue, heap: Heap<'v>) -> starlark::Result<Value<'v>> {
        Ok(heap.alloc(AllocList(this.0.to_list().iter().map(|data| from_data(data, heap)))))
    }
}

/// `depset(...)`.
#[starlark_module]
pub(crate) fn depset_globals(builder: &mut GlobalsBuilder) {
    #[starlark(as_type = DepsetValue)]
    fn depset<'v>(
        #[starlark(default = NoneOr::None)] direct: NoneOr<Value<'v>>,
        #[starlark(default = "default")] order: &str,
        #[starlark(require = named, default = NoneOr::None)] transitive: NoneOr<UnpackListOrTuple<Value<'v>>>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<DepsetValue> {
        let order = parse_order(order)?;
        let direct = match direct.into_option() {
            Some(value) => elements(value, eval)?,
            None => Vec::new(),
        };
        let mut sets = Vec::new();
        for value in transitive.into_option().map(|list| list.items).unwrap_or_default() {
            let Some(set) = DepsetValue::from_value(value) else {
                return fail(format!("`transitive` takes a list of depsets, but holds {}", a(value.get_type())));
            };
            if order != set.0.order && order != Order::Default && set.0.order != Order::Default {
                return fail(format!("a depset ordered {order:?} cannot hold one ordered {:?}", set.0.order));
            }
            if !set.0.is_empty() {
                sets.push(Arc::clone(&set.0));
            }
        }
        match sets.as_slice() {
            [only] if direct.is_empty() && only.order == order => Ok(DepsetValue(Arc::clone(only))),
            _ => Ok(DepsetValue(Arc::new(Depset { order, direct, transitive: sets }))),
        }
    }
}

fn elements<'v>(value: Value<'v>, eval: &Evaluator<'v, '_, '_>) -> starlark::Result<Vec<Data>> {
    if DepsetValue::from_value(value).is_some() {
        return Err(Problem::new("the elements of a depset are a list, but got a depset")
            .hint("write `depset(transitive = [...])` to include another depset")
            .into());
    }
    let session = session(eval)?;
    match to_data(value, session) {
        Ok(Data::List(list)) => Ok(list.to_vec()),
        Ok(other) => fail(format!("the elements of a depset are a list, but got {}", a(other.type_name()))),
        Err(reason) => fail(format!("an element of a depset must be data: {reason}")),
    }
}

fn parse_order(order: &str) -> starlark::Result<Order> {
    match order {
        "default" => Ok(Order::Default),
        "postorder" => Ok(Order::Postorder),
        "preorder" => Ok(Order::Preorder),
        "topological" => Ok(Order::Topological),
        other => Err(Problem::new(format!("no depset order is named `{other}`"))
            .hint("the orders are `default`, `postorder`, `preorder` and `topological`")
            .into()),
    }
}
