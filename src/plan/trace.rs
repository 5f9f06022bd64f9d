//! A profile as a trace that ui.perfetto.dev and chrome://tracing show.

use super::profile::{Profile, ProfiledDispatch};
use serde_json::{Value, json};

/// The tracks: passes on top, dispatches below them.
const PASSES: u32 = 1;
const DISPATCHES: u32 = 2;

impl Profile {
    /// The profile as JSON in Chrome's Trace Event Format
    /// (<https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU>), in microseconds: a track with an event per
    /// dispatch, named by op and layer, its category the pass, and a track with the passes. Dispatches are laid end to end: what lies
    /// between two submissions is not shown.
    pub fn trace(&self) -> String {
        let mut events = vec![
            named("process_name", PASSES, &self.adapter),
            named("thread_name", PASSES, "passes"),
            named("thread_name", DISPATCHES, "dispatches"),
        ];
        let mut start = 0.0;
        for dispatches in self.dispatches.chunk_by(|a, b| a.pass == b.pass) {
            let begun = start;
            for dispatch in dispatches {
                events.push(event(DISPATCHES, &dispatch.name(), dispatch, [start, dispatch.micros], args(dispatch)));
                start += dispatch.micros;
            }
            if let Some(first) = dispatches.first() {
                let args = json!({ "dispatches": dispatches.len() });
                events.push(event(PASSES, first.pass.name(), first, [begun, start - begun], args));
            }
        }
        json!({ "traceEvents": events, "displayTimeUnit": "ms" }).to_string() + "\n"
    }
}

/// Gives a track, or the process that it is in, its name.
fn named(what: &str, track: u32, name: &str) -> Value {
    json!({ "ph": "M", "name": what, "pid": 1, "tid": track, "args": { "name": name } })
}

fn event(track: u32, name: &str, of: &ProfiledDispatch, [start, length]: [f64; 2], args: Value) -> Value {
    json!({
        "ph": "X", "name": name, "cat": of.pass.name(), "pid": 1, "tid": track, "ts": start, "dur": length, "args": args
    })
}

/// What a click on a dispatch shows.
fn args(dispatch: &ProfiledDispatch) -> Value {
    json!({
        "pass": dispatch.pass.name(),
        "op": dispatch.op,
        "layer": dispatch.layer,
        "kernel": dispatch.kernel.to_string(),
        "workgroups": dispatch.workgroups,
        "op_flops": dispatch.op_flops,
        "bytes": dispatch.bytes,
    })
}
