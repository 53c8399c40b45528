//! The parts of the guide that follow from tables in the code: `docs/options.md`, made of the option
//! tables and of the setters' documentation, and the tables of `docs/errors.md`.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use super::conn_option_table;
use super::downstream_options::{self, DownstreamSettings};
use super::options::{Spec, set};
use super::runtime_options;
use super::upstream_options::{self, UpstreamSettings};
use crate::client::{ConnectOptions, FullPolicy, TokenSource};
use crate::error::Status;
use crate::message::ResultCode;

const INTRODUCTION: &str = "\
# Options

<!-- Made of src/ffi/*_options.rs by a test. After a change run:
     ISCP_UPDATE_DOCS=1 cargo test -p iscp --lib documents -->

Options are collected in an object before something is opened, and copied when it is. Afterwards the
object may be changed, used again or freed.

There are two ways to set an option, with the same checks:

- the typed function, for example `iscp_upstream_options_set_flush_size(options, 4096, &error)`;
- by name and text, for configuration files and language bindings, for example
  `iscp_upstream_options_set(options, \"flush_size\", \"4096\", &error)`.

By text, numbers are decimal, and booleans are `true` or `false`. A value out of range is refused with
`ISCP_ERR_INVALID_OPTION`, and the option keeps its value; the error message names the option and the
range. An unknown name is refused with `ISCP_ERR_UNKNOWN_OPTION`.

Names that end in `_ms` are milliseconds. Sizes are bytes. The type is what the typed function takes.
";

type Snapshot = fn(values: &[(&str, &str)]) -> Result<String, String>;

/// One kind of options, as the reference shows it.
struct Kind {
    title: &'static str,
    /// What the functions of the kind begin with.
    prefix: &'static str,
    source: &'static str,
    /// Key and range of every option of the table.
    table: Vec<(&'static str, &'static str)>,
    /// Sets options by key on fresh settings and shows everything the settings are.
    snapshot: Snapshot,
}

fn kinds() -> [Kind; 4] {
    [
        Kind {
            title: "Connection",
            prefix: "iscp_conn_options_",
            source: concat!(
                include_str!("conn_options.rs"),
                include_str!("conn_address_options.rs"),
                include_str!("conn_timing_options.rs"),
                include_str!("conn_limit_options.rs"),
                include_str!("conn_credential_options.rs"),
                include_str!("conn_tls_options.rs"),
                include_str!("conn_network_options.rs"),
                include_str!("conn_path_options.rs"),
                include_str!("conn_reconnect_options.rs"),
                include_str!("conn_spool_options.rs"),
            ),
            table: rows(conn_option_table::OPTIONS),
            snapshot: |values| applied(conn_option_table::OPTIONS, values, show_connection),
        },
        Kind {
            title: "Upstream",
            prefix: "iscp_upstream_options_",
            source: concat!(
                include_str!("upstream_options.rs"),
                include_str!("upstream_outage_options.rs"),
                include_str!("upstream_buffer_options.rs"),
                include_str!("upstream_handlers.rs"),
            ),
            table: rows(upstream_options::OPTIONS),
            snapshot: |values| applied(upstream_options::OPTIONS, values, show_upstream),
        },
        Kind {
            title: "Downstream",
            prefix: "iscp_downstream_options_",
            source: concat!(
                include_str!("downstream_options.rs"),
                include_str!("downstream_flow_options.rs"),
                include_str!("downstream_handlers.rs"),
            ),
            table: rows(downstream_options::OPTIONS),
            snapshot: |values| applied(downstream_options::OPTIONS, values, show_downstream),
        },
        Kind {
            title: "Runtime",
            prefix: "iscp_runtime_options_",
            source: include_str!("runtime_options.rs"),
            table: rows(runtime_options::OPTIONS),
            snapshot: |values| applied(runtime_options::OPTIONS, values, |options| format!("{options:?}")),
        },
    ]
}

fn rows<D>(table: &[Spec<D>]) -> Vec<(&'static str, &'static str)> {
    table.iter().map(|spec| (spec.key, spec.range)).collect()
}

fn applied<D: Default>(
    table: &[Spec<D>],
    values: &[(&str, &str)],
    show: fn(&D) -> String,
) -> Result<String, String> {
    let mut settings = D::default();
    for (key, value) in values {
        set(table, &mut settings, key, value).map_err(|error| error.to_string())?;
    }
    Ok(show(&settings))
}

fn show_connection(settings: &ConnectOptions) -> String {
    let ConnectOptions {
        url,
        address,
        config,
        token,
        #[cfg(feature = "oauth2")]
        oauth2,
        header_token,
        header_token_name,
        token_timeout,
        connect_timeout,
        close_timeout,
        calls,
        dial,
        spool,
        event_queue_limit,
        on_spool: _,
        on_event: _,
        on_closed: _,
    } = settings;
    let [token, header_token] = [token, header_token].map(|source| match source {
        TokenSource::Static(token) => token,
        _ => "",
    });
    #[cfg(feature = "oauth2")]
    let oauth2 = format!("{:?} {}", oauth2.settings(), oauth2.settings().client_secret);
    #[cfg(not(feature = "oauth2"))]
    let oauth2 = "";
    format!(
        "{url} {address:?} {config:?} {token} {oauth2} {header_token} {header_token_name:?} {token_timeout:?} \
         {connect_timeout:?} {close_timeout:?} {calls:?} {event_queue_limit} {dial:?} {spool:?}"
    )
}

fn show_upstream(settings: &UpstreamSettings) -> String {
    let options = settings.to_options();
    format!("{:?} {:?}", options.config, options.full)
}

fn show_downstream(settings: &DownstreamSettings) -> String {
    let options = settings.to_options();
    format!("{:?} {} {:?}", options.config, options.buffer_limit, options.buffer_policy)
}

/// Functions of a source and the first paragraph of their documentation, in order.
fn documented_functions(source: &str) -> Vec<(&str, String)> {
    let lines: Vec<_> = source.lines().collect();
    lines
        .iter()
        .enumerate()
        .filter_map(|(at, line)| {
            let (_, after) = line.split_once(" extern \"C\" fn ")?;
            let mut documentation: Vec<_> = lines[..at]
                .iter()
                .rev()
                .skip_while(|line| line.starts_with("#["))
                .map_while(|line| line.strip_prefix("///"))
                .collect();
            documentation.reverse();
            let paragraph: Vec<_> =
                documentation.iter().map(|line| line.trim()).take_while(|line| !line.is_empty()).collect();
            Some((after.split('(').next()?, paragraph.join(" ")))
        })
        .collect()
}

/// The function that sets, or adds to, an option, and the first paragraph of its documentation.
fn setter<'a>(functions: &'a [(&str, String)], prefix: &str, key: &str) -> &'a (&'a str, String) {
    functions
        .iter()
        .find(|(name, _)| {
            let verb_and_key = name.strip_prefix(prefix).unwrap_or_default();
            ["set_", "add_"].iter().any(|verb| verb_and_key.strip_prefix(verb) == Some(key))
        })
        .unwrap_or_else(|| panic!("no function for {prefix}…{key}"))
}

/// What a setter takes beside the options, as C calls it; where C has an integer or a pointer, what it is.
fn types(source: &str, function: &str) -> String {
    let (_, signature) = source.split_once(&format!(" fn {function}(")).expect("a function of the source");
    let (parameters, _) = signature.split_once(')').expect("parameters");
    let types = parameters.split(',').filter_map(|parameter| Some(parameter.split_once(':')?.1.trim()));
    let named = types.filter(|what| !what.starts_with("*mut ")).map(|what| match what {
        "*const c_char" => "text".to_owned(),
        "bool" => "`bool`".to_owned(),
        "u16" => "`uint16_t`".to_owned(),
        "u32" => "`uint32_t`".to_owned(),
        "u64" => "`uint64_t`".to_owned(),
        "usize" => "`size_t`".to_owned(),
        other if other.starts_with("iscp_") => format!("`{other}`"),
        other => panic!("{function}: no name for {other}"),
    });
    named.collect::<Vec<_>>().join(", ")
}

/// Takes the sentence `Default: …` out of a description.
fn split_default(text: &str) -> (String, Option<String>) {
    let Some((before, after)) = text.split_once("Default: ") else {
        return (text.to_owned(), None);
    };
    let (default, rest) = after.split_once('.').unwrap_or((after, ""));
    let meaning = format!("{}{rest}", before.trim_end());
    (meaning, Some(default.to_owned()))
}

/// The value that a documented default stands for, as text for the setter by key.
fn default_value(documented: &str) -> &str {
    let word = documented.split(',').next().unwrap_or(documented).trim_matches('`');
    match word {
        "none" | "empty" => "",
        "ISCP_QOS_UNRELIABLE" => "unreliable",
        "off" => "none",
        other => other,
    }
}

/// What a setter does, as what its option means.
fn meaning(text: &str) -> String {
    let text = text.strip_prefix("Sets ").unwrap_or(text);
    let mut letters = text.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().collect::<String>() + letters.as_str())
        .unwrap_or_default()
        .replace('|', "\\|")
}

fn reference() -> String {
    let mut text = INTRODUCTION.to_owned();
    for kind in kinds() {
        let functions = documented_functions(kind.source);
        let Kind { title, prefix, .. } = kind;
        writeln!(
            text,
            "\n## {title}\n\nFunctions: `{prefix}set_` (for lists `add_`) and the name, or `{prefix}set`.\n\n\
             | name | type | values | default | meaning |\n|---|---|---|---|---|"
        )
        .unwrap();
        for (key, range) in &kind.table {
            let (function, about) = setter(&functions, prefix, key);
            let (about, default) = split_default(about);
            let default = default.unwrap_or_else(|| "none".to_owned());
            let types = types(kind.source, function);
            writeln!(text, "| `{key}` | {types} | {range} | {default} | {} |", meaning(&about)).unwrap();
        }
        writeln!(text, "\nWhat no text can hold has a function only:\n").unwrap();
        for (function, about) in &functions {
            let name = function.strip_prefix(prefix).unwrap_or(function);
            let keyed = kind.table.iter().any(|(key, _)| setter(&functions, prefix, key).0 == *function);
            if !keyed && !["new", "free", "set"].contains(&name) {
                writeln!(text, "- `{function}`: {about}").unwrap();
            }
        }
    }
    text
}

fn document(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)
}

#[test]
fn the_option_reference_is_what_the_sources_say() {
    let path = document("options.md");
    let generated = reference();
    if std::env::var_os("ISCP_UPDATE_DOCS").is_some() {
        fs::write(&path, &generated).unwrap();
    }
    assert!(
        fs::read_to_string(&path).unwrap_or_default() == generated,
        "docs/options.md is stale: run `ISCP_UPDATE_DOCS=1 cargo test -p iscp --lib documents`"
    );
}

#[test]
#[cfg_attr(
    not(all(
        feature = "webtransport",
        feature = "json",
        feature = "compression",
        feature = "oauth2",
        feature = "proxy",
        feature = "multi"
    )),
    ignore = "options of features that are not built in have no value"
)]
fn documented_defaults_are_the_defaults() {
    for kind in kinds() {
        let functions = documented_functions(kind.source);
        let fresh = (kind.snapshot)(&[]).unwrap();
        for (key, _) in &kind.table {
            let (setter, about) = setter(&functions, kind.prefix, key);
            match split_default(about).1 {
                Some(default) => {
                    let value = default_value(&default);
                    let changed = (kind.snapshot)(&[(key, value)]).unwrap();
                    assert_eq!(changed, fresh, "{setter}: the default is not {value:?}");
                }
                // No default, or a list that begins empty.
                None => {
                    assert!(
                        ["url", "path", "data_id", "filter", "node"].contains(key),
                        "{setter}: no `Default: …`"
                    )
                }
            }
        }
    }
}

/// Without it the test above would accept any default of an option that the snapshot leaves out.
#[test]
#[cfg_attr(
    not(all(
        feature = "webtransport",
        feature = "json",
        feature = "compression",
        feature = "oauth2",
        feature = "proxy",
        feature = "multi"
    )),
    ignore = "options of features that are not built in have no value"
)]
fn every_option_shows_in_the_snapshot() {
    const CANDIDATES: &[&str] = &[
        "2000",
        "true",
        "false",
        "reliable",
        "immediate",
        "would_block",
        "a:b",
        "node a:b",
        "ws://host",
        "per-message",
        "json",
        "11111111-2222-3333-4444-555555555555",
        "::1",
        "http://host:1",
        "bbr",
        "ecf",
        "interface=eth0",
        "100000",
        "disk",
        "drop_oldest",
        "strict",
        "wss",
        "/x",
    ];
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let pem = made.cert.pem() + &made.signing_key.serialize_pem();
    let file = std::env::temp_dir().join(format!("libiscp-options-{}.pem", std::process::id()));
    fs::write(&file, &pem).unwrap();
    let candidates: Vec<_> = CANDIDATES.iter().copied().chain([&*pem, file.to_str().unwrap()]).collect();
    for kind in kinds() {
        let fresh = (kind.snapshot)(&[]).unwrap();
        for (key, _) in &kind.table {
            let seen = candidates
                .iter()
                .any(|value| (kind.snapshot)(&[(key, value)]).is_ok_and(|changed| changed != fresh));
            assert!(seen, "{}{key}", kind.prefix);
        }
    }
    fs::remove_file(&file).unwrap();
    assert_ne!(FullPolicy::Fail, UpstreamSettings::default().to_options().full);
}

/// Cells of the rows of a document's tables whose first cell satisfies `first`.
fn table_rows(text: &str, first: impl Fn(&str) -> bool) -> Vec<Vec<String>> {
    text.lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"))
        .map(|line| line.split(" | ").map(str::to_owned).collect::<Vec<_>>())
        .filter(|cells| first(&cells[0]))
        .collect()
}

#[test]
fn the_guide_explains_every_status() {
    let text = fs::read_to_string(document("errors.md")).unwrap();
    let rows = table_rows(&text, |cell| cell == "`ISCP_OK`" || cell.starts_with("`ISCP_ERR_"));
    let explained: Vec<_> = rows
        .iter()
        .map(|cells| {
            let [name, number, meaning, todo] = &cells[..] else {
                panic!("{cells:?}: not four cells");
            };
            assert!(!todo.is_empty(), "{name}: what to do?");
            (name.trim_matches('`'), number.parse().unwrap(), meaning.as_str())
        })
        .collect();
    let known: Vec<_> = std::iter::once((super::status::ISCP_OK, "success"))
        .chain(Status::ALL.iter().map(|status| (status.number(), status.text())))
        .map(|(number, text)| {
            // SAFETY: a static text.
            let name = unsafe { std::ffi::CStr::from_ptr(super::status::iscp_status_name(number)) };
            (name.to_str().unwrap(), number, text)
        })
        .collect();
    assert_eq!(explained, known, "docs/errors.md (left) and src/ffi/status.rs (right)");
}

#[test]
fn result_codes_in_the_guide_have_their_numbers() {
    let text = fs::read_to_string(document("errors.md")).unwrap();
    let rows = table_rows(&text, |cell| cell.parse::<i32>().is_ok());
    assert!(rows.len() > 10, "only {} result codes were found", rows.len());
    for cells in rows {
        let code = ResultCode(cells[0].parse().unwrap());
        assert_eq!(code.name(), Some(cells[1].trim_matches('`')), "{cells:?}");
    }
}
