//! The curves are held to PyTorch's in the golden test (`ops_lr_schedules`); here are the rules that it has no case for.

use super::*;
use approx::assert_relative_eq;

#[test]
fn step_falls_at_each_multiple() {
    let schedule = Schedule::Step { lr: 0.8, every: 3, factor: 0.5 };
    let rates: Vec<f64> = (0..8).map(|step| schedule.lr(step)).collect();
    assert_eq!(rates, [0.8, 0.8, 0.8, 0.4, 0.4, 0.4, 0.2, 0.2]);
    assert_eq!((schedule.beta1(0), Schedule::Constant { lr: 0.5 }.lr(1 << 40)), (None, 0.5));
}

#[test]
fn cosine_starts_at_zero_peaks_after_the_warm_up_and_stays_at_its_floor() {
    let schedule = Schedule::Cosine { lr: 1.0, warmup_steps: 4, total_steps: 12, min_lr: 0.2 };
    assert_eq!(schedule.lr(0), 0.0);
    assert_eq!(schedule.lr(1), 0.25);
    assert_eq!(schedule.lr(4), 1.0);
    assert_relative_eq!(schedule.lr(8), 0.6, max_relative = 1e-15);
    assert_eq!((schedule.lr(12), schedule.lr(1000)), (0.2, 0.2));
}

#[test]
fn one_cycle_keeps_its_last_rate_and_can_leave_beta1_alone() {
    let cycle = OneCycle::new(1.0, 10);
    let schedule = Schedule::OneCycle(cycle.clone());
    assert_relative_eq!(schedule.lr(9), 1.0 / 25.0 / 1e4, max_relative = 1e-12);
    assert_eq!(schedule.lr(9), schedule.lr(10_000));
    assert_eq!(schedule.beta1(2), Some(0.85));
    assert_eq!(Schedule::OneCycle(OneCycle { beta1_range: None, ..cycle }).beta1(2), None);
}

#[test]
fn one_cycle_phases_without_length_divide_by_nothing() {
    for pct_start in [0.0, 0.1, 0.5, 1.0] {
        for total_steps in [1, 2, 10] {
            for three_phase in [false, true] {
                let cycle = OneCycle { pct_start, three_phase, ..OneCycle::new(1.0, total_steps) };
                let schedule = Schedule::OneCycle(cycle);
                for step in 0..12 {
                    let (lr, beta1) = (schedule.lr(step), schedule.beta1(step).unwrap());
                    assert!(
                        (0.0..=1.0).contains(&lr) && (0.85..=0.95 + 1e-15).contains(&beta1),
                        "{schedule:?} at {step}"
                    );
                }
            }
        }
    }
}

fn observe_all(plateau: &mut Plateau, losses: &[f64]) -> Vec<f64> {
    losses
        .iter()
        .map(|&loss| {
            plateau.observe(loss);
            plateau.lr
        })
        .collect()
}

#[test]
fn plateau_falls_once_patience_is_exceeded() {
    let mut plateau = Plateau { patience: 1, factor: 0.5, ..Plateau::new(1.0) };
    // Bad epochs: 0, 1, 2 -> falls, then 1, 2 -> falls, then better.
    let rates = observe_all(&mut plateau, &[5.0, 5.0, 5.0, 6.0, 5.0, 4.0]);
    assert_eq!(rates, [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]);
    assert_eq!(plateau.best, Some(4.0));
}

#[test]
fn plateau_thresholds_are_relative_or_absolute() {
    let relative =
        |loss| Plateau { best: Some(10.0), threshold: Threshold::Relative(0.1), ..Plateau::new(1.0) }.improves(loss);
    assert!(relative(8.9) && !relative(9.1));
    let absolute =
        |loss| Plateau { best: Some(10.0), threshold: Threshold::Absolute(2.0), ..Plateau::new(1.0) }.improves(loss);
    assert!(absolute(7.9) && !absolute(8.9));
}

#[test]
fn plateau_cools_down_and_stops_at_its_floor() {
    let settings = Plateau { patience: 0, factor: 0.1, cooldown: 2, min_lr: 0.05, ..Plateau::new(1.0) };
    let mut plateau = settings.clone();
    // Falls at the second loss; the two after it are cooldown; then again, to the floor instead of 0.01.
    let rates = observe_all(&mut plateau, &[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
    assert_eq!(rates, [1.0, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05]);
    let mut at_floor = Plateau { lr: 0.05, best: Some(1.0), ..settings };
    assert!(!at_floor.observe(2.0), "a rate at its floor does not fall");
}

#[test]
fn plateau_takes_nan_as_no_improvement() {
    let mut plateau = Plateau { patience: 1, ..Plateau::new(1.0) };
    assert_eq!(observe_all(&mut plateau, &[f64::NAN, f64::INFINITY]), [1.0, 0.1]);
    assert_eq!(plateau.best, None);
}

#[test]
fn only_plateau_listens() {
    assert!(!Schedule::Constant { lr: 1.0 }.observe(1.0));
    let mut schedule = Schedule::Plateau(Plateau { patience: 0, best: Some(1.0), ..Plateau::new(1.0) });
    assert!(schedule.observe(2.0));
    assert_eq!(schedule.lr(7), 0.1);
}

#[test]
fn settings_that_make_no_sense_are_named() {
    let cycle = OneCycle::new(1.0, 10);
    let bad: [(Schedule, &str); 9] = [
        (Schedule::Constant { lr: 0.0 }, "lr is 0"),
        (Schedule::Constant { lr: f64::NAN }, "lr is NaN"),
        (Schedule::Step { lr: 1.0, every: 0, factor: 0.5 }, "every"),
        (Schedule::Cosine { lr: 1.0, warmup_steps: 5, total_steps: 5, min_lr: 0.0 }, "warmup_steps"),
        (Schedule::Cosine { lr: 1.0, warmup_steps: 5, total_steps: 9, min_lr: 2.0 }, "min_lr"),
        (Schedule::OneCycle(OneCycle { pct_start: 1.5, ..cycle.clone() }), "pct_start"),
        (Schedule::OneCycle(OneCycle { pct_start: 0.6, three_phase: true, ..cycle.clone() }), "pct_start"),
        (Schedule::OneCycle(OneCycle { beta1_range: Some((0.9, 1.0)), ..cycle.clone() }), "beta1_range"),
        (Schedule::Plateau(Plateau { factor: 1.0, ..Plateau::new(1.0) }), "factor"),
    ];
    for (schedule, what) in bad {
        let message = schedule.validate().unwrap_err().to_string();
        assert!(message.contains(what), "{message}");
        assert!(!schedule.lr(3).is_infinite(), "even an unchecked schedule does not panic");
    }
    assert!(Schedule::OneCycle(cycle).validate().is_ok());
    assert!(Schedule::Plateau(Plateau::new(1e-3)).validate().is_ok());
}

#[cfg(feature = "weights")]
#[test]
fn a_saved_schedule_goes_on_where_it_was() {
    let mut schedule = Schedule::Plateau(Plateau { patience: 1, factor: 0.3, ..Plateau::new(0.1) });
    for loss in [0.1 + 0.2, 0.5, 0.5, 0.4] {
        schedule.observe(loss);
    }
    let text = serde_json::to_string(&schedule).unwrap();
    assert!(text.contains("\"kind\":\"plateau\""), "{text}");
    assert_eq!(serde_json::from_str::<Schedule>(&text).unwrap(), schedule);
    for schedule in [Schedule::OneCycle(OneCycle::new(0.1, 7)), Schedule::Step { lr: 1.0, every: 2, factor: 0.9 }] {
        let text = serde_json::to_string(&schedule).unwrap();
        assert_eq!(serde_json::from_str::<Schedule>(&text).unwrap(), schedule);
    }
}
