//! What the C header declares, read from its text.
//!
//! The header is generated, so its form is known: every declaration ends with `;`, every comment stands before
//! what it documents.

use std::collections::BTreeMap;

/// An exported function.
pub(crate) struct Function {
    pub(crate) name: String,
    /// Return type and types of the parameters, without their names.
    pub(crate) signature: String,
    /// The version that brought it, as its documentation says.
    pub(crate) since: String,
}

/// A struct whose fields applications see.
pub(crate) struct Struct {
    pub(crate) name: String,
    /// Names and types of the fields, in order.
    pub(crate) fields: Vec<(String, String)>,
}

#[derive(Default)]
pub(crate) struct Header {
    pub(crate) functions: Vec<Function>,
    pub(crate) structs: Vec<Struct>,
    /// Types that applications see only through pointers.
    pub(crate) opaque: Vec<String>,
    /// Types of callbacks, and their signatures.
    pub(crate) callbacks: BTreeMap<String, String>,
    /// Other names of types, and the types.
    pub(crate) aliases: BTreeMap<String, String>,
    /// Macros with a number.
    pub(crate) constants: Vec<String>,
}

impl Header {
    pub(crate) fn parse(text: &str) -> Self {
        let constants = text.lines().filter_map(constant).map(str::to_owned).collect();
        let mut header = Self { constants, ..Self::default() };
        for (documentation, declaration) in declarations(text) {
            header.add(&documentation, &declaration);
        }
        header
    }

    fn add(&mut self, documentation: &str, declaration: &str) {
        if let Some(function) = declaration.strip_prefix("ISCP_API ") {
            let (before, name, parameters) = split_function(function);
            let since = documentation.rsplit_once("Since:").map(|(_, since)| since.split_whitespace());
            let since = since.and_then(|mut words| words.find(|word| *word != "*"));
            let since = since.unwrap_or_else(|| panic!("{name}: no Since")).trim_end_matches('.').to_owned();
            self.functions.push(Function {
                name: name.to_owned(),
                signature: format!("{} {}", plain(before), types(parameters)),
                since,
            });
            return;
        }
        let Some(typedef) = declaration.strip_prefix("typedef ") else {
            panic!("the header declares something of no known kind: {declaration}");
        };
        if let Some((head, body)) = typedef.split_once('{') {
            let name = head.trim().trim_start_matches("struct ").to_owned();
            let (fields, _) = body.rsplit_once('}').expect("the end of a struct");
            let fields = fields.split(';').map(str::trim).filter(|field| !field.is_empty()).map(field);
            self.structs.push(Struct { name, fields: fields.collect() });
        } else if let Some((result, rest)) = typedef.split_once("(*") {
            let (name, parameters) = rest.split_once(')').expect("the name of a callback");
            self.callbacks.insert(name.to_owned(), format!("{} {}", plain(result), types(parameters)));
        } else {
            let (what, name) = typedef.rsplit_once(' ').expect("a type and its name");
            if plain(what) == name {
                self.opaque.push(name.to_owned());
            } else {
                self.aliases.insert(name.to_owned(), plain(what));
            }
        }
    }
}

/// The macro of a line, if it stands for a number and does not follow from the version.
fn constant(line: &str) -> Option<&str> {
    let (name, value) = line.strip_prefix("#define ")?.split_once(' ')?;
    let number = value.trim_start_matches(['-', '(']).starts_with(|digit: char| digit.is_ascii_digit());
    (number && !name.starts_with("ISCP_VERSION_")).then_some(name)
}

/// Every declaration with the comment before it, white space collapsed.
fn declarations(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && *line != "extern \"C\" {");
    let text = lines.collect::<Vec<_>>().join("\n");
    let mut rest = text.as_str();
    let (mut found, mut comment, mut current, mut depth) = (Vec::new(), String::new(), String::new(), 0_u32);
    while let Some(character) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("/*") {
            let (inside, after) = after.split_once("*/").expect("the end of a comment");
            if current.trim().is_empty() {
                comment = inside.to_owned();
            }
            rest = after;
            continue;
        }
        rest = &rest[character.len_utf8()..];
        match character {
            '{' => depth += 1,
            // What closes `extern "C"` closes nothing here.
            '}' if depth == 0 => continue,
            '}' => depth -= 1,
            _ => {}
        }
        let ends = depth == 0
            && (character == ';' || character == '}' && current.trim_start().starts_with("static inline "));
        if !ends {
            current.push(character);
            continue;
        }
        let declaration = current.split_whitespace().collect::<Vec<_>>().join(" ");
        if !declaration.starts_with("static inline ") {
            found.push((std::mem::take(&mut comment), declaration));
        }
        current.clear();
    }
    found
}

/// What stands before a function's name, the name, and from the parameters on.
fn split_function(declaration: &str) -> (&str, &str, &str) {
    let open = declaration.find('(').expect("parameters");
    let name =
        declaration[..open].rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_').expect("a type") + 1;
    (&declaration[..name], &declaration[name..open], &declaration[open..])
}

/// A type without the word `struct`.
fn plain(what: &str) -> String {
    what.split_whitespace().filter(|word| *word != "struct").collect::<Vec<_>>().join(" ")
}

/// A declaration as name and type.
fn field(declaration: &str) -> (String, String) {
    let (before, array) = match declaration.find('[') {
        Some(at) => declaration.split_at(at),
        None => (declaration, ""),
    };
    let name = before.rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_').expect("a type") + 1;
    (before[name..].to_owned(), format!("{}{array}", plain(&before[..name])))
}

/// Parameters in parentheses without their names.
fn types(parameters: &str) -> String {
    let inside = parameters.trim().trim_start_matches('(').trim_end_matches(')');
    if inside == "void" {
        return "(void)".to_owned();
    }
    let types: Vec<_> = inside.split(',').map(|parameter| field(parameter.trim()).1).collect();
    format!("({})", types.join(", "))
}
