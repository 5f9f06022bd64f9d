//! Tables of metrics.

/// `rows`, the first one the header, as a Markdown table that also reads well as text: the first `names` columns to the left, numbers to
/// the right. Rows are as long as the header.
pub(super) fn markdown(mut rows: Vec<Vec<String>>, names: usize) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    for cell in rows.iter_mut().flatten() {
        *cell = cell.replace('|', "\\|");
    }
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let joined = |cells: Vec<String>| format!("|{}|", cells.join("|"));
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate();
        joined(cells.map(|(column, (cell, &width))| padded(cell, width, column < names)).collect())
    };
    let dashes = |(column, width): (usize, &usize)| {
        let dashes = "-".repeat(width + 1);
        if column < names { format!(":{dashes}") } else { format!("{dashes}:") }
    };
    let mut lines: Vec<String> = rows.iter().map(line).collect();
    lines.insert(lines.len().min(1), joined(widths.iter().enumerate().map(dashes).collect()));
    lines.join("\n") + "\n"
}

fn padded(cell: &str, width: usize, left: bool) -> String {
    if left { format!(" {cell:<width$} ") } else { format!(" {cell:>width$} ") }
}
