//! A grayscale picture and one way to paint on it: a shape is a signed distance, its edge is blended over one pixel.

/// Width and height of every frame, pixels.
pub const FRAME_SIZE: usize = 64;

/// Where the face is: maps pixels to face coordinates, in which the head's half height is 1, x is right, y is down.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pose {
    /// Centre of the head, pixels.
    pub x: f64,
    pub y: f64,
    /// Half the head's height, pixels.
    pub scale: f64,
    /// Clockwise tilt, radians.
    pub tilt: f64,
}

pub(super) struct Canvas {
    pixels: Vec<f64>,
    pose: Pose,
}

impl Canvas {
    /// A canvas filled by `level(x, y)` in pixels.
    pub fn new(pose: Pose, level: impl Fn(f64, f64) -> f64) -> Self {
        let place = |i: usize| (f64::from((i % FRAME_SIZE) as u32), f64::from((i / FRAME_SIZE) as u32));
        let pixels = (0..FRAME_SIZE * FRAME_SIZE).map(|i| level(place(i).0, place(i).1)).collect();
        Canvas { pixels, pose }
    }

    /// Blends `level` where `distance(x, y)` is negative. The shape lies within `reach` of `centre`; everything is in face
    /// coordinates.
    pub fn paint(&mut self, centre: (f64, f64), reach: f64, level: f64, distance: impl Fn(f64, f64) -> f64) {
        let Pose { x, y, scale, tilt } = self.pose;
        let (sin, cos) = tilt.sin_cos();
        let at = |u: f64, v: f64| (x + scale * (u * cos - v * sin), y + scale * (u * sin + v * cos));
        let (column, row) = at(centre.0, centre.1);
        let extent = reach * scale + 1.0;
        let range = |middle: f64| {
            let top = (FRAME_SIZE - 1) as f64;
            (middle - extent).ceil().clamp(0.0, top) as usize..=(middle + extent).floor().clamp(0.0, top) as usize
        };
        for j in range(row) {
            for i in range(column) {
                let (dx, dy) = ((i as f64 - x) / scale, (j as f64 - y) / scale);
                let d = distance(dx * cos + dy * sin, dy * cos - dx * sin);
                let cover = (0.5 - d * scale).clamp(0.0, 1.0);
                let pixel = &mut self.pixels[j * FRAME_SIZE + i];
                *pixel += cover * (level - *pixel);
            }
        }
    }

    /// An ellipse with half axes `rx`, `ry`.
    pub fn ellipse(&mut self, centre: (f64, f64), rx: f64, ry: f64, level: f64) {
        self.paint(centre, rx.max(ry), level, |x, y| ellipse_distance(x - centre.0, y - centre.1, rx, ry));
    }

    /// A band around `middle(t)`, `half(t)` thick to either side, for `t` = -1..=1 over `centre.0 ± width`.
    pub fn band(
        &mut self,
        centre: (f64, f64),
        width: f64,
        level: f64,
        middle: impl Fn(f64) -> f64,
        half: impl Fn(f64) -> f64,
    ) {
        self.paint(centre, width + 0.3, level, |x, y| {
            let t = (x - centre.0) / width;
            let inside = t.clamp(-1.0, 1.0);
            let beyond = (t.abs() - 1.0) * width;
            ((y - centre.1 - middle(inside)).abs() - half(inside)).max(beyond)
        });
    }

    /// The picture in 8 bits after `noise` was added to each pixel.
    pub fn finish(self, mut noise: impl FnMut() -> f64) -> Vec<u8> {
        self.pixels.into_iter().map(|p| (p + noise()).round().clamp(0.0, 255.0) as u8).collect()
    }
}

/// Distance to an ellipse's edge, exact to first order near it: f / |grad f| with f = (x / rx)^2 + (y / ry)^2 - 1.
pub(super) fn ellipse_distance(x: f64, y: f64, rx: f64, ry: f64) -> f64 {
    let (nx, ny) = (x / rx, y / ry);
    let slope = 2.0 * ((nx / rx).powi(2) + (ny / ry).powi(2)).sqrt();
    (nx * nx + ny * ny - 1.0) / slope.max(1e-9)
}
