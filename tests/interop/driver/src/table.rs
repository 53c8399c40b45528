//! Every case there is.

use crate::bench::{Bench, Client, Link};
use crate::cases::{calls, data, metadata, multi, resume, samples, session, tokens, wire};
use crate::known;
use crate::report::Outcome;

type Run<'a> = Box<dyn Fn(&Bench) -> Result<(), String> + Send + Sync + 'a>;

/// One thing that is tried.
pub(crate) struct Case<'a> {
    /// Table, row and column of the page.
    pub(crate) group: &'static str,
    pub(crate) row: String,
    pub(crate) column: String,
    /// Who is tried, besides the C library.
    pub(crate) clients: Vec<&'a Client>,
    /// What of the client it needs.
    pub(crate) needs: Vec<known::Need>,
    run: Run<'a>,
}

impl Case<'_> {
    /// The name to choose it by.
    pub(crate) fn name(&self) -> String {
        format!("{} / {} / {}", self.group, self.row, self.column)
    }

    pub(crate) fn run(&self, bench: &Bench) -> Outcome {
        for client in &self.clients {
            for need in &self.needs {
                if let Some(why) = known::unsupported(client, need) {
                    return Outcome::Unsupported(why.to_owned());
                }
            }
        }
        for client in &self.clients {
            if let Err(why) = &client.peer {
                return Outcome::NotRun(why.clone());
            }
        }
        match (self.run)(bench) {
            Ok(()) => Outcome::Passed,
            Err(error) => match known::defect(self, &error) {
                Some(defect) => Outcome::Defect(defect.to_owned()),
                None => Outcome::Failed(error),
            },
        }
    }
}

pub(crate) const TRANSPORTS: [(&str, &str); 4] =
    [("ws", "WebSocket"), ("wss", "WebSocket with TLS"), ("quic", "QUIC"), ("webtransport", "WebTransport")];

/// The table of pairs of official clients.
pub(crate) const PAIRS: &str = "Between official clients";

struct Table<'a> {
    c: &'a Client,
    cases: Vec<Case<'a>>,
}

impl<'a> Table<'a> {
    /// A case in both directions: from the client to the C library, and back.
    fn both(
        &mut self,
        group: &'static str,
        row: &str,
        client: &'a Client,
        needs: &[known::Need],
        run: impl Fn(&Bench, &Client, &Client) -> Result<(), String> + Clone + Send + Sync + 'a,
    ) {
        let c = self.c;
        for (arrow, from, to) in [("→ C", client, c), ("← C", c, client)] {
            let run = run.clone();
            self.cases.push(Case {
                group,
                row: format!("{row} {arrow}"),
                column: client.title(),
                clients: vec![client],
                needs: needs.to_vec(),
                run: Box::new(move |bench| run(bench, from, to)),
            });
        }
    }

    /// A case in one direction.
    fn one(
        &mut self,
        group: &'static str,
        row: &str,
        client: &'a Client,
        needs: &[known::Need],
        run: impl Fn(&Bench, &Client, &Client) -> Result<(), String> + Send + Sync + 'a,
    ) {
        let c = self.c;
        self.cases.push(Case {
            group,
            row: row.to_owned(),
            column: client.title(),
            clients: vec![client],
            needs: needs.to_vec(),
            run: Box::new(move |bench| run(bench, client, c)),
        });
    }

    fn data(&mut self, client: &'a Client) {
        for (transport, title) in TRANSPORTS {
            for encoding in ["protobuf", "json"] {
                for compression in ["none", "per-message:6", "context-takeover:6:12"] {
                    let takeover = compression.starts_with("context");
                    // TLS changes nothing of the messages, and only WebSockets can take a context over.
                    if transport == "wss" && (encoding, compression) != ("protobuf", "none")
                        || takeover && !transport.starts_with("ws")
                    {
                        continue;
                    }
                    for qos in ["reliable", "partial", "unreliable"] {
                        let link = Link { transport, encoding, compression };
                        let needs = [
                            known::Need::Transport(transport),
                            known::Need::Encoding(encoding),
                            known::Need::Compression(compression),
                        ];
                        let row = format!("{title}, {encoding}, {compression}, {}", qos.to_uppercase());
                        self.both("Points", &row, client, &needs, move |bench, from, to| {
                            data::transfer(bench, from, to, &link, qos)
                        });
                    }
                }
            }
        }
    }

    fn features(&mut self, client: &'a Client) {
        self.one("Connections", "access tokens, right and wrong", client, &[], |bench, client, _| {
            tokens::tokens(bench, client)
        });

        let group = "Streams";
        for policy in ["none", "immediate", "interval:50", "size:10", "either:60000:10", "either:50:100000"] {
            let row = format!("flush policy {policy}");
            self.one(group, &row, client, &[], move |bench, from, to| {
                data::flush_policy(bench, from, to, policy)
            });
        }
        self.both(group, "200 data ids in a chunk", client, &[], data::many_ids);
        for (transport, title) in TRANSPORTS {
            let row = format!("points of 900 kB, {title}");
            let needs = [known::Need::Transport(transport)];
            self.both(group, &row, client, &needs, move |bench, from, to| {
                data::large(bench, from, to, &Link::over(transport), 900_000)
            });
        }
        self.both(group, "points of 7 MiB, WebSocket", client, &[], |bench, from, to| {
            data::large(bench, from, to, &Link::PLAIN, 7 << 20)
        });
        self.both(group, "8 streams on a connection", client, &[], data::eight);
        for omit in [false, true] {
            let row = format!("filters, omit_empty_chunk={omit}");
            self.both(group, &row, client, &[], move |bench, from, to| data::filters(bench, from, to, omit));
        }
        self.one(group, "persist and close_session on the wire", client, &[], |bench, client, _| {
            wire::flags(bench, client)
        });

        for encoding in ["protobuf", "json"] {
            let row = format!("a session of everything, {encoding}");
            let needs = [known::Need::Encoding(encoding)];
            self.one(group, &row, client, &needs, move |bench, client, c| {
                session::record(bench, client, c, encoding)
            });
        }

        let group = "Metadata";
        for (transport, encoding) in [("ws", "protobuf"), ("ws", "json"), ("quic", "protobuf")] {
            let link = Link { transport, encoding, compression: "none" };
            let needs = [known::Need::Transport(transport), known::Need::Encoding(encoding)];
            let row = format!("base times, {transport}, {encoding}");
            self.both(group, &row, client, &needs, move |bench, from, to| {
                metadata::base_time(bench, from, to, &link)
            });
        }
        self.both(group, "streams opened, closed and lost", client, &[], metadata::streams);

        let group = "Calls";
        self.both(group, "call and reply", client, &[], calls::call_and_reply);
        self.both(group, "call and wait", client, &[], calls::call_and_wait);
        self.one(group, "a call to nobody fails", client, &[], |bench, client, _| {
            calls::nobody(bench, client)
        });
    }

    fn resuming(&mut self, client: &'a Client) {
        let group = "Links that are cut";
        let needs = [known::Need::Reconnecting];
        self.one(group, "RELIABLE upstream, nothing is lost", client, &needs, resume::upstream);
        self.one(group, "RELIABLE downstream, nothing is missed", client, &needs, |bench, client, c| {
            resume::downstream(bench, c, client)
        });
        self.one(group, "what others are told, and how it goes on", client, &needs, resume::metadata);
        self.one(group, "what it is told of another such client", client, &needs, |bench, client, _| {
            resume::metadata(bench, client, client)
        });
    }

    /// The other way round: the link of the C library is cut, and the client is at the other end.
    fn resuming_of_c(&mut self, client: &'a Client) {
        let group = "Links of the C library that are cut";
        self.one(group, "its RELIABLE upstream, nothing is lost", client, &[], |bench, client, c| {
            resume::upstream(bench, c, client)
        });
        self.one(group, "its RELIABLE downstream, nothing is missed", client, &[], resume::downstream);
        self.one(group, "what the client is told", client, &[], |bench, client, c| {
            resume::metadata(bench, c, client)
        });
    }

    fn several_links(&mut self, client: &'a Client) {
        for selector in ["round-robin", "min-rtt", "ecf"] {
            let row = format!("{selector}, one link cut at a time");
            let needs = [known::Need::SeveralLinks];
            self.one("Several links of one connection", &row, client, &needs, move |bench, client, c| {
                multi::links(bench, client, c, selector)
            });
        }
    }

    fn samples(&mut self, client: &'a Client) {
        let group = "Samples of the documentation of the Go client";
        self.one(group, "connect with OAuth2", client, &[], |bench, client, _| {
            samples::connect(bench, client)
        });
        self.one(group, "upstream and downstream", client, &[], |bench, client, _| {
            samples::streams(bench, client)
        });
    }

    fn pairs(&mut self, from: &'a Client, to: &'a Client) {
        let mut add = |row: &str, needs: &[known::Need], run: Run<'a>| {
            self.cases.push(Case {
                group: PAIRS,
                row: row.to_owned(),
                column: format!("{} → {}", from.title(), to.title()),
                clients: vec![from, to],
                needs: needs.to_vec(),
                run,
            });
        };
        for (transport, title) in TRANSPORTS {
            for qos in ["reliable", "partial", "unreliable"] {
                let row = format!("points, {title}, {}", qos.to_uppercase());
                add(
                    &row,
                    &[known::Need::Transport(transport)],
                    Box::new(move |bench| data::transfer(bench, from, to, &Link::over(transport), qos)),
                );
            }
        }
        add("base times", &[], Box::new(move |bench| metadata::base_time(bench, from, to, &Link::PLAIN)));
        add("call and reply", &[], Box::new(move |bench| calls::call_and_reply(bench, from, to)));
        add("call and wait", &[], Box::new(move |bench| calls::call_and_wait(bench, from, to)));
    }
}

/// The cases for some clients, the first of which is the C library.
pub(crate) fn cases(clients: &[Client]) -> Vec<Case<'_>> {
    let (c, official) = clients.split_first().expect("the C library is always there");
    let mut table = Table { c, cases: Vec::new() };
    for client in official {
        table.data(client);
        table.features(client);
        table.resuming(client);
        table.resuming_of_c(client);
        table.several_links(client);
        if client.language == "go" {
            table.samples(client);
        }
    }
    for from in official {
        for to in official {
            // Each client's other languages; two versions of one are tried through the C library.
            if from.language != to.language {
                table.pairs(from, to);
            }
        }
    }
    table.cases
}
