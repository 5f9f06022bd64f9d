//! Element by element: functions of one tensor, of two with broadcasting, and constants.

use super::choices::Knob;
use super::shape_ops::{axis_slots, broadcast_axes, in_fours};
use super::{Backward, Op};
use crate::error::Result;
use crate::gpu::Capabilities;
use crate::graph::{DType, Graph, MAX_RANK, Shape, Tensor, Var};
use crate::plan::{Dispatch, Lower};

/// Activations that a matmul can apply in its epilogue; the numbers are those in `shaders/shared/activation.wgsl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Activation {
    #[default]
    Identity = 0,
    Relu = 1,
    /// x Phi(x), with the exact error function.
    GeluErf = 2,
    /// The tanh approximation of [`Activation::GeluErf`].
    GeluTanh = 3,
    Tanh = 4,
    Sigmoid = 5,
}

/// Functions of one number; the numbers are those in `shaders/unary.wgsl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnaryFunction {
    Identity = 0,
    Relu = 1,
    GeluErf = 2,
    GeluTanh = 3,
    Tanh = 4,
    Sigmoid = 5,
    Silu = 6,
    Softplus = 7,
    LeakyRelu = 8,
    Exp = 9,
    Erf = 10,
    Log = 11,
    Sqrt = 12,
    Abs = 13,
    Square = 14,
    Reciprocal = 15,
    Huber = 16,
    Power = 17,
}

impl UnaryFunction {
    /// Whether the derivative is computed from the output rather than the input.
    fn saves_output(self) -> bool {
        use UnaryFunction::*;
        matches!(self, Exp | Sqrt | Reciprocal)
    }

    /// The activation of the same name, for an epilogue.
    pub(crate) fn activation(self) -> Option<Activation> {
        match self {
            UnaryFunction::Relu => Some(Activation::Relu),
            UnaryFunction::GeluErf => Some(Activation::GeluErf),
            UnaryFunction::GeluTanh => Some(Activation::GeluTanh),
            UnaryFunction::Tanh => Some(Activation::Tanh),
            UnaryFunction::Sigmoid => Some(Activation::Sigmoid),
            _ => None,
        }
    }
}

/// f(alpha x + beta).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Unary {
    pub function: UnaryFunction,
    pub alpha: f32,
    pub beta: f32,
    /// Slope of a leaky ReLU, width of Huber's quadratic part, exponent of a power.
    pub parameter: f32,
}

impl Unary {
    pub(crate) fn is_plain(&self) -> bool {
        self.alpha == 1.0 && self.beta == 0.0
    }

    fn dispatch(&self, shader: &'static str, cx: &Lower<'_>) -> Dispatch {
        streaming(shader, &[("FUNCTION", self.function as u32)], quads(cx.output_shape(0)), cx.capabilities())
            .set_float("alpha", self.alpha)
            .set_float("beta", self.beta)
            .set_float("parameter", self.parameter)
    }
}

/// Workgroups of 64 invocations for `invocations`.
pub(crate) fn groups(invocations: usize) -> u32 {
    invocations.div_ceil(64) as u32
}

/// A kernel that goes through `quads` fours of elements in rounds (`shaders/shared/rounds.wgsl`).
pub(crate) fn elementwise(shader: &'static str, quads: usize, capabilities: &Capabilities) -> Dispatch {
    in_shares(shader, &[], quads, 1, capabilities)
}

/// One that does so in several shares at once (`shaders/shared/streams.wgsl`).
fn streaming(
    shader: &'static str,
    defines: &[(&'static str, u32)],
    quads: usize,
    capabilities: &Capabilities,
) -> Dispatch {
    let streams = Knob::ElementStreams.value(capabilities, quads);
    let defines = [defines, &[("STREAMS", streams as u32)]].concat();
    in_shares(shader, &defines, quads, streams, capabilities)
}

fn in_shares(
    shader: &'static str,
    defines: &[(&'static str, u32)],
    quads: usize,
    shares: usize,
    capabilities: &Capabilities,
) -> Dispatch {
    let share = quads.div_ceil(shares);
    let rounds = Knob::ElementRounds.value(capabilities, share);
    Dispatch::new(shader, defines, groups(share.div_ceil(rounds))).set("quads", quads).set("rounds", rounds)
}

/// How many fours of elements there are.
pub(crate) fn quads(shape: Shape) -> usize {
    shape.len().div_ceil(4)
}

fn same_as_first(inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
    match inputs.first() {
        Some(tensor) if tensor.dtype == DType::F32 => Ok(vec![(tensor.shape, DType::F32)]),
        Some(tensor) => Err(format!("wants a float tensor, got {:?}", tensor.dtype)),
        None => Err("wants a tensor".to_string()),
    }
}

impl Op for Unary {
    fn name(&self) -> &'static str {
        "unary"
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        same_as_first(inputs)
    }

    fn backward<'g>(&self, cx: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        let Some(dy) = cx.grad(0) else { return vec![None] };
        let saved = if self.function.saves_output() { cx.output(0) } else { cx.input(0) };
        vec![Some(cx.graph().apply_one(UnaryBackward(*self), &[dy, saved]))]
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        let dispatch = self.dispatch("unary", cx);
        cx.emit(dispatch.bind("x", cx.input(0)).bind("y", cx.output(0)));
        Ok(())
    }
}

/// dy f'(alpha x + beta) alpha; inputs dy and what the forward saved.
#[derive(Debug)]
struct UnaryBackward(Unary);

impl Op for UnaryBackward {
    fn name(&self) -> &'static str {
        "unary_backward"
    }

    fn differentiable(&self) -> bool {
        false
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        same_as_first(inputs)
    }

    fn backward<'g>(&self, _: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        vec![None, None]
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        let dispatch = self.0.dispatch("unary_backward", cx);
        cx.emit(dispatch.bind("dy", cx.input(0)).bind("saved", cx.input(1)).bind("dx", cx.output(0)));
        Ok(())
    }
}

/// Functions of two numbers; the numbers are those in `shaders/binary.wgsl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BinaryFunction {
    Add = 0,
    Subtract = 1,
    Multiply = 2,
    Divide = 3,
    Maximum = 4,
    /// 1 where a > b, 1/2 where equal, else 0: how torch shares the gradient of a maximum.
    GreaterShare = 5,
    /// 1 where a equals b, else 0.
    Equal = 6,
}

/// f(a, b) with numpy broadcasting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Binary(pub BinaryFunction);

impl Op for Binary {
    fn name(&self) -> &'static str {
        match self.0 {
            BinaryFunction::Add => "add",
            BinaryFunction::Subtract => "subtract",
            BinaryFunction::Multiply => "multiply",
            BinaryFunction::Divide => "divide",
            BinaryFunction::Maximum => "maximum",
            BinaryFunction::GreaterShare => "greater_share",
            BinaryFunction::Equal => "equal",
        }
    }

    fn differentiable(&self) -> bool {
        !matches!(self.0, BinaryFunction::GreaterShare | BinaryFunction::Equal)
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        let [a, b] = inputs else { return Err("wants two tensors".to_string()) };
        if a.dtype != DType::F32 || b.dtype != DType::F32 {
            return Err(format!("wants float tensors, got {:?} and {:?}", a.dtype, b.dtype));
        }
        let shape = a.shape.broadcast(&b.shape);
        shape.map(|shape| vec![(shape, DType::F32)]).ok_or_else(|| {
            format!(
                "shapes {} and {} do not broadcast: axes must be equal or 1, counted from the last",
                a.shape, b.shape
            )
        })
    }

    fn backward<'g>(&self, cx: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        let Some(dy) = cx.grad(0) else { return vec![None, None] };
        let (a, b) = (cx.input(0), cx.input(1));
        let da = |cx: &Backward<'g>| match self.0 {
            BinaryFunction::Multiply => dy * b,
            BinaryFunction::Divide => dy / b,
            BinaryFunction::Maximum => dy * cx.graph().apply_one(Binary(BinaryFunction::GreaterShare), &[a, b]),
            _ => dy,
        };
        let db = |cx: &Backward<'g>| match self.0 {
            BinaryFunction::Subtract => dy.scale(-1.0),
            BinaryFunction::Multiply => dy * a,
            BinaryFunction::Divide => (dy * cx.output(0) / b).scale(-1.0),
            BinaryFunction::Maximum => dy * cx.graph().apply_one(Binary(BinaryFunction::GreaterShare), &[b, a]),
            _ => dy,
        };
        vec![cx.needs(0).then(|| da(cx).sum_to(a.shape())), cx.needs(1).then(|| db(cx).sum_to(b.shape()))]
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        let (a, b, out) = (cx.input_shape(0), cx.input_shape(1), cx.output_shape(0));
        let commutes =
            !matches!(self.0, BinaryFunction::Subtract | BinaryFunction::Divide | BinaryFunction::GreaterShare);
        let dispatch = match () {
            () if repeats(&b, &out) && a == out => self.repeated(cx, 0, 1, b),
            () if commutes && repeats(&a, &out) && b == out => self.repeated(cx, 1, 0, a),
            () => self.broadcast(cx, a, b, out),
        };
        cx.emit(dispatch);
        Ok(())
    }
}

impl Binary {
    fn repeated(&self, cx: &Lower<'_>, full: usize, repeated: usize, period: Shape) -> Dispatch {
        let quads = quads(cx.output_shape(0));
        let periodic = u32::from(period != cx.output_shape(0));
        streaming("binary", &[("FUNCTION", self.0 as u32), ("PERIODIC", periodic)], quads, cx.capabilities())
            .bind("a", cx.input(full))
            .bind("b", cx.input(repeated))
            .bind("out", cx.output(0))
            .set("period", period.len().div_ceil(4))
    }

    fn broadcast(&self, cx: &Lower<'_>, a: Shape, b: Shape, out: Shape) -> Dispatch {
        const A: [&str; MAX_RANK] = ["a0", "a1", "a2", "a3", "a4", "a5"];
        const B: [&str; MAX_RANK] = ["b0", "b1", "b2", "b3", "b4", "b5"];
        const SIZE: [&str; MAX_RANK] = ["", "size1", "size2", "size3", "size4", "size5"];
        let (axes, [a_element, b_element], unit) = in_fours(broadcast_axes(out, [a, b]));
        let len = out.len() / unit;
        let defines = [("FUNCTION", self.0 as u32), ("RANK", axes.len() as u32), ("WIDE", u32::from(unit == 4))];
        let mut dispatch = Dispatch::new("binary_broadcast", &defines, groups(len))
            .bind("a", cx.input(0))
            .bind("b", cx.input(1))
            .bind("out", cx.output(0))
            .set("len", len)
            .set("a_element", a_element as usize)
            .set("b_element", b_element as usize);
        for (slot, (size, [a, b])) in axis_slots(&axes).into_iter().enumerate() {
            if slot > 0 {
                dispatch = dispatch.set(SIZE[slot], size);
            }
            dispatch = dispatch.set(A[slot], a as usize).set(B[slot], b as usize);
        }
        dispatch
    }
}

/// Whether `part` repeated along leading axes gives `whole`, in steps that four-element loads can follow.
fn repeats(part: &Shape, whole: &Shape) -> bool {
    if part == whole {
        return true;
    }
    let suffix = (0..part.rank()).take_while(|back| part.from_end(*back) == whole.from_end(*back)).count();
    let rest_is_one = (suffix..part.rank()).all(|back| part.from_end(back) == 1);
    rest_is_one && part.len().is_multiple_of(4)
}

/// The dispatch that sets every element of `shape` to `value`; `out` is to be bound.
pub(crate) fn filled(shape: Shape, value: f32, capabilities: &Capabilities) -> Dispatch {
    elementwise("fill", quads(shape), capabilities).set_float("value", value)
}

/// A constant tensor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fill {
    shape: Shape,
    value: f32,
}

impl Op for Fill {
    fn name(&self) -> &'static str {
        "fill"
    }

    fn differentiable(&self) -> bool {
        false
    }

    fn infer(&self, _: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        Ok(vec![(self.shape, DType::F32)])
    }

    fn backward<'g>(&self, _: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        Vec::new()
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        cx.emit(filled(self.shape, self.value, cx.capabilities()).bind("out", cx.output(0)));
        Ok(())
    }
}

/// A tensor of `shape` whose every element is `value`.
pub fn fill(graph: &Graph, shape: impl Into<Shape>, value: f32) -> Var<'_> {
    graph.apply_one(Fill { shape: shape.into(), value }, &[])
}

impl<'g> Var<'g> {
    fn unary(self, function: UnaryFunction) -> Var<'g> {
        self.graph().apply_one(Unary { function, alpha: 1.0, beta: 0.0, parameter: 0.0 }, &[self])
    }

    fn unary_with(self, function: UnaryFunction, parameter: f32) -> Var<'g> {
        self.graph().apply_one(Unary { function, alpha: 1.0, beta: 0.0, parameter }, &[self])
    }

    fn binary(self, function: BinaryFunction, other: Var<'g>) -> Var<'g> {
        self.graph().apply_one(Binary(function), &[self, other])
    }

    /// alpha x + beta.
    pub fn affine(self, alpha: f32, beta: f32) -> Var<'g> {
        self.graph().apply_one(Unary { function: UnaryFunction::Identity, alpha, beta, parameter: 0.0 }, &[self])
    }

    /// factor x.
    pub fn scale(self, factor: f32) -> Var<'g> {
        self.affine(factor, 0.0)
    }

    /// max(x, 0).
    pub fn relu(self) -> Var<'g> {
        self.unary(UnaryFunction::Relu)
    }

    /// x Phi(x) with the exact error function (Hendrycks and Gimpel 2016).
    pub fn gelu(self) -> Var<'g> {
        self.unary(UnaryFunction::GeluErf)
    }

    /// GELU's tanh approximation.
    pub fn gelu_tanh(self) -> Var<'g> {
        self.unary(UnaryFunction::GeluTanh)
    }

    pub fn tanh(self) -> Var<'g> {
        self.unary(UnaryFunction::Tanh)
    }

    /// 1 / (1 + exp(-x)).
    pub fn sigmoid(self) -> Var<'g> {
        self.unary(UnaryFunction::Sigmoid)
    }

    /// x sigmoid(x).
    pub fn silu(self) -> Var<'g> {
        self.unary(UnaryFunction::Silu)
    }

    /// log(1 + exp(x)), without overflow.
    pub fn softplus(self) -> Var<'g> {
        self.unary(UnaryFunction::Softplus)
    }

    /// x, times `slope` where negative.
    pub fn leaky_relu(self, slope: f32) -> Var<'g> {
        self.unary_with(UnaryFunction::LeakyRelu, slope)
    }

    pub fn exp(self) -> Var<'g> {
        self.unary(UnaryFunction::Exp)
    }

    /// Natural logarithm.
    pub fn log(self) -> Var<'g> {
        self.unary(UnaryFunction::Log)
    }

    pub fn sqrt(self) -> Var<'g> {
        self.unary(UnaryFunction::Sqrt)
    }

    pub fn abs(self) -> Var<'g> {
        self.unary(UnaryFunction::Abs)
    }

    /// The error function.
    pub fn erf(self) -> Var<'g> {
        self.unary(UnaryFunction::Erf)
    }

    pub fn square(self) -> Var<'g> {
        self.unary(UnaryFunction::Square)
    }

    /// 1 / x.
    pub fn reciprocal(self) -> Var<'g> {
        self.unary(UnaryFunction::Reciprocal)
    }

    /// x to a fixed power; x must be positive.
    pub fn power(self, exponent: f32) -> Var<'g> {
        self.unary_with(UnaryFunction::Power, exponent)
    }

    /// Huber's function: x^2 / 2 within +-`delta`, linear beyond (Huber 1964).
    pub fn huber(self, delta: f32) -> Var<'g> {
        self.unary_with(UnaryFunction::Huber, delta)
    }

    /// The larger of two tensors, broadcast.
    pub fn maximum(self, other: Var<'g>) -> Var<'g> {
        self.binary(BinaryFunction::Maximum, other)
    }

    /// Applies `activation`.
    pub fn activate(self, activation: Activation) -> Var<'g> {
        match activation {
            Activation::Identity => self,
            Activation::Relu => self.relu(),
            Activation::GeluErf => self.gelu(),
            Activation::GeluTanh => self.gelu_tanh(),
            Activation::Tanh => self.tanh(),
            Activation::Sigmoid => self.sigmoid(),
        }
    }
}

macro_rules! operator {
    ($trait:ident, $method:ident, $function:ident) => {
        impl<'g> std::ops::$trait for Var<'g> {
            type Output = Var<'g>;

            fn $method(self, other: Var<'g>) -> Var<'g> {
                self.binary(BinaryFunction::$function, other)
            }
        }
    };
}

operator!(Add, add, Add);
operator!(Sub, sub, Subtract);
operator!(Mul, mul, Multiply);
operator!(Div, div, Divide);
