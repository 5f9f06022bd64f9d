//! A progress bar for training: epoch, step, loss, samples per second and the time that is left. Where standard error is no
//! terminal (a log, a pipe) it writes a plain line every few seconds instead.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::history::EpochRow;

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Counted from 1.
    pub epoch: u64,
    /// The last epoch.
    pub epochs: u64,
    /// Batches done in this epoch.
    pub batch: usize,
    /// Batches per epoch.
    pub batches: usize,
}

impl Position {
    /// Batches done since the run began.
    fn done(&self) -> u64 {
        self.epoch.saturating_sub(1).saturating_mul(self.batches as u64).saturating_add(self.batch as u64)
    }

    fn left(&self) -> u64 {
        self.epochs.saturating_mul(self.batches as u64).saturating_sub(self.done())
    }
}

/// Shows how a training run goes. Dropping it takes the bar off the screen; what it printed stays.
///
/// With the feature `weights` it is an [`Observer`](super::fit::Observer) of the training loop.
pub struct TrainingBar {
    output: Output,
    meter: Meter,
    begun: Instant,
}

enum Output {
    Bar(ProgressBar),
    Lines { writer: Box<dyn Write + Send>, every: Duration, last: Duration },
}

impl TrainingBar {
    /// A bar on standard error, or where that is no terminal, a line at most every `every`.
    pub fn new(every: Duration) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::lines(std::io::stderr(), every);
        }
        let bar = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template("{prefix} [{bar:24.cyan}] {pos}/{len}  {msg}") {
            bar.set_style(style.progress_chars("━╸ "));
        }
        Self::with_output(Output::Bar(bar))
    }

    /// Plain lines to `writer`, at most one every `every`; the last epoch always has its line.
    pub fn lines(writer: impl Write + Send + 'static, every: Duration) -> Self {
        Self::with_output(Output::Lines { writer: Box::new(writer), every, last: Duration::ZERO })
    }

    fn with_output(output: Output) -> Self {
        TrainingBar { output, meter: Meter::default(), begun: Instant::now() }
    }

    /// Takes a finished step: where the run stands after it, the loss of its batch and the batch's real samples.
    pub fn step(&mut self, position: Position, loss: f32, samples: usize) {
        self.step_at(self.begun.elapsed(), position, loss, samples);
    }

    fn step_at(&mut self, now: Duration, position: Position, loss: f32, samples: usize) {
        self.meter.note(now, position, loss, samples);
        let state = self.meter.state(now, position);
        let epoch = epoch_text(position.epoch, position.epochs);
        match &self.output {
            Output::Bar(bar) => {
                bar.set_prefix(epoch);
                bar.set_message(state);
                bar.set_length(position.batches as u64);
                bar.set_position(position.batch as u64);
            }
            Output::Lines { .. } => {
                let line = format!("{epoch}  batch {}/{}  {state}", position.batch, position.batches);
                self.line_at(now, &line, false);
            }
        }
    }

    /// Takes a finished epoch; `improved` if its validation loss is the best so far.
    pub fn epoch(&mut self, row: &EpochRow, improved: bool) {
        self.epoch_at(self.begun.elapsed(), row, improved);
    }

    fn epoch_at(&mut self, now: Duration, row: &EpochRow, improved: bool) {
        let epochs = self.meter.epochs.max(row.epoch);
        let mut line = format!(
            "{}  training loss {}  validation loss {}",
            epoch_text(row.epoch, epochs),
            loss_text(row.train_loss),
            loss_text(row.valid_loss)
        );
        for (name, value) in &row.metrics {
            line += &format!("  {name} {}", loss_text(*value));
        }
        line += &format!("  {:.0} samples/s{}", row.samples_per_second, if improved { "  best" } else { "" });
        match &self.output {
            Output::Bar(bar) => bar.println(line),
            Output::Lines { .. } => self.line_at(now, &line, row.epoch == epochs),
        }
    }

    /// Prints a message that stays, above the bar.
    pub fn message(&mut self, text: &str) {
        match &mut self.output {
            Output::Bar(bar) => bar.println(text),
            Output::Lines { writer, .. } => {
                let _ = writeln!(writer, "{text}");
            }
        }
    }

    /// Writes a plain line if one is due or `always`. Nobody can be told that the log is closed: training goes on.
    fn line_at(&mut self, now: Duration, line: &str, always: bool) {
        if let Output::Lines { writer, every, last } = &mut self.output
            && (always || now.saturating_sub(*last) >= *every)
        {
            *last = now;
            let _ = writeln!(writer, "{line}").and_then(|()| writer.flush());
        }
    }
}

impl Drop for TrainingBar {
    fn drop(&mut self) {
        if let Output::Bar(bar) = &self.output {
            bar.finish_and_clear();
        }
    }
}

#[cfg(feature = "weights")]
impl super::fit::Observer for TrainingBar {
    fn step(&mut self, progress: &super::fit::Progress) {
        let position = Position {
            epoch: progress.epoch + 1,
            epochs: progress.epochs,
            batch: progress.batch,
            batches: progress.batches,
        };
        TrainingBar::step(self, position, progress.report.loss, progress.report.samples);
    }

    fn epoch(&mut self, row: &EpochRow, improved: bool) {
        TrainingBar::epoch(self, row, improved);
    }
}

/// Steps that come in within this time count as one: losses are read back in bursts.
const BURST: Duration = Duration::from_millis(200);
/// How long the rate remembers, in seconds.
const MEMORY: f64 = 5.0;

/// What the figures are made of. Times are since the bar was made.
#[derive(Debug, Default)]
struct Meter {
    epoch: u64,
    epochs: u64,
    /// The mean loss of this epoch so far: sum over samples, and samples.
    loss_sum: f64,
    samples: usize,
    /// Batches that were done before the bar was made: a resumed run.
    before: Option<u64>,
    /// Samples since `burst_begun`, not yet in the rate.
    pending: usize,
    burst_begun: Duration,
    rate: Option<f64>,
}

impl Meter {
    fn note(&mut self, now: Duration, position: Position, loss: f32, samples: usize) {
        if position.epoch != self.epoch {
            (self.epoch, self.loss_sum, self.samples) = (position.epoch, 0.0, 0);
        }
        self.epochs = position.epochs;
        self.before.get_or_insert(position.done().saturating_sub(1));
        self.loss_sum += f64::from(loss) * samples as f64;
        self.samples += samples;
        self.pending += samples;
        let burst = now.saturating_sub(self.burst_begun);
        if burst >= BURST {
            let seconds = burst.as_secs_f64();
            let fresh = self.pending as f64 / seconds;
            let share = 1.0 - (-seconds / MEMORY).exp();
            self.rate = Some(self.rate.map_or(fresh, |rate| rate + share * (fresh - rate)));
            (self.pending, self.burst_begun) = (0, now);
        }
    }

    /// "loss 0.4321  1234 samples/s  1:05 left", as far as it is known.
    fn state(&self, now: Duration, position: Position) -> String {
        let loss = loss_text(self.loss_sum / self.samples.max(1) as f64);
        let rate = self.rate.map_or(String::new(), |rate| format!("  {rate:.0} samples/s"));
        let left = self.left(now, position).map_or(String::new(), |left| format!("  {} left", time_text(left)));
        format!("loss {loss}{rate}{left}")
    }

    /// The time that is left if it goes on as since the bar was made, validation and all.
    fn left(&self, now: Duration, position: Position) -> Option<Duration> {
        let done = position.done().saturating_sub(self.before?);
        let seconds = now.as_secs_f64() / done.max(1) as f64 * position.left() as f64;
        (now >= BURST).then(|| Duration::try_from_secs_f64(seconds).ok()).flatten()
    }
}

fn epoch_text(epoch: u64, epochs: u64) -> String {
    let width = epochs.to_string().len();
    format!("epoch {epoch:>width$}/{epochs}")
}

/// Four places, or a power of ten where those would say nothing.
fn loss_text(value: f64) -> String {
    if value.is_finite() && (value.abs() >= 1e5 || (value != 0.0 && value.abs() < 1e-3)) {
        return format!("{value:.3e}");
    }
    format!("{value:.4}")
}

/// "0:07", "1:02:03".
fn time_text(time: Duration) -> String {
    let seconds = time.as_secs_f64().round() as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Log {
        fn lines(&self) -> Vec<String> {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap().lines().map(String::from).collect()
        }
    }

    fn at(epoch: u64, batch: usize) -> Position {
        Position { epoch, epochs: 10, batch, batches: 100 }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_log_gets_a_line_every_few_seconds_with_all_figures() {
        let log = Log::default();
        let mut bar = TrainingBar::lines(log.clone(), 5 * SECOND);
        // 10 batches of 32 samples a second.
        for i in 1..=120u32 {
            let position = at(1 + u64::from((i - 1) / 100), 1 + (i as usize - 1) % 100);
            bar.step_at(i * SECOND / 10, position, if i % 2 == 0 { 0.25 } else { 0.75 }, 32);
        }
        assert_eq!(
            log.lines(),
            [
                "epoch  1/10  batch 50/100  loss 0.5000  320 samples/s  1:35 left",
                "epoch  1/10  batch 100/100  loss 0.5000  320 samples/s  1:30 left",
            ]
        );
    }

    #[test]
    fn epochs_have_their_line_when_it_is_due_and_the_last_always() {
        let log = Log::default();
        let mut bar = TrainingBar::lines(log.clone(), 5 * SECOND);
        bar.step_at(SECOND, at(1, 1), 1.0, 32);
        let row = |epoch| EpochRow {
            epoch,
            train_loss: 0.5,
            valid_loss: 0.00012,
            samples_per_second: 320.4,
            metrics: vec![("Acc-2".into(), 0.8125)],
            ..Default::default()
        };
        bar.epoch_at(2 * SECOND, &row(1), true);
        bar.epoch_at(6 * SECOND, &row(2), true);
        bar.message("early stop");
        bar.epoch_at(7 * SECOND, &row(10), false);
        let figures = "training loss 0.5000  validation loss 1.200e-4  Acc-2 0.8125  320 samples/s";
        let want = [format!("epoch  2/10  {figures}  best"), "early stop".into(), format!("epoch 10/10  {figures}")];
        assert_eq!(log.lines(), want);
    }

    #[test]
    fn a_resumed_run_counts_from_where_it_was_taken_up() {
        let mut meter = Meter::default();
        meter.note(SECOND, at(9, 51), 1.0, 32);
        meter.note(2 * SECOND, at(9, 52), 1.0, 32);
        // Two batches in two seconds, 148 to go.
        assert_eq!(meter.left(2 * SECOND, at(9, 52)), Some(148 * SECOND));
    }

    #[test]
    fn a_burst_of_losses_is_no_burst_of_speed() {
        let mut meter = Meter::default();
        for second in 1..=20 {
            for i in 0..8 {
                meter.note(second * SECOND + i * SECOND / 1000, at(1, 8 * second as usize), 1.0, 4);
            }
        }
        let rate = meter.rate.unwrap();
        assert!((rate - 32.0).abs() < 2.0, "{rate}");
    }

    #[test]
    fn odd_positions_and_losses_are_shown_as_they_are() {
        let log = Log::default();
        let mut bar = TrainingBar::lines(log.clone(), Duration::ZERO);
        bar.step_at(
            Duration::ZERO,
            Position { epoch: u64::MAX, epochs: u64::MAX, batch: 0, batches: usize::MAX },
            f32::NAN,
            0,
        );
        bar.step_at(SECOND, Position { epoch: 3, epochs: 1, batch: 9, batches: 1 }, f32::INFINITY, 1);
        assert_eq!(log.lines()[0], format!("epoch {0}/{0}  batch 0/{0}  loss NaN", u64::MAX));
        assert!(log.lines()[1].contains("loss inf"), "{:?}", log.lines());
    }

    #[test]
    fn times_read_well() {
        assert_eq!(time_text(Duration::from_secs(7)), "0:07");
        assert_eq!(time_text(Duration::from_secs_f64(3722.6)), "1:02:03");
    }

    #[test]
    fn the_bar_itself_takes_steps_and_epochs() {
        let bar = ProgressBar::hidden();
        let mut shown = TrainingBar::with_output(Output::Bar(bar.clone()));
        shown.step_at(SECOND, at(2, 40), 0.5, 32);
        shown.epoch_at(SECOND, &EpochRow { epoch: 2, ..Default::default() }, false);
        assert_eq!((bar.position(), bar.length()), (40, Some(100)));
        assert_eq!(bar.prefix(), "epoch  2/10");
        assert!(bar.message().starts_with("loss 0.5000  32 samples/s"), "{}", bar.message());
        drop(shown);
        assert!(bar.is_finished());
    }
}
