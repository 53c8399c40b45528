//! The C header: made of `src/ffi`, committed, never stale, every function documented.

use std::collections::BTreeMap;
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
    "data_id",
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
    "conn_received_calls",
    "upstream_options",
    "upstream_buffer_options",
    "upstream_outage_options",
    "upstream_handlers",
    "upstream",
    "upstream_write",
    "chunk",
    "metadata",
    "downstream_options",
    "downstream_flow_options",
    "downstream_handlers",
    "downstream",
    "downstream_read",
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
    /// From its name on.
    signature: String,
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
            signature: after_fn.to_owned(),
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
            let Function { name, parameters, returns, documentation, .. } = function;
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

impl Function {
    /// What follows a word of the documentation, up to another.
    fn part(&self, from: &str, to: &str) -> &str {
        let part = self.documentation.split_once(from).and_then(|(_, rest)| rest.split_once(to));
        part.unwrap_or_else(|| panic!("{}: nothing between {from} and {to}", self.name)).0
    }

    /// Whether the documentation lists a status, or that of a function it refers to.
    fn lists(&self, all: &BTreeMap<String, Self>, status: &str) -> bool {
        self.lists_within(all, status, 3)
    }

    /// References are followed only so far: two functions may refer to each other.
    fn lists_within(&self, all: &BTreeMap<String, Self>, status: &str, depth: u32) -> bool {
        if !self.returns || depth == 0 {
            return false;
        }
        let listed = self.part("@return", "Thread:");
        let mut referred = listed.split('`').skip(1).step_by(2).filter_map(|name| all.get(name));
        listed.contains(&format!("`{status}`"))
            || referred.any(|other| other.lists_within(all, status, depth - 1))
    }
}

fn all_functions() -> BTreeMap<String, Function> {
    let sources = SOURCES.iter().flat_map(|source| functions(&root().join(format!("src/ffi/{source}.rs"))));
    sources.map(|function| (function.name.clone(), function)).collect()
}

#[test]
fn every_function_lists_the_statuses_it_can_return() {
    let all = all_functions();
    let mut handles = 0;
    for function in all.values().filter(|function| function.signature.contains("-> iscp_status_t")) {
        let takes = |what: &str| function.signature.contains(what);
        let handle = takes("_t, ") && (takes(": *mut iscp_") || takes(": *const iscp_"));
        let optional = function.documentation.contains(", or NULL for the defaults");
        let expected = [
            ("ISCP_OK", true),
            ("ISCP_ERR_NULL_ARGUMENT", handle && !optional),
            ("ISCP_ERR_BAD_HANDLE", handle),
            ("ISCP_ERR_INVALID_UTF8", takes(": *const c_char")),
        ];
        // An accessor of a null error says that there is none.
        for (status, _) in
            expected.iter().filter(|(_, expected)| *expected && function.name != "iscp_error_code")
        {
            assert!(function.lists(&all, status), "{}: @return does not list {status}", function.name);
        }
        handles += usize::from(handle);
    }
    assert!(handles > 90, "only {handles} functions with a handle were found");
}

#[test]
fn functions_that_block_say_so_and_are_refused_in_callbacks() {
    let all = all_functions();
    let mut blocking = Vec::new();
    for function in all.values() {
        let name = &function.name;
        let thread = function.part("Thread:", "Blocking:");
        let blocks = function.part("Blocking:", "Lifetime:").trim_start().trim_start_matches("/// ");
        let refused = function.lists(&all, "ISCP_ERR_IN_CALLBACK");
        let not_inside =
            thread.contains("any but the library's own") || thread.contains("inside a callback only");
        assert_eq!(refused, not_inside, "{name}: Thread and ISCP_ERR_IN_CALLBACK");
        assert!(!(refused && blocks.starts_with("no.")), "{name}: Blocking and ISCP_ERR_IN_CALLBACK");
        if refused {
            blocking.push(name.as_str());
        }
    }
    let head = generate();
    let (head, _) = head.split_once("#ifndef").expect("the head of the header");
    for name in blocking {
        assert!(
            name.contains("_wait") || head.contains(&format!("`{name}`")),
            "the header's head: {name} blocks"
        );
    }
}

#[test]
fn the_header_has_the_whole_callback_contract() {
    let header = generate();
    let (head, _) = header.split_once("#ifndef").expect("the head of the header");
    let (_, contract) = head.split_once("Callbacks:").expect("the contract");
    let contract = contract.split_whitespace().filter(|word| *word != "*").collect::<Vec<_>>().join(" ");
    for promise in [
        "calls back exactly once",
        "`user_data` is needed until then",
        "If it returns a failure, it does not call back",
        "`release` function, which is called exactly once",
        "after the last callback has returned",
        "one at a time and in order",
        "dispatcher thread",
        "No library lock is held",
        "Inside a callback every function may be called, `free` included",
        "`ISCP_ERR_IN_CALLBACK`",
        "valid until it returns",
        "no C++ exception, no `longjmp`",
    ] {
        assert!(contract.contains(promise), "the contract does not say: {promise}");
    }
    // And each type says who calls it.
    let callbacks =
        header.split("typedef void (*").skip(1).map(|after| after.split(')').next().expect("a name"));
    for name in callbacks {
        let (before, _) = header.split_once(&format!("typedef void (*{name})")).expect("the type");
        let (_, documentation) = before.rsplit_once("/**").expect("its documentation");
        assert!(
            documentation.contains("Called ") && documentation.contains("thread"),
            "{name}: called by whom?"
        );
        let (_, parameters) = header.split_once(&format!("typedef void (*{name})(")).expect("the type");
        assert!(
            // Nothing but the application's own pointer.
            parameters.split(')').next().is_some_and(|inside| inside.matches('*').count() == 1)
                || ["valid", "application's"].iter().any(|word| documentation.contains(word)),
            "{name}: how long are its arguments valid?"
        );
    }
}

#[test]
fn the_guide_tells_the_life_of_every_handle() {
    let header = generate();
    let guide = fs::read_to_string(root().join("docs/concepts.md")).expect("the guide");
    let types =
        header.lines().filter_map(|line| line.strip_prefix("typedef struct iscp_")?.split("_t ").next());
    let mut count = 0;
    for name in types.filter(|name| header.contains(&format!("typedef struct iscp_{name}_t iscp_{name}_t;")))
    {
        let mut rows = guide.lines().filter(|line| line.starts_with("| `iscp_"));
        let row = rows.find(|row| row.contains(&format!("`iscp_{name}_t`")));
        let row = row.unwrap_or_else(|| panic!("docs/concepts.md does not tell who frees iscp_{name}_t"));
        let counted = header.contains(&format!("*iscp_{name}_ref("));
        assert_eq!(
            counted,
            row.contains(&format!("`iscp_{name}_ref`")),
            "docs/concepts.md: ref of iscp_{name}_t"
        );
        count += 1;
    }
    assert!(count > 10, "only {count} types were found");
}
