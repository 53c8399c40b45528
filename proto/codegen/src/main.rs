//! Writes `src/encoding/protobuf/generated/` and `src/encoding/json/generated.rs` from `proto/`.
//!
//! Run it after a change of a `.proto` file: `cargo run -p iscp-proto-codegen`. The output is
//! committed, so that building the library needs neither this program nor its dependencies. Its test
//! fails while the committed files are older than the schema.

mod json;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use prost_types::FileDescriptorSet;
use prost_types::source_code_info::Location;

/// The file that imports all others.
const ROOT: &str = "iscp2/v1/message.proto";

/// Package → file it becomes. The first one is the module that holds the others.
const PACKAGES: [(&str, &str); 2] = [
    ("iscp2.v1", "src/encoding/protobuf/generated/mod.rs"),
    ("iscp2.v1.extensions", "src/encoding/protobuf/generated/extensions.rs"),
];

/// File of the JSON mapping.
const JSON: &str = "src/encoding/json/generated.rs";

fn main() -> Result<(), Box<dyn Error>> {
    for (name, text) in generate()? {
        fs::write(repository().join(name), text)?;
    }
    Ok(())
}

/// Root of the repository.
fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The schema, as it stands in `proto/`.
fn schema() -> Result<FileDescriptorSet, Box<dyn Error>> {
    Ok(protox::compile([ROOT], [repository().join("proto")])?)
}

/// Names and contents of the generated files.
fn generate() -> Result<Vec<(&'static str, String)>, Box<dyn Error>> {
    let mut schema = schema()?;
    let json = (JSON, json::generate(&schema)?);
    open_up_maps(&mut schema);

    let mut config = prost_build::Config::new();
    config.bytes(["."]);
    let requests = schema
        .file
        .into_iter()
        .map(|file| (prost_build::Module::from_protobuf_package_name(file.package()), file))
        .collect();
    let mut modules = config.generate(requests)?;

    let modules = PACKAGES
        .into_iter()
        .enumerate()
        .map(|(index, (package, name))| {
            let body = modules
                .remove(&prost_build::Module::from_protobuf_package_name(package))
                .ok_or_else(|| format!("no package {package}"))?;
            let children = if index == 0 { "pub mod extensions;\n\n" } else { "" };
            let text = format!(
                "//! Package `{package}`. Written by `cargo run -p iscp-proto-codegen` from `proto/`: do not edit.\n\n\
                 {children}{body}"
            );
            Ok((name, text))
        });
    modules.chain([Ok(json)]).collect()
}

/// Turns maps into lists of entries, which is what they are on the wire.
///
/// The map code of prost leaves out a zero key and an empty value. Go clients refuse an entry without
/// a value (docs/protocol/messages.md §7), so entries have to carry both parts, always: as plain
/// messages with explicit presence they can.
fn open_up_maps(schema: &mut FileDescriptorSet) {
    for file in &mut schema.file {
        let docs = &mut file.source_code_info.get_or_insert_default().location;
        for (index, message) in (0..).zip(&mut file.message_type) {
            for (nested_index, nested) in (0..).zip(&mut message.nested_type) {
                let Some(options) = &mut nested.options else {
                    continue;
                };
                if options.map_entry.take().is_none() {
                    continue;
                }
                // Numbers of `FileDescriptorProto.message_type`, `DescriptorProto.nested_type` and
                // `DescriptorProto.field`.
                let path = [4, index, 3, nested_index];
                docs.push(doc(&path, "One entry of the map; the writer sets both parts."));
                for (field_index, field) in (0..).zip(&mut nested.field) {
                    field.proto3_optional = Some(true);
                    let path: Vec<_> = path.into_iter().chain([2, field_index]).collect();
                    let part = if field_index == 0 { "Alias." } else { "What it stands for." };
                    docs.push(doc(&path, part));
                }
            }
        }
    }
}

/// A comment on the element at `path`.
fn doc(path: &[i32], text: &str) -> Location {
    Location { path: path.to_vec(), leading_comments: Some(format!(" {text}\n")), ..Default::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn committed_files_are_up_to_date() {
        for (name, text) in generate().unwrap() {
            let path = repository().join(name);
            // Line ends may differ where git rewrites them.
            let committed = fs::read_to_string(&path).unwrap_or_default().replace('\r', "");
            assert!(committed == text, "{} is stale: run `cargo run -p iscp-proto-codegen`", path.display());
        }
    }
}
