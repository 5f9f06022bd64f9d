//! What is measured from a face's pixels, one step per frame: where the head is, how mouth, brows and eyes are shaped, how
//! much moves, and a coarse picture. Everything is found by thresholds and weighted moments of gray levels.

use super::canvas::{FRAME_SIZE, Pose};
use crate::data::Sequence;

/// Columns and rows of the coarse picture.
const PATCH: (usize, usize) = (4, 5);
/// Features per frame: the ten of [`FaceMeasure`] in order, then the coarse picture.
pub const VIDEO_DIM: usize = 10 + PATCH.0 * PATCH.1;

/// Measures of one frame, lengths in units of half the head's height.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct FaceMeasure {
    /// Bend of the mouth: positive where its corners are up. 0 where the mouth is not visible.
    pub mouth_curvature: f32,
    /// Height of the mouth's middle: twice the spread of its dark pixels. 0 where it is not visible.
    pub mouth_opening: f32,
    /// Spread of the mouth from side to side. 0 where it is not visible.
    pub mouth_width: f32,
    /// 1 where a mouth is seen, 0 where most of its place is dark.
    pub mouth_visible: f32,
    /// Height of the brows over the eyes.
    pub brow_height: f32,
    /// Slope of the brows from the nose outwards: positive where the inner ends are down (a frown).
    pub brow_slope: f32,
    /// Spread of the eyes from lid to lid.
    pub eye_opening: f32,
    /// Tilt of the head, radians, clockwise.
    pub tilt: f32,
    /// How far the head moved since the frame before.
    pub head_speed: f32,
    /// Mean change of the gray levels since the frame before, as a share of the skin's.
    pub motion: f32,
}

/// Measures a clip's frames (`FRAME_SIZE * FRAME_SIZE` gray levels each; other sizes count as black there).
/// `[frames, VIDEO_DIM]`, at least one step.
pub fn extract_face(frames: &[Vec<u8>]) -> Sequence {
    let black = [vec![0u8; FRAME_SIZE * FRAME_SIZE]];
    let frames = if frames.is_empty() { &black } else { frames };
    let mut values = Vec::with_capacity(frames.len() * VIDEO_DIM);
    let mut before: Option<Seen> = None;
    for frame in frames {
        let seen = Seen::find(frame);
        let m = seen.measure(before.as_ref());
        values.extend([m.mouth_curvature, m.mouth_opening, m.mouth_width, m.mouth_visible, m.brow_height]);
        values.extend([m.brow_slope, m.eye_opening, m.tilt, m.head_speed, m.motion]);
        values.extend(seen.patch());
        before = Some(seen);
    }
    Sequence { len: frames.len(), values }
}

/// Measures one frame on its own.
pub fn measure_face(frame: &[u8]) -> FaceMeasure {
    Seen::find(frame).measure(None)
}

/// A frame in which the head was found.
struct Seen<'a> {
    frame: &'a [u8],
    skin: f64,
    pose: Pose,
}

/// A box in face coordinates.
type Region = ((f64, f64), (f64, f64));

const EYE: Region = ((0.12, 0.56), (-0.25, 0.04));
const BROW: Region = ((0.13, 0.58), (-0.63, -0.27));
const MOUTH: Region = ((-0.45, 0.45), (0.24, 0.74));
const PICTURE: Region = ((-0.6, 0.6), (-0.6, 0.8));
/// Where drawn eyes lie below the top of the head; used to anchor the face once they are found.
const EYE_LEVEL: f64 = -0.12;
const HAIR_HEIGHT: f64 = 0.1;

impl<'a> Seen<'a> {
    /// Finds the head: skin is the bright tenth of the picture, background its side columns, the head what differs from
    /// the background; then the eyes, dark blobs at about the right place, fix centre and tilt.
    fn find(frame: &'a [u8]) -> Self {
        let gray = |i: usize| f64::from(frame.get(i).copied().unwrap_or(0));
        let mut levels: Vec<u8> = frame.to_vec();
        let tenth = levels.len() * 9 / 10;
        let skin = if levels.is_empty() { 1.0 } else { f64::from(*levels.select_nth_unstable(tenth).1).max(1.0) };
        let side = |column: usize| (0..FRAME_SIZE).map(|row| gray(row * FRAME_SIZE + column)).sum::<f64>();
        let (left, right) = ((side(0) + side(1)) / 128.0, (side(FRAME_SIZE - 2) + side(FRAME_SIZE - 1)) / 128.0);
        let mut rows = [0u32; FRAME_SIZE];
        let (mut count, mut sum_x) = (0.0, 0.0);
        for (row, width) in rows.iter_mut().enumerate() {
            for column in 0..FRAME_SIZE {
                let back = left + (right - left) * column as f64 / (FRAME_SIZE - 1) as f64;
                if (gray(row * FRAME_SIZE + column) - back).abs() > 25.0 {
                    *width += 1;
                    count += 1.0;
                    sum_x += column as f64;
                }
            }
        }
        let top = rows.iter().position(|&w| w > 5).unwrap_or(0) as f64;
        let bottom = rows.iter().rposition(|&w| w > 5).unwrap_or(FRAME_SIZE - 1) as f64;
        let scale = ((bottom - top + 1.0) / (2.0 + HAIR_HEIGHT)).max(8.0);
        let middle = (FRAME_SIZE - 1) as f64 / 2.0;
        let x = if count > 0.0 { sum_x / count } else { middle };
        let mut seen = Seen { frame, skin, pose: Pose { x, y: bottom + 0.5 - scale, scale, tilt: 0.0 } };
        seen.anchor();
        seen
    }

    /// Moves the pose so that the eyes lie level where eyes lie.
    fn anchor(&mut self) {
        let eye = |side| self.moments(mirror(EYE, side), Weight::Dark);
        let (left, right) = (eye(-1.0), eye(1.0));
        if left.mass < 1.0 || right.mass < 1.0 {
            return;
        }
        let tilt = ((right.y - left.y) / (right.x - left.x).max(0.2)).atan().clamp(-0.3, 0.3);
        let middle = ((left.x + right.x) / 2.0, (left.y + right.y) / 2.0);
        let pose = &mut self.pose;
        pose.x += pose.scale * (middle.0 + EYE_LEVEL * tilt.sin());
        pose.y += pose.scale * (middle.1 - EYE_LEVEL * tilt.cos());
        pose.tilt = tilt;
    }

    fn measure(&self, before: Option<&Seen>) -> FaceMeasure {
        let eyes = [-1.0, 1.0].map(|side| self.moments(mirror(EYE, side), Weight::NotSkin));
        let brows = [-1.0, 1.0].map(|side| self.moments(mirror(BROW, side), Weight::Dark));
        let mouth = self.moments(MOUTH, Weight::Dark);
        let middle = self.moments(((-0.14, 0.14), MOUTH.1), Weight::Dark);
        let visible = f64::from(u8::from(mouth.mass > 1.0 && mouth.mass < 0.5 * mouth.area));
        let pair = |of: &dyn Fn(usize) -> f64| ((of(0) + of(1)) / 2.0) as f32;
        let shown = |value: f64| (visible * value) as f32;
        let mut measure = FaceMeasure {
            mouth_curvature: shown(-mouth.curvature()),
            mouth_opening: shown(2.0 * middle.spread_y()),
            mouth_width: shown(mouth.spread_x()),
            mouth_visible: visible as f32,
            brow_height: pair(&|i| EYE_LEVEL - brows[i].y),
            brow_slope: -pair(&|i| brows[i].slope() * [-1.0, 1.0][i]),
            eye_opening: pair(&|i| eyes[i].spread_y()),
            tilt: self.pose.tilt as f32,
            ..FaceMeasure::default()
        };
        if let Some(before) = before {
            let (dx, dy) = (self.pose.x - before.pose.x, self.pose.y - before.pose.y);
            measure.head_speed = (dx.hypot(dy) / self.pose.scale) as f32;
            let change: u64 = self.frame.iter().zip(before.frame).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
            measure.motion = (change as f64 / self.frame.len().max(1) as f64 / self.skin) as f32;
        }
        measure
    }

    /// Mean gray levels of a coarse grid over the face, as shares of the skin's.
    fn patch(&self) -> [f32; PATCH.0 * PATCH.1] {
        let ((left, right), (top, bottom)) = PICTURE;
        let (mut sums, mut counts) = ([0f64; PATCH.0 * PATCH.1], [0f64; PATCH.0 * PATCH.1]);
        self.visit(PICTURE, |u, v, gray| {
            let column = (((u - left) / (right - left) * PATCH.0 as f64) as usize).min(PATCH.0 - 1);
            let row = (((v - top) / (bottom - top) * PATCH.1 as f64) as usize).min(PATCH.1 - 1);
            sums[row * PATCH.0 + column] += gray / self.skin;
            counts[row * PATCH.0 + column] += 1.0;
        });
        std::array::from_fn(|i| (sums[i] / f64::max(counts[i], 1.0)) as f32)
    }

    /// Calls `f` with the face coordinates and gray level of every pixel within `region`.
    fn visit(&self, region: Region, mut f: impl FnMut(f64, f64, f64)) {
        let ((left, right), (top, bottom)) = region;
        let Pose { x, y, scale, tilt } = self.pose;
        let (sin, cos) = tilt.sin_cos();
        let reach = 0.3 * scale + 1.0;
        let range = |middle: f64, from: f64, to: f64| {
            let last = (FRAME_SIZE - 1) as f64;
            let first = (middle + from * scale - reach).clamp(0.0, last) as usize;
            first..=(middle + to * scale + reach).clamp(0.0, last) as usize
        };
        for row in range(y, top, bottom) {
            for column in range(x, left, right) {
                let (dx, dy) = ((column as f64 - x) / scale, (row as f64 - y) / scale);
                let (u, v) = (dx * cos + dy * sin, dy * cos - dx * sin);
                if u >= left && u <= right && v >= top && v <= bottom {
                    f(u, v, f64::from(self.frame.get(row * FRAME_SIZE + column).copied().unwrap_or(0)));
                }
            }
        }
    }

    fn moments(&self, region: Region, weight: Weight) -> Moments {
        let mut sums = Sums::default();
        self.visit(region, |u, v, gray| sums.add(u, v, weight.of(gray / self.skin)));
        sums.finish()
    }
}

/// `region` on the right of the face, or its mirror image for `side` -1.
fn mirror(((left, right), height): Region, side: f64) -> Region {
    if side < 0.0 { ((-right, -left), height) } else { ((left, right), height) }
}

/// How a pixel counts, from its gray level as a share of the skin's.
#[derive(Clone, Copy)]
enum Weight {
    Dark,
    NotSkin,
}

impl Weight {
    fn of(self, share: f64) -> f64 {
        match self {
            Weight::Dark => ((0.75 - share) * 2.0).clamp(0.0, 1.0),
            Weight::NotSkin => ((share - 1.0).abs() * 2.0 - 0.2).clamp(0.0, 1.0),
        }
    }
}

/// Running weighted sums of powers of position.
#[derive(Default)]
struct Sums {
    area: f64,
    x: [f64; 5],
    y: f64,
    yy: f64,
    xy: f64,
    xxy: f64,
}

/// Weighted moments: mass, centre, and central moments of the position, `x` up to the fourth power.
struct Moments {
    area: f64,
    mass: f64,
    x: f64,
    y: f64,
    xx: f64,
    xxx: f64,
    xxxx: f64,
    yy: f64,
    xy: f64,
    xxy: f64,
}

impl Sums {
    fn add(&mut self, x: f64, y: f64, weight: f64) {
        self.area += 1.0;
        let mut power = weight;
        for sum in &mut self.x {
            *sum += power;
            power *= x;
        }
        self.y += weight * y;
        self.yy += weight * y * y;
        self.xy += weight * x * y;
        self.xxy += weight * x * x * y;
    }

    fn finish(&self) -> Moments {
        let mass = self.x[0];
        let per = 1.0 / mass.max(1e-9);
        let [_, x, x2, x3, x4] = self.x.map(|sum| sum * per);
        let (y, yy, xy, xxy) = (self.y * per, self.yy * per, self.xy * per, self.xxy * per);
        let xx = x2 - x * x;
        Moments {
            area: self.area,
            mass,
            x,
            y,
            xx,
            xxx: x3 - 3.0 * x * x2 + 2.0 * x.powi(3),
            xxxx: x4 - 4.0 * x * x3 + 6.0 * x * x * x2 - 3.0 * x.powi(4),
            yy: yy - y * y,
            xy: xy - x * y,
            xxy: xxy - 2.0 * x * xy - y * x2 + 2.0 * x * x * y,
        }
    }
}

impl Moments {
    fn spread_x(&self) -> f64 {
        self.xx.max(0.0).sqrt()
    }

    fn spread_y(&self) -> f64 {
        self.yy.max(0.0).sqrt()
    }

    /// Slope b of the weighted least-squares line y = a + b x.
    fn slope(&self) -> f64 {
        self.xy / self.xx.max(1e-4)
    }

    /// Coefficient c of the weighted least-squares parabola y = a + b x + c x^2 (about the centre).
    fn curvature(&self) -> f64 {
        let xx = self.xx.max(1e-4);
        let determinant = (xx * (self.xxxx - xx * xx) - self.xxx * self.xxx).max(1e-9);
        ((self.xxy * xx - self.xxx * self.xy) / determinant).clamp(-5.0, 5.0)
    }
}
