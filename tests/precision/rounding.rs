//! A number through a half and back.

use crate::support::{empty_store, noise};
use limbic::graph::Precision;
use limbic::plan::{Mode, Plan};

const ROW: usize = 8;

/// The nearest multiple of the half's last place, ties to even; infinite beyond the largest half.
fn nearest(x: f32) -> f32 {
    if !x.is_finite() || x == 0.0 {
        return x;
    }
    let exponent = f64::from(x).abs().log2().floor().max(-14.0);
    let place = (exponent - 10.0).exp2();
    let rounded = (f64::from(x) / place).round_ties_even() * place;
    if rounded.abs() > 65504.0 { f32::INFINITY.copysign(x) } else { rounded as f32 }
}

/// `values` kept as halves between two kernels.
fn kept(values: &[f32]) -> Vec<f32> {
    let plan = Plan::new(&empty_store(), Mode::Forward, |graph| {
        graph.set_precision(Precision::Mixed);
        let x = graph.input("x", [values.len() / ROW, ROW]);
        let kept = x.scale(1.0);
        // two readers, so that the ops are not merged
        kept.scale(1.0).named("y");
        kept.scale(2.0).named("z");
        Ok(())
    });
    let plan = plan.unwrap();
    let halves = plan.program().kernels().filter(|key| !key.halves.is_empty()).count();
    assert_eq!(halves, 3, "one writes halves, two read them");
    plan.write("x", values).unwrap();
    plan.run().unwrap();
    plan.read("y").unwrap()
}

#[test]
fn numbers_are_rounded_to_the_nearest_half_and_ties_to_even() {
    let mut values = vec![
        0.0,
        1.0,
        // ties, to the even neighbour below and above
        1.0 + 0.5 / 1024.0,
        1.0 + 1.5 / 1024.0,
        65504.0,
        65519.996,
        65520.0,
        -65520.0,
        1e10,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::MAX,
        // the smallest normal one
        6.103_515_6e-5,
    ];
    values.extend(noise(64, 1));
    values.extend(noise(64, 2).iter().map(|x| x * 6e4));
    values.extend(noise(64, 3).iter().map(|x| 1e-3 * x + 2e-3));
    values.extend(noise(64, 4).iter().map(|x| x * 70000.0));
    values.resize(values.len().next_multiple_of(ROW), 1.0);
    let kept = kept(&values);
    for (x, kept) in values.iter().zip(kept) {
        assert_eq!(kept.to_bits(), nearest(*x).to_bits(), "{x:e} became {kept:e}, not {:e}", nearest(*x));
    }
}

/// What lies among the subnormal halves is rounded to multiples of 2^-24, or read as zero by adapters that know no such halves.
#[test]
fn small_numbers_are_rounded_as_halves_or_vanish() {
    let values: Vec<f32> = noise(64, 5).iter().map(|x| x * 5e-5).collect();
    for (x, kept) in values.iter().zip(kept(&values)) {
        assert!(kept == nearest(*x) || kept == 0.0, "{x:e} became {kept:e}, not {:e}", nearest(*x));
    }
}

#[test]
fn nan_stays_nan() {
    let mut values = noise(16, 6);
    values[3] = f32::NAN;
    values[13] = -f32::NAN;
    for (index, kept) in kept(&values).iter().enumerate() {
        assert_eq!(kept.is_nan(), index == 3 || index == 13, "element {index} is {kept}");
    }
}
