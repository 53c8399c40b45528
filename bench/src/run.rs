//! Measures: workload by workload, and within one in turns, so that what else the machine does meets all alike.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::Extent;
use crate::catalogue::{Backend, Case, Kind, PEERS, Peer, peer};
use crate::machine;
use crate::progress::Progress;
use crate::report::{Cell, Outcome, Report};
use crate::server::{self, Lossy, Programs, Server};
use crate::stats::{merge, summarize};
use crate::worker::{Problem, Worker};

/// How long a worker may run.
const LIMIT: Duration = Duration::from_secs(90);

/// One run of a worker.
#[derive(Debug, Default)]
struct Measured {
    metrics: BTreeMap<String, f64>,
    histogram: Vec<(f64, u64)>,
}

/// One client in one workload, while it is measured.
struct Entry {
    peer: &'static Peer,
    points: u64,
    rate: f64,
    runs: Vec<BTreeMap<String, f64>>,
    histogram: Vec<(f64, u64)>,
    outcome: Outcome,
}

/// What is needed to measure.
pub(crate) struct Bench {
    programs: Programs,
    extent: Extent,
    clients: Vec<String>,
}

impl Drop for Bench {
    fn drop(&mut self) {
        // A directory that stays in the temporary one does no harm.
        let _ = fs::remove_dir_all(&self.programs.scratch);
    }
}

impl Bench {
    pub(crate) fn new(
        directory: &Path,
        script: &Path,
        extent: Extent,
        clients: &[String],
    ) -> Result<Self, Box<dyn Error>> {
        if let Some(unknown) = clients.iter().find(|client| peer(client).is_none()) {
            let known: Vec<_> = PEERS.iter().map(|peer| peer.key).collect();
            return Err(format!("no client {unknown}; there are {}", known.join(", ")).into());
        }
        let scratch = std::env::temp_dir().join(format!("iscp-bench-{}", std::process::id()));
        fs::create_dir_all(&scratch)?;
        let programs = Programs { directory: directory.to_owned(), script: script.to_owned(), scratch };
        Ok(Self { programs, extent, clients: clients.to_vec() })
    }

    /// Versions of the clients and brokers that are there.
    pub(crate) fn versions(&self) -> BTreeMap<String, String> {
        let version = |peer: &Peer| {
            let program = self.program(peer).ok()?;
            let worker = Worker::start(&program, "version", &[], Duration::from_secs(20)).ok()?;
            Some(worker.finish().ok()?.json["version"].as_str()?.to_owned())
        };
        let mut versions = server::versions(&self.programs);
        versions.extend(PEERS.iter().filter_map(|peer| Some((peer.key.to_owned(), version(peer)?))));
        versions
    }

    /// The program of a client, or why it is not there.
    fn program(&self, peer: &Peer) -> Result<PathBuf, String> {
        let program = self.programs.directory.join(peer.program);
        if program.exists() {
            return Ok(program);
        }
        let reason = fs::read_to_string(self.programs.directory.join(format!("{}.missing", peer.program)));
        Err(reason.map_or_else(|_| "not built".to_owned(), |text| text.trim().to_owned()))
    }

    /// Measures the workloads and adds what came of them to the report.
    pub(crate) fn run(&self, cases: &[&Case], report: &mut Report) -> Result<(), Box<dyn Error>> {
        let rounds = |case: &Case| if case.once { 1 } else { u64::from(report.runs) };
        let steps = cases.iter().map(|case| rounds(case) * case.peers.len() as u64).sum();
        let progress = Progress::start(steps);
        let mut begun = 0;
        for case in cases {
            let mut position = begun;
            progress.case(case.id, case.title);
            let mut entries = self.entries(case, report);
            let mut servers = BTreeMap::new();
            for entry in entries.iter_mut().filter(|entry| entry.outcome == Outcome::Done) {
                if servers.contains_key(&entry.peer.backend) {
                    continue;
                }
                match Server::start(entry.peer.backend, &self.programs) {
                    Ok(server) => drop(servers.insert(entry.peer.backend, server)),
                    Err(error) => entry.outcome = Outcome::Failed(error),
                }
            }
            for round in 0..rounds(case) {
                let mut taking_part: Vec<_> =
                    entries.iter_mut().filter(|entry| entry.outcome == Outcome::Done).collect();
                if matches!(case.kind, Kind::IdleTogether { .. }) {
                    progress.run(&format!("{} all", case.id));
                    thread::scope(|scope| {
                        for entry in taking_part {
                            scope.spawn(|| self.one_run(case, entry, round, &servers, &progress));
                        }
                    });
                } else {
                    for entry in &mut taking_part {
                        progress.run(&format!("{} {} {}", case.id, entry.peer.key, round + 1));
                        self.one_run(case, entry, round, &servers, &progress);
                        position += 1;
                        progress.reach(position);
                    }
                }
            }
            begun += rounds(case) * case.peers.len() as u64;
            progress.reach(begun);
            report.cells.extend(entries.into_iter().map(|entry| entry.finish(case)));
        }
        Ok(())
    }

    fn entries(&self, case: &Case, report: &Report) -> Vec<Entry> {
        let mut entries = Vec::new();
        for (key, points) in case.peers {
            // A test of the catalogue demands that it is there.
            let Some(peer) = peer(key) else { continue };
            if !self.clients.is_empty() && !self.clients.iter().any(|client| client == key) {
                continue;
            }
            let mut entry = Entry {
                peer,
                points: self.extent.points(*points),
                rate: 0.0,
                runs: Vec::new(),
                histogram: Vec::new(),
                outcome: self.program(peer).map_or_else(Outcome::NotRun, |_| Outcome::Done),
            };
            if let Kind::Load { share, most, seconds } = case.kind
                && entry.outcome == Outcome::Done
            {
                match report.median("f1", key, "points_per_s") {
                    Some(rate) => {
                        entry.rate = (rate * share).min(most).floor().max(1.0);
                        entry.points = self.extent.points((entry.rate * seconds) as u64);
                    }
                    None => {
                        entry.outcome = Outcome::NotRun("its rate in the workload f1 is not known".to_owned())
                    }
                }
            }
            entries.push(entry);
        }
        entries
    }

    fn one_run(
        &self,
        case: &Case,
        entry: &mut Entry,
        round: u64,
        servers: &BTreeMap<Backend, Server>,
        progress: &Progress,
    ) {
        let result = match servers.get(&entry.peer.backend) {
            Some(server) => self.measure(case, entry, round, server),
            None => Err(Problem::Failed("its server did not start".to_owned())),
        };
        match result {
            Ok(measured) => {
                entry.runs.push(measured.metrics);
                merge(&mut entry.histogram, &measured.histogram);
            }
            Err(problem) => {
                entry.outcome = match problem {
                    Problem::Unsupported(reason) => Outcome::NotRun(reason),
                    Problem::Failed(message) => Outcome::Failed(message),
                };
                progress.warn(&format!("({}) {}: {:?}", case.id, entry.peer.key, entry.outcome));
            }
        }
    }

    fn measure(&self, case: &Case, entry: &Entry, round: u64, server: &Server) -> Result<Measured, Problem> {
        let program = self.program(entry.peer).map_err(Problem::Failed)?;
        let start = |role: &str, extra: &[String]| {
            Worker::start(&program, role, &arguments(case, entry, round, extra), LIMIT)
        };
        let url = format!("url={}", server.url());
        let points = format!("points={}", entry.points);
        let cpu_before = server.cpu_s().map_err(Problem::Failed)?;
        let server_cpu = || server.cpu_s().map(|cpu| cpu - cpu_before).map_err(Problem::Failed);
        let mut measured = Measured::default();
        match case.kind {
            Kind::Publish => {
                let carried = machine::loopback_bytes();
                let json = start("pub", &[url, points])?.finish()?.json;
                throughput(&mut measured, &json, server_cpu()?)?;
                let carried = machine::loopback_bytes().zip(carried).map(|(after, before)| after - before);
                measured.put("wire_bytes_per_point", carried.map(|bytes| bytes as f64 / entry.points as f64));
            }
            Kind::FanOut(_) | Kind::FanIn(_) => {
                let (sources, readers) = match case.kind {
                    Kind::FanIn(sources) => (sources, 1),
                    Kind::FanOut(readers) => (1, readers),
                    _ => (1, 1),
                };
                let mut reader = vec![url.clone(), points.clone()];
                reader.extend((readers > 1).then(|| format!("connections={readers}")));
                let mut source = vec![url, points];
                source.extend((sources > 1).then(|| format!("connections={sources}")));
                let mut reading = start("sub", &reader)?;
                reading.ready()?;
                let cpu_before = server.cpu_s().map_err(Problem::Failed)?;
                let written = start("pub", &source)?.finish()?.json;
                let read = reading.finish()?.json;
                let cpu = server.cpu_s().map_err(Problem::Failed)? - cpu_before;
                fan(&mut measured, &written, &read, readers, cpu)?;
            }
            Kind::Acknowledge => {
                let json = start("ack", &[url, points])?.finish()?.json;
                latency(&mut measured, &json, server_cpu()?)?;
            }
            Kind::EndToEnd => {
                let json = start("e2e", &[url, points])?.finish()?.json;
                latency(&mut measured, &json, server_cpu()?)?;
            }
            Kind::Load { .. } => {
                let json = start("e2e", &[url, points, format!("rate={}", entry.rate)])?.finish()?.json;
                latency(&mut measured, &json, server_cpu()?)?;
                measured.put("rate", Some(entry.rate));
            }
            Kind::Datagrams(percent) => {
                let Some((address, ca)) = server.quic() else {
                    return Err(Problem::Failed("the server has no QUIC".to_owned()));
                };
                let lossy = Lossy::start(address, percent, &self.programs).map_err(Problem::Failed)?;
                let extra = [format!("url=quic://{}", lossy.address), points, format!("ca={}", ca.display())];
                let json = start("e2e", &extra)?.finish()?.json;
                latency(&mut measured, &json, server_cpu()?)?;
                let lost = number(&json, "lost")?;
                measured.put("lost_percent", Some(lost / entry.points as f64 * 100.0));
            }
            Kind::Idle => {
                // One that has had connections before would keep their memory for these.
                let server = Server::start(entry.peer.backend, &self.programs).map_err(Problem::Failed)?;
                let url = format!("url={}", server.url());
                let resident = server.resident_kb().map_err(Problem::Failed)?;
                let mut worker = start("idle", &[url, format!("connections={}", entry.points)])?;
                worker.ready()?;
                let opened = server.resident_kb().map_err(Problem::Failed)?;
                let json = worker.finish()?.json;
                for name in ["kb_each", "cpu_ms_open_each"] {
                    measured.put(name, Some(number(&json, name)?));
                }
                let grown = opened.saturating_sub(resident) as f64;
                measured.put("broker_mib", Some(opened as f64 / 1024.0));
                measured.put("broker_kb_each", Some(grown / entry.points as f64));
            }
            Kind::IdleTogether { seconds } => {
                let seconds = if self.extent == Extent::Smoke { 1 } else { seconds };
                let extra = [url, format!("connections={}", entry.points), format!("idle_s={seconds}")];
                let json = start("idle", &extra)?.finish()?.json;
                measured.put("cpu_us_per_s_each", Some(number(&json, "cpu_us_per_s_each")?));
            }
            Kind::Start => {
                let finished = start("start", &[url])?.finish()?;
                if number(&finished.json, "acked")? < 1.0 {
                    return Err(Problem::Failed("no point was acknowledged".to_owned()));
                }
                measured.put("start_ms", Some(finished.took.as_secs_f64() * 1e3));
            }
            Kind::Write => {
                let json = start("write", &[url, points])?.finish()?.json;
                let (write, empty) = (number(&json, "write_ns")?, number(&json, "empty_ns")?);
                measured.put("write_ns", Some(write));
                measured.put("above_empty_ns", Some(write - empty));
            }
            Kind::Encode => {
                let json = start("encode", &[url, points])?.finish()?.json;
                measured.put("encode_ns", Some(number(&json, "encode_ns")?));
            }
        }
        Ok(measured)
    }
}

impl Entry {
    fn finish(self, case: &Case) -> Cell {
        Cell {
            case: case.id.to_owned(),
            peer: self.peer.key.to_owned(),
            outcome: self.outcome,
            points: self.points,
            metrics: summarize(&self.runs),
            histogram: self.histogram,
        }
    }
}

impl Measured {
    fn put(&mut self, name: &str, value: Option<f64>) {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            self.metrics.insert(name.to_owned(), value);
        }
    }
}

/// What a worker is called with: what is common, then the workload's, then the client's.
fn arguments(case: &Case, entry: &Entry, round: u64, extra: &[String]) -> Vec<String> {
    let session = format!("session=bench-{}-{}-{round}", case.id, entry.peer.key.replace('_', "-"));
    let mut arguments = extra.to_vec();
    arguments.push(session);
    arguments.extend(case.arguments.iter().chain(entry.peer.arguments).map(ToString::to_string));
    arguments
}

fn number(json: &Value, name: &str) -> Result<f64, Problem> {
    let value = json[name].as_f64();
    value.ok_or_else(|| Problem::Failed(format!("the result has no number {name:?}: {json}")))
}

fn throughput(measured: &mut Measured, json: &Value, server_cpu: f64) -> Result<(), Problem> {
    let (points, wall) = (number(json, "points")?, number(json, "wall_s")?);
    measured.put("points_per_s", Some(points / wall));
    measured.put("bytes_per_s", Some(number(json, "bytes")? / wall));
    measured.put("cpu_us_per_point", Some(number(json, "cpu_s")? / points * 1e6));
    measured.put("broker_cpu_us_per_point", Some(server_cpu / points * 1e6));
    let peak = number(json, "rss_kb")?;
    measured.put("peak_mib", Some(peak / 1024.0));
    // Not every worker tells it.
    measured.put("grown_mib", json["rss_kb_open"].as_f64().map(|open| (peak - open) / 1024.0));
    Ok(())
}

fn fan(
    measured: &mut Measured,
    written: &Value,
    read: &Value,
    readers: u64,
    server_cpu: f64,
) -> Result<(), Problem> {
    let (sent, received) = (number(written, "points")?, number(read, "points")?);
    let lost = number(read, "lost")?;
    if lost > 0.0 || received < sent * readers as f64 {
        return Err(Problem::Failed(format!("{received} points of {sent} to {readers} readers arrived")));
    }
    let wall = number(read, "wall_s")?.max(number(written, "wall_s")?);
    measured.put("points_per_s", Some(sent / wall));
    measured.put("deliveries_per_s", Some(received / wall));
    measured.put("cpu_us_per_point", Some(number(written, "cpu_s")? / sent * 1e6));
    measured.put("reader_cpu_us_per_delivery", Some(number(read, "cpu_s")? / received * 1e6));
    measured.put("broker_cpu_us_per_delivery", Some(server_cpu / received * 1e6));
    Ok(())
}

fn latency(measured: &mut Measured, json: &Value, server_cpu: f64) -> Result<(), Problem> {
    for name in ["p50_us", "p99_us", "p99_9_us"] {
        measured.put(name, Some(number(json, name)?));
    }
    measured.put("broker_cpu_us_per_point", Some(server_cpu / number(json, "points")? * 1e6));
    let entries = json["histogram_us"].as_array().map_or(&[][..], Vec::as_slice);
    for entry in entries {
        match (entry[0].as_f64(), entry[1].as_u64()) {
            (Some(bound), Some(count)) => measured.histogram.push((bound, count)),
            _ => return Err(Problem::Failed(format!("{entry} in a histogram"))),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn throughput_is_per_point_and_second() {
        let mut measured = Measured::default();
        let json = json!({"points": 1000, "wall_s": 0.5, "cpu_s": 0.1, "rss_kb": 2048, "bytes": 32000});
        throughput(&mut measured, &json, 0.2).unwrap();
        let expected = [
            ("points_per_s", 2000.0),
            ("bytes_per_s", 64000.0),
            ("cpu_us_per_point", 100.0),
            ("broker_cpu_us_per_point", 200.0),
            ("peak_mib", 2.0),
        ];
        for (name, value) in expected {
            assert!((measured.metrics[name] - value).abs() < 1e-9, "{name}");
        }
        let problem = throughput(&mut measured, &json!({"points": 1000}), 0.2).unwrap_err();
        assert!(matches!(problem, Problem::Failed(message) if message.contains("\"wall_s\"")));
    }

    #[test]
    fn a_reader_that_misses_points_is_a_failure() {
        let written = json!({"points": 100, "wall_s": 1.0, "cpu_s": 0.1});
        let all = json!({"points": 1000, "wall_s": 2.0, "cpu_s": 0.2, "lost": 0});
        let mut measured = Measured::default();
        fan(&mut measured, &written, &all, 10, 0.5).unwrap();
        assert_eq!(measured.metrics["points_per_s"], 50.0);
        assert_eq!(measured.metrics["broker_cpu_us_per_delivery"], 500.0);
        let few = json!({"points": 999, "wall_s": 2.0, "cpu_s": 0.2, "lost": 0});
        assert!(fan(&mut measured, &written, &few, 10, 0.5).is_err());
        let lost = json!({"points": 1000, "wall_s": 2.0, "cpu_s": 0.2, "lost": 1});
        assert!(fan(&mut measured, &written, &lost, 10, 0.5).is_err());
    }

    #[test]
    fn latencies_come_with_their_histogram() {
        let mut measured = Measured::default();
        let json = json!({"points": 3, "p50_us": 10, "p99_us": 20, "p99_9_us": 30, "histogram_us": [[10.0, 2], [30.0, 1]]});
        latency(&mut measured, &json, 0.0).unwrap();
        assert_eq!(measured.histogram, [(10.0, 2), (30.0, 1)]);
        assert_eq!(measured.metrics["p99_us"], 20.0);
        let bad = json!({"points": 3, "p50_us": 1, "p99_us": 2, "p99_9_us": 3, "histogram_us": [[10.0]]});
        assert!(latency(&mut measured, &bad, 0.0).is_err());
    }
}
