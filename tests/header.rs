//! The C header: made of `src/ffi`, committed, never stale, every function documented.

use std::fs;
use std::path::{Path, PathBuf};

/// The files of the header, in the order in which a reader meets things.
const SOURCES: &[&str] = &[
    "library",
    "status",
    "error",
    "log",
    "convert",
    "types",
    "runtime_options",
    "completion",
    "event",
    "token",
    "conn_options",
    "conn_address_options",
    "conn_timing_options",
    "conn_limit_options",
    "conn_credential_options",
    "conn_tls_options",
    "conn_network_options",
    "conn_path_options",
    "conn_reconnect_options",
    "conn_spool_options",
    "conn",
    "call",
    "conn_events",
    "conn_ping",
    "path",
    "conn_calls",
    "upstream_options",
    "upstream_outage_options",
    "upstream_handlers",
    "upstream",
    "chunk",
    "metadata",
    "downstream_options",
    "downstream",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn generate() -> String {
    let config = cbindgen::Config::from_file(root().join("cbindgen.toml")).expect("cbindgen.toml");
    let mut builder = cbindgen::Builder::new().with_config(config);
    for source in SOURCES {
        builder = builder.with_src(root().join(format!("src/ffi/{source}.rs")));
    }
    let mut header = Vec::new();
    builder.generate().expect("src/ffi is what cbindgen understands").write(&mut header);
    String::from_utf8(header).expect("the header is text")
}

#[test]
fn the_committed_header_is_what_the_sources_say() {
    let path = root().join("include/iscp/iscp.h");
    let generated = generate();
    if std::env::var_os("ISCP_UPDATE_HEADER").is_some() {
        fs::create_dir_all(path.parent().expect("a folder")).expect("the folder");
        fs::write(&path, &generated).expect("the header");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == generated, "include/iscp/iscp.h is stale: run `make header` and commit it");
}

#[test]
fn every_source_with_exports_is_in_the_header() {
    for entry in fs::read_dir(root().join("src/ffi")).expect("src/ffi") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        if fs::read_to_string(&path).expect("a source").contains("no_mangle") {
            assert!(SOURCES.contains(&name.as_str()), "{name} exports functions and is not in SOURCES");
        }
    }
}

#[test]
fn the_version_macros_are_those_of_the_manifest() {
    let text = format!("#define ISCP_VERSION_STRING \"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(generate().contains(&text), "cbindgen.toml: {text} is missing");
}

/// An exported function and its documentation.
struct Function {
    name: String,
    parameters: Vec<String>,
    returns: bool,
    documentation: String,
}

fn functions(source: &Path) -> Vec<Function> {
    let text = fs::read_to_string(source).expect("a source");
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if !line.contains("no_mangle") {
            continue;
        }
        let documentation: Vec<&str> =
            lines[..at].iter().rev().take_while(|line| line.starts_with("///")).copied().collect();
        let signature: String = lines[at + 1..]
            .iter()
            .scan(false, |done, line| {
                let before = *done;
                *done |= line.contains('{');
                (!before).then_some(format!("{line} "))
            })
            .collect();
        let inside =
            signature.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')')).expect("parameters").0;
        let after_fn = signature.split_once(" fn ").expect("a function").1;
        found.push(Function {
            name: after_fn.split('(').next().expect("a name").to_owned(),
            parameters: inside
                .split(',')
                .filter_map(|parameter| parameter.split_once(':'))
                .map(|(name, _)| name.trim().trim_start_matches("r#").to_owned())
                .collect(),
            returns: signature.contains("->"),
            documentation: documentation.into_iter().rev().collect::<Vec<_>>().join("\n"),
        });
    }
    found
}

#[test]
fn every_function_says_what_a_caller_needs_to_know() {
    let mut count = 0;
    for source in SOURCES {
        for function in functions(&root().join(format!("src/ffi/{source}.rs"))) {
            let Function { name, parameters, returns, documentation } = function;
            count += 1;
            for section in ["Thread:", "Blocking:", "Lifetime:", "Since:"] {
                assert!(documentation.contains(section), "{name}: no {section}");
            }
            for parameter in parameters {
                let documented = documentation.lines().any(|line| {
                    line.trim_start_matches("/// ").split_whitespace().take(2).eq(["@param", &parameter])
                });
                assert!(documented, "{name}: no @param {parameter}");
            }
            assert_eq!(returns, documentation.contains("@return"), "{name}: @return");
        }
    }
    assert!(count > 90, "only {count} functions were found");
}
