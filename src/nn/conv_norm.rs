//! A convolution and the batch norm behind it, which are one convolution once the statistics stand still.

use super::{BatchNorm, Context, Conv};
use crate::error::{Error, Result};
use crate::graph::{Parameters, Path, Var, check_values};
use crate::ops::batch_norm::BatchNormOptions;
use crate::ops::conv::ConvOptions;

/// Whether batch norms are layers, or folded into the convolutions before them. Folded ones can neither be trained nor told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "weights", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "weights", serde(rename_all = "lowercase"))]
pub enum Norms {
    #[default]
    Layers,
    /// For inference: the convolution has a bias, and no norm follows.
    Folded,
}

/// What a [`ConvNorm`] is made of.
#[derive(Debug, Clone)]
pub struct ConvNormOptions<'a> {
    /// Of the convolution and of the norm.
    pub names: [&'a str; 2],
    /// Going in, and filters.
    pub channels: [usize; 2],
    pub kernel: &'a [usize],
    pub conv: ConvOptions,
    /// Whether the convolution has a bias of its own, which the norm takes out again while training.
    pub bias: bool,
    pub norm: BatchNormOptions,
}

/// Convolution, then batch norm.
#[derive(Debug, Clone)]
pub struct ConvNorm {
    conv: Conv,
    norm: Option<BatchNorm>,
}

impl ConvNorm {
    pub fn new(path: &mut Path<'_>, norms: Norms, options: ConvNormOptions<'_>) -> Self {
        let ConvNormOptions { names: [conv, norm], channels, kernel, conv: windows, bias, norm: norm_options } =
            options;
        let conv = match bias || norms == Norms::Folded {
            true => Conv::new(path, conv, channels, kernel, windows),
            false => Conv::without_bias(path, conv, channels, kernel, windows),
        };
        let norm = (norms == Norms::Layers).then(|| BatchNorm::new(path, norm, channels[1], norm_options));
        ConvNorm { conv, norm }
    }

    /// `[batch, channels, ..] -> [batch, filters, ..]`.
    pub fn forward<'g>(&self, cx: Context<'g>, x: Var<'g>) -> Var<'g> {
        let x = self.conv.forward(cx, x);
        self.norm.as_ref().map_or(x, |norm| norm.forward(cx, x))
    }

    /// Writes weight and bias of this layer's folded twin `folded` into `to`:
    /// `w * s` and `(b - mean) * s + beta`, where `s = gamma / sqrt(variance + epsilon)`.
    fn fold_into(&self, values: &[Vec<f32>], folded: &ConvNorm, to: &mut [Vec<f32>]) -> Result<()> {
        let (Some(norm), Some(bias_of_folded)) = (&self.norm, folded.conv.bias) else {
            return Err(Error::Config(
                "folding goes from a model with batch norms to the same one without".to_string(),
            ));
        };
        let of = |parameter: crate::graph::Parameter| &values[parameter.index];
        let [gamma, beta, mean, variance] = [norm.weight, norm.bias, norm.mean, norm.variance].map(of);
        let weight = of(self.conv.weight);
        let per_filter = weight.len() / gamma.len();
        let bias = |filter: usize| self.conv.bias.map_or(0.0, |bias| f64::from(of(bias)[filter]));
        let epsilon = f64::from(norm.options.epsilon);
        let scales: Vec<f64> = gamma
            .iter()
            .zip(variance)
            .map(|(gamma, variance)| f64::from(*gamma) / (f64::from(*variance) + epsilon).sqrt())
            .collect();
        let scaled = |(index, w): (usize, &f32)| (f64::from(*w) * scales[index / per_filter]) as f32;
        to[folded.conv.weight.index] = weight.iter().enumerate().map(scaled).collect();
        let shifted = |(filter, scale): (usize, &f64)| {
            ((bias(filter) - f64::from(mean[filter])) * scale + f64::from(beta[filter])) as f32
        };
        to[bias_of_folded.index] = scales.iter().enumerate().map(shifted).collect();
        Ok(())
    }
}

/// The values of a model whose batch norms are folded, `to`, from those of the same model with norms, `from`. `layers` are the two
/// models' convolutions in the same order; what else they have keeps its values by name.
///
/// # Errors
/// Where the values do not fit, or the two are not the same model.
pub fn fold<'a>(
    from: &Parameters,
    values: &[Vec<f32>],
    to: &Parameters,
    layers: impl IntoIterator<Item = (&'a ConvNorm, &'a ConvNorm)>,
) -> Result<Vec<Vec<f32>>> {
    check_values(from, values)?;
    let same = |name: &str| from.find(name).map(|parameter| values[parameter.index].clone()).unwrap_or_default();
    let mut folded: Vec<Vec<f32>> = to.specs().iter().map(|spec| same(&spec.name)).collect();
    for (layer, twin) in layers {
        layer.fold_into(values, twin, &mut folded)?;
    }
    check_values(to, &folded)?;
    Ok(folded)
}
