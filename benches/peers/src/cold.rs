//! How long a process takes to its first result: with empty caches on disk (shaders, burn's tuning), and with what that run left.

use crate::in_burn::{Burn, Peer};
use crate::measure::of;
use crate::options::Options;
use crate::report::{Measured, Row};
use crate::rows;
use limbic::gpu::Gpu;
use limbic::{Error, Result};
use std::path::Path;
use std::process::Command;

/// What is run first, and what the rows are called.
const ROWS: [(&str, &str); 2] =
    [("msa_infer_b1", "first_result_infer_b1"), ("msa_train_b32", "first_result_train_b32")];

pub fn names() -> impl Iterator<Item = String> {
    ROWS.iter().flat_map(|(_, name)| ["cold", "cached"].map(|cache| format!("{name}_{cache}")))
}

/// Times those that are asked for, in processes of their own.
pub fn rows(options: &Options) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (subject, name) in ROWS {
        if !options.wants(name) {
            continue;
        }
        let [limbic, burn] = ["limbic", "burn"].map(|lib| twice(options, lib, subject));
        for ((cache, limbic), burn) in ["cold", "cached"].into_iter().zip(limbic?).zip(burn?) {
            let measured = |lib, seconds| Measured::new(lib, "", of(vec![seconds], 1), None);
            let op = format!("{name}_{cache}");
            rows.push(Row {
                op,
                limbic: measured("limbic", limbic),
                burn: vec![measured("burn", burn)],
                ..Row::default()
            });
        }
    }
    Ok(rows)
}

/// Seconds of two processes after one another that share a cache, empty at first.
fn twice(options: &Options, lib: &str, row: &str) -> Result<[f64; 2]> {
    let folder = std::env::temp_dir().join(format!("limbic-peers-{}-{lib}-{row}", std::process::id()));
    let failed = |error: std::io::Error| Error::Config(format!("{}: {error}", folder.display()));
    std::fs::create_dir_all(&folder).map_err(failed)?;
    let seconds = once(options, lib, row, &folder).and_then(|cold| Ok([cold, once(options, lib, row, &folder)?]));
    std::fs::remove_dir_all(&folder).map_err(failed)?;
    seconds
}

/// Seconds of one process that keeps its caches in `folder`: Mesa's and NVIDIA's shaders, and burn's tuning, for which no Cargo.toml may
/// be above.
fn once(options: &Options, lib: &str, row: &str, folder: &Path) -> Result<f64> {
    let failed = |what: String| Error::Config(format!("the first {row} of {lib} failed: {what}"));
    let program = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
    let mut command = Command::new(program);
    command.current_dir(folder).env("XDG_CACHE_HOME", folder).env("__GL_SHADER_DISK_CACHE_PATH", folder);
    command.args(["--first", &format!("{lib}:{row}")]);
    if let Some(adapter) = &options.adapter {
        command.args(["--adapter", adapter]);
    }
    let output = command.output().map_err(|error| failed(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().map_err(|_| failed(format!("{text}{}", String::from_utf8_lossy(&output.stderr))))
}

/// Does `LIB:ROW` once.
pub fn first(gpu: &Gpu, peers: &[Peer], what: &str) -> Result<()> {
    let unknown = || Error::Config(format!("no row '{what}'"));
    let (lib, row) = what.split_once(':').ok_or_else(unknown)?;
    if lib == "limbic" {
        let subject = rows::subjects().into_iter().find(|subject| subject.name == row).ok_or_else(unknown)?;
        return (subject.build(gpu)?.run)(1);
    }
    let peer = peers.iter().find(|peer| peer.row == row).ok_or_else(unknown)?;
    peer.build(&Burn::new(&gpu.info().name)?)?(1)
}
