//! A profile as a trace that ui.perfetto.dev and chrome://tracing show.

use super::Program;
use crate::error::{Error, Result};
use serde_json::{Value, json};

impl Program {
    /// The times that [`Program::profile`] measured as JSON in the Trace Event Format of Chrome
    /// (<https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU>), microseconds: one lane with the dispatches, by
    /// op and kernel, and one with the layers that they belong to. Dispatches follow one another without gaps, as they were measured.
    ///
    /// # Errors
    /// Where `times` are not one per dispatch.
    pub fn trace(&self, times: &[f64]) -> Result<String> {
        if times.len() != self.len() {
            let message = format!("{} times cannot be those of {} dispatches", times.len(), self.len());
            return Err(Error::Config(message));
        }
        let labels = (0..self.len()).map(|index| self.describe(index).0);
        Ok(events(labels.zip(times.iter().copied())))
    }
}

/// Lanes of the trace.
const DISPATCHES: u32 = 1;
const LAYERS: u32 = 2;

/// Labels as "op [kernel] @ layer", or without a layer.
fn events<'a>(dispatches: impl Iterator<Item = (&'a str, f64)>) -> String {
    let mut events = vec![lane(DISPATCHES, "dispatches"), lane(LAYERS, "layers")];
    let mut layers: Vec<(&str, f64, f64)> = Vec::new();
    let mut start = 0.0;
    for (label, time) in dispatches {
        let (op, layer) = label.split_once(" @ ").unwrap_or((label, ""));
        events.push(event(DISPATCHES, op, start, time, layer));
        match layers.last_mut() {
            Some((last, _, length)) if *last == layer => *length += time,
            _ => layers.push((layer, start, time)),
        }
        start += time;
    }
    let named = layers.into_iter().filter(|(layer, ..)| !layer.is_empty());
    events.extend(named.map(|(layer, start, length)| event(LAYERS, layer, start, length, layer)));
    json!({ "traceEvents": events, "displayTimeUnit": "ms" }).to_string() + "\n"
}

fn lane(lane: u32, name: &str) -> Value {
    json!({ "ph": "M", "name": "thread_name", "pid": 1, "tid": lane, "args": { "name": name } })
}

fn event(lane: u32, name: &str, start: f64, length: f64, layer: &str) -> Value {
    json!({
        "ph": "X", "name": name, "cat": "gpu", "pid": 1, "tid": lane, "ts": start, "dur": length, "args": { "layer": layer }
    })
}
