//! Clips of any length brought to the length that a model takes.

use crate::{Error, Result};

/// How [`frame_indices`] fills what a short clip leaves empty.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Fill {
    /// The last frame again: nothing moves.
    #[default]
    Last,
    /// The clip from its beginning, as long as it takes: what I3D's authors did.
    Loop,
}

/// Which frames of a clip of `len` a model of `wanted` frames gets, and of each whether it is real (1) or fills the clip up (0). A longer clip
/// is sampled evenly, its first and last frame included; a shorter one is whole and then filled.
///
/// # Errors
/// [`Error::Config`] where either number is 0.
///
/// ```
/// use limbic::data::{Fill, frame_indices};
/// assert_eq!(frame_indices(9, 5, Fill::Last)?, (vec![0, 2, 4, 6, 8], vec![1; 5]));
/// assert_eq!(frame_indices(3, 5, Fill::Last)?, (vec![0, 1, 2, 2, 2], vec![1, 1, 1, 0, 0]));
/// assert_eq!(frame_indices(3, 5, Fill::Loop)?, (vec![0, 1, 2, 0, 1], vec![1, 1, 1, 0, 0]));
/// # Ok::<(), limbic::Error>(())
/// ```
pub fn frame_indices(len: usize, wanted: usize, fill: Fill) -> Result<(Vec<usize>, Vec<u32>)> {
    if len == 0 || wanted == 0 {
        return Err(Error::Config(format!(
            "a clip of {len} frames cannot become one of {wanted}: both need at least one"
        )));
    }
    let index = |at: usize| match fill {
        // rounded to the nearest; of one wanted frame, the middle one
        _ if len > wanted && wanted == 1 => (len - 1) / 2,
        _ if len > wanted => (at * (len - 1) + (wanted - 1) / 2) / (wanted - 1),
        Fill::Last => at.min(len - 1),
        Fill::Loop => at % len,
    };
    Ok(((0..wanted).map(index).collect(), (0..wanted).map(|at| u32::from(at < len)).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_clips_are_sampled_evenly_from_end_to_end() {
        for len in 1..80 {
            for wanted in 1..=len {
                let (frames, real) = frame_indices(len, wanted, Fill::Loop).unwrap();
                assert_eq!(real, vec![1; wanted]);
                assert!(frames.iter().all(|frame| *frame < len));
                if wanted > 1 {
                    assert_eq!((frames[0], frames[wanted - 1]), (0, len - 1));
                }
                let steps: Vec<usize> = frames.windows(2).map(|pair| pair[1] - pair[0]).collect();
                let (least, most) = (steps.iter().min(), steps.iter().max());
                assert!(most.zip(least).is_none_or(|(most, least)| most - least <= 1 && *least >= 1), "{frames:?}");
            }
        }
    }

    #[test]
    fn short_clips_are_whole_and_then_filled() {
        assert_eq!(frame_indices(1, 3, Fill::Last).unwrap(), (vec![0; 3], vec![1, 0, 0]));
        assert_eq!(frame_indices(2, 5, Fill::Loop).unwrap(), (vec![0, 1, 0, 1, 0], vec![1, 1, 0, 0, 0]));
        assert_eq!(frame_indices(4, 4, Fill::Last).unwrap(), (vec![0, 1, 2, 3], vec![1; 4]));
        assert_eq!(frame_indices(9, 1, Fill::Last).unwrap(), (vec![4], vec![1]));
    }

    #[test]
    fn nothing_becomes_nothing() {
        for (len, wanted) in [(0, 4), (4, 0)] {
            let message = frame_indices(len, wanted, Fill::Last).unwrap_err().to_string();
            assert!(message.contains("at least one"), "{message}");
        }
    }
}
