//! How close is close enough. The law stands in `tests/golden/README.md`.

use std::collections::BTreeSet;

use limbic::graph::Precision;
use limbic::weights::{Tensor, TensorData};

use super::file::Case;

/// Of the tensor's largest value.
const FORWARD: f64 = 1e-5;
/// Of the largest gradient of the case.
const GRADIENT: f64 = 1e-4;
/// Half the distance of neighbouring 16-bit floats, relative to them.
const HALF_UNIT: f64 = 1.0 / 2048.0;
/// In mixed precision, of the tensor's largest value: some ten tensors on the way to it were rounded, each by a unit at most.
const MIXED_FORWARD: f64 = 8.0 * HALF_UNIT;
/// In mixed precision, of the largest gradient of the case: twice as many.
const MIXED_GRADIENT: f64 = 16.0 * HALF_UNIT;
/// How often the library's own float32 deviation is borne.
const F32_DEVIATIONS: f64 = 4.0;

/// What became of a case.
#[derive(Debug)]
pub enum Outcome {
    /// Everything is within tolerance; a line about the worst tensor.
    Passed(String),
    /// What went wrong, a line each.
    Failed(String),
    /// limbic does not have this yet, and why.
    NotCovered(String),
}

/// Collects the comparisons of one case. Each call takes the tensor's key within the case, limbic's shape and values.
pub struct Comparison<'a> {
    case: &'a Case<'a>,
    gradient_scale: f64,
    compared: BTreeSet<String>,
    elements: usize,
    worst: Option<Worst>,
    problems: Vec<String>,
    waived: Vec<String>,
}

/// The element that came closest to its tolerance, or went furthest beyond.
struct Worst {
    /// Difference by tolerance; above 1 is a failure.
    ratio: f64,
    /// Difference by the value that the tolerance is relative to.
    relative: f64,
    key: String,
}

/// What a difference may be and what it is relative to.
#[derive(Clone, Copy)]
enum Law {
    /// One bound for the whole tensor.
    Tensor { scale: f64, tolerance: f64 },
    /// Relative to each element.
    Element { relative: f64 },
}

impl<'a> Comparison<'a> {
    pub fn new(case: &'a Case<'a>) -> Self {
        Comparison {
            case,
            gradient_scale: case.grads().map(|(_, tensor)| largest(tensor)).fold(0.0, f64::max),
            compared: BTreeSet::new(),
            elements: 0,
            worst: None,
            problems: Vec::new(),
            waived: Vec::new(),
        }
    }

    /// An output, intermediate, loss or anything else that is no gradient.
    pub fn forward<T: Into<f64> + Copy>(&mut self, key: &str, shape: &[usize], values: &[T]) {
        self.forward_where(key, shape, values, |_| true);
    }

    /// As [`forward`](Self::forward), but only the elements that `keep` names by their row-major index: what stands at
    /// padded positions is nobody's business.
    pub fn forward_where<T: Into<f64> + Copy>(
        &mut self,
        key: &str,
        shape: &[usize],
        values: &[T],
        keep: impl Fn(usize) -> bool,
    ) {
        let scale = self.case.get(key).map_or(0.0, largest);
        let tolerance = (forward() * scale).max(F32_DEVIATIONS * self.case.f32_dev(key));
        self.judge(key, shape, values, keep, Law::Tensor { scale, tolerance });
    }

    /// A gradient; `key` starts with "grad/".
    pub fn gradient<T: Into<f64> + Copy>(&mut self, key: &str, shape: &[usize], values: &[T]) {
        let scale = self.gradient_scale;
        let tolerance = (gradient() * scale).max(F32_DEVIATIONS * self.case.f32_dev(key));
        let values: Vec<f64> = values.iter().map(|&value| value.into() / f64::from(super::loss_scale())).collect();
        self.judge(key, shape, &values, |_| true, Law::Tensor { scale, tolerance });
    }

    /// `after/<optimizer>/<name>`, only where `stable/<optimizer>/<name>` is 1 if the file has such a mask.
    pub fn after_steps<T: Into<f64> + Copy>(&mut self, optimizer: &str, name: &str, shape: &[usize], values: &[T]) {
        let key = format!("after/{optimizer}/{name}");
        if super::precision() == Precision::Mixed && optimizer.contains("adam") {
            return self.waive(&key, "Adam moves by a gradient's sign, however small");
        }
        let Some(stable) = self.case.get(&format!("stable/{optimizer}/{name}")) else {
            return self.forward(&key, shape, values);
        };
        let Some(mask) = stable.as_u8().filter(|_| stable.shape() == shape) else {
            return self.problem(format!("{key}: its 'stable' mask is not u8 of shape {shape:?}"));
        };
        // The tensor's own f32_dev is that of its unstable elements.
        let rest = &self.case.file.meta["adam_compare"][optimizer]["max_f32_dev_on_the_rest"];
        let scale = self.case.get(&key).map_or(0.0, largest);
        let tolerance = (forward() * scale).max(F32_DEVIATIONS * rest.as_f64().unwrap_or(0.0));
        self.judge(&key, shape, values, |index| mask[index] == 1, Law::Tensor { scale, tolerance });
    }

    /// Every element within `relative` of itself: for tables of host-side numbers, whose small entries count too.
    pub fn each_element<T: Into<f64> + Copy>(&mut self, key: &str, shape: &[usize], values: &[T], relative: f64) {
        self.judge(key, shape, values, |_| true, Law::Element { relative });
    }

    /// Integers and masks.
    pub fn exact<T: Into<i64> + Copy>(&mut self, key: &str, shape: &[usize], values: &[T]) {
        // Counts and ids are far below 2^53, where f64 stops being exact.
        let values: Vec<f64> = values.iter().map(|&value| value.into() as f64).collect();
        self.judge(key, shape, &values, |_| true, Law::Element { relative: 0.0 });
    }

    /// Leaves an expected tensor out, for a reason that the report shows.
    pub fn waive(&mut self, key: &str, why: &str) {
        self.compared.insert(key.into());
        self.waived.push(format!("{key} ({why})"));
    }

    /// Something that makes the case fail whatever the numbers are.
    pub fn problem(&mut self, message: impl Into<String>) {
        self.problems.push(message.into());
    }

    /// The verdict. An expected tensor that was neither compared nor waived is a failure, and so is a case in which
    /// nothing was compared.
    pub fn finish(mut self) -> Outcome {
        let missing: Vec<String> = self
            .case
            .expected()
            .filter(|&key| !self.compared.contains(key))
            .map(|key| format!("{key}: missing"))
            .collect();
        self.problems.extend(missing);
        if self.elements == 0 {
            self.problems.push("nothing was compared".into());
        }
        let worst = match &self.worst {
            Some(worst) => {
                format!("worst {:.1e} in {} ({:.3} of its tolerance)", worst.relative, worst.key, worst.ratio)
            }
            None => "worst -".into(),
        };
        let mut line =
            format!("{worst}, {} tensors, {} values", self.compared.len() - self.waived.len(), self.elements);
        if !self.waived.is_empty() {
            line += &format!("; left out: {}", self.waived.join(", "));
        }
        if self.problems.is_empty() {
            return Outcome::Passed(line);
        }
        self.problems.push(line);
        Outcome::Failed(self.problems.join("\n"))
    }

    fn judge<T: Into<f64> + Copy>(
        &mut self,
        key: &str,
        shape: &[usize],
        values: &[T],
        keep: impl Fn(usize) -> bool,
        law: Law,
    ) {
        self.compared.insert(key.into());
        let Some(expected) = self.case.get(key) else {
            return self.problem(format!("{key}: the golden file has no such tensor"));
        };
        if expected.shape() != shape || expected.data().len() != values.len() {
            let found = format!("{shape:?} with {} values", values.len());
            return self.problem(format!("{key}: shape {found}, expected {:?}", expected.shape()));
        }
        let mut worst = Worst { ratio: 0.0, relative: 0.0, key: key.into() };
        let mut worst_at = None;
        for (index, (&value, expected)) in values.iter().zip(numbers(expected)).enumerate() {
            if !keep(index) {
                continue;
            }
            self.elements += 1;
            let (ratio, relative) = law.deviation(value.into(), expected);
            if worst_at.is_none() || ratio > worst.ratio {
                (worst.ratio, worst.relative) = (ratio, relative);
                worst_at = Some((index, value.into(), expected));
            }
        }
        if let Some((index, value, expected)) = worst_at.filter(|_| worst.ratio > 1.0) {
            self.problem(format!(
                "{key}: element {index} is {value:e}, expected {expected:e}, {:.1e} off",
                worst.relative
            ));
        }
        if self.worst.as_ref().is_none_or(|so_far| worst.ratio > so_far.ratio) {
            self.worst = Some(worst);
        }
    }
}

fn forward() -> f64 {
    if super::precision() == Precision::Mixed { MIXED_FORWARD } else { FORWARD }
}

fn gradient() -> f64 {
    if super::precision() == Precision::Mixed { MIXED_GRADIENT } else { GRADIENT }
}

impl Law {
    /// The difference by its tolerance and by its scale, never NaN: infinite for anything that is not finite, and for any
    /// difference where none is borne.
    fn deviation(self, value: f64, expected: f64) -> (f64, f64) {
        let difference = (value - expected).abs();
        if !difference.is_finite() {
            return (f64::INFINITY, f64::INFINITY);
        }
        let by = |bound: f64| if difference == 0.0 { 0.0 } else { difference / bound };
        match self {
            Law::Tensor { scale, tolerance } => (by(tolerance), by(scale)),
            Law::Element { relative } => (by(relative * expected.abs()), by(expected.abs())),
        }
    }
}

/// The values of any tensor as f64.
fn numbers(tensor: &Tensor) -> Vec<f64> {
    match tensor.data() {
        TensorData::F32(values) => values.iter().map(|&value| value.into()).collect(),
        TensorData::U8(values) => values.iter().map(|&value| value.into()).collect(),
        TensorData::I64(values) => values.iter().map(|&value| value as f64).collect(),
    }
}

/// The largest absolute value.
fn largest(tensor: &Tensor) -> f64 {
    numbers(tensor).into_iter().map(f64::abs).fold(0.0, f64::max)
}
