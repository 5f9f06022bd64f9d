//! Configurations and training state as JSON.

use std::path::Path;

use serde::{Serialize, de::DeserializeOwned};

use crate::files::atomic_write;
use crate::{Error, Result};

/// Reads a value from the JSON file `path`.
///
/// # Errors
/// [`Error::Io`] if the file cannot be read; [`Error::Format`] with line and column if it is not what `T` needs.
pub fn read_json<T: DeserializeOwned>(path: impl AsRef<Path>) -> Result<T> {
    let path = path.as_ref();
    let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, error))?;
    serde_json::from_str(&text)
        .map_err(|error| Error::format(path, format!("line {}, column {}", error.line(), error.column()), error))
}

/// Writes a value as indented JSON, aside and renamed. Floats come back bit for bit; NaN and infinity are written as
/// null, so a state that may hold them should say so with an `Option`.
///
/// # Errors
/// [`Error::Io`] if the value cannot be JSON (a map with keys that are no strings) or the file cannot be written.
pub fn write_json<T: Serialize>(path: impl AsRef<Path>, value: &T) -> Result<()> {
    atomic_write(path, |file| {
        serde_json::to_writer_pretty(&mut *file, value)?;
        file.write_all(b"\n")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn floats_come_back_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        // Values that a parser without exact rounding gets wrong by one unit in the last place are among them.
        let values: Vec<f64> = (1..4000).map(|i| (f64::from(i) * 0.7390851332151607).sin() * 1e-7).collect();
        write_json(&path, &values).unwrap();
        assert_eq!(read_json::<Vec<f64>>(&path).unwrap(), values);
    }

    #[test]
    fn errors_name_the_file_and_the_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        let missing = read_json::<BTreeMap<String, u32>>(&path).unwrap_err();
        assert!(matches!(missing, Error::Io { .. }) && missing.to_string().contains("config.json"));
        std::fs::write(&path, "{\n  \"model_dim\": \"wide\"\n}").unwrap();
        let wrong = read_json::<BTreeMap<String, u32>>(&path).unwrap_err().to_string();
        assert!(wrong.contains("config.json") && wrong.contains("line 2"), "{wrong}");
    }
}
