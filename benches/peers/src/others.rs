//! What other programs measured, as JSON lines: PyTorch, on the same processor or on a GPU of its own kind.

use crate::report::Measured;
use limbic::{Error, Result};
use std::collections::HashMap;
use std::path::PathBuf;

/// Per row, each library's fastest way.
#[derive(Debug, Default)]
pub struct Others(HashMap<String, Vec<Measured>>);

impl Others {
    /// Reads JSON lines with `lib`, `op` and `ms`, and passes over those that are empty or start with `#`.
    pub fn read(files: &[PathBuf]) -> Result<Self> {
        let mut others = Others::default();
        for file in files {
            let failed = |what: String| Error::Config(format!("{}: {what}", file.display()));
            let text = std::fs::read_to_string(file).map_err(|error| failed(error.to_string()))?;
            for (number, line) in text.lines().enumerate() {
                if line.trim().is_empty() || line.starts_with('#') {
                    continue;
                }
                let measured: serde_json::Result<Line> = serde_json::from_str(line);
                let Line { op, measured } =
                    measured.map_err(|error| failed(format!("line {}: {error}", number + 1)))?;
                others.add(op, measured);
            }
        }
        Ok(others)
    }

    fn add(&mut self, op: String, measured: Measured) {
        let known = self.0.entry(op).or_default();
        match known.iter_mut().find(|known| known.lib == measured.lib) {
            Some(known) if known.ms <= measured.ms => {}
            Some(known) => *known = measured,
            None => known.push(measured),
        }
    }

    pub fn find(&self, op: &str) -> Vec<Measured> {
        self.0.get(op).cloned().unwrap_or_default()
    }
}

#[derive(serde::Deserialize)]
struct Line {
    op: String,
    #[serde(flatten)]
    measured: Measured,
}
