//! `iscp chaos`.

use std::fmt::Display;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use iscp_chaos::{Between, Chance, Config, Cut, Direction, Faults, Proxy, Quantity, Size};

use crate::broker::resolve;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::lines::{Input, Lines};

/// Longest command that is read.
const LONGEST_COMMAND: usize = 256;

/// Options of `iscp chaos`.
#[derive(Debug, clap::Args)]
pub(crate) struct ChaosArgs {
    /// Address to which clients connect; port 0 takes a free one.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:0")]
    listen: String,
    /// The server.
    #[arg(long, value_name = "HOST:PORT")]
    to: String,
    /// Forward TCP connections [default unless --udp is given]
    #[arg(long)]
    tcp: bool,
    /// Forward datagrams. With --tcp, both are forwarded on the same port.
    #[arg(long)]
    udp: bool,
    /// Decides what goes wrong: the same faults come again with the same seed.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    seed: u64,
    /// Read commands from standard input, and end with it.
    ///
    /// One a line, each answered on standard output with `ok` and the command: `cut` or `cut finish`, `half-close up` or `half-close
    /// down`, `silence up` or `silence down`, `black-hole` and `let-go`, `refuse` and `accept`.
    #[arg(long)]
    commands: bool,
    /// Cut each connection this long after it began.
    #[arg(help_heading = "Faults", long, value_name = "TIME")]
    cut_every: Option<Between<Duration>>,
    /// Cut each TCP connection when one of its directions has carried so many bytes.
    #[arg(help_heading = "Faults", long, value_name = "BYTES")]
    cut_after_bytes: Option<Between<Size>>,
    /// How TCP connections are cut.
    #[arg(help_heading = "Faults", long, value_enum, default_value_t = CutArg::Reset)]
    cut_by: CutArg,
    /// End one direction of each TCP connection this long after it began, and the other after as long again.
    #[arg(help_heading = "Faults", long, value_name = "TIME")]
    half_close_every: Option<Between<Duration>>,
    /// Stop forwarding in one direction of each connection this long after it began, without closing it, and in the
    /// other after as long again.
    #[arg(help_heading = "Faults", long, value_name = "TIME")]
    silence_every: Option<Between<Duration>>,
    /// Forward nothing in either direction, this long after each connection began and again after each black hole.
    #[arg(help_heading = "Faults", long, value_name = "TIME")]
    black_hole_every: Option<Between<Duration>>,
    /// How long a black hole lasts [default: as long as the connection]
    #[arg(help_heading = "Faults", long, value_name = "TIME", requires = "black_hole_every")]
    black_hole_for: Option<Between<Duration>>,
    /// Deliver everything this late, in each direction.
    #[arg(help_heading = "Faults", long, value_name = "TIME", default_value = "0s", value_parser = Duration::read)]
    delay: Duration,
    /// Deliver everything later still, by a time between 0 and this.
    #[arg(help_heading = "Faults", long, value_name = "TIME", default_value = "0s", value_parser = Duration::read)]
    jitter: Duration,
    /// Bytes per second in each direction of each connection.
    #[arg(help_heading = "Faults", long, value_name = "BYTES", value_parser = parse_rate)]
    rate: Option<Size>,
    /// Change a byte of a TCP connection every so many.
    #[arg(help_heading = "Faults", long, value_name = "BYTES")]
    corrupt_every_bytes: Option<Between<Size>>,
    /// Datagrams that are lost.
    #[arg(help_heading = "Faults of datagrams", long, value_name = "PERCENT", default_value = "0%")]
    drop: Chance,
    /// Datagrams that come twice.
    #[arg(help_heading = "Faults of datagrams", long, value_name = "PERCENT", default_value = "0%")]
    duplicate: Chance,
    /// Datagrams that up to three later ones overtake.
    #[arg(help_heading = "Faults of datagrams", long, value_name = "PERCENT", default_value = "0%")]
    reorder: Chance,
    /// Datagrams of which a byte is changed.
    #[arg(help_heading = "Faults of datagrams", long, value_name = "PERCENT", default_value = "0%")]
    corrupt: Chance,
}

/// How a TCP connection is cut, as it is written on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum CutArg {
    /// With RST: both ends see an error.
    Reset,
    /// With FIN: both ends see the end of the stream.
    Finish,
}

impl From<CutArg> for Cut {
    fn from(cut: CutArg) -> Self {
        match cut {
            CutArg::Reset => Self::Reset,
            CutArg::Finish => Self::Finish,
        }
    }
}

fn parse_rate(text: &str) -> Result<Size, String> {
    match text.parse() {
        Ok(Size(0)) => Err("must be above 0".to_owned()),
        Ok(rate) => Ok(rate),
        Err(error) => Err(error.to_string()),
    }
}

impl ChaosArgs {
    /// What would have no effect on what is forwarded.
    fn check(&self, tcp: bool, udp: bool) -> Result<(), Failure> {
        let never = Chance::default();
        for (option, needs, given) in [
            ("--cut-after-bytes", tcp, self.cut_after_bytes.is_some()),
            ("--cut-by", tcp, self.cut_by != CutArg::Reset),
            ("--half-close-every", tcp, self.half_close_every.is_some()),
            ("--corrupt-every-bytes", tcp, self.corrupt_every_bytes.is_some()),
            ("--drop", udp, self.drop != never),
            ("--duplicate", udp, self.duplicate != never),
            ("--reorder", udp, self.reorder != never),
            ("--corrupt", udp, self.corrupt != never),
        ] {
            if given && !needs {
                let protocol = if udp { "--tcp" } else { "--udp" };
                return Err(Failure::new(format!("{option} needs {protocol}")));
            }
        }
        Ok(())
    }

    fn faults(&self) -> Faults {
        Faults {
            cut_every: self.cut_every,
            cut_after_bytes: self.cut_after_bytes,
            cut_by: self.cut_by.into(),
            half_close_every: self.half_close_every,
            silence_every: self.silence_every,
            black_hole_every: self.black_hole_every,
            black_hole_for: self.black_hole_for,
            delay: self.delay,
            jitter: self.jitter,
            rate: self.rate,
            corrupt_every_bytes: self.corrupt_every_bytes,
            drop: self.drop,
            duplicate: self.duplicate,
            reorder: self.reorder,
            corrupt: self.corrupt,
        }
    }
}

/// Runs the proxy until a signal, or the end of its commands.
pub(crate) fn run(args: &ChaosArgs, interrupt: &Interrupt) -> Result<(), Failure> {
    let (tcp, udp) = (args.tcp || !args.udp, args.udp);
    args.check(tcp, udp)?;
    let addresses = resolve(&args.listen)?;
    let config = Config {
        // There is at least one.
        listen: addresses[0],
        to: args.to.clone(),
        tcp,
        udp,
        seed: args.seed,
        faults: args.faults(),
        on_fault: Some(Arc::new(|injected| print(injected))),
    };
    let proxy = Proxy::start(config).map_err(Failure::new)?;
    print(&format_args!("listening {}", proxy.address()));
    if args.commands {
        return obey(&proxy, interrupt);
    }
    // Fails when there was a signal.
    let _ = interrupt.channel().recv();
    Ok(())
}

/// Prints a line. Whoever started the proxy need not want to know.
fn print(line: &dyn Display) {
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

/// Does what standard input says, to its end or until a signal.
fn obey(proxy: &Proxy, interrupt: &Interrupt) -> Result<(), Failure> {
    let mut lines = Lines::stdin(LONGEST_COMMAND)?;
    loop {
        let input = lines.read(&[interrupt.fd()], |number, line| {
            let command = line.and_then(|line| str::from_utf8(line).ok()).unwrap_or_default().trim();
            if !obey_one(proxy, command) {
                return Err(Failure::new(format!("line {number}: {command:?} is not a command")));
            }
            print(&format_args!("ok {command}"));
            Ok(())
        })?;
        if input != Input::More {
            return Ok(());
        }
    }
}

fn obey_one(proxy: &Proxy, command: &str) -> bool {
    match command {
        "cut" => proxy.cut(Cut::Reset),
        "cut finish" => proxy.cut(Cut::Finish),
        "half-close up" => proxy.half_close(Direction::Up),
        "half-close down" => proxy.half_close(Direction::Down),
        "silence up" => proxy.silence(Direction::Up),
        "silence down" => proxy.silence(Direction::Down),
        "black-hole" => proxy.black_hole(),
        "let-go" => proxy.let_go(),
        "refuse" => proxy.refuse(true),
        "accept" => proxy.refuse(false),
        _ => return false,
    }
    true
}
