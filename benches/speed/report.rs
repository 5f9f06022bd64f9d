//! The table and the JSON.

use crate::row::Row;
use crate::system::Setting;
use limbic::{Error, Result};
use std::path::Path;

/// The run as Markdown: where it was made, then a table.
pub fn markdown(setting: &Setting, rows: &[Row]) -> String {
    let Setting { adapter, driver, backend, wgpu, limbic, commit, date, machine } = setting;
    let peers = rows.iter().any(|row| row.peer.is_some());
    let mut text = format!(
        "{adapter}, {driver}, {backend}; {machine}\nlimbic {limbic} at {commit}, wgpu {wgpu}, {date}\n\n\
         | row | ms | min .. max | CPU ms | runs | launches | GFLOP/s | GB/s | roof | MiB | others |"
    );
    text += if peers { " peer ms | times faster |\n" } else { "\n" };
    text += "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|";
    text += if peers { "---:|---:|\n" } else { "\n" };
    for row in rows {
        text += &line(row, peers);
        text.push('\n');
    }
    text
}

fn line(row: &Row, peers: bool) -> String {
    let number = |value: Option<f64>| value.map_or_else(String::new, short);
    let percent = |share: Option<f64>| share.map_or_else(String::new, |share| format!("{:.0} %", share * 100.0));
    let runs = if row.replays > 1 { format!("{} x {}", row.runs, row.replays) } else { row.runs.to_string() };
    let mut cells = vec![
        row.op.clone(),
        short(row.ms),
        format!("{} .. {}", short(row.min_ms), short(row.max_ms)),
        number(row.cpu_ms),
        runs,
        row.dispatches.map_or_else(String::new, |count| count.to_string()),
        number(row.gflops),
        number(row.gbs),
        percent(row.roof),
        number(row.memory_mib),
        percent(row.others),
    ];
    if peers {
        cells.push(number(row.peer.as_ref().map(|(_, ms)| *ms)));
        cells.push(number(row.peer.as_ref().map(|(_, ms)| ms / row.ms)));
    }
    format!("| {} |", cells.join(" | "))
}

/// Three significant digits, without an exponent.
pub fn short(value: f64) -> String {
    let digits = if value <= 0.0 { 0 } else { (2 - value.log10().floor() as i32).clamp(0, 5) };
    format!("{value:.*}", digits as usize)
}

/// Writes the run as JSON.
pub fn save(path: &Path, setting: &Setting, rows: &[Row]) -> Result<()> {
    let value = serde_json::json!({ "setting": setting, "rows": rows });
    let text = serde_json::to_string_pretty(&value).map_err(|error| Error::Config(error.to_string()))? + "\n";
    let failed = |error: std::io::Error| Error::Config(format!("{}: {error}", path.display()));
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    std::fs::write(path, text).map_err(failed)
}
