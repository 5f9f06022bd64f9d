// Which row of a mask belongs to a row of scores. The mask's rows follow the leading axis of the scores, their last axes, both or
// neither (`MaskRows` in ops/softmax.rs); repeated axes lie between.

fn mask_row(row: u32, divide: u32, modulo: u32) -> u32 {
    return (row / divide) * modulo + row % modulo;
}
