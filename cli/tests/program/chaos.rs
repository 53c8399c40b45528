//! `iscp chaos`.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use nix::sys::signal::Signal::{SIGINT, SIGTERM};

use crate::support::{Broker, Program, run};

/// Longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// A proxy, and where it listens.
fn start(to: &str, options: &[&str]) -> (Program, String) {
    let program = Program::start(&[&["chaos", "--to", to], options].concat());
    let line = String::from_utf8(program.wait_for_output("\n")).unwrap();
    let address = line.lines().next().and_then(|line| line.strip_prefix("listening "));
    (program, address.unwrap_or_else(|| panic!("{line:?}")).to_owned())
}

/// What a program printed, without the time at the beginning of each line but the first.
fn faults(program: Program) -> Vec<String> {
    let stdout = String::from_utf8(program.wait().quiet_success()).unwrap();
    let lines = stdout.lines().skip(1);
    lines.map(|line| line.split_once(' ').map_or(line, |(_, rest)| rest).to_owned()).collect()
}

fn connect(address: &str) -> TcpStream {
    let client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    client
}

#[test]
fn points_pass_through_the_proxy() {
    for signal in [SIGINT, SIGTERM] {
        let broker = Broker::start();
        let (proxy, address) = start(broker.url.strip_prefix("ws://").unwrap(), &["--delay", "1ms"]);
        let subscriber = broker.subscribe(&["--count", "1"]);
        let url = format!("ws://{address}");
        run(&["pub", "--url", &url, "--node", "pub"], b"hello\n").quiet_success();
        assert_eq!(subscriber.wait().stdout, b"hello\n");
        proxy.signal(signal);
        assert!(faults(proxy).is_empty());
    }
}

#[test]
fn the_same_seed_makes_the_same_faults() {
    let run = |seed| {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = server.local_addr().unwrap().to_string();
        let options = [
            "--seed",
            seed,
            "--cut-after-bytes",
            "10k..90k",
            "--cut-by",
            "finish",
            "--corrupt-every-bytes",
            "2k..9k",
        ];
        let (proxy, address) = start(&to, &options);
        for _ in 0..3 {
            let mut client = connect(&address);
            let (mut server, _) = server.accept().unwrap();
            let writer = std::thread::spawn(move || {
                // Fails once it is cut.
                let _ = client.write_all(&[0; 100_000]);
            });
            server.read_to_end(&mut Vec::new()).unwrap();
            drop(server);
            writer.join().unwrap();
        }
        proxy.wait_for_output("connection 3");
        proxy.signal(SIGTERM);
        faults(proxy)
    };
    let first = run("1");
    assert_eq!(first.iter().filter(|line| line.ends_with(": cut by finish")).count(), 3, "{first:?}");
    assert!(first.iter().any(|line| line.starts_with("connection 2 up at ") && line.ends_with(": corrupt")));
    assert_eq!(first, run("1"));
    assert_ne!(first, run("2"));
}

#[test]
fn timed_faults_are_printed() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = server.local_addr().unwrap().to_string();
    let times = ["--cut-every", "400ms", "--black-hole-every", "100ms", "--black-hole-for", "1ms..100ms"];
    let more = ["--silence-every", "350ms", "--half-close-every", "380ms", "--jitter", "1ms", "--rate", "1M"];
    let (proxy, address) = start(&to, &[&times[..], &more].concat());
    let mut client = connect(&address);
    assert!(client.read_to_end(&mut Vec::new()).is_err() || server.accept().is_ok());
    proxy.wait_for_output("connection 1: cut by reset");
    proxy.signal(SIGTERM);
    let lines = faults(proxy);
    assert_eq!(lines[..2], ["connection 1: black hole", "connection 1: let go"]);
    for fault in ["silence", "half-close"] {
        let of = |direction: &str| lines.contains(&format!("connection 1 {direction}: {fault}"));
        assert!(of("up") != of("down"), "{lines:?}");
    }
}

#[test]
fn datagrams_have_faults_of_their_own() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(DEADLINE)).unwrap();
    let to = server.local_addr().unwrap().to_string();
    let options = ["--udp", "--drop", "20%", "--duplicate", "20%", "--reorder", "20%", "--corrupt", "20%"];
    let (proxy, address) = start(&to, &options);
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..100 {
        client.send_to(b"hello", &address).unwrap();
    }
    for fault in ["drop", "duplicate", "reorder", "corrupt"] {
        proxy.wait_for_output(&format!(": {fault}\n"));
    }
    assert_eq!(server.recv(&mut [0; 9]).unwrap(), 5);
    proxy.signal(SIGTERM);
    assert!(faults(proxy).iter().all(|line| line.starts_with("connection 1 up at ")));
}

#[test]
fn commands_are_obeyed_until_they_end() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = server.local_addr().unwrap().to_string();
    let (mut proxy, address) = start(&to, &["--commands", "--tcp"]);
    let mut client = connect(&address);
    let (mut held, _) = server.accept().unwrap();
    proxy.write(b"half-close down\n");
    assert_eq!(client.read(&mut [0; 9]).unwrap(), 0);
    proxy.write(b"refuse\n");
    proxy.wait_for_output("ok refuse\n");
    assert!(TcpStream::connect(&address).is_err());
    proxy.write(b"accept\nsilence up\nblack-hole\n");
    proxy.wait_for_output("black hole");
    proxy.write(b"let-go\ncut\n");
    assert!(held.read_to_end(&mut Vec::new()).is_err());
    proxy.wait_for_output("cut by reset");
    let stdout = String::from_utf8(proxy.finish().quiet_success()).unwrap();
    assert_eq!(stdout.lines().filter(|line| line.starts_with("ok ")).count(), 7, "{stdout}");
    let lines: Vec<_> = stdout.lines().collect();
    assert!(lines.iter().any(|line| line.ends_with(" connection 1 up: silence")), "{stdout}");

    let (mut proxy, _) = start(&to, &["--commands"]);
    proxy.write(b"cut it\n");
    proxy.wait().failed(&["line 1", "cut it"]);
}

#[test]
fn what_makes_no_sense_is_named() {
    let refused = |options: &[&str], culprits: &[&str]| {
        let finished = run(&[&["chaos", "--to", "127.0.0.1:1"], options].concat(), b"");
        assert_eq!(finished.code, Some(2), "{finished:?}");
        for culprit in culprits {
            assert!(finished.stderr.contains(culprit), "{culprit:?}: {}", finished.stderr);
        }
    };
    refused(&["--cut-every", "2"], &["--cut-every", "2s"]);
    refused(&["--cut-every", "0s"], &["--cut-every", "above 0"]);
    refused(&["--cut-after-bytes", "9k..1k"], &["--cut-after-bytes", "empty"]);
    refused(&["--rate", "0"], &["--rate", "above 0"]);
    refused(&["--delay", "x"], &["--delay", "duration"]);
    refused(&["--drop", "2"], &["--drop", "percentage"]);
    refused(&["--black-hole-for", "1s"], &["--black-hole-every"]);
    let fails = |args: &[&str], culprits: &[&str]| run(&[&["chaos"], args].concat(), b"").failed(culprits);
    fails(&["--to", "127.0.0.1:1", "--drop", "1%"], &["--drop", "--udp"]);
    fails(&["--to", "127.0.0.1:1", "--udp", "--cut-after-bytes", "1k"], &["--cut-after-bytes", "--tcp"]);
    fails(&["--to", "no-such-host.invalid:1"], &["no-such-host.invalid:1"]);
    fails(&["--to", "127.0.0.1:1", "--listen", "nonsense"], &["cannot listen on nonsense"]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    fails(&["--to", "127.0.0.1:1", "--listen", &address], &["cannot listen on", &address]);
}

/// The commands of docs/chaos.md start, and its tables have every option.
#[test]
fn the_commands_of_the_guide_work() {
    let page = include_str!("../../../docs/chaos.md");
    let mut commands = 0;
    for line in page.lines().filter_map(|line| line.strip_prefix("$ ")) {
        let (input, command) = line.split_once(" | ").unwrap_or(("", line));
        let Some(options) = command.strip_prefix("iscp chaos ") else { continue };
        let mut words: Vec<_> = options.split(' ').collect();
        if let Some(listen) = words.iter().position(|word| *word == "--listen") {
            // The port may be taken.
            words[listen + 1] = "127.0.0.1:0";
        }
        let mut proxy = Program::start(&[&["chaos"], &words[..]].concat());
        proxy.wait_for_output("listening 127.0.0.1:");
        if let Some(input) = input.strip_prefix("echo ") {
            proxy.write(format!("{input}\n").as_bytes());
            proxy.wait_for_output(&format!("\nok {input}\n"));
        }
        proxy.signal(SIGTERM);
        proxy.wait().quiet_success();
        commands += 1;
    }
    assert_eq!(commands, 4);
    let help = String::from_utf8(run(&["chaos", "--help"], b"").quiet_success()).unwrap();
    let options: Vec<_> = help
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("--"))
        .map(|word| word.trim_end_matches(|c: char| !c.is_ascii_alphabetic()))
        .filter(|option| !["help", "version", "verbose"].contains(option))
        .collect();
    assert!(options.len() > 20, "{help}");
    for option in options {
        assert!(page.contains(&format!("`--{option}")), "{option}");
    }
}
