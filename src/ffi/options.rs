//! Options: one table per kind of object, behind typed setters and the setter by key alike.

use std::ffi::c_char;
use std::fmt::Display;
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::convert;
use super::handle::Handle;
use super::upstream_options::{ISCP_QOS_PARTIAL, ISCP_QOS_RELIABLE, ISCP_QOS_UNRELIABLE};
use crate::error::{Error, Result, Status};
use crate::features;
use crate::message::{DataFilter, DataId, Qos};

/// One option of a kind of object.
pub(super) struct Spec<D> {
    /// Name, as in the typed setter.
    pub(super) key: &'static str,
    /// Values it takes, for people.
    pub(super) range: &'static str,
    /// Checks a value and takes it over.
    pub(super) set: fn(&mut D, &str) -> Result<(), Refusal>,
}

/// Why a value was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: Status,
    pub(super) why: String,
}

impl Refusal {
    /// The error for the caller.
    pub(super) fn into_error(self, option: &str) -> Error {
        Error::new(self.status, format!("option {option}: {}", self.why))
    }
}

impl Refusal {
    /// The error for the caller whose argument it was.
    pub(super) fn into_argument(self, argument: &str) -> Error {
        Error::new(Status::InvalidArgument, format!("{argument}: {}", self.why))
    }
}

#[cfg(feature = "tls")]
impl Refusal {
    /// Names the file whose content is refused.
    pub(super) fn of_file(mut self, path: &str) -> Self {
        self.why = format!("{path:?}: {}", self.why);
        self
    }
}

impl From<String> for Refusal {
    fn from(why: String) -> Self {
        Self { status: Status::InvalidOption, why }
    }
}

/// What is being collected.
pub(super) trait Settings: Send {
    /// What the application may be told of when it is dropped.
    type Held;

    /// Keeps what setting a value may replace, so that it is not dropped while the options are locked.
    fn held(&self) -> Self::Held;
}

/// Options being collected. One owner at a time, but a mistake there must not be undefined
/// behaviour.
pub(super) struct Collected<D>(Mutex<D>);

impl<D> Collected<D> {
    pub(super) fn new(data: D) -> Self {
        Self(Mutex::new(data))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, D> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sets an option by key.
pub(super) fn set<D>(table: &[Spec<D>], data: &mut D, key: &str, value: &str) -> Result<()> {
    let Some(spec) = table.iter().find(|spec| spec.key == key) else {
        let known: Vec<_> = table.iter().map(|spec| spec.key).collect();
        let key = if is_pem(key) { "PEM text" } else { key };
        let message = format!("there is no option {key:?}; the options are {}", known.join(", "));
        return Err(Error::new(Status::UnknownOption, message));
    };
    (spec.set)(data, value).map_err(|mut refusal| {
        if is_pem(&refusal.why) {
            refusal.why = "the value is PEM text, which may be a private key and is not shown".to_owned();
            if let Some(kind) = key.strip_suffix("_file") {
                refusal.why.push_str(&format!("; the option {kind}_pem takes PEM text"));
            }
        }
        if refusal.status == Status::InvalidOption {
            refusal.why.push_str(&format!("; expected {}", spec.range));
        }
        refusal.into_error(key)
    })
}

/// Whether a text contains a PEM text, or quotes one.
fn is_pem(text: &str) -> bool {
    text.contains("-----BEGIN")
}

/// Body of a typed setter.
///
/// # Safety
/// `options` is a handle of this library or NULL.
pub(super) unsafe fn set_typed<T, D>(
    options: *const T,
    table: &[Spec<D>],
    key: &str,
    value: impl Display,
) -> Result<()>
where
    T: Handle<Object = Collected<D>>,
    D: Settings,
{
    // SAFETY: the caller's promise.
    let options = unsafe { convert::object(options, "options")? };
    let (outcome, held) = {
        let mut data = options.lock();
        let held = data.held();
        (set(table, &mut *data, key, &value.to_string()), held)
    };
    drop(held);
    outcome
}

/// Body of a typed setter of a text.
///
/// # Safety
/// `options` is a handle of this library or NULL, `value` a string or NULL.
pub(super) unsafe fn set_text<T, D>(
    options: *const T,
    table: &[Spec<D>],
    key: &str,
    value: *const c_char,
) -> Result<()>
where
    T: Handle<Object = Collected<D>>,
    D: Settings,
{
    // SAFETY: the caller's promise.
    unsafe { set_typed(options, table, key, convert::text(value, key)?) }
}

/// Body of the setter by key.
///
/// # Safety
/// `options` is a handle of this library or NULL, the texts are strings or NULL.
pub(super) unsafe fn set_by_key<T, D>(
    options: *const T,
    table: &[Spec<D>],
    key: *const c_char,
    value: *const c_char,
) -> Result<()>
where
    T: Handle<Object = Collected<D>>,
    D: Settings,
{
    // SAFETY: the caller's promise.
    unsafe { set_text(options, table, convert::text(key, "key")?, value) }
}

// Values.

/// A whole number within limits.
pub(super) fn number<N: FromStr + PartialOrd + Display>(
    value: &str,
    least: N,
    most: N,
) -> Result<N, Refusal> {
    match value.trim().parse::<N>() {
        Ok(number) if number >= least && number <= most => Ok(number),
        _ => Err(format!("{value:?} is not a whole number from {least} to {most}").into()),
    }
}

/// Milliseconds within limits.
pub(super) fn milliseconds(value: &str, least: u32, most: u32) -> Result<Duration, Refusal> {
    number(value, least, most).map(|ms| Duration::from_millis(ms.into()))
}

/// Whole seconds given in milliseconds, as the protocol carries them.
pub(super) fn whole_seconds(value: &str, least: u32, most: u32) -> Result<Duration, Refusal> {
    let duration = milliseconds(value, least, most)?;
    if duration.subsec_millis() == 0 {
        Ok(duration)
    } else {
        Err(format!("{value} is not a whole number of seconds, which is all the protocol can carry").into())
    }
}

/// Refuses a value that a feature is needed for which this build lacks.
pub(super) fn built_in(feature: &str) -> Result<(), Refusal> {
    if features::has(feature) {
        return Ok(());
    }
    let why = format!("this build lacks the feature {feature:?}");
    Err(Refusal { status: Status::Unsupported, why })
}

/// What sets an option that needs a feature: without the feature, the refusal that names it.
macro_rules! needs {
    ($feature:tt, |$data:ident: &mut $type:ty, $value:ident: &str| $body:block) => {{
        #[cfg(feature = $feature)]
        const SET: fn(&mut $type, &str) -> Result<(), Refusal> = |$data, $value| $body;
        #[cfg(not(feature = $feature))]
        const SET: fn(&mut $type, &str) -> Result<(), Refusal> = |_, _| built_in($feature);
        SET
    }};
}
pub(super) use needs;

/// What is in a file that an option names; nothing without a name.
#[cfg(feature = "tls")]
pub(super) fn file(path: &str) -> Result<Vec<u8>, Refusal> {
    use std::io::Read;

    /// The collections of certificates that systems come with have a few hundred kilobytes.
    const MOST: u64 = 4 << 20;
    let mut content = Vec::new();
    if path.is_empty() {
        return Ok(content);
    }
    std::fs::File::open(path)
        .and_then(|file| file.take(MOST + 1).read_to_end(&mut content))
        .map_err(|error| format!("cannot read {path:?}: {error}"))?;
    match content.len() as u64 {
        0 => Err(format!("{path:?} is empty").into()),
        1..=MOST => Ok(content),
        _ => Err(format!("{path:?} is larger than {MOST} bytes").into()),
    }
}

/// true or false.
pub(super) fn boolean(value: &str) -> Result<bool, Refusal> {
    match value {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(format!("{value:?} is neither true nor false").into()),
    }
}

/// A QoS by name or, from the typed setters, by number.
pub(super) fn qos(value: &str) -> Result<Qos, Refusal> {
    let number = match value {
        "unreliable" => Some(ISCP_QOS_UNRELIABLE),
        "reliable" => Some(ISCP_QOS_RELIABLE),
        "partial" => Some(ISCP_QOS_PARTIAL),
        number => number.parse().ok(),
    };
    match number.map(Qos::from_number) {
        None | Some(Qos::Unknown(_)) => Err(format!("{value:?} is not a QoS").into()),
        Some(qos) => Ok(qos),
    }
}

/// Text of at most `most` bytes.
pub(super) fn bounded(value: &str, most: usize) -> Result<String, Refusal> {
    if value.len() <= most {
        Ok(value.to_owned())
    } else {
        Err(format!("{} bytes are too long", value.len()).into())
    }
}

/// `type:name` of a data id.
pub(super) fn data_id(value: &str) -> Result<DataId, Refusal> {
    data_id_parts(value).map(|(kind, name)| DataId::new(name, kind))
}

/// Type and name of a data id written as `type:name`.
pub(super) fn data_id_parts(value: &str) -> Result<(&str, &str), Refusal> {
    let (kind, name) = type_and_name(value)?;
    if name.is_empty() {
        return Err(format!("{value:?} has no name").into());
    }
    if [name, kind].iter().any(|part| part.contains(['#', '+'])) {
        return Err(format!("{value:?} contains a wildcard, which only filters may").into());
    }
    Ok((kind, name))
}

/// `type:name` of a data filter.
pub(super) fn data_filter(value: &str) -> Result<DataFilter, Refusal> {
    let (kind, name) = type_and_name(value)?;
    for part in [name, kind] {
        check_pattern(part)?;
    }
    Ok(DataFilter { name: name.to_owned(), kind: kind.to_owned() })
}

fn type_and_name(value: &str) -> Result<(&str, &str), Refusal> {
    match value.split_once(':') {
        Some((kind, name)) if !name.contains(':') => Ok((kind, name)),
        _ => Err(format!("{value:?} is not of the form type:name").into()),
    }
}

/// Wildcards stand for whole levels, and `#` stands last (docs/protocol/behaviour.md §6.2).
fn check_pattern(pattern: &str) -> Result<(), Refusal> {
    let levels: Vec<_> = pattern.split('/').collect();
    for (at, level) in levels.iter().enumerate() {
        let last = at + 1 == levels.len();
        if level.contains(['#', '+']) && level.len() > 1 {
            return Err(format!("{pattern:?}: a wildcard stands for a whole level").into());
        }
        if *level == "#" && !last {
            return Err(format!("{pattern:?}: # stands for the rest and must be last").into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::ConnectOptions;
    use crate::ffi::conn_option_table::OPTIONS;

    #[test]
    fn texts_of_data_ids_and_filters_are_checked() {
        assert_eq!(data_id("string:a/b"), Ok(DataId::new("a/b", "string")));
        assert_eq!(data_filter("#:a/+"), Ok(DataFilter { name: "a/+".to_owned(), kind: "#".to_owned() }));
        for wrong in ["", "name", "a:b:c", "string:", "string:a/#"] {
            assert!(data_id(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "name", "a:b:c", "t:a#", "t:#/a", "t:a+/b"] {
            assert!(data_filter(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_needs_a_feature_is_refused_by_its_name() {
        const TABLE: &[Spec<u32>] =
            &[Spec { key: "size", range: "1 to 10", set: |_, _| built_in("no-such-feature") }];
        let error = set(TABLE, &mut 0, "size", "7").unwrap_err();
        assert_eq!(error.status(), Status::Unsupported);
        assert!(error.message().contains("size") && error.message().contains("no-such-feature"), "{error}");
        assert!(!error.message().contains("1 to 10"), "{error}");
        assert_eq!(built_in("protobuf"), Ok(()));
    }

    #[test]
    fn no_option_quotes_a_pem_text() {
        const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG\n-----END PRIVATE KEY-----\n";
        let mut options = ConnectOptions::default();
        for Spec { key, .. } in OPTIONS {
            // Some options take every text.
            let Err(error) = set(OPTIONS, &mut options, key, KEY) else { continue };
            assert!(error.message().contains(key) && !error.message().contains("MII"), "{error}");
            if let Some(kind) = key.strip_suffix("_file").filter(|_| features::has("tls")) {
                assert!(error.message().contains(&format!("{kind}_pem")), "{error}");
            }
        }
        let error = set(OPTIONS, &mut options, KEY, "tls_client_key_pem").unwrap_err();
        assert!(!error.message().contains("MII"), "{error}");
    }

    #[test]
    fn no_option_quotes_user_and_password_of_a_url() {
        let mut options = ConnectOptions::default();
        for key in ["url", "oauth2_token_url", "proxy"] {
            for url in ["ftp://user:s3cr3t@host", "https://user:s3 cr3t@host:0", "user:s3/cr3t@host"] {
                let error = set(OPTIONS, &mut options, key, url).unwrap_err();
                assert!(error.message().contains(key) && !error.message().contains("cr3t"), "{error}");
            }
        }
    }

    #[test]
    fn an_unknown_key_and_a_wrong_value_are_named() {
        const TABLE: &[Spec<u32>] = &[Spec {
            key: "size",
            range: "1 to 10",
            set: |data, value| number(value, 1, 10).map(|value| *data = value),
        }];
        let mut data = 0;
        set(TABLE, &mut data, "size", "7").unwrap();
        assert_eq!(data, 7);
        let unknown = set(TABLE, &mut data, "sise", "7").unwrap_err();
        assert_eq!(unknown.status(), Status::UnknownOption);
        assert!(unknown.message().contains("sise") && unknown.message().contains("size"));
        let wrong = set(TABLE, &mut data, "size", "11").unwrap_err();
        assert_eq!(wrong.status(), Status::InvalidOption);
        assert!(wrong.message().contains("size") && wrong.message().contains("11"));
    }
}
