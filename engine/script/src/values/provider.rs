//! `provider()`, its instances, and `DefaultInfo`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use model::{DEFAULT_INFO, Data, Depset, ProviderId, ProviderInstance};
use serde::{Serialize, Serializer};
use starlark::collections::StarlarkHasher;
use starlark::environment::GlobalsBuilder;
use starlark::eval::{Arguments, Evaluator};
use starlark::starlark_module;
use starlark::typing::Ty;
use starlark::values::dict::DictRef;
use starlark::values::list_or_tuple::UnpackListOrTuple;
use starlark::values::none::NoneOr;
use starlark::values::structs::AllocStruct;
use starlark::values::{Heap, NoSerialize, StarlarkValue, UnpackValue, Value, ValueLike, starlark_value};

use super::{from_data, to_data};
use crate::problem::{Problem, a, fail};
use crate::session::session;

/// A provider as declared; named when it is assigned to a top-level variable.
#[derive(Debug)]
pub(crate) struct Provider {
    /// The fields its instances may have; any when none are declared.
    fields: Option<Vec<String>>,
    id: OnceLock<ProviderId>,
}

wrapper! {
    /// A provider: called, it makes an instance; as an index, it finds one.
    #[derive(NoSerialize)]
    ProviderValue(Arc<Provider>)
}

wrapper! {
    /// An instance of a provider.
    InstanceValue(Arc<ProviderInstance>)
}

impl ProviderValue {
    /// The identity, or an error if the provider has no name yet.
    pub fn id(&self) -> starlark::Result<&ProviderId> {
        match self.0.id.get() {
            Some(id) => Ok(id),
            None => Err(Problem::new("this provider has no name")
                .hint("assign the result of provider() to a top-level variable: `Info = provider(...)`")
                .into()),
        }
    }

    fn instance<'v>(&self, args: &Arguments<'v, '_>, eval: &Evaluator<'v, '_, '_>) -> starlark::Result<InstanceValue> {
        let id = self.id()?;
        if args.no_positional_args(eval.heap()).is_err() {
            return fail(format!("`{id}` takes named arguments only: `{id}(field = value)`"));
        }
        let session = session(eval)?;
        let mut fields = BTreeMap::new();
        for (name, value) in args.names_map()? {
            let name = name.as_str();
            if let Some(declared) = &self.0.fields
                && !declared.iter().any(|field| field == name)
            {
                let declared = declared.iter().map(String::as_str);
                return Err(Problem::new(format!("`{id}` has no field `{name}`")).nearest(name, declared).into());
            }
            match to_data(value, session) {
                Ok(data) => fields.insert(Arc::from(name), data),
                Err(reason) => return fail(format!("the field `{name}` of `{id}` must be data: {reason}")),
            };
        }
        if *id == *DEFAULT_INFO {
            check_default_info(&mut fields)?;
        }
        Ok(InstanceValue(Arc::new(ProviderInstance { id: id.clone(), fields })))
    }
}

/// The types of `DefaultInfo`'s fields; `None` is as good as absent.
fn check_default_info(fields: &mut BTreeMap<Arc<str>, Data>) -> starlark::Result<()> {
    fields.retain(|_, data| *data != Data::None);
    let wrong = |field: &str, expected: &str, data: &Data| {
        fail(format!("`{field}` of DefaultInfo takes {expected}, but got {}", a(data.type_name())))
    };
    match fields.get("files") {
        Some(Data::List(list)) => {
            let set = Depset::of(list.to_vec());
            fields.insert(Arc::from("files"), Data::Depset(Arc::new(set)));
        }
        Some(Data::Depset(_)) | None => {}
        Some(other) => return wrong("files", "a depset of files", other),
    }
    match fields.get("executable") {
        Some(Data::File(_)) | None => {}
        Some(other) => return wrong("executable", "a file", other),
    }
    match fields.get("runfiles") {
        Some(Data::Provider(instance)) if instance.id == *model::RUNFILES => Ok(()),
        None => Ok(()),
        Some(other) => wrong("runfiles", "what ctx.runfiles() returns", other),
    }
}

impl fmt::Display for ProviderValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.id.get() {
            Some(id) => write!(f, "<provider {id}>"),
            None => f.write_str("<provider>"),
        }
    }
}

#[starlark_value(type = "Provider")]
impl<'v> StarlarkValue<'v> for ProviderValue {
    fn export_as(&self, name: &str, eval: &mut Evaluator<'v, '_, '_>) -> starlark::Result<()> {
        let file = session(eval)?.file.clone();
        self.0.id.get_or_init(|| ProviderId { file, name: Arc::from(name) });
        Ok(())
    }

    fn invoke(
        &self,
        _me: Value<'v>,
        args: &Arguments<'v, '_>,
        eval: &mut Evaluator<'v, '_, '_>,
    ) -> starlark::Result<Value<'v>> {
        self.instance(args, eval).map(|instance| eval.heap().alloc(instance))
    }

    fn equals(&self, other: Value<'v>) -> starlark::Result<bool> {
        let same = |other: &Self| match (self.0.id.get(), other.0.id.get()) {
            (Some(own), Some(other)) => own == other,
            _ => Arc::ptr_eq(&self.0, &other.0),
        };
        Ok(other.downcast_ref::<Self>().is_some_and(same))
    }

    fn write_hash(&self, hasher: &mut StarlarkHasher) -> starlark::Result<()> {
        // Constant: the name may come after the first look-up.
        std::hash::Hash::hash("provider", hasher);
        Ok(())
    }

    /// As a type, a provider stands for any instance of a provider.
    fn eval_type(&self) -> Option<Ty> {
        Some(InstanceValue::get_type_starlark_repr())
    }
}

impl fmt::Display for InstanceValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&super::data::repr(&Data::Provider(Arc::clone(&self.0))))
    }
}

impl Serialize for InstanceValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        crate::json::Encoded(&Data::Provider(Arc::clone(&self.0))).serialize(serializer)
    }
}

#[starlark_value(type = "provider")]
impl<'v> StarlarkValue<'v> for InstanceValue {
    fn get_attr(&self, attribute: &str, heap: Heap<'v>) -> Option<Value<'v>> {
        if let Some(data) = self.0.get(attribute) {
            return Some(from_data(data, heap));
        }
        if self.0.id != *DEFAULT_INFO {
            return None;
        }
        let info = model::DefaultInfo::from_provider(&self.0);
        match attribute {
            "files" => Some(from_data(&Data::Depset(info.files), heap)),
            "executable" => Some(from_data(&info.executable.map_or(Data::None, Data::File), heap)),
            "runfiles" | "default_runfiles" | "data_runfiles" => Some(heap.alloc(super::RunfilesValue(info.runfiles))),
            "files_to_run" => {
                let executable = from_data(&info.executable.map_or(Data::None, Data::File), heap);
                Some(heap.alloc(AllocStruct([("executable", executable)])))
            }
            _ => None,
        }
    }

    fn dir_attr(&self) -> Vec<String> {
        self.0.fields.keys().map(|name| name.to_string()).collect()
    }

    fn equals(&self, other: Value<'v>) -> starlark::Result<bool> {
        Ok(other.downcast_ref::<Self>().is_some_and(|other| other.0 == self.0))
    }

    fn write_hash(&self, hasher: &mut StarlarkHasher) -> starlark::Result<()> {
        std::hash::Hash::hash(&self.0, hasher);
        Ok(())
    }
}

/// The provider that every target has.
pub(crate) fn default_info() -> ProviderValue {
    let fields = Some(["files", "executable", "runfiles"].map(str::to_owned).to_vec());
    ProviderValue(Arc::new(Provider { fields, id: OnceLock::from(DEFAULT_INFO.clone()) }))
}

/// The instances that a rule returned: one, a list of them, or `None`.
pub(crate) fn instances(value: Value<'_>) -> Result<Vec<Arc<ProviderInstance>>, Problem> {
    if value.is_none() {
        return Ok(Vec::new());
    }
    if let Some(instance) = InstanceValue::from_value(value) {
        return Ok(vec![Arc::clone(&instance.0)]);
    }
    let expected = "a rule must return a list of providers";
    let Ok(Some(list)) = UnpackListOrTuple::<Value<'_>>::unpack_value(value) else {
        return Err(Problem::new(format!("{expected}, but returned {}", a(value.get_type()))));
    };
    let instances = list.items.into_iter().map(|item| match InstanceValue::from_value(item) {
        Some(instance) => Ok(Arc::clone(&instance.0)),
        None => Err(Problem::new(format!("{expected}, but the list holds {}", a(item.get_type())))),
    });
    instances.collect()
}

/// `provider(...)`.
#[starlark_module]
pub(crate) fn provider_globals(builder: &mut GlobalsBuilder) {
    fn provider<'v>(
        #[starlark(default = "")] doc: &str,
        #[starlark(require = named, default = NoneOr::None)] fields: NoneOr<Value<'v>>,
    ) -> starlark::Result<ProviderValue> {
        let _ = doc;
        let fields = match fields.into_option() {
            None => None,
            Some(value) => Some(field_names(value)?),
        };
        Ok(ProviderValue(Arc::new(Provider { fields, id: OnceLock::new() })))
    }
}

fn field_names(value: Value<'_>) -> starlark::Result<Vec<String>> {
    if let Some(dict) = DictRef::from_value(value) {
        let names = dict.keys().map(|key| key.unpack_str().map(str::to_owned));
        if let Some(names) = names.collect() {
            return Ok(names);
        }
    } else if let Ok(Some(list)) = UnpackListOrTuple::<String>::unpack_value(value) {
        return Ok(list.items);
    }
    fail("`fields` takes a list of names, or a dict of names to their documentation")
}
