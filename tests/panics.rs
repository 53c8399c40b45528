//! A panic on the library's own thread ends the connection it happened in, loudly, and nothing else.

mod support;

use std::fmt::{Debug, Write as _};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::thread;

use iscp::client::{
    Completion, Connection, ConnectionState, Dated, DownstreamOptions, DownstreamState, UpstreamOptions,
};
use iscp::core::{FlushLevel, UpstreamState};
use iscp::error::{Error, Status};
use iscp::message::{DataId, Qos};
use iscp_broker::core::Limits;
use support::{LIMIT, broker, connect, wait};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Panics, as often as it is charged, when an upstream is opened or ends for a reason: the log is the one place where
/// foreign code runs on the connection's thread.
struct Bomb(&'static AtomicU32);

/// The charges of the bomb of this process, for one test at a time.
fn bomb() -> MutexGuard<'static, &'static AtomicU32> {
    static CHARGES: AtomicU32 = AtomicU32::new(0);
    static BOMB: OnceLock<Mutex<&'static AtomicU32>> = OnceLock::new();
    let bomb = BOMB.get_or_init(|| {
        tracing::subscriber::set_global_default(Bomb(&CHARGES)).unwrap();
        Mutex::new(&CHARGES)
    });
    bomb.lock().unwrap_or_else(PoisonError::into_inner)
}

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
        let triggered =
            text.0.starts_with("upstream ") && (text.0.ends_with(" opened") || text.0.contains(" ended:"));
        if triggered && self.0.fetch_update(Relaxed, Relaxed, |charges| charges.checked_sub(1)).is_ok() {
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
    let charges = bomb();
    let broker = broker(Limits::default());
    let bystander = connect(&broker, "bystander", |_| {});
    let (told, events) = mpsc::channel();
    let (ended, end) = mpsc::channel();
    let victim = connect(&broker, "victim", |options| {
        options.on_event = Some(Arc::new(move |Dated { event, .. }| drop(told.send(event))));
        options.on_closed = Some(Arc::new(move |error: Option<Error>| drop(ended.send(error))));
    });
    use_it(&victim);

    charges.store(1, Relaxed);
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

#[test]
fn a_panic_while_it_ends_after_another_leaves_nobody_waiting() {
    let charges = bomb();
    let broker = broker(Limits::default());
    let (told, ends) = mpsc::channel();
    let victim = connect(&broker, "victim", |options| {
        let told = told.clone();
        options.on_closed =
            Some(Arc::new(move |error: Option<Error>| drop(told.send(("connection", error)))));
    });
    let options = UpstreamOptions {
        on_closed: Some(Box::new({
            let told = told.clone();
            move |end| drop(told.send(("upstream", end.error)))
        })),
        ..reliable()
    };
    let upstream = wait(|done| victim.open_upstream(options, done)).unwrap();
    let id = upstream.data_id(DataId::new("a", "t")).unwrap();
    let options = DownstreamOptions {
        on_closed: Some(Box::new(move |error| drop(told.send(("downstream", error))))),
        ..DownstreamOptions::default()
    };
    let downstream = wait(|done| victim.open_downstream(options, done)).unwrap();

    charges.store(2, Relaxed);
    thread::scope(|scope| {
        let reader = scope.spawn(|| downstream.next_chunk(Some(LIMIT)).map(drop).unwrap_err());
        let (done, waiter) = Completion::waiter().unwrap();
        victim.open_upstream(reliable(), done).unwrap();
        waiter.wait(Some(LIMIT)).map(drop).unwrap_err();
        assert_eq!(reader.join().unwrap().status(), Status::Panic);
    });
    for what in ["upstream", "downstream", "connection"] {
        let (who, error) = ends.recv_timeout(LIMIT).unwrap();
        assert_eq!((who, error.map(|error| error.status())), (what, Some(Status::Panic)));
    }
    assert_eq!(charges.load(Relaxed), 0);
    assert_eq!(victim.state(), ConnectionState::Closed);
    assert_eq!(upstream.write(id, 1, b"x"), Err(Status::Closed));
    assert_eq!(upstream.state(), UpstreamState::Closed);
    assert_eq!(downstream.state(), DownstreamState::Closed);
}
