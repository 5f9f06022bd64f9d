//! meganeura doing what limbic's rows do, for `peers --meganeura`: the two bring GPU layers of their own, so each is a process.
//!
//!   meganeura-rows        prints the rows it has
//!   meganeura-rows ROW    builds ROW, runs it once and prints the adapter's name; then, for each number on a line of its input, runs
//!                         it so many times, waits, and prints an empty line

mod rows;

use meganeura::graph::{Op, TensorType};
use meganeura::{DType, Graph, Mode, NodeId, Session, SessionConfig};
use rows::Row;
use std::io::{BufRead, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let rows = rows::all();
    let Some(name) = std::env::args().nth(1) else {
        rows.iter().for_each(|row| println!("{}", row.name));
        return ExitCode::SUCCESS;
    };
    let Some(row) = rows.iter().find(|row| row.name == name) else {
        eprintln!("no row '{name}'; without arguments the rows are listed");
        return ExitCode::from(2);
    };
    match serve(row) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs `row` as often as is asked for.
fn serve(row: &Row) -> std::io::Result<()> {
    let mut session = build(row);
    session.step();
    session.wait();
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", session.device_information().device_name)?;
    out.flush()?;
    for line in std::io::stdin().lock().lines() {
        let replays: u32 = line?.trim().parse().map_err(std::io::Error::other)?;
        (0..replays).for_each(|_| session.step());
        session.wait();
        writeln!(out)?;
        out.flush()?;
    }
    Ok(())
}

/// The session of `row`, every input and parameter filled.
fn build(row: &Row) -> Session {
    let mut graph = Graph::new();
    let output = (row.build)(&mut graph);
    graph.set_outputs(vec![output]);
    let mode = if row.trained { Mode::Training } else { Mode::Inference };
    let (mut session, _) = meganeura::build(&graph, SessionConfig { mode, ..SessionConfig::default() });
    for node in graph.nodes() {
        match &node.op {
            Op::Input { name } if node.ty.dtype == DType::U32 => session.set_input_u32(name, &rows::indices(&node.ty)),
            Op::Input { name } => session.set_input(name, &values(name, &node.ty)),
            Op::Parameter { name } => session.set_parameter(name, &values(name, &node.ty)),
            _ => {}
        }
    }
    session
}

/// Values from -1 to 1; labels are one class of each row.
fn values(name: &str, ty: &TensorType) -> Vec<f32> {
    let count: usize = ty.shape.iter().product();
    if name == rows::LABELS {
        let classes = ty.shape[1];
        return (0..count).map(|i| f32::from(u8::from(i % classes == (i / classes) * 7 % classes))).collect();
    }
    (0..count as u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / f32::from(1u16 << 15) / 256.0 - 1.0)
        .collect()
}

/// What a row returns, and what is differentiated where it is trained.
pub type Build = Box<dyn Fn(&mut Graph) -> NodeId>;
