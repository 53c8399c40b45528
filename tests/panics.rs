//! A panic on the library's own thread ends the connection it happened in, loudly, and nothing else.

mod support;

use std::fmt::{Debug, Write as _};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, mpsc};

use iscp::client::{Completion, Connection, ConnectionState, Dated, UpstreamOptions};
use iscp::core::FlushLevel;
use iscp::error::{Error, Status};
use iscp::message::{DataId, Qos};
use iscp_broker::core::Limits;
use support::{LIMIT, broker, connect, wait};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Panics once it is armed and an upstream is opened: the log is the one place where foreign code runs on the
/// connection's thread.
struct Bomb(Arc<AtomicBool>);

/// Text of a log message.
#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, _: &Field, value: &dyn Debug) {
        let _ = write!(self.0, "{value:?}");
    }
}

impl Subscriber for Bomb {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        if text.0.starts_with("upstream ") && text.0.ends_with(" opened") && self.0.swap(false, Relaxed) {
            panic!("this log is a bomb");
        }
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn reliable() -> UpstreamOptions {
    let mut options = UpstreamOptions::default();
    options.config.qos = Qos::Reliable;
    options
}

/// Writes a point and waits until it is acknowledged.
fn use_it(connection: &Connection) {
    let upstream = wait(|done| connection.open_upstream(reliable(), done)).unwrap();
    let id = upstream.data_id(DataId::new("a", "t")).unwrap();
    upstream.write(id, 1, b"x").unwrap();
    wait(|done| upstream.flush(FlushLevel::Acknowledged, LIMIT, done)).unwrap();
}

#[test]
fn a_panic_on_the_connections_thread_ends_that_connection_with_an_error() {
    let armed = Arc::new(AtomicBool::new(false));
    tracing::subscriber::set_global_default(Bomb(armed.clone())).unwrap();
    let broker = broker(Limits::default());
    let bystander = connect(&broker, "bystander", |_| {});
    let (told, events) = mpsc::channel();
    let (ended, end) = mpsc::channel();
    let victim = connect(&broker, "victim", |options| {
        options.on_event = Some(Arc::new(move |Dated { event, .. }| drop(told.send(event))));
        options.on_closed = Some(Arc::new(move |error: Option<Error>| drop(ended.send(error))));
    });
    use_it(&victim);

    armed.store(true, Relaxed);
    let (done, waiter) = Completion::waiter().unwrap();
    victim.open_upstream(reliable(), done).unwrap();
    waiter.wait(Some(LIMIT)).map(drop).unwrap_err();
    let error = end.recv_timeout(LIMIT).unwrap().expect("why it ended");
    assert_eq!((error.status(), error.is_fatal()), (Status::Panic, true), "{error}");
    assert!(error.message().contains("this log is a bomb"), "{error}");
    assert_eq!(victim.state(), ConnectionState::Closed);
    // It is not made anew, and nothing waits for it.
    let events: Vec<_> = events.into_iter().map(|event| format!("{event:?}")).collect();
    assert!(events.last().is_some_and(|last| last.starts_with("Closed(Some(")), "{events:?}");
    assert!(!events.iter().any(|event| event.starts_with("Reconnecting")), "{events:?}");

    use_it(&bystander);
    use_it(&connect(&broker, "newcomer", |_| {}));
}
