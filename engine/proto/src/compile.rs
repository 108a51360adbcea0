//! Compiling the sources of one target against the descriptor sets of its dependencies.

use std::collections::{BTreeMap, BTreeSet};

use model::{Diagnostic, Diagnostics, nearest};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage};
use prost_types::FileDescriptorProto;
use protox::Compiler;
use protox::file::File;

use crate::diagnose::{self, Texts};
use crate::resolver::{Resolver, encode_set, files_of, is_well_known};

/// A source of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// The path as a person opens it, for messages.
    pub path: String,
    /// The path by which other files import it.
    pub import_path: String,
    /// The content.
    pub text: Vec<u8>,
}

/// The descriptor set of a dependency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DependencySet {
    /// How messages name it: the label of the target that makes it, or the path of the set.
    pub name: String,
    /// An encoded `FileDescriptorSet`.
    pub bytes: Vec<u8>,
}

/// Compiles `sources` to an encoded `FileDescriptorSet` that holds them and the well-known types they import, each file
/// after the files it imports. Positions and comments are left out, so that an edit of a comment changes nothing.
///
/// Imports are strict: a file may import the target's own sources, files of `direct` sets and the well-known types. What only
/// a `transitive` set has is an error that says which dependency to add.
pub fn compile(
    sources: &[SourceFile],
    direct: &[DependencySet],
    transitive: &[DependencySet],
) -> Result<Vec<u8>, Diagnostics> {
    let (texts, parsed) = parse(sources)?;
    let direct = index(direct)?;
    let transitive = index(transitive)?;
    check_imports(&parsed, &direct, &transitive, &texts)?;
    let mut resolver = Resolver::new();
    let dependencies = direct.into_values().chain(transitive.into_values()).map(|(file, _)| file);
    parsed.iter().cloned().chain(dependencies).for_each(|file| resolver.add(file));
    link(resolver, sources, &texts)
}

/// Parses every source, so that one broken file does not hide the errors of another.
fn parse(sources: &[SourceFile]) -> Result<(Texts, Vec<File>), Diagnostics> {
    let (mut texts, mut parsed, mut errors) = (Texts::new(), Vec::new(), Vec::new());
    for source in sources {
        let Ok(text) = std::str::from_utf8(&source.text) else {
            errors.push(Diagnostic::error(format!("`{}` is not UTF-8", source.path)));
            continue;
        };
        if let Some((other, _)) = texts.insert(source.import_path.clone(), (source.path.clone(), text.to_owned())) {
            let message = format!("`{}` and `{other}` have the same import path `{}`", source.path, source.import_path);
            errors.push(Diagnostic::error(message).hint("remove one of them from `srcs`"));
        }
        match File::from_source(&source.import_path, text) {
            Ok(file) => parsed.push(file),
            Err(error) => errors.extend(diagnose::from_protox(&error, &texts)),
        }
    }
    if errors.is_empty() { Ok((texts, parsed)) } else { Err(Diagnostics(errors)) }
}

/// The files of dependencies by import path, with the name of the set that holds them.
type Index = BTreeMap<String, (File, String)>;

fn index(sets: &[DependencySet]) -> Result<Index, Diagnostics> {
    let mut files = Index::new();
    for set in sets {
        let decoded = files_of(&set.bytes)
            .map_err(|error| Diagnostic::error(format!("`{}` is not a descriptor set: {error}", set.name)))?;
        for file in decoded {
            files.entry(file.name().to_owned()).or_insert_with(|| (file, set.name.clone()));
        }
    }
    Ok(files)
}

fn check_imports(parsed: &[File], direct: &Index, transitive: &Index, texts: &Texts) -> Result<(), Diagnostics> {
    let mut errors = Vec::new();
    for file in parsed {
        let descriptor = file.file_descriptor_proto();
        for (position, import) in descriptor.dependency.iter().enumerate() {
            if texts.contains_key(import) || direct.contains_key(import) || is_well_known(import) {
                continue;
            }
            let error = match transitive.get(import) {
                Some((_, owner)) => {
                    Diagnostic::error(format!("`{import}` is imported but no direct dependency has it"))
                        .hint(format!("add `{owner}`, which has it, to `deps`"))
                }
                None => unknown_import(import, direct, transitive, texts),
            };
            errors.push(diagnose::at_import(error, descriptor, position, texts));
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(Diagnostics(errors)) }
}

fn unknown_import(import: &str, direct: &Index, transitive: &Index, texts: &Texts) -> Diagnostic {
    let known = texts.keys().chain(direct.keys()).chain(transitive.keys()).map(String::as_str);
    Diagnostic::error(format!("no source and no dependency has the imported file `{import}`"))
        .did_you_mean(&nearest(import, known))
        .hint("add the file to `srcs`, or the `proto_library` that has it to `deps`")
}

fn link(resolver: Resolver, sources: &[SourceFile], texts: &Texts) -> Result<Vec<u8>, Diagnostics> {
    let mut compiler = Compiler::with_file_resolver(resolver);
    let mut errors: Vec<Diagnostic> = Vec::new();
    for source in sources {
        if let Err(error) = compiler.open_file(&source.import_path) {
            // A source that another one imports reports its errors twice.
            let new = diagnose::from_protox(&error, texts).into_iter().filter(|error| !errors.contains(error));
            errors.extend(new.collect::<Vec<_>>());
        }
    }
    if !errors.is_empty() {
        return Err(Diagnostics(errors));
    }
    let own: BTreeSet<&str> = sources.iter().map(|source| source.import_path.as_str()).collect();
    Ok(encode_own(&compiler.descriptor_pool(), &own))
}

/// The own files and the well-known ones they need, without positions. The pool lists imports before importers.
fn encode_own(pool: &DescriptorPool, own: &BTreeSet<&str>) -> Vec<u8> {
    let files = pool.files().filter(|file| own.contains(file.name()) || is_well_known(file.name()));
    encode_set(files.map(|file| without_positions(&file.encode_to_vec())).collect())
}

/// The same file without its `source_code_info`. Goes by reflection, since the plain type would drop custom options.
fn without_positions(encoded: &[u8]) -> Vec<u8> {
    let schema = FileDescriptorProto::default().descriptor();
    let mut file = DynamicMessage::decode(schema, encoded).expect("the bytes were encoded from this type just now");
    file.clear_field_by_name("source_code_info");
    file.encode_to_vec()
}
