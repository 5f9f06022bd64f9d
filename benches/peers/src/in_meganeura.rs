//! meganeura, in a process of its own (`meganeura/`) that does a run when it is asked to.

use limbic::{Error, Result};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// What meganeura is called in tables; the version is that of `meganeura/Cargo.lock`.
pub const LIB: &str = "meganeura";

/// The program, and the rows that it has.
pub struct Program {
    path: PathBuf,
    rows: Vec<String>,
}

impl Program {
    /// # Errors
    /// Where it does not start.
    pub fn new(path: &Path) -> Result<Self> {
        let failed = |what: String| Error::Config(format!("{}: {what}", path.display()));
        let listed = Command::new(path).output().map_err(|error| failed(error.to_string()))?;
        if !listed.status.success() {
            return Err(failed(format!("{}: {}", listed.status, String::from_utf8_lossy(&listed.stderr).trim())));
        }
        let rows = String::from_utf8_lossy(&listed.stdout).lines().map(str::to_string).collect();
        Ok(Program { path: path.to_path_buf(), rows })
    }

    pub fn has(&self, row: &str) -> bool {
        self.rows.iter().any(|known| known == row)
    }

    /// Starts a process that has run `row` once, on the adapter that limbic took.
    ///
    /// # Errors
    /// Where that did not succeed; what the process said of it is on the terminal.
    pub fn start(&self, row: &str, adapter: &str) -> Result<Running> {
        let failed = |error: std::io::Error| Error::Config(format!("{}: {error}", self.path.display()));
        let mut child =
            Command::new(&self.path).arg(row).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(failed)?;
        let missing = || Error::Config(format!("{}: no pipes", self.path.display()));
        let (asked, answers) = child.stdin.take().zip(child.stdout.take()).ok_or_else(missing)?;
        let mut running = Running { row: row.to_string(), child, asked, answers: BufReader::new(answers) };
        let name = running.answer()?;
        if name != adapter {
            return Err(Error::Config(format!(
                "limbic runs on '{adapter}', meganeura on '{name}': choose one with --adapter"
            )));
        }
        Ok(running)
    }
}

/// A row that is ready. Its process ends with it.
pub struct Running {
    row: String,
    child: Child,
    asked: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Running {
    /// Does the row so many times and returns when the device is done.
    pub fn run(&mut self, replays: u32) -> Result<()> {
        let failed = |error: std::io::Error| Error::Config(format!("meganeura's {}: {error}", self.row));
        writeln!(self.asked, "{replays}").map_err(failed)?;
        self.asked.flush().map_err(failed)?;
        self.answer().map(|_| ())
    }

    fn answer(&mut self) -> Result<String> {
        let mut line = String::new();
        match self.answers.read_line(&mut line) {
            Ok(length) if length > 0 => Ok(line.trim_end().to_string()),
            Ok(_) => Err(Error::Config(format!("meganeura's {} ended early", self.row))),
            Err(error) => Err(Error::Config(format!("meganeura's {}: {error}", self.row))),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // it waits for a line; a process that is gone already needs no end
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
