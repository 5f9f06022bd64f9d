//! Files that are either whole or not there: written aside, synced, renamed.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Error, Result};

/// Writes the file `path` through `write` so that a crash, a full disk or a failing `write` leaves the old file (or none)
/// in place, never half of the new one.
///
/// The bytes go to a temporary file beside `path`, are synced to the disk and renamed over `path`; a failure removes the
/// temporary file. The folder must exist. Errors of other crates fit in with [`io::Error::other`].
///
/// # Errors
/// [`Error::Io`] if the folder is missing, `write` fails, or the disk refuses.
///
/// ```
/// use std::io::Write;
/// # let folder = std::env::temp_dir();
/// # let path = folder.join(format!("limbic-atomic-write-{}.csv", std::process::id()));
/// limbic::files::atomic_write(&path, |file| writeln!(file, "epoch,loss"))?;
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), limbic::Error>(())
/// ```
pub fn atomic_write(path: impl AsRef<Path>, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let path = path.as_ref();
    let folder = folder_of(path);
    if !folder.is_dir() {
        return Err(Error::io(path, format!("the folder {} does not exist: create it first", folder.display())));
    }
    let aside = Aside::beside(path, folder)?;
    aside.fill(write).map_err(|error| Error::io(path, format!("cannot be written: {error}")))?;
    aside.rename_to(path).map_err(|error| Error::io(path, format!("cannot be replaced: {error}")))?;
    // The rename itself reaches the disk with its folder. Some systems cannot sync a folder; the file is whole either way.
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
    Ok(())
}

/// The folder that `path` lies in; a bare file name lies in the current one.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// A temporary file, removed on drop unless it was renamed.
struct Aside {
    path: PathBuf,
    file: File,
}

impl Aside {
    /// Opens a file that no other writer has: process, counter and `create_new` make the name unique.
    fn beside(path: &Path, folder: &Path) -> Result<Self> {
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let Some(name) = path.file_name() else {
            return Err(Error::io(path, "names a folder, not a file"));
        };
        loop {
            let number = COUNTER.fetch_add(1, Ordering::Relaxed);
            let aside = folder.join(format!(".{}.{}-{number}.tmp", name.to_string_lossy(), std::process::id()));
            match OpenOptions::new().write(true).create_new(true).open(&aside) {
                Ok(file) => return Ok(Aside { path: aside, file }),
                // Left by a process of the same number that was killed: take the next name.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(Error::io(path, format!("cannot be written: {error}"))),
            }
        }
    }

    fn fill(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        let mut writer = BufWriter::new(&self.file);
        write(&mut writer)?;
        writer.flush()?;
        drop(writer);
        self.file.sync_all()
    }

    fn rename_to(self, path: &Path) -> io::Result<()> {
        std::fs::rename(&self.path, path)
        // Dropping `self` now finds no file under the temporary name, which is what we want.
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn replaces_the_old_file_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.csv");
        atomic_write(&path, |file| file.write_all(b"old and long")).unwrap();
        atomic_write(&path, |file| file.write_all(b"new")).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(names(folder.path()), ["history.csv"]);
    }

    #[test]
    fn a_failing_writer_keeps_the_old_file_and_removes_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model");
        atomic_write(&path, |file| file.write_all(b"old")).unwrap();
        let error = atomic_write(&path, |file| {
            file.write_all(b"half of the ne")?;
            Err(io::Error::other("disk full"))
        })
        .unwrap_err();
        assert!(error.to_string().contains("disk full"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["model"]);
    }

    #[test]
    fn a_panicking_writer_leaves_no_temporary_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model");
        let caught = std::panic::catch_unwind(|| atomic_write(&path, |_| panic!("in the middle")));
        assert!(caught.is_err());
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_missing_folder_and_a_folder_as_target_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let error = atomic_write(folder.path().join("not/there.json"), |_| Ok(())).unwrap_err();
        assert!(error.to_string().contains("create it first"), "{error}");
        assert!(atomic_write(folder.path(), |_| Ok(())).is_err());
        assert!(atomic_write("/", |_| Ok(())).is_err());
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_file_left_by_a_killed_process_is_no_obstacle() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..64 {
            let name = format!(".model.{}-{number}.tmp", std::process::id());
            std::fs::write(folder.path().join(name), "left").unwrap();
        }
        let path = folder.path().join("model");
        atomic_write(&path, |file| file.write_all(b"new")).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
    }
}
