//! CPU time, memory, and times collected for percentiles.

use std::error::Error;
use std::fs;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use serde_json::{Value, json};

use crate::settings::Settings;

/// User and system time of this process, in seconds.
pub(crate) fn cpu_s() -> Result<f64, Box<dyn Error>> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

fn peak_kb() -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let field =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM in /proc/self/status")?;
    Ok(field.trim().trim_end_matches(" kB").parse()?)
}

/// Prints what the role `pub` has measured.
pub(crate) fn print_throughput(
    settings: &Settings,
    start: Instant,
    cpu_before: f64,
) -> Result<(), Box<dyn Error>> {
    let wall = start.elapsed().as_secs_f64();
    let (size, count) = settings.messages();
    // All that was sent, were it a little more than asked for.
    let points = count * (size / settings.payload) as u64;
    let result = json!({
        "points": points,
        "wall_s": wall,
        "cpu_s": cpu_s()? - cpu_before,
        "rss_kb": peak_kb()?,
        "bytes": count * size as u64,
    });
    println!("{result}");
    Ok(())
}

/// Prints what the roles `ack` and `e2e` have measured.
pub(crate) fn print_latency(mut samples: Vec<Duration>) {
    samples.sort_unstable();
    let us: Vec<f64> = samples.iter().map(|sample| sample.as_secs_f64() * 1e6).collect();
    let at = |share: f64| us[((us.len() as f64 * share).ceil() as usize).max(1) - 1];
    let result = json!({
        "points": us.len(),
        "lost": 0,
        "p50_us": at(0.5),
        "p99_us": at(0.99),
        "p99_9_us": at(0.999),
        "histogram_us": histogram(&us),
    });
    println!("{result}");
}

/// Counts of sorted values below bounds, of which there are forty per decade.
fn histogram(sorted: &[f64]) -> Vec<Value> {
    let bound = |us: f64| ((us.max(1e-3).log10() * 40.0 + 1e-9).floor() + 1.0) as i32;
    sorted
        .chunk_by(|a, b| bound(*a) == bound(*b))
        .map(|run| json!([10_f64.powf(f64::from(bound(run[0])) / 40.0), run.len()]))
        .collect()
}

/// Waits until the nth of a series is due. Returns when it begins: now, or, when it is late because the one before it
/// took long, when it was due.
pub(crate) fn pace(settings: &Settings, start: Instant, n: u64) -> Instant {
    if settings.rate == 0.0 {
        return Instant::now();
    }
    let due = start + Duration::from_secs_f64(n as f64 / settings.rate);
    let early = due.saturating_duration_since(Instant::now());
    if early.is_zero() {
        return due;
    }
    // Not by the timer of the runtime, which counts milliseconds; nothing else runs on this thread.
    std::thread::sleep(early);
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_histogram_has_all_values_below_its_bounds() {
        let values = [0.5, 1.0, 1.01, 5.0, 99.0, 100.0, 5000.0];
        let mut seen = 0;
        for entry in histogram(&values) {
            let (bound, count) = (entry[0].as_f64().unwrap(), entry[1].as_u64().unwrap() as usize);
            for value in &values[seen..seen + count] {
                assert!(*value <= bound && *value > bound / 1.07, "{value} in the bucket up to {bound}");
            }
            seen += count;
        }
        assert_eq!(seen, values.len());
    }
}
