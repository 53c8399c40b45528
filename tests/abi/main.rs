//! The ABI: `abi/symbols.txt` and `abi/layout.json` are what the header says.
//!
//! Here the header is compared with the two files; `tests/consumer/run.sh` compares them with the shared and the
//! static library. What they are for is in docs/abi.md.

mod c_header;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use c_header::Header;
use serde_json::{Map, Value, json};

/// The variable that has the files written: with `1` what is new, with `break` everything.
const UPDATE: &str = "ISCP_UPDATE_ABI";

const SYMBOLS: &str = "abi/symbols.txt";
const LAYOUT: &str = "abi/layout.json";

const SYMBOLS_HEAD: &str = "\
# What libiscp exports: name, the version that brought it, types of result and parameters.
# Made of include/iscp/iscp.h by `make abi`; docs/abi.md says what may change.
";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn header() -> Header {
    Header::parse(&fs::read_to_string(root().join("include/iscp/iscp.h")).expect("the header"))
}

/// Name of a symbol, and what is said of it.
type Symbols = BTreeMap<String, String>;

fn symbols(header: &Header) -> Symbols {
    let line = |function: &c_header::Function| format!("{} {}", function.since, function.signature);
    header.functions.iter().map(|function| (function.name.clone(), line(function))).collect()
}

fn parse_symbols(text: &str) -> Symbols {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(' ')).map(|(name, rest)| (name.into(), rest.into())).collect()
}

fn write_symbols(symbols: &Symbols) -> String {
    let mut text = SYMBOLS_HEAD.to_owned();
    for (name, rest) in symbols {
        writeln!(text, "{name} {rest}").expect("a string takes everything");
    }
    text
}

/// Asks a C compiler for everything that has a number.
fn probe(header: &Header) -> BTreeMap<String, i64> {
    let mut source = "#include <iscp/iscp.h>\n#include <stdio.h>\nint main(void) {\n".to_owned();
    let mut ask = |key: &str, expression: &str| {
        writeln!(source, "printf(\"{key} %lld\\n\", (long long)({expression}));").expect("a string");
    };
    ask("pointer", "sizeof(void *)");
    for name in &header.constants {
        ask(name, name);
    }
    for name in header.aliases.keys().chain(header.structs.iter().map(|r#struct| &r#struct.name)) {
        ask(name, &format!("sizeof({name})"));
    }
    for r#struct in &header.structs {
        let name = &r#struct.name;
        ask(&format!("{name}:alignment"), &format!("_Alignof({name})"));
        for (field, _) in &r#struct.fields {
            ask(&format!("{name}.{field}"), &format!("offsetof({name}, {field})"));
            ask(&format!("{name}.{field}:size"), &format!("sizeof((({name} *)0)->{field})"));
        }
    }
    source.push_str("return 0;\n}\n");

    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let (file, program) = (directory.join("abi_probe.c"), directory.join("abi_probe"));
    fs::write(&file, source).expect("the probe");
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let status = Command::new(&compiler)
        .args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-I"])
        .arg(root().join("include"))
        .arg("-o")
        .args([&program, &file])
        .status();
    assert!(status.is_ok_and(|status| status.success()), "{compiler} does not compile the probe");
    let output = Command::new(&program).output().expect("the probe runs");
    let lines = String::from_utf8(output.stdout).expect("text");
    let pairs = lines.lines().filter_map(|line| line.split_once(' '));
    pairs.map(|(key, number)| (key.to_owned(), number.parse().expect("a number"))).collect()
}

fn layout(header: &Header) -> Value {
    let numbers = probe(header);
    let number = |key: &str| numbers[key];
    let constants = header.constants.iter().map(|name| (name.clone(), json!(number(name))));
    let types = header.aliases.iter().map(|(name, what)| {
        // Written as types of the language: what a binding has to declare.
        (name.clone(), json!({ "is": what, "size": number(name) }))
    });
    let structs = header.structs.iter().map(|r#struct| {
        let name = &r#struct.name;
        let fields = r#struct.fields.iter().map(|(field, what)| {
            json!({
                "name": field,
                "type": what,
                "offset": number(&format!("{name}.{field}")),
                "size": number(&format!("{name}.{field}:size")),
            })
        });
        let alignment = number(&format!("{name}:alignment"));
        let fields: Vec<_> = fields.collect();
        (name.clone(), json!({ "size": number(name), "alignment": alignment, "fields": fields }))
    });
    json!({
        "pointer_size": number("pointer"),
        "constants": constants.collect::<Map<_, _>>(),
        "types": types.collect::<Map<_, _>>(),
        "callbacks": header.callbacks,
        "structs": structs.collect::<Map<_, _>>(),
        "opaque": header.opaque.iter().map(|name| (name.clone(), json!(true))).collect::<Map<_, _>>(),
    })
}

/// How what is committed and what is built differ.
#[derive(Default)]
struct Differences {
    broken: Vec<String>,
    added: Vec<String>,
}

impl Differences {
    fn compare_symbols(&mut self, committed: &Symbols, built: &Symbols) {
        for (name, was) in committed {
            match built.get(name) {
                None => self.broken.push(format!("{name} is gone, it was: {was}")),
                Some(is) if is != was => self.broken.push(format!("{name} was: {was}\n      and is: {is}")),
                Some(_) => {}
            }
        }
        self.added.extend(built.keys().filter(|name| !committed.contains_key(*name)).cloned());
    }

    fn compare_layout(&mut self, path: &str, committed: &Value, built: &Value) {
        match (committed, built) {
            (Value::Object(committed), Value::Object(built)) => {
                for (key, was) in committed {
                    let path = format!("{path}{}{key}", if path.is_empty() { "" } else { "." });
                    match built.get(key) {
                        Some(is) => self.compare_layout(&path, was, is),
                        None => self.broken.push(format!("{path} is gone, it was {was}")),
                    }
                }
                for key in built.keys().filter(|key| !committed.contains_key(*key)) {
                    self.added.push(format!("{path}.{key}"));
                }
            }
            // Also the list of the fields of a struct: a plain struct never gets another field.
            _ if committed != built => self.broken.push(format!("{path} was {committed} and is {built}")),
            _ => {}
        }
    }

    /// Nothing differs, or the files are to be written.
    fn judge(&self, file: &str) {
        let update = std::env::var(UPDATE).unwrap_or_default();
        assert!(
            self.broken.is_empty() || update == "break",
            "{file}: the ABI is broken, programs built with the former header do not work any more:\n  {}\n\
             Undo that, see docs/abi.md. Only if none of it was ever released: {UPDATE}=break cargo test -p iscp \
             --test abi",
            self.broken.join("\n  "),
        );
        assert!(
            self.added.is_empty() || !update.is_empty(),
            "{file}: not there yet, run `make abi` and commit it: {}",
            self.added.join(", "),
        );
    }
}

fn committed(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_default()
}

/// Writes a file, if that was asked for, and checks that it is what it would be.
fn settle(file: &str, text: &str) {
    if std::env::var_os(UPDATE).is_some() {
        fs::write(root().join(file), text).expect("a file of the ABI");
    }
    assert!(committed(file) == text, "{file} is stale: run `make abi` and commit it");
}

#[test]
fn the_symbols_are_those_of_the_header() {
    let built = symbols(&header());
    let mut differences = Differences::default();
    differences.compare_symbols(&parse_symbols(&committed(SYMBOLS)), &built);
    differences.judge(SYMBOLS);
    settle(SYMBOLS, &write_symbols(&built));
}

// Offsets depend on the size of a pointer; the file has those of 64 bits.
#[cfg(target_pointer_width = "64")]
#[test]
fn layouts_and_constants_are_those_of_the_header() {
    let built = layout(&header());
    let text = committed(LAYOUT);
    let before = if text.is_empty() { json!({}) } else { serde_json::from_str(&text).expect(LAYOUT) };
    let mut differences = Differences::default();
    differences.compare_layout("", &before, &built);
    differences.judge(LAYOUT);
    settle(LAYOUT, &format!("{}\n", serde_json::to_string_pretty(&built).expect("JSON")));
}

#[test]
fn nothing_is_newer_than_the_library() {
    let number = |version: &str| {
        let numbers: Vec<u32> = version.split('.').filter_map(|part| part.parse().ok()).collect();
        assert_eq!(numbers.len(), 3, "{version} is no version");
        numbers
    };
    for function in header().functions {
        let since = number(&function.since);
        assert!(since <= number(env!("CARGO_PKG_VERSION")), "{}: since {}", function.name, function.since);
    }
}

#[test]
fn a_change_of_the_abi_is_noticed() {
    let before = Header::parse(
        "#define ISCP_A -1\ntypedef struct iscp_x_t iscp_x_t;\n/** Since: 0.1.0. */\nISCP_API void iscp_a(int32_t x);\n\
         /** Since: 0.1.0. */ ISCP_API iscp_x_t *iscp_b(void);",
    );
    let after = Header::parse(
        "/** Since: 0.1.0. */ ISCP_API void iscp_a(int64_t y);\n/** Since: 0.2.0. */ ISCP_API void iscp_c(void);",
    );
    assert_eq!(
        (&before.constants[..], &before.opaque[..]),
        (&["ISCP_A".to_owned()][..], &["iscp_x_t".into()][..])
    );
    let mut differences = Differences::default();
    differences.compare_symbols(&symbols(&before), &symbols(&after));
    assert_eq!(
        differences.broken,
        [
            "iscp_a was: 0.1.0 void (int32_t)\n      and is: 0.1.0 void (int64_t)",
            "iscp_b is gone, it was: 0.1.0 iscp_x_t * (void)"
        ]
    );
    assert_eq!(differences.added, ["iscp_c"]);

    let mut differences = Differences::default();
    let field = |offset| json!([{ "name": "a", "offset": offset }]);
    differences.compare_layout(
        "",
        &json!({ "constants": { "ISCP_A": 1, "ISCP_B": 2 }, "structs": { "iscp_s_t": { "fields": field(0) } } }),
        &json!({ "constants": { "ISCP_A": 7, "ISCP_C": 3 }, "structs": { "iscp_s_t": { "fields": field(8) } } }),
    );
    assert_eq!(differences.broken[0], "constants.ISCP_A was 1 and is 7");
    assert_eq!(differences.broken[1], "constants.ISCP_B is gone, it was 2");
    assert!(differences.broken[2].starts_with("structs.iscp_s_t.fields was"), "{:?}", differences.broken);
    assert_eq!((differences.broken.len(), &differences.added[..]), (3, &["constants.ISCP_C".to_owned()][..]));
}
