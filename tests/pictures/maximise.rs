//! Activation maximisation on a GPU.

use crate::support::empty_store;
use limbic::viz::{MaximiseOptions, maximise};

#[test]
fn it_climbs_begins_again_without_a_gradient_and_gives_up_on_what_never_has_one() {
    let options = MaximiseOptions { steps: 40, jitter: 0, ..MaximiseOptions::default() };
    // of three images of four pixels: the first pixel less the last; the same beyond 0.5, which faint noise is not; nothing
    let found = maximise(&empty_store(), [3, 1, 2, 2], &options, |cx, image| {
        let contrast = |row: usize| {
            let pixels = image.slice(0, row, row + 1).reshape([4]);
            pixels.slice(0, 0, 1) - pixels.slice(0, 3, 4)
        };
        let late = contrast(1).affine(1.0, -0.5).relu();
        cx.graph.concat(&[contrast(0), late, contrast(2).scale(0.0)], 0).sum()
    });
    let found = found.unwrap();
    for image in &found[..2] {
        let image = image.as_ref().unwrap();
        assert!(image[0] > 0.5 && image[3] < -0.5, "{image:?}");
    }
    assert!(found[2].is_none());
}

#[test]
fn what_is_found_does_not_hang_on_exact_places() {
    let options = MaximiseOptions { steps: 60, jitter: 3, decay: 0.1, ..MaximiseOptions::default() };
    // one pixel of the image as it is seen, which is another one of the image itself at every step
    let found = maximise(&empty_store(), [1, 1, 9, 9], &options, |_, image| image.reshape([81]).slice(0, 40, 41).sum());
    let image = found.unwrap().remove(0).unwrap();
    let inside = image.iter().enumerate().filter(|(i, _)| (1..8).contains(&(i % 9)) && (1..8).contains(&(i / 9)));
    assert!(inside.clone().all(|(_, x)| *x > 0.0), "{image:?}");
}

#[test]
fn options_out_of_range_are_refused() {
    let usual = MaximiseOptions::default();
    for options in [
        MaximiseOptions { rate: f32::NAN, ..usual },
        MaximiseOptions { decay: 1.0, ..usual },
        MaximiseOptions { scales: 0, ..usual },
    ] {
        assert!(maximise(&empty_store(), [1, 1, 2, 2], &options, |_, image| image.sum()).is_err(), "{options:?}");
    }
    assert!(maximise(&empty_store(), [1, 0, 2, 2], &usual, |_, image| image.sum()).is_err());
}
