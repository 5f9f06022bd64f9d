//! Where predictions go.

use clap::ValueEnum;
use limbic::{Error, Result};
use std::io::{self, Write};
use std::path::Path;

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Format {
    Csv,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SplitFlag {
    Train,
    Valid,
    Test,
    All,
}

impl SplitFlag {
    /// Those of the three parts of the data called `name` that are asked for and not empty, with their names.
    pub fn choose<'a, T>(self, name: &str, splits: [&'a [T]; 3]) -> Result<Vec<(&'static str, &'a [T])>> {
        let [train, valid, test] = splits;
        let splits = [(Self::Train, "train", train), (Self::Valid, "valid", valid), (Self::Test, "test", test)];
        let wanted = splits.iter().filter(|(flag, ..)| self == SplitFlag::All || self == *flag);
        let there: Vec<_> =
            wanted.filter(|(.., clips)| !clips.is_empty()).map(|(_, name, clips)| (*name, *clips)).collect();
        if there.is_empty() {
            let counts = splits.map(|(_, name, clips)| format!("{} {name}", clips.len())).join(", ");
            return Err(Error::Config(format!("there are no such clips, {name} has {counts}: choose with --split")));
        }
        Ok(there)
    }
}

/// Writes to the file `path`, aside and renamed, or to standard output, where a reader that has seen enough (`| head`) is no error.
pub fn write_out(path: Option<&Path>, write: impl Fn(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    if let Some(path) = path {
        return limbic::files::atomic_write(path, |file| write(file));
    }
    let mut out = io::BufWriter::new(io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::io("standard output", error)),
        _ => Ok(()),
    }
}
