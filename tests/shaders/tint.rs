//! Tint, the other WGSL compiler, as a second reader.

use std::io::Write;
use std::process::{Command, Stdio};

/// An installed `tint`.
pub struct Tint;

impl Tint {
    /// Whether it can be called.
    pub fn find() -> Option<Self> {
        let version = Command::new("tint").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        version.is_ok().then_some(Tint)
    }

    /// What it says against `wgsl`, if anything.
    pub fn check(&self, wgsl: &str, subgroups: bool) -> Result<(), String> {
        let mut file = tempfile::Builder::new().suffix(".wgsl").tempfile().map_err(|error| error.to_string())?;
        // The standard wants the extension declared; naga does not know the line. That rows found by `lane / LANES` are the same for
        // a whole subgroup is our knowledge of one-dimensional workgroups; the analysis cannot have it. Barriers are still checked.
        let enable = if subgroups { "enable subgroups;\ndiagnostic(off, subgroup_uniformity);\n" } else { "" };
        write!(file, "{enable}{wgsl}").map_err(|error| error.to_string())?;
        let output = Command::new("tint")
            .args(["--format", "wgsl", "-o", "/dev/null"])
            .arg(file.path())
            .output()
            .map_err(|error| error.to_string())?;
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    }
}
