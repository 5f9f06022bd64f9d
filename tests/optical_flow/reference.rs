//! The method in f64, on one pair, level by level and without tiles.

use limbic::ops::optical_flow::FlowOptions;

type Size = [usize; 2];

/// Values of the pixels of a level, row by row.
struct Plane {
    size: Size,
    values: Vec<f64>,
}

impl Plane {
    fn new(size: Size, value: impl FnMut(usize) -> f64) -> Self {
        Plane { size, values: (0..size[0] * size[1]).map(value).collect() }
    }

    /// Beyond the border the border's pixels go on.
    fn at(&self, row: i64, column: i64) -> f64 {
        let [height, width] = self.size.map(|len| len as i64);
        self.values[(row.clamp(0, height - 1) * width + column.clamp(0, width - 1)) as usize]
    }

    fn coarser(&self) -> Self {
        let weights = [1.0, 4.0, 6.0, 4.0, 1.0].map(|weight| weight / 16.0);
        let size = self.size.map(|len| len.div_ceil(2));
        Plane::new(size, |i| {
            let (row, column) = (2 * (i / size[1]) as i64, 2 * (i % size[1]) as i64);
            let tap = |k: i64| {
                weights[(k % 5) as usize] * weights[(k / 5) as usize] * self.at(row + k / 5 - 2, column + k % 5 - 2)
            };
            (0..25).map(tap).sum()
        })
    }

    /// Twice the value between the pixels of a level of half the size.
    fn finer(&self, size: Size) -> Self {
        Plane::new(size, |i| {
            let (row, column) = ((i / size[1]) as i64, (i % size[1]) as i64);
            let corners = [0, 1, 2, 3].map(|k| self.at((row + k / 2) / 2, (column + k % 2) / 2));
            corners.iter().sum::<f64>() / 2.0
        })
    }

    fn median(&self) -> Self {
        Plane::new(self.size, |i| {
            let (row, column) = ((i / self.size[1]) as i64, (i % self.size[1]) as i64);
            let mut around: Vec<f64> = (0..9).map(|k| self.at(row + k / 3 - 1, column + k % 3 - 1)).collect();
            around.sort_by(f64::total_cmp);
            around[4]
        })
    }

    /// Value and gradient at a place between pixels, by cubic convolution.
    fn sample(&self, x: f64, y: f64) -> [f64; 3] {
        // Keys' kernel and its derivative at distance d
        let kernel = |d: f64| match d.abs() {
            s if s < 1.0 => 1.5 * s.powi(3) - 2.5 * s * s + 1.0,
            s if s < 2.0 => -0.5 * s.powi(3) + 2.5 * s * s - 4.0 * s + 2.0,
            _ => 0.0,
        };
        let slope = |d: f64| {
            d.signum()
                * match d.abs() {
                    s if s < 1.0 => 4.5 * s * s - 5.0 * s,
                    s if s < 2.0 => -1.5 * s * s + 5.0 * s - 4.0,
                    _ => 0.0,
                }
        };
        let mut sum = [0.0; 3];
        for row in y.floor() as i64 - 1..=y.floor() as i64 + 2 {
            for column in x.floor() as i64 - 1..=x.floor() as i64 + 2 {
                let (dx, dy, value) = (x - column as f64, y - row as f64, self.at(row, column));
                sum[0] += kernel(dx) * kernel(dy) * value;
                sum[1] += slope(dx) * kernel(dy) * value;
                sum[2] += kernel(dx) * slope(dy) * value;
            }
        }
        sum
    }
}

/// The flow, `[2, height, width]`.
pub fn optical_flow(frames: &[Vec<f32>; 2], size: Size, options: &FlowOptions) -> Vec<f64> {
    let plane = |frame: &Vec<f32>| Plane { size, values: frame.iter().map(|value| f64::from(*value)).collect() };
    let mut levels = vec![[plane(&frames[0]), plane(&frames[1])]];
    for _ in 1..options.levels.expect("a number of levels") {
        let [previous, next] = levels.last().expect("the finest");
        levels.push([previous.coarser(), next.coarser()]);
    }
    let mut flow: Option<[Plane; 2]> = None;
    for [previous, next] in levels.iter().rev() {
        let size = previous.size;
        let start = flow.map(|flow| flow.map(|part| part.finer(size)));
        let mut start = start.unwrap_or_else(|| [0, 1].map(|_| Plane::new(size, |_| 0.0)));
        let mut dual = vec![[0.0; 4]; size[0] * size[1]];
        for _ in 0..options.warps {
            start = iterate(previous, next, start, &mut dual, options).map(|part| part.median());
        }
        flow = Some(start);
    }
    flow.into_iter().flatten().flat_map(|part| part.values).collect()
}

/// A warp: linearised at `start`, and iterated.
fn iterate(
    previous: &Plane,
    next: &Plane,
    start: [Plane; 2],
    dual: &mut [[f64; 4]],
    options: &FlowOptions,
) -> [Plane; 2] {
    let size @ [height, width] = previous.size;
    let data: Vec<[f64; 3]> = (0..height * width)
        .map(|i| {
            let (x, y) = ((i % width) as f64 + start[0].values[i], (i / width) as f64 + start[1].values[i]);
            if x < 0.0 || y < 0.0 || x > width as f64 - 1.0 || y > height as f64 - 1.0 {
                return [0.0; 3];
            }
            let [value, dx, dy] = next.sample(x, y);
            [dx, dy, value - previous.values[i] - dx * start[0].values[i] - dy * start[1].values[i]]
        })
        .collect();
    let mut flow = start.map(|part| part.values);
    let mut bar = flow.clone();
    let step = 0.125f64.sqrt();
    let bound = step * f64::from(options.data_weight);
    for _ in 0..options.iterations {
        for (i, dual) in dual.iter_mut().enumerate() {
            for axis in 0..2 {
                let right = if i % width + 1 < width { bar[axis][i + 1] - bar[axis][i] } else { 0.0 };
                let down = if i / width + 1 < height { bar[axis][i + width] - bar[axis][i] } else { 0.0 };
                let shrink = 1.0 + step * f64::from(options.huber);
                let [a, b] = [dual[2 * axis] + step * right, dual[2 * axis + 1] + step * down].map(|p| p / shrink);
                let norm = a.hypot(b).max(1.0);
                (dual[2 * axis], dual[2 * axis + 1]) = (a / norm, b / norm);
            }
        }
        for (i, [dx, dy, rest]) in data.iter().enumerate() {
            let free = [0, 1].map(|axis| {
                let left = if i % width > 0 { dual[i - 1][2 * axis] } else { 0.0 };
                let above = if i >= width { dual[i - width][2 * axis + 1] } else { 0.0 };
                flow[axis][i] + step * (dual[i][2 * axis] - left + dual[i][2 * axis + 1] - above)
            });
            let steepness = dx * dx + dy * dy;
            let rho = rest + dx * free[0] + dy * free[1];
            let pull = if steepness > 1e-9 { (rho / steepness).clamp(-bound, bound) } else { 0.0 };
            for (axis, slope) in [dx, dy].into_iter().enumerate() {
                let new = free[axis] - pull * slope;
                bar[axis][i] = 2.0 * new - flow[axis][i];
                flow[axis][i] = new;
            }
        }
    }
    flow.map(|values| Plane { size, values })
}
