//! The JSON mapping of the schema, as docs/protocol/messages.md §8 describes it.
//!
//! What is written here is only which key belongs to which field, in the order of declaration; how a
//! value of each kind becomes JSON is in `src/encoding/json/`.

use std::error::Error;
use std::fmt::Write;

use heck::{ToSnakeCase, ToUpperCamelCase};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
};

/// Package of the schema, whose types are in the root of the generated module.
const ROOT_PACKAGE: &str = "iscp2.v1";

/// Ends the comment of a field or an enum value that readers of protocol 2.x do not know.
const SINCE_V3: &str = "(3.0.0).";

/// Numbers in the paths of comments: `FileDescriptorProto.message_type` and `.enum_type`,
/// `DescriptorProto.field`, `EnumDescriptorProto.value`.
const MESSAGES: i32 = 4;
const ENUMS: i32 = 5;
const FIELDS: i32 = 2;
const VALUES: i32 = 2;

type Result<T = (), E = Box<dyn Error>> = std::result::Result<T, E>;

/// The module with the mapping of every message and enum of a schema.
pub(crate) fn generate(schema: &FileDescriptorSet) -> Result<String> {
    let mut out = String::from(
        "//! The JSON mapping. Written by `cargo run -p iscp-proto-codegen` from `proto/`: do not edit.\n\n\
         use super::read::{self, Field, Place, Value};\n\
         use super::write::{self, Members};\n\
         use crate::encoding::Schema;\n\
         use crate::encoding::protobuf::generated as pb;\n",
    );
    for file in &schema.file {
        for (index, enumeration) in (0..).zip(&file.enum_type) {
            write_enum(&mut out, file, enumeration, index)?;
        }
        for (index, message) in (0..).zip(&file.message_type) {
            Message { file, message, index }.write(&mut out)?;
        }
    }
    Ok(out)
}

fn write_enum(
    out: &mut String,
    file: &FileDescriptorProto,
    enumeration: &EnumDescriptorProto,
    index: i32,
) -> Result {
    let path = type_path(file.package(), &[enumeration.name()])?;
    let mut from_name = String::new();
    let mut since_v3 = Vec::new();
    for (value_index, value) in (0..).zip(&enumeration.value) {
        writeln!(from_name, "            {:?} => {},", value.name(), value.number())?;
        if is_since_v3(file, &[ENUMS, index, VALUES, value_index]) {
            since_v3.push(value.number().to_string());
        }
    }
    let name = "Self::try_from(number).ok().map(|value| value.as_str_name())";
    let (schema, name) = if since_v3.is_empty() {
        ("_", name.to_owned())
    } else {
        let numbers = since_v3.join(", ");
        let name = format!(
            "if schema < Schema::V3 && [{numbers}].contains(&number) {{\n            \
                 return None;\n        }}\n        {name}"
        );
        ("schema", name)
    };
    write!(
        out,
        "\nimpl read::Enumeration for {path} {{\n    \
             const NAME: &str = {:?};\n\n    \
             fn number(name: &str) -> Option<i32> {{\n        \
                 Some(match name {{\n{from_name}            _ => return None,\n        }})\n    }}\n}}\n\n\
         impl write::Enumeration for {path} {{\n    \
             fn name(number: i32, {schema}: Schema) -> Option<&'static str> {{\n        {name}\n    }}\n}}\n",
        enumeration.name(),
    )?;
    Ok(())
}

/// A message of the schema.
struct Message<'a> {
    file: &'a FileDescriptorProto,
    message: &'a DescriptorProto,
    /// Place in the file.
    index: i32,
}

impl Message<'_> {
    fn write(&self, out: &mut String) -> Result {
        let path = type_path(self.file.package(), &[self.message.name()])?;
        let mut reader = String::new();
        let mut writer = String::new();
        for (index, field) in (0..).zip(&self.message.field) {
            let since_v3 = is_since_v3(self.file, &[MESSAGES, self.index, FIELDS, index]);
            self.write_reader(&mut reader, index, field)?;
            self.write_writer(&mut writer, index, field, since_v3)?;
        }
        // A message without fields knows no key and writes none.
        let (key, read, members) = if self.message.field.is_empty() {
            ("_", "None".to_owned(), "_")
        } else {
            let read = format!("Some(match key {{\n{reader}            _ => return None,\n        }})");
            ("key", read, "members")
        };
        write!(
            out,
            "\nimpl read::Object for {path} {{\n    \
                 fn field(&mut self, {key}: &str) -> Option<Field<'_>> {{\n        \
                     {read}\n    }}\n}}\n\n\
             impl write::Object for {path} {{\n    \
                 fn write(&self, {members}: &mut Members<'_>) {{\n\
                     {writer}    }}\n}}\n",
        )?;
        (0..)
            .zip(&self.message.oneof_decl)
            .try_for_each(|(index, oneof)| self.write_oneof(out, index, oneof.name()))
    }

    /// The places of the arms of a oneof.
    fn write_oneof(&self, out: &mut String, index: i32, name: &str) -> Result {
        let path = type_path(self.file.package(), &[self.message.name(), name])?;
        let mut places = String::new();
        for field in self.message.field.iter().filter(|field| field.oneof_index == Some(index)) {
            let arm = self.arm(name, field)?;
            writeln!(places, "            {arm}(arm) => arm.place(),")?;
        }
        write!(
            out,
            "\nimpl Value for {path} {{\n    \
                 fn place(&mut self) -> Place<'_> {{\n        \
                     match self {{\n{places}        }}\n    }}\n}}\n",
        )?;
        Ok(())
    }

    /// The line that finds a field by either of its names.
    fn write_reader(&self, out: &mut String, index: i32, field: &FieldDescriptorProto) -> Result {
        let keys = if field.name() == field.json_name() {
            format!("{:?}", field.name())
        } else {
            format!("{:?} | {:?}", field.name(), field.json_name())
        };
        let call = match field.oneof_index {
            Some(oneof) => {
                let oneof = self.oneof(oneof);
                let arm = self.arm(oneof, field)?;
                format!("arm({index}, &mut self.{oneof}, {oneof:?}, || {arm}(Default::default()))")
            }
            None => {
                let method = match self.kind(field)? {
                    Kind::Value => "value".to_owned(),
                    Kind::Enum(path) => format!("enumeration::<{path}>"),
                    Kind::Map => "map".to_owned(),
                };
                format!("{method}({index}, &mut self.{})", ident(field.name()))
            }
        };
        writeln!(out, "            {keys} => read::{call},")?;
        Ok(())
    }

    /// The lines that write a field; those of a oneof stand where its first arm is declared.
    fn write_writer(
        &self,
        out: &mut String,
        index: i32,
        field: &FieldDescriptorProto,
        since_v3: bool,
    ) -> Result {
        if let Some(oneof) = field.oneof_index {
            let arms: Vec<_> =
                (0..).zip(&self.message.field).filter(|(_, arm)| arm.oneof_index == Some(oneof)).collect();
            if since_v3 {
                return Err(format!("{}: an arm that 2.x does not know", field.name()).into());
            }
            if arms.first().is_some_and(|(first, _)| *first == index) {
                let oneof = self.oneof(oneof);
                writeln!(out, "        match &self.{oneof} {{")?;
                for (_, arm) in arms {
                    let path = self.arm(oneof, arm)?;
                    writeln!(out, "            Some({path}(arm)) => members.value({:?}, arm),", arm.name())?;
                }
                writeln!(out, "            None => {{}}\n        }}")?;
            }
            return Ok(());
        }
        let member = ident(field.name());
        let call = match self.kind(field)? {
            Kind::Value => format!("value({:?}, &self.{member})", field.name()),
            Kind::Enum(path) => format!("enumeration::<{path}>({:?}, self.{member})", field.name()),
            Kind::Map => format!("map({:?}, &self.{member})", field.name()),
        };
        if since_v3 {
            writeln!(
                out,
                "        if members.schema() >= Schema::V3 {{\n            members.{call};\n        }}"
            )?;
        } else {
            writeln!(out, "        members.{call};")?;
        }
        Ok(())
    }

    fn oneof(&self, index: i32) -> &str {
        self.message.oneof_decl[index as usize].name()
    }

    /// Path of the variant that prost makes of an arm.
    fn arm(&self, oneof: &str, field: &FieldDescriptorProto) -> Result<String> {
        if !matches!(self.kind(field)?, Kind::Value) {
            return Err(
                format!("{}: an arm of a kind that the JSON mapping does not know", field.name()).into()
            );
        }
        let oneof = type_path(self.file.package(), &[self.message.name(), oneof])?;
        Ok(format!("{oneof}::{}", field.name().to_upper_camel_case()))
    }

    fn kind(&self, field: &FieldDescriptorProto) -> Result<Kind> {
        let repeated = field.label() == Label::Repeated;
        let is_map = |name: &str| {
            self.message.nested_type.iter().any(|nested| {
                nested.options.as_ref().is_some_and(|options| options.map_entry())
                    && name.ends_with(&format!(".{}.{}", self.message.name(), nested.name()))
            })
        };
        Ok(match field.r#type() {
            Type::Message if repeated && is_map(field.type_name()) => Kind::Map,
            Type::Message | Type::Uint32 => Kind::Value,
            Type::Uint64 | Type::Sint64 | Type::Bool | Type::String | Type::Bytes if !repeated => Kind::Value,
            Type::Enum if !repeated => Kind::Enum(named_type(field.type_name())?),
            other => {
                return Err(format!("{}: the JSON mapping does not know {other:?}", field.name()).into());
            }
        })
    }
}

/// How a field is read and written.
enum Kind {
    /// By the Rust type alone.
    Value,
    /// An `i32` that stands for a value of the enum at a path.
    Enum(String),
    /// A list of entries.
    Map,
}

/// Whether the comment of the element at a path ends in [`SINCE_V3`].
fn is_since_v3(file: &FileDescriptorProto, path: &[i32]) -> bool {
    let locations = file.source_code_info.iter().flat_map(|info| &info.location);
    locations
        .filter(|location| location.path == path)
        .any(|location| location.leading_comments().trim_end().ends_with(SINCE_V3))
}

/// Path of the Rust type for a qualified name such as `.iscp2.v1.QoS`.
fn named_type(name: &str) -> Result<String> {
    let (package, name) = name.trim_start_matches('.').rsplit_once('.').ok_or("a type without a package")?;
    type_path(package, &[name])
}

/// Path of the Rust type that prost makes of a type, nested ones after those they are in.
fn type_path(package: &str, names: &[&str]) -> Result<String> {
    let module = package.strip_prefix(ROOT_PACKAGE).ok_or_else(|| format!("unknown package {package}"))?;
    let mut path = format!("pb{}", module.replace('.', "::"));
    let (last, outer) = names.split_last().ok_or("a type without a name")?;
    for name in outer {
        write!(path, "::{}", name.to_snake_case())?;
    }
    write!(path, "::{}", last.to_upper_camel_case())?;
    Ok(path)
}

/// Name of a field in Rust.
fn ident(name: &str) -> String {
    if name == "type" { "r#type".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What docs/protocol/messages.md marks with 3.0.0: the comments of the schema have to say so too.
    #[test]
    fn fields_of_3_0_0_are_marked() {
        let schema = crate::schema().unwrap();
        let mut marked = Vec::new();
        for file in &schema.file {
            for (index, message) in (0..).zip(&file.message_type) {
                for (field_index, field) in (0..).zip(&message.field) {
                    if is_since_v3(file, &[MESSAGES, index, FIELDS, field_index]) {
                        marked.push(format!("{}.{}", message.name(), field.name()));
                    }
                }
            }
        }
        marked.sort();
        let expected = [
            "ConnectRequest.connection_group_id",
            "ConnectRequest.connection_id",
            "ConnectRequest.expiry_interval",
            "ConnectResponse.connection_group_id",
            "ConnectResponse.connection_id",
            "DataPointGroup.data_filter_ids",
            "DownstreamChunk.downstream_filter_references",
            "DownstreamOpenResponse.resume_token",
            "DownstreamResumeRequest.resume_token",
            "DownstreamResumeResponse.resume_token",
            "UpstreamOpenResponse.resume_token",
            "UpstreamResumeRequest.resume_token",
            "UpstreamResumeResponse.resume_token",
        ];
        assert_eq!(marked, expected);
    }
}
