// Which columns a row is contrasted with (x: the set A) and which are its positives (y: the set P). Needs `labels`.
//     OWN = 0: rows and columns are the same samples; A is every other sample, P the others with the row's label.
//     OWN = 1: columns are classes; A is every class but the row's own, P the own.

const OWN: u32 = 0u;

fn belonging(row: u32, column: u32) -> vec2<bool> {
    // @if OWN
    let own = labels[row] == column;
    return vec2<bool>(!own, own);
    // @end
    // @if !OWN
    let other = row != column;
    return vec2<bool>(other, other && labels[row] == labels[column]);
    // @end
}
