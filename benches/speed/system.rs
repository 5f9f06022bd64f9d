//! What is known of the machine: its load, its name, the date, the versions. Where a system does not say, nothing is claimed.

use limbic::gpu::Gpu;
use serde::Serialize;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where and with what a run was made.
#[derive(Debug, Clone, Serialize)]
pub struct Setting {
    pub adapter: String,
    pub driver: String,
    pub backend: String,
    pub wgpu: String,
    pub limbic: String,
    /// The commit, with "+" where files were changed since.
    pub commit: String,
    pub date: String,
    pub machine: String,
}

impl Setting {
    /// `lock` is the Cargo.lock that the program was built with.
    pub fn of(gpu: &Gpu, lock: &str) -> Self {
        let info = gpu.info();
        Setting {
            adapter: info.name.clone(),
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_string(),
            backend: format!("{:?}", info.backend),
            wgpu: locked_version(lock, "wgpu"),
            limbic: locked_version(lock, "limbic"),
            commit: commit(),
            date: date(),
            machine: machine(),
        }
    }

    /// The adapter's name in letters, digits and dashes.
    pub fn slug(&self) -> String {
        let kept: String = self.adapter.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { ' ' }).collect();
        kept.to_lowercase().split_whitespace().collect::<Vec<_>>().join("-")
    }
}

/// The version of `package` in `lock`.
pub fn locked_version(lock: &str, package: &str) -> String {
    let mut lines = lock.lines();
    let name = format!("name = \"{package}\"");
    let version = lines.find(|line| *line == name).and_then(|_| lines.next());
    version.and_then(|line| line.split('"').nth(1)).unwrap_or("unknown").to_string()
}

fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").current_dir(env!("CARGO_MANIFEST_DIR")).args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
    };
    let Some(commit) = git(&["rev-parse", "--short=10", "HEAD"]) else { return "unknown".to_string() };
    // what earlier runs wrote changes no figure
    let changed =
        git(&["status", "--porcelain", "--untracked-files=no", "--", ":/src", ":/shaders", ":/benches/**.rs"]);
    if changed.is_some_and(|files| !files.is_empty()) { commit + "+" } else { commit }
}

/// Today in UTC, as 2026-01-31. Civil from days, after Howard Hinnant.
fn date() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let days = (seconds / 86_400) as i64 + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

fn machine() -> String {
    let cores = cores();
    let processor = std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split(':').nth(1)?.trim().to_string())
    });
    let processor = processor.unwrap_or_else(|| std::env::consts::ARCH.to_string());
    format!("{cores} x {processor}, {}", std::env::consts::OS)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get())
}

/// Seconds in which processors were busy, of the whole machine and of this process (Linux).
fn busy() -> Option<(f64, f64)> {
    const TICKS: f64 = 100.0;
    let whole = std::fs::read_to_string("/proc/stat").ok()?;
    let numbers: Vec<f64> =
        whole.lines().next()?.split_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
    let own = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = own.get(own.rfind(')')? + 2..)?.split_whitespace().collect();
    let own = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    // user, nice, system, interrupts
    let all = [0, 1, 2, 5, 6].iter().filter_map(|index| numbers.get(*index)).sum::<f64>();
    Some((all / TICKS, own / TICKS))
}

/// Waits until other programs leave the machine all but idle, for `most` seconds at most.
pub fn wait_until_quiet(most: f64) {
    let begun = Instant::now();
    while begun.elapsed().as_secs_f64() < most {
        let load = Load::begin();
        std::thread::sleep(Duration::from_millis(250));
        if load.others().is_none_or(|others| others < 0.06) {
            return;
        }
        std::thread::sleep(Duration::from_millis(250));
    }
}

/// Watches how busy others keep the machine.
pub struct Load {
    begun: Instant,
    before: Option<(f64, f64)>,
}

impl Load {
    pub fn begin() -> Self {
        Load { begun: Instant::now(), before: busy() }
    }

    /// Processor seconds of this program since.
    pub fn own(&self) -> Option<f64> {
        Some(busy()?.1 - self.before?.1)
    }

    /// The share of all processors that other programs took since.
    pub fn others(&self) -> Option<f64> {
        let ((all_before, own_before), (all, own)) = (self.before?, busy()?);
        let seconds = self.begun.elapsed().as_secs_f64() * cores() as f64;
        Some((((all - all_before) - (own - own_before)) / seconds).clamp(0.0, 1.0))
    }
}
