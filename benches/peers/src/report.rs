//! The table, the JSON and where they go.

use crate::in_meganeura;
use crate::measure::Timing;
use crate::picture;
use crate::rows::Work;
use crate::rows::roof::Roofs;
use crate::system::Setting;
use limbic::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Everything that was measured.
pub struct Run {
    pub setting: Setting,
    pub burn: String,
    pub roofs: Roofs,
    pub rows: Vec<Row>,
}

impl Run {
    /// Keeps a row, and says so at once.
    pub fn add(&mut self, mut row: Row) {
        row.under(&self.roofs);
        eprintln!("{}", progress(&row));
        self.rows.push(row);
    }
}

/// What one library took for a row.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Measured {
    pub lib: String,
    #[serde(default)]
    pub way: String,
    pub ms: f64,
    #[serde(default)]
    pub min_ms: f64,
    #[serde(default)]
    pub max_ms: f64,
    /// From building it to its first result.
    #[serde(default)]
    pub first_ms: f64,
    #[serde(default)]
    pub runs: usize,
    /// In one submission.
    #[serde(default)]
    pub replays: u32,
    /// Processor milliseconds of this process per replay; on a software adapter the device's own time.
    #[serde(default)]
    pub cpu_ms: Option<f64>,
    /// limbic: what its plan takes, known before. burn: what its pools hold after the runs. PyTorch: its peak, on a GPU.
    #[serde(default)]
    pub memory_mib: Option<f64>,
    /// Share of the processors that other programs took meanwhile.
    #[serde(default)]
    pub busy: Option<f64>,
}

impl Measured {
    pub fn new(lib: &str, way: &str, timing: Timing, memory: Option<u64>) -> Self {
        Measured {
            lib: lib.to_string(),
            way: way.to_string(),
            ms: timing.median * 1e3,
            min_ms: timing.min * 1e3,
            max_ms: timing.max * 1e3,
            first_ms: timing.first * 1e3,
            runs: timing.runs,
            replays: timing.replays,
            cpu_ms: timing.cpu.map(|seconds| seconds * 1e3),
            memory_mib: memory.map(|bytes| bytes as f64 / f64::from(1 << 20)),
            busy: timing.others,
        }
    }
}

/// A row of the table.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Row {
    pub op: String,
    pub limbic: Measured,
    /// burn's ways of doing it.
    pub burn: Vec<Measured>,
    /// meganeura, and what other programs measured.
    pub others: Vec<Measured>,
    /// limbic's dispatches.
    pub launches: Option<usize>,
    #[serde(skip)]
    pub work: Work,
    /// Milliseconds at the roof, where the least work is known.
    pub roof_ms: Option<f64>,
    pub note: String,
}

impl Row {
    pub fn under(&mut self, roofs: &Roofs) {
        self.roof_ms = Some(roofs.least_seconds(self.work) * 1e3).filter(|ms| *ms > 0.0);
    }

    /// burn's fastest way.
    pub fn burn(&self) -> Option<&Measured> {
        self.burn.iter().min_by(|a, b| a.ms.total_cmp(&b.ms))
    }

    /// What ran in turn with limbic, on the same adapter.
    fn in_turn(&self) -> impl Iterator<Item = &Measured> {
        self.burn().into_iter().chain(self.others.iter().filter(|other| other.lib == in_meganeura::LIB))
    }
}

/// Three significant digits, without an exponent.
fn short(value: f64) -> String {
    let digits = if value <= 0.0 { 0 } else { (2 - value.log10().floor() as i32).clamp(0, 5) };
    format!("{value:.*}", digits as usize)
}

/// A line for whoever waits.
fn progress(row: &Row) -> String {
    let peer = |peer: &Measured| {
        format!("  {} {:>9} ms  {:.1} times faster", peer.lib, short(peer.ms), peer.ms / row.limbic.ms)
    };
    let peers: String = row.in_turn().map(peer).collect();
    format!("{:36} {:>9} ms{peers}", row.op, short(row.limbic.ms))
}

/// Where the run was made, the table, and the rows in which limbic is not the fastest on this adapter.
pub fn markdown(run: &Run) -> String {
    let Setting { adapter, driver, backend, wgpu, limbic, commit, date, machine } = &run.setting;
    let mut libs: Vec<&str> = run.rows.iter().flat_map(|row| &row.others).map(|other| other.lib.as_str()).collect();
    libs.sort_unstable();
    libs.dedup();
    let mut text = format!(
        "{adapter}, {driver}, {backend}; {machine}\nlimbic {limbic} at {commit}, {}, wgpu {wgpu}, {date}\n\n\
         | row | limbic ms | min .. max | roof | burn ms | min .. max | times faster | runs | first ms: limbic | burn | \
         MiB: limbic | burn |",
        run.burn
    );
    libs.iter().for_each(|lib| text += &format!(" {lib} ms | {lib} / limbic |"));
    text += "\n|---|";
    text += &"---:|".repeat(11 + 2 * libs.len());
    text.push('\n');
    for row in &run.rows {
        text += &line(row, &libs);
    }
    let slower = run.rows.iter().filter(|row| row.in_turn().any(|peer| peer.ms <= row.limbic.ms));
    let slower: Vec<&str> = slower.map(|row| row.op.as_str()).collect();
    text += &match slower[..] {
        [] => "\nlimbic is the fastest in every row that it shares with another on this adapter.\n".to_string(),
        _ => format!("\n**limbic is not the fastest on this adapter in: {}.**\n", slower.join(", ")),
    };
    let notes = run.rows.iter().filter(|row| !row.note.is_empty());
    notes.for_each(|row| text += &format!("\n{}: {}.\n", row.op, row.note));
    text
}

fn line(row: &Row, libs: &[&str]) -> String {
    let number = |value: Option<f64>| value.map_or_else(String::new, short);
    let spread = |measured: &Measured| format!("{} .. {}", short(measured.min_ms), short(measured.max_ms));
    let (limbic, burn) = (&row.limbic, row.burn());
    let first = |measured: &Measured| Some(measured.first_ms).filter(|ms| *ms > 0.0);
    let mut cells = vec![
        row.op.clone(),
        short(limbic.ms),
        spread(limbic),
        row.roof_ms.map_or_else(String::new, |roof| format!("{:.0} %", 100.0 * roof / limbic.ms)),
        number(burn.map(|burn| burn.ms)),
        burn.map_or_else(String::new, spread),
        number(burn.map(|burn| burn.ms / limbic.ms)),
        limbic.runs.to_string(),
        number(first(limbic)),
        number(burn.and_then(first)),
        number(limbic.memory_mib),
        number(burn.and_then(|burn| burn.memory_mib)),
    ];
    for lib in libs {
        let other = row.others.iter().find(|other| other.lib == *lib).map(|other| other.ms);
        cells.extend([number(other), number(other.map(|ms| ms / limbic.ms))]);
    }
    format!("| {} |\n", cells.join(" | "))
}

/// Writes peers.md, peers.json, peers.svg and burn.jsonl.
pub fn save(folder: &Path, run: &Run) -> Result<()> {
    let wrong = |error: serde_json::Error| Error::Config(error.to_string());
    let roofs = serde_json::json!({ "flops": run.roofs.flops, "bytes": run.roofs.bytes });
    let all = serde_json::json!({ "setting": run.setting, "burn": run.burn, "roofs": roofs, "rows": run.rows });
    let mut lines =
        format!("# {}, wgpu backend with its defaults, in turn with limbic at {}\n", run.burn, run.setting.commit);
    for (row, burn) in run.rows.iter().flat_map(|row| row.burn.iter().map(move |burn| (row, burn))) {
        lines +=
            &(serde_json::json!({ "lib": run.burn, "op": row.op, "way": burn.way, "ms": burn.ms }).to_string() + "\n");
    }
    let files = [
        ("peers.md", markdown(run)),
        ("peers.json", serde_json::to_string_pretty(&all).map_err(wrong)? + "\n"),
        ("peers.svg", picture::svg(run)),
        ("burn.jsonl", lines),
    ];
    let failed = |error: std::io::Error| Error::Config(format!("{}: {error}", folder.display()));
    std::fs::create_dir_all(folder).map_err(failed)?;
    for (name, text) in files {
        std::fs::write(folder.join(name), text).map_err(failed)?;
    }
    Ok(())
}
