//! Connections over several transports (docs/protocol/transport.md §7.7).
//!
//! The first transport with a group id founds the group and drives the connection; the others join it. Who knows the
//! id may join, so what shows the client must be the same: its `Authorization` header, and whether it is encrypted.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use iscp::encoding::Encoding;
use iscp::transport::multi::{Bundle, Entrance, Joining, Numbering, Scheduler, Settings};
use iscp::transport::{Group, compressed};
use tokio::sync::oneshot;
use tracing::{debug, info};
use uuid::Uuid;

use super::ServerConfig;
use super::connection::Accepted;

/// Time between two pings of a transport.
const PING_INTERVAL: Duration = Duration::from_secs(2);
/// Silence after a ping that ends a transport.
const SILENCE_LIMIT: Duration = Duration::from_secs(10);

/// The groups of a server.
#[derive(Default)]
pub(super) struct Groups(Mutex<HashMap<Key, Entry>>);

/// What makes transports one connection. A transport with an id of its own and none of a group is a group that only
/// itself can join again.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    Group(String),
    Alone(String),
}

struct Entry {
    entrance: Entrance,
    founder: Identity,
}

/// What the transports of a group have in common.
#[derive(PartialEq, Eq)]
struct Identity {
    authorization: Option<String>,
    secure: bool,
    encoding: Encoding,
    numbered: bool,
}

/// Where a transport belongs.
pub(super) enum Place<'a> {
    /// It is the first: the connection is to be driven, and the group forgotten with it.
    Founder(Box<Bundle>, Founded<'a>),
    /// Another drives the connection.
    Member,
}

/// Forgets a group when dropped.
pub(super) struct Founded<'a> {
    groups: &'a Groups,
    key: Key,
}

impl Drop for Founded<'_> {
    fn drop(&mut self) {
        self.groups.lock().remove(&self.key);
    }
}

impl Groups {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings a transport where it belongs. As one member of several, it stays there until it has ended.
    pub(super) async fn enter(&self, config: &ServerConfig, group: &Group, accepted: Accepted) -> Place<'_> {
        let Accepted { transport, negotiation, peer, secure } = accepted;
        let identity = Identity {
            authorization: peer.authorization,
            secure,
            encoding: negotiation.encoding,
            numbered: group.numbered,
        };
        let name = peer.address.map_or_else(|| "a client".to_owned(), |address| address.to_string());
        let limit = config.core.limits.message_bytes;
        let (gone, lost) = oneshot::channel();
        let joining = Joining {
            slot: group.member.clone(),
            name: name.clone(),
            transport: compressed(transport, &negotiation, limit),
            gone,
        };
        let key = match group.connection.as_str() {
            "" => Key::Alone(group.member.clone()),
            connection => Key::Group(connection.to_owned()),
        };
        let entrance = {
            let mut groups = self.lock();
            match groups.get(&key) {
                Some(entry) if entry.founder != identity => {
                    info!(%name, "refused to join a connection with other credentials or parameters");
                    return Place::Member;
                }
                Some(entry) => entry.entrance.clone(),
                None => {
                    let numbering = match group.numbered {
                        true => Numbering::On(Uuid::new_v4().as_u64_pair().0),
                        false => Numbering::Off,
                    };
                    let (bundle, entrance) = Bundle::new(Settings {
                        server: true,
                        numbering,
                        scheduler: Scheduler::MinRtt,
                        ping_interval: PING_INTERVAL,
                        silence_limit: SILENCE_LIMIT,
                        grace: config.group_grace,
                        datagrams: true,
                        max_message_size: limit,
                    });
                    // There is room for the first, so this is done at once: nobody joins before it.
                    let _ = entrance.join(joining).now_or_never();
                    groups.insert(key.clone(), Entry { entrance, founder: identity });
                    return Place::Founder(Box::new(bundle), Founded { groups: self, key });
                }
            }
        };
        if entrance.join(joining).await {
            // Its sender sends nothing.
            let _ = lost.await;
        } else {
            debug!(%name, "the connection to join has just ended");
        }
        Place::Member
    }
}
