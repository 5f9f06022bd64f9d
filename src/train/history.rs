//! What a run was like, epoch by epoch: one row each, kept as CSV that any tool reads and that reads back exactly.

use std::path::Path;

use crate::{Error, Result};

/// The columns that every history has; a run's own metrics follow them.
const COLUMNS: [&str; 7] =
    ["epoch", "step", "train_loss", "valid_loss", "learning_rate", "seconds", "samples_per_second"];

/// One epoch. A figure that is not known is NaN.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EpochRow {
    /// Counted from 1.
    pub epoch: u64,
    /// Steps since the run began.
    pub step: u64,
    /// Mean over the epoch's samples.
    pub train_loss: f64,
    /// On held-out data, after the epoch.
    pub valid_loss: f64,
    /// Of the epoch's last step.
    pub learning_rate: f64,
    /// Spent on training in this epoch, without validation.
    pub seconds: f64,
    /// Of training.
    pub samples_per_second: f64,
    /// Further figures by name; the same names in the same order in every row of a history.
    pub metrics: Vec<(String, f64)>,
}

impl EpochRow {
    fn figures(&self) -> [f64; 5] {
        [self.train_loss, self.valid_loss, self.learning_rate, self.seconds, self.samples_per_second]
    }
}

/// The rows of a run, in order.
///
/// With the feature `weights` it can be saved inside a run's state, where it stands as its CSV text: JSON has no NaN.
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "weights", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "weights", serde(into = "String", try_from = "String"))]
pub struct History {
    rows: Vec<EpochRow>,
}

impl History {
    /// All epochs so far.
    pub fn rows(&self) -> &[EpochRow] {
        &self.rows
    }

    /// The row with the lowest finite validation loss, the first of several; none before there is one.
    pub fn best(&self) -> Option<&EpochRow> {
        let finite = self.rows.iter().filter(|row| row.valid_loss.is_finite());
        finite.min_by(|a, b| a.valid_loss.total_cmp(&b.valid_loss))
    }

    /// One value per epoch of the column `name`, as the CSV file calls it: a curve for `viz::curves`. None if there is
    /// no such column.
    pub fn column(&self, name: &str) -> Option<Vec<f64>> {
        let place = COLUMNS.iter().position(|column| *column == name);
        let value = |row: &EpochRow| match place {
            Some(0) => Some(row.epoch as f64),
            Some(1) => Some(row.step as f64),
            Some(i) => row.figures().get(i - 2).copied(),
            None => row.metrics.iter().find(|(metric, _)| metric == name).map(|(_, value)| *value),
        };
        self.rows.iter().map(value).collect()
    }

    /// Adds the next epoch.
    ///
    /// # Errors
    /// [`Error::Config`] if it does not follow the last row (a later epoch, no fewer steps), or its metrics have other names
    /// than the first row's, a name twice, an empty one, one of the fixed columns' or one with a line break.
    pub fn push(&mut self, row: EpochRow) -> Result<()> {
        self.check(&row).map_err(|message| Error::Config(format!("history, epoch {}: {message}", row.epoch)))?;
        self.rows.push(row);
        Ok(())
    }

    fn check(&self, row: &EpochRow) -> Result<(), String> {
        let names = || row.metrics.iter().map(|(name, _)| name.as_str());
        if let Some(last) = self.rows.last() {
            if row.epoch <= last.epoch || row.step < last.step {
                let (epoch, step) = (last.epoch, last.step);
                return Err(format!("step {} does not follow epoch {epoch} at step {step}", row.step));
            }
            if !names().eq(last.metrics.iter().map(|(name, _)| name.as_str())) {
                return Err(
                    "its metrics differ from those of the epochs before: name the same ones in every epoch".into()
                );
            }
            return Ok(());
        }
        for (i, name) in names().enumerate() {
            if name.trim().is_empty() || name.contains(char::is_control) {
                return Err(format!("the metric name {name:?} is empty or has a control character"));
            }
            if COLUMNS.contains(&name) || names().take(i).any(|earlier| earlier == name) {
                return Err(format!("the metric name '{name}' is taken: give every metric its own"));
            }
        }
        Ok(())
    }

    /// Writes the history as CSV: a line of names, then a line per epoch. The file is whole or the one before it.
    ///
    /// # Errors
    /// [`Error::Io`] if the disk refuses.
    pub fn write_csv(&self, path: impl AsRef<Path>) -> Result<()> {
        crate::files::atomic_write(path, |file| file.write_all(self.to_csv().as_bytes()))
    }

    /// Reads what [`History::write_csv`] wrote; every number is bit for bit the one that was written.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read; [`Error::Format`], with line and column, if it is no history.
    pub fn read_csv(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, error))?;
        Self::parse(&text).map_err(|(place, message)| Error::format(path, place, message))
    }

    /// The CSV text of the history.
    pub fn to_csv(&self) -> String {
        let metrics = self.rows.first().into_iter().flat_map(|row| row.metrics.iter().map(|(name, _)| quoted(name)));
        let header: Vec<String> = COLUMNS.iter().map(|name| name.to_string()).chain(metrics).collect();
        let mut text = header.join(",") + "\n";
        for row in &self.rows {
            let figures = row.figures().into_iter().chain(row.metrics.iter().map(|(_, value)| *value));
            text += &format!("{},{}", row.epoch, row.step);
            // The shortest text that reads back as the same number.
            figures.for_each(|value| text += &format!(",{value:?}"));
            text.push('\n');
        }
        text
    }

    /// The place of a defect and what it is, where `text` is no history.
    fn parse(text: &str) -> Result<Self, (String, String)> {
        let mut lines = text.trim_start_matches('\u{feff}').lines().zip(1..);
        let at_header = |message: String| ("line 1".to_string(), message);
        let header = lines.next().ok_or_else(|| at_header("the file is empty".into()))?.0;
        let header = fields(header).map_err(at_header)?;
        let Some(metrics) = header.strip_prefix(&COLUMNS.map(String::from)) else {
            return Err(at_header(format!("a history's columns begin with {}", COLUMNS.join(","))));
        };
        let mut history = History::default();
        for (line, number) in lines.filter(|(line, _)| !line.trim().is_empty()) {
            let at_line = |message: String| (format!("line {number}"), message);
            let fields = fields(line).map_err(at_line)?;
            if fields.len() != header.len() {
                return Err(at_line(format!("{} fields, but the header names {}", fields.len(), header.len())));
            }
            let row = row(metrics, &fields).map_err(|(column, message)| {
                let column = header.get(column).map_or("", String::as_str);
                (format!("line {number}, column {column}"), message)
            })?;
            history.check(&row).map_err(at_line)?;
            history.rows.push(row);
        }
        Ok(history)
    }
}

impl From<History> for String {
    fn from(history: History) -> String {
        history.to_csv()
    }
}

impl TryFrom<String> for History {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        History::parse(&text).map_err(|(place, message)| format!("history, {place}: {message}"))
    }
}

/// The row that `fields` hold, or the column of the first that is no number.
fn row(metrics: &[String], fields: &[String]) -> Result<EpochRow, (usize, String)> {
    let field = |i: usize| fields.get(i).map_or("", |field| field.trim());
    let whole = |i: usize| field(i).parse::<u64>().map_err(|_| (i, format!("'{}' is no whole number", field(i))));
    let real = |i: usize| field(i).parse::<f64>().map_err(|_| (i, format!("'{}' is no number", field(i))));
    let metric = |(i, name): (usize, &String)| Ok((name.clone(), real(COLUMNS.len() + i)?));
    Ok(EpochRow {
        epoch: whole(0)?,
        step: whole(1)?,
        train_loss: real(2)?,
        valid_loss: real(3)?,
        learning_rate: real(4)?,
        seconds: real(5)?,
        samples_per_second: real(6)?,
        metrics: metrics.iter().enumerate().map(metric).collect::<Result<_, _>>()?,
    })
}

/// `name` as a CSV field (RFC 4180).
fn quoted(name: &str) -> String {
    let plain = !name.contains([',', '"']) && name.trim() == name;
    if plain { name.to_string() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// The fields of a CSV line; no field has a line break.
fn fields(line: &str) -> Result<Vec<String>, String> {
    let mut fields = vec![String::new()];
    let mut inside = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let doubled = inside && c == '"' && chars.next_if_eq(&'"').is_some();
        match (c, fields.last_mut()) {
            (',', _) if !inside => fields.push(String::new()),
            ('"', _) if !doubled => inside = !inside,
            (c, Some(field)) => field.push(c),
            (_, None) => {}
        }
    }
    if inside { Err("a quotation mark is not closed".into()) } else { Ok(fields) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(epoch: u64, valid_loss: f64) -> EpochRow {
        EpochRow {
            epoch,
            step: epoch * 120,
            train_loss: 0.1 + 0.2,
            valid_loss,
            learning_rate: 1e-4,
            seconds: 12.25,
            samples_per_second: 1e300,
            metrics: vec![("Acc-2".into(), 1.0 / 3.0), ("F1, \"has0\"".into(), f64::MIN_POSITIVE / 8.0)],
        }
    }

    fn history() -> History {
        let mut history = History::default();
        for (epoch, loss) in [(1, 0.9), (2, 0.5), (3, f64::NEG_INFINITY), (5, 0.5)] {
            history.push(row(epoch, loss)).unwrap();
        }
        history
    }

    /// What `read_csv` says of a file that holds `text`.
    fn refused(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.csv");
        std::fs::write(&path, text).unwrap();
        History::read_csv(&path).unwrap_err().to_string()
    }

    #[test]
    fn every_number_reads_back_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.csv");
        let mut written = history();
        written.push(row(6, f64::NAN)).unwrap();
        written.write_csv(&path).unwrap();
        let read = History::read_csv(&path).unwrap();
        assert_eq!(read.rows().len(), 5);
        for (a, b) in written.rows().iter().zip(read.rows()) {
            assert_eq!((a.epoch, a.step), (b.epoch, b.step));
            let bits = |row: &EpochRow| -> Vec<u64> {
                row.figures().iter().chain(row.metrics.iter().map(|m| &m.1)).map(|v| v.to_bits()).collect()
            };
            assert_eq!(bits(a), bits(b));
            assert!(a.metrics.iter().map(|m| &m.0).eq(b.metrics.iter().map(|m| &m.0)));
        }
        assert_eq!(read.to_csv(), written.to_csv());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_empty_history_and_foreign_line_ends_read_back() {
        assert_eq!(History::parse(&History::default().to_csv()), Ok(History::default()));
        let text = format!("\u{feff}{}\r\n", history().to_csv().replace('\n', "\r\n"));
        assert_eq!(History::parse(&text), Ok(history()));
    }

    #[test]
    fn the_best_epoch_is_the_first_lowest_finite_one() {
        assert_eq!(history().best().map(|row| row.epoch), Some(2));
        assert_eq!(History::default().best(), None);
    }

    #[test]
    fn columns_go_by_their_names_in_the_file() {
        let history = history();
        assert_eq!(history.column("epoch"), Some(vec![1.0, 2.0, 3.0, 5.0]));
        assert_eq!(history.column("step"), Some(vec![120.0, 240.0, 360.0, 600.0]));
        assert_eq!(history.column("samples_per_second"), Some(vec![1e300; 4]));
        assert_eq!(history.column("Acc-2"), Some(vec![1.0 / 3.0; 4]));
        assert_eq!(history.column("accuracy"), None);
    }

    #[test]
    fn rows_that_do_not_follow_are_refused() {
        let refused = |next: EpochRow| history().push(next).unwrap_err().to_string();
        assert!(refused(row(5, 0.1)).contains("does not follow"));
        assert!(refused(EpochRow { step: 3, ..row(6, 0.1) }).contains("does not follow"));
        assert!(refused(EpochRow { metrics: vec![], ..row(6, 0.1) }).contains("metrics differ"));
        for name in ["", " ", "step", "two\nlines"] {
            let first = EpochRow { metrics: vec![(name.into(), 1.0)], ..row(1, 0.1) };
            assert!(History::default().push(first).is_err(), "{name:?}");
        }
        let twice = EpochRow { metrics: vec![("r".into(), 1.0), ("r".into(), 2.0)], ..row(1, 0.1) };
        assert!(History::default().push(twice).is_err());
    }

    #[test]
    fn a_file_that_is_no_history_is_refused_at_its_place() {
        let header = COLUMNS.join(",");
        for (text, place) in [
            (String::new(), "line 1: the file is empty"),
            ("a,b\n1,2\n".into(), "line 1: a history's columns begin with epoch,"),
            (format!("{header}\n1,2,3\n"), "line 2: 3 fields, but the header names 7"),
            (format!("{header}\n1,9,1,1,1,1,1\nx,9,1,1,1,1,1\n"), "line 3, column epoch: 'x' is no whole number"),
            (format!("{header}\n-1,9,1,1,1,1,1\n"), "line 2, column epoch"),
            (format!("{header},r\n1,9,1,1,1,1,1,half\n"), "line 2, column r: 'half' is no number"),
            (format!("{header}\n1,9,1,one,1,1,1\n"), "line 2, column valid_loss"),
            (format!("{header}\n2,9,1,1,1,1,1\n1,9,1,1,1,1,1\n"), "line 3: step 9 does not follow epoch 2"),
            (format!("{header},r,r\n1,9,1,1,1,1,1,1,1\n"), "line 2: the metric name 'r' is taken"),
            (format!("{header},\"r\n"), "line 1: a quotation mark is not closed"),
        ] {
            assert!(refused(&text).contains(place), "{} does not say {place}", refused(&text));
        }
    }

    #[cfg(feature = "weights")]
    #[test]
    fn a_history_with_nan_stands_in_json() {
        let mut history = history();
        history.push(row(7, f64::NAN)).unwrap();
        let json = serde_json::to_string(&history).unwrap();
        let read: History = serde_json::from_str(&json).unwrap();
        assert_eq!(read.to_csv(), history.to_csv());
        assert!(serde_json::from_str::<History>("\"epoch\"").is_err());
    }
}
