//! Access tokens.

use crate::bench::{Bench, Client, Link};
use crate::broker::Broker;

/// The right token lets the client in, a wrong one is refused with an error.
pub(crate) fn tokens(bench: &Bench, client: &Client) -> Result<(), String> {
    let log = bench.logs.join(format!("broker-tokens-{}-{}.log", client.language, client.version));
    let broker = Broker::start(&bench.program, &["--ws", "127.0.0.1:0", "--token", "the-right-one"], log)?;
    let mut peer = bench.connect_to(client, &Link::PLAIN, broker.url("ws"), "token=the-right-one")?;
    peer.run("close")?;
    match bench.connect_to(client, &Link::PLAIN, broker.url("ws"), "token=a-wrong-one") {
        Ok(_) => Err("a wrong token let it in".to_owned()),
        Err(error) if error.contains("within") => Err(error),
        Err(_) => Ok(()),
    }
}
