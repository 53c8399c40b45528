//! What the fuzz targets check beyond "no panic, no error of memory".

mod framing;
mod inflate;
mod memory;
mod points;
mod segments;

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use iscp::encoding::{Encoding, RawMessage, Schema};
use iscp::transport::multi::Control;
use iscp::transport::{Compression, Negotiation};

/// Checks a byte stream of messages.
pub fn framing(bytes: &[u8]) {
    checked(bytes, framing::check);
}

/// Checks a sequence of datagrams.
pub fn segments(bytes: &[u8]) {
    checked(bytes, segments::check);
}

/// Checks a sequence of compressed messages.
pub fn inflate(bytes: &[u8]) {
    checked(bytes, inflate::check);
}

/// Checks a run of data points.
pub fn points(bytes: &[u8]) {
    points::check(bytes);
}

fn checked(bytes: &[u8], check: impl FnOnce(&mut Unstructured<'_>) -> Result<()>) {
    check(&mut Unstructured::new(bytes)).expect("numbers behind the end are 0");
}

/// Checks one transport message: both layers agree whether it is valid, and what is taken survives every
/// encoding.
pub fn message(encoding: Encoding, bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    let typed = encoding.decode(bytes.clone());
    let raw = RawMessage::decode(encoding, bytes);
    let (message, raw) = match (typed, raw) {
        (Ok(message), Ok(raw)) => (message, raw),
        (Err(typed), Err(raw)) => {
            assert!(!typed.to_string().is_empty() && !raw.to_string().is_empty());
            return;
        }
        (typed, raw) => panic!("the layers disagree: {typed:?}, {raw:?}"),
    };
    for &other in Encoding::ALL {
        let encoded = raw.encode(other, Schema::V3);
        assert_eq!(RawMessage::decode(other, encoded.clone()).as_ref(), Ok(&raw), "{other:?}");
        assert_eq!(other.decode(encoded).as_ref(), Ok(&message), "{other:?}");

        let encoded = other.encode(&message, Schema::V3);
        assert_eq!(other.decode(encoded.clone()).as_ref(), Ok(&message), "{other:?}");
        // The canonical form means the same. It need not be the same: what a point brought along that
        // the schema does not know is passed on.
        let canonical = RawMessage::decode(other, encoded).expect("just decoded").encode(other, Schema::V3);
        assert_eq!(other.decode(canonical).as_ref(), Ok(&message), "{other:?}");

        // Fields that are left out for readers of protocol 2.x are all that is lost.
        let old = other.encode(&message, Schema::V2);
        let read = other.decode(old.clone()).expect("as good as the newest");
        assert_eq!(other.encode(&read, Schema::V2), old, "{other:?}");
    }
}

/// Checks a message that may be one between transports: what is understood is written as it is read.
pub fn control(bytes: &[u8]) {
    match Control::parse(bytes) {
        Ok(Some(control)) => assert_eq!(Control::parse(&control.encode()), Ok(Some(control))),
        Ok(None) => assert!(bytes.first() != Some(&0xFF) || bytes.len() >= 6),
        Err(why) => assert!(bytes.first() == Some(&0xFF) && !why.is_empty()),
    }
}

/// Checks a negotiation in both of its forms: what a server understood can be announced to another.
pub fn negotiation(bytes: &[u8]) {
    let query = std::str::from_utf8(bytes).ok().map(Negotiation::from_query);
    for read in [Some(Negotiation::from_bytes(bytes)), query].into_iter().flatten() {
        match read {
            Ok(negotiation) => {
                let announced = Negotiation { ambiguous: Compression::Off, ..negotiation };
                assert_eq!(Negotiation::from_query(&announced.to_query()).as_ref(), Ok(&announced));
                assert_eq!(Negotiation::from_bytes(&announced.to_bytes()).as_ref(), Ok(&announced));
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}
