//! Layer normalisation over the last axis (Ba, Kiros and Hinton 2016), also fused with the residual sum before it.

use super::choices::Knob;
use super::team::Team;
use super::{Backward, Op};
use crate::error::Result;
use crate::graph::{DType, Shape, Tensor, Var};
use crate::plan::{Dispatch, Lower, Operand};

/// Inputs x, then residual, weight, bias where there; outputs y, statistics `[rows, 2]` (mean, 1 / standard deviation), and x + residual.
#[derive(Debug, Clone, Copy, PartialEq)]
struct LayerNorm {
    epsilon: f32,
    residual: bool,
    weight: bool,
    bias: bool,
}

/// Rows and columns of a tensor that is normalised over its last axis.
fn rows_and_columns(shape: Shape) -> (usize, usize) {
    let columns = shape.from_end(0).max(1);
    (shape.len() / columns, columns)
}

impl LayerNorm {
    fn weight_index(&self) -> usize {
        1 + usize::from(self.residual)
    }

    fn bias_index(&self) -> usize {
        self.weight_index() + usize::from(self.weight)
    }
}

impl Op for LayerNorm {
    fn name(&self) -> &'static str {
        if self.residual { "layer_norm_residual" } else { "layer_norm" }
    }

    fn output_count(&self) -> usize {
        2 + usize::from(self.residual)
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        let x = inputs.first().ok_or("wants a tensor")?;
        if let Some(odd) = inputs.iter().find(|tensor| tensor.dtype != DType::F32) {
            return Err(format!("wants float tensors, got {:?}", odd.dtype));
        }
        if x.shape.rank() == 0 {
            return Err("wants at least one axis to normalise over, got a scalar".to_string());
        }
        if self.residual && inputs.get(1).is_none_or(|other| other.shape != x.shape) {
            return Err(format!("x is {} and the residual is not", x.shape));
        }
        let (rows, columns) = rows_and_columns(x.shape);
        for parameter in &inputs[self.weight_index()..] {
            if parameter.shape != Shape::new(&[columns]) {
                let shape = parameter.shape;
                return Err(format!("x is {}, so weight and bias must be [{columns}], got {shape}", x.shape));
            }
        }
        let mut outputs = vec![(x.shape, DType::F32), (Shape::new(&[rows, 2]), DType::F32)];
        if self.residual {
            outputs.push((x.shape, DType::F32));
        }
        Ok(outputs)
    }

    fn backward<'g>(&self, cx: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        let mut gradients = vec![None; cx.inputs().len()];
        let dsum = if self.residual { cx.grad(2) } else { None };
        let Some(dy) = cx.grad(0) else {
            gradients[..self.weight_index()].fill(dsum);
            return gradients;
        };
        let normalised = if self.residual { cx.output(2) } else { cx.input(0) };
        let mut inputs = vec![normalised, cx.output(1), dy];
        inputs.extend(self.weight.then(|| cx.input(self.weight_index())));
        inputs.extend(dsum);
        let parameters = (self.weight && cx.needs(self.weight_index())) || (self.bias && cx.needs(self.bias_index()));
        let op = LayerNormBackward { residual: dsum.is_some(), weight: self.weight, parameters };
        let made = cx.graph().apply(op, &inputs);
        gradients[..self.weight_index()].fill(Some(made[0]));
        if parameters && self.weight {
            gradients[self.weight_index()] = Some(made[1]);
        }
        if parameters && self.bias {
            gradients[self.bias_index()] = Some(made[2]);
        }
        gradients
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        let (rows, columns) = rows_and_columns(cx.input_shape(0));
        let team = Team::choose(cx.capabilities(), columns);
        // Weight and bias are read once for all the rows of a team.
        let rounds = Knob::LayerNormRounds.value(cx.capabilities(), rows);
        let defines = team.keeping(&[
            ("RESIDUAL", u32::from(self.residual)),
            ("WEIGHT", u32::from(self.weight)),
            ("BIAS", u32::from(self.bias)),
        ]);
        let mut dispatch = Dispatch::new("layer_norm", &defines, team.groups(rows, rounds))
            .bind("x", cx.input(0))
            .bind("y", cx.output(0))
            .bind("statistics", cx.output(1))
            .set("rows", rows)
            .set("parts", team.parts)
            .set("rounds", rounds)
            .set_float("columns", columns as f32)
            .set_float("epsilon", self.epsilon);
        if self.residual {
            dispatch = dispatch.bind("residual", cx.input(1)).bind("sum", cx.output(2));
        }
        if self.weight {
            dispatch = dispatch.bind("weight", cx.input(self.weight_index()));
        }
        if self.bias {
            dispatch = dispatch.bind("bias", cx.input(self.bias_index()));
        }
        cx.emit(dispatch);
        Ok(())
    }
}

/// Inputs x, statistics, dy, then weight and dsum where there; outputs dx and, with `parameters`, dweight and dbias.
#[derive(Debug, Clone, Copy, PartialEq)]
struct LayerNormBackward {
    residual: bool,
    weight: bool,
    parameters: bool,
}

impl Op for LayerNormBackward {
    fn name(&self) -> &'static str {
        "layer_norm_backward"
    }

    fn differentiable(&self) -> bool {
        false
    }

    fn output_count(&self) -> usize {
        if self.parameters { 3 } else { 1 }
    }

    fn infer(&self, inputs: &[Tensor]) -> Result<Vec<(Shape, DType)>, String> {
        let x = inputs.first().ok_or("wants a tensor")?.shape;
        let columns = Shape::new(&[x.from_end(0)]);
        let mut outputs = vec![(x, DType::F32)];
        outputs.extend(self.parameters.then_some([(columns, DType::F32); 2]).into_iter().flatten());
        Ok(outputs)
    }

    fn backward<'g>(&self, cx: &Backward<'g>) -> Vec<Option<Var<'g>>> {
        vec![None; cx.inputs().len()]
    }

    fn lower(&self, cx: &mut Lower<'_>) -> Result<()> {
        let (rows, columns) = rows_and_columns(cx.input_shape(0));
        let team = Team::choose(cx.capabilities(), columns);
        // Each team leaves a row of partial sums: few teams on a CPU, enough to fill a GPU elsewhere.
        let rounds = rows.div_ceil(Knob::LayerNormTeams.value(cx.capabilities(), rows)).max(4);
        let teams = rows.div_ceil(rounds);
        let defines = team.keeping(&[
            ("RESIDUAL", u32::from(self.residual)),
            ("WEIGHT", u32::from(self.weight)),
            ("PARAMETERS", u32::from(self.parameters)),
        ]);
        let mut dispatch = Dispatch::new("layer_norm_backward", &defines, team.groups(rows, rounds))
            .bind("x", cx.input(0))
            .bind("statistics", cx.input(1))
            .bind("dy", cx.input(2))
            .bind("dx", cx.output(0))
            .set("rows", rows)
            .set("parts", team.parts)
            .set("rounds", rounds)
            .set_float("columns", columns as f32);
        if self.weight {
            dispatch = dispatch.bind("weight", cx.input(3));
        }
        if self.residual {
            dispatch = dispatch.bind("dsum", cx.input(3 + usize::from(self.weight)));
        }
        if !self.parameters {
            cx.emit(dispatch);
            return Ok(());
        }
        let partial = cx.workspace(teams * 2 * columns);
        cx.emit(dispatch.bind("partial", partial.clone()));
        cx.emit(parameter_sums(cx, partial, teams, &team));
        Ok(())
    }
}

/// The second stage of dweight and dbias.
fn parameter_sums(cx: &Lower<'_>, partial: Operand, teams: usize, team: &Team) -> Dispatch {
    let slices = Knob::LayerNormSlices.value(cx.capabilities(), teams);
    let groups = (2 * team.parts).div_ceil(256 / slices) as u32;
    let defines = [("VECTOR", u32::from(team.vector)), ("SLICES", slices as u32)];
    Dispatch::new("layer_norm_parameters", &defines, groups)
        .bind("partial", partial)
        .bind("dweight", cx.output(1))
        .bind("dbias", cx.output(2))
        .set("teams", teams)
        .set("parts", team.parts)
}

impl<'g> Var<'g> {
    /// (x - mean) / sqrt(variance + `epsilon`) * weight + bias over the last axis, the variance biased. `weight` and `bias` are
    /// `[size of the last axis]`.
    pub fn layer_norm(self, weight: Option<Var<'g>>, bias: Option<Var<'g>>, epsilon: f32) -> Var<'g> {
        let op = LayerNorm { epsilon, residual: false, weight: weight.is_some(), bias: bias.is_some() };
        let inputs: Vec<Var<'g>> = [Some(self), weight, bias].into_iter().flatten().collect();
        self.graph().apply(op, &inputs)[0]
    }

    /// `(sum, y)`: sum = x + `residual` and y = its [`Var::layer_norm`], in one kernel.
    pub fn layer_norm_residual(
        self,
        residual: Var<'g>,
        weight: Option<Var<'g>>,
        bias: Option<Var<'g>>,
        epsilon: f32,
    ) -> (Var<'g>, Var<'g>) {
        let op = LayerNorm { epsilon, residual: true, weight: weight.is_some(), bias: bias.is_some() };
        let inputs: Vec<Var<'g>> = [Some(self), Some(residual), weight, bias].into_iter().flatten().collect();
        let outputs = self.graph().apply(op, &inputs);
        (outputs[2], outputs[0])
    }
}
