//! Another library's figures, measured elsewhere or by its own program in the same hour, as JSON lines.

use limbic::{Error, Result};
use std::collections::HashMap;
use std::path::PathBuf;

/// The fastest peer's name and milliseconds, per row.
#[derive(Debug, Default)]
pub struct Peers(HashMap<String, (String, f64)>);

impl Peers {
    /// Reads JSON lines with `lib`, `op` and `ms`. Lines that are empty or start with `#`, and those without `ms` (counts of
    /// parameters and the like), are passed over.
    pub fn read(files: &[PathBuf]) -> Result<Self> {
        let mut peers = Peers::default();
        for file in files {
            let text =
                std::fs::read_to_string(file).map_err(|error| Error::Config(format!("{}: {error}", file.display())))?;
            for (number, line) in text.lines().enumerate() {
                if line.trim().is_empty() || line.starts_with('#') {
                    continue;
                }
                let wrong = |what: String| Error::Config(format!("{}:{}: {what}", file.display(), number + 1));
                let value: serde_json::Value = serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
                let Some(ms) = value["ms"].as_f64() else { continue };
                let (Some(op), Some(lib)) = (value["op"].as_str(), value["lib"].as_str()) else {
                    return Err(wrong("wants \"op\" and \"lib\"".to_string()));
                };
                peers.add(lib, op, ms);
            }
        }
        Ok(peers)
    }

    /// Where a library has two ways (attention as one op or as three), the row is compared with its faster one.
    fn add(&mut self, lib: &str, op: &str, ms: f64) {
        let name = op.replacen("attn_sdpa_", "attn_", 1).replacen("attn_manual_", "attn_", 1);
        let entry = self.0.entry(name).or_insert_with(|| (lib.to_string(), ms));
        if ms < entry.1 {
            *entry = (lib.to_string(), ms);
        }
    }

    pub fn find(&self, op: &str) -> Option<&(String, f64)> {
        self.0.get(op)
    }
}
