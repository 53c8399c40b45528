//! The thread of the server: listener, timers, and the core that all connections share.

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::Instant;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;

use super::{ServerConfig, StartError};

/// Connections the system may hold ready for us: many clients reconnect in the same moment.
const BACKLOG: u32 = 4096;

/// Runs the server until told to stop.
pub(super) fn run(
    config: ServerConfig,
    mut commands: watch::Receiver<Option<Instant>>,
    report: &mpsc::Sender<Result<SocketAddr, StartError>>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = report.send(Err(StartError::Thread(error)));
            return;
        }
    };
    runtime.block_on(async {
        let Some(address) = config.ws else { return };
        let listener = match listen(address) {
            Ok(listener) => listener,
            Err(source) => {
                let _ = report.send(Err(StartError::Listen { address, source }));
                return;
            }
        };
        let _ = report.send(Ok(listener.local_addr().unwrap_or(address)));
        let _ = commands.changed().await;
    });
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
