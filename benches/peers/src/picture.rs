//! Bars of how near each library comes to the roof, which is a line.

use crate::report::{Measured, Row, Run};

const LEFT: f64 = 260.0;
const WIDTH: f64 = 620.0;
const TOP: f64 = 64.0;
const BAR: f64 = 9.0;
/// Between rows.
const GAP: f64 = 7.0;
/// Shares of the roof that the axis begins and ends at, and its ticks.
const TICKS: [(f64, &str); 5] = [(0.001, "0.1 %"), (0.01, "1 %"), (0.1, "10 %"), (1.0, "100 %"), (10.0, "1000 %")];
/// limbic, burn, and the others in turn.
const COLOURS: [&str; 5] = ["#1f6f8b", "#d98e04", "#7a7a7a", "#a3a3a3", "#c4c4c4"];

/// The picture.
pub fn svg(run: &Run) -> String {
    let rows: Vec<&Row> = run.rows.iter().filter(|row| row.roof_ms.is_some()).collect();
    let mut libs: Vec<&str> = vec!["limbic", "burn"];
    for other in rows.iter().flat_map(|row| &row.others) {
        if !libs.contains(&other.lib.as_str()) {
            libs.push(&other.lib);
        }
    }
    let mut marks = String::new();
    let mut y = TOP;
    for row in rows {
        let bars = bars(row);
        let height = bars.len() as f64 * BAR;
        marks += &text(LEFT - 8.0, y + height / 2.0 + 4.0, "end", "#222", &row.op);
        for measured in bars {
            let colour = libs.iter().position(|lib| *lib == measured.lib).map_or(COLOURS[0], colour);
            let end = x(row.roof_ms.unwrap_or_default() / measured.ms);
            marks += &format!(
                "<rect x=\"{LEFT}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{colour}\"><title>{} {}: {:.3} ms</title></rect>\n",
                end - LEFT,
                BAR - 1.0,
                measured.lib,
                row.op,
                measured.ms
            );
            y += BAR;
        }
        y += GAP;
    }
    let (width, height) = (LEFT + WIDTH + 40.0, y + 24.0);
    let mut all = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height:.0}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    let title = format!("Share of the roof (multiply-add or copy rate of the same run), {}", run.setting.adapter);
    all += &text(LEFT, 18.0, "start", "#222", &title);
    for (index, lib) in libs.iter().enumerate() {
        all += &text(LEFT + 110.0 * index as f64, 36.0, "start", colour(index), &format!("\u{25a0} {lib}"));
    }
    for (share, label) in TICKS {
        let (x, roof) = (x(share), share == 1.0);
        let (colour, stroke) = if roof { ("#c0392b", 2.0) } else { ("#ddd", 1.0) };
        let line = format!(
            "<line x1=\"{x:.1}\" y1=\"{}\" x2=\"{x:.1}\" y2=\"{y:.0}\" stroke=\"{colour}\" stroke-width=\"{stroke}\"/>\n",
            TOP - 8.0
        );
        // grid lines behind the bars, the roof before them
        if roof {
            marks += &line
        } else {
            all += &line
        }
        let label = if roof { "roof" } else { label };
        all += &text(x, TOP - 12.0, "middle", if roof { colour } else { "#777" }, label);
    }
    all + &marks + "</svg>\n"
}

fn bars(row: &Row) -> Vec<&Measured> {
    std::iter::once(&row.limbic).chain(row.burn()).chain(&row.others).filter(|measured| measured.ms > 0.0).collect()
}

fn colour(index: usize) -> &'static str {
    COLOURS[index.min(COLOURS.len() - 1)]
}

/// Where `share` is on the axis, which is logarithmic.
fn x(share: f64) -> f64 {
    let [least, most] = [TICKS[0].0, TICKS[TICKS.len() - 1].0].map(f64::log10);
    LEFT + WIDTH * ((share.log10() - least) / (most - least)).clamp(0.0, 1.0)
}

fn text(x: f64, y: f64, anchor: &str, colour: &str, text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{colour}\">{text}</text>\n")
}
