//! What the benchmark runs on.

use std::error::Error;
use std::fs;
use std::thread;

use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

/// What a reader needs to judge absolute numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) memory_mib: u64,
    pub(crate) kernel: String,
    /// Load averages of one, five and fifteen minutes when the run began.
    pub(crate) load_before: String,
    /// The same when it ended.
    pub(crate) load_after: String,
}

pub(crate) fn describe() -> Result<Machine, Box<dyn Error>> {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned();
    Ok(Machine {
        cpu: cpu_model(&fs::read_to_string("/proc/cpuinfo")?),
        cores: thread::available_parallelism()?.get(),
        memory_mib: field_kb(&fs::read_to_string("/proc/meminfo")?, "MemTotal").unwrap_or(0) / 1024,
        kernel: format!("Linux {kernel}, {}", std::env::consts::ARCH),
        load_before: load(),
        load_after: String::new(),
    })
}

/// Lets timers be exact, in all processes that this one starts: at a rate of points, the 50 µs of the default would be
/// most of what is measured.
pub(crate) fn make_timers_exact() -> Result<(), Box<dyn Error>> {
    prctl::set_timerslack(1).map_err(|error| format!("timer slack: {error}").into())
}

/// The load averages; empty where the system does not tell.
pub(crate) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// A line such as `VmRSS:  1234 kB` of a file in /proc.
pub(crate) fn field_kb(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        line.strip_prefix(name)?.strip_prefix(':')?.trim().trim_end_matches(" kB").parse().ok()
    })
}

/// What the loopback interface has carried; None where the system does not tell.
pub(crate) fn loopback_bytes() -> Option<u64> {
    received(&fs::read_to_string("/proc/net/dev").ok()?, "lo")
}

/// The first number of an interface in /proc/net/dev.
fn received(text: &str, interface: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (name, numbers) = line.split_once(':')?;
        (name.trim() == interface).then(|| numbers.split_whitespace().next()?.parse().ok()).flatten()
    })
}

fn cpu_model(cpuinfo: &str) -> String {
    cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or_else(|| "unknown".to_owned(), |(_, model)| model.trim().to_owned())
}

/// Allows as many open files as the system does, for workloads with thousands of connections.
pub(crate) fn allow_many_files() -> Result<(), Box<dyn Error>> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_proc_are_read() {
        assert_eq!(cpu_model("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n"), "Some CPU @ 2 GHz");
        assert_eq!(cpu_model("Features: fp\n"), "unknown");
        assert_eq!(field_kb("VmPeak:\t  9 kB\nVmRSS:\t   123 kB\n", "VmRSS"), Some(123));
        let interfaces = "Inter-| Receive\n face |bytes packets\n  eth0: 5 1\n    lo: 1234 8 0\n";
        assert_eq!(received(interfaces, "lo"), Some(1234));
        assert_eq!(received(interfaces, "wlan0"), None);
        assert_eq!(field_kb("VmRSSX: 5 kB\n", "VmRSS"), None);
    }
}
