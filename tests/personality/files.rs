//! Pictures, ChaLearn's layout and video files, whole and hostile.

use crate::{jpeg, message};
use limbic::data::chalearn::{load, pictures};
use limbic::data::image::Image;
use limbic::data::video::{VideoClip, VideoShape};
use std::fs;
use std::path::{Path, PathBuf};

const SHAPE: VideoShape = VideoShape { faces: 1, face_size: 8, frames: 3, frame_size: 8 };
const TRAITS: [&str; 5] = ["extraversion", "neuroticism", "agreeableness", "conscientiousness", "openness"];

fn gray(level: u8) -> Vec<u8> {
    jpeg::encode(2, 2, &[vec![level; 4]])
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// A Python 2 pickle, protocol 0, of a dict of traits to a dict of videos to labels.
fn annotation(labels: &[(&str, Vec<(&str, f64)>)]) -> Vec<u8> {
    let entry = |(video, label): &(&str, f64)| format!("S'{video}'\nF{label:?}\ns");
    let dict = |(name, videos): &(&str, Vec<(&str, f64)>)| {
        format!("S'{name}'\n(d{}s", videos.iter().map(entry).collect::<String>())
    };
    format!("(d{}.", labels.iter().map(dict).collect::<String>()).into_bytes()
}

/// Two clips in each of two splits: faces of one level, frames that brighten; a third video has labels only.
fn chalearn(dir: &Path) {
    for split in ["training", "validation"] {
        let labels = |index: usize| {
            let label = 0.125 * index as f64;
            vec![("a.1.mp4", label), ("b.2.mp4", label + 0.25), ("lost.3.mp4", 0.5)]
        };
        let all: Vec<_> = TRAITS.iter().enumerate().map(|(index, name)| (*name, labels(index))).collect();
        write(&dir.join(format!("annotation_{split}.pkl")), &annotation(&all));
        for video in ["a.1", "b.2"] {
            for frame in 0..12u8 {
                let place = dir.join(format!("image_data/{split}_data/{video}/frame_{frame}.jpg"));
                write(&place, &gray(10 * frame + 8));
                write(&dir.join(format!("image_data/{split}_data_face/{video}/face_{frame}.jpg")), &gray(200));
            }
        }
    }
}

#[test]
fn jpegs_are_read_in_gray_and_colour() {
    let dir = folder();
    let path = dir.path().join("odd.name");
    write(&path, &jpeg::encode(2, 1, &[vec![40, 250]]));
    let image = Image::read(&path).unwrap();
    assert_eq!((image.width(), image.height()), (16, 8));
    assert_eq!((image.luma()[0], image.luma()[8]), (40, 250));
    // Y 100, Cb 148, Cr 108: R 72, G 107, B 135 by JFIF
    write(&path, &jpeg::encode(1, 1, &[vec![100], vec![148], vec![108]]));
    let planes = Image::read(&path).unwrap().planes();
    for (level, expected) in [planes[0], planes[64], planes[128]].into_iter().zip([72i32, 107, 135]) {
        assert!((i32::from(level) - expected).abs() <= 1, "{planes:?}");
    }
}

#[test]
fn damaged_pictures_are_errors_that_name_the_file() {
    let dir = folder();
    let path = dir.path().join("face_1.jpg");
    let whole = jpeg::encode(4, 4, &[(0..16).map(|block| 16 * block as u8).collect()]);
    for length in (0..whole.len() - 2).step_by(3).chain([1, 2]) {
        write(&path, &whole[..length]);
        let said = message(Image::read(&path));
        assert!(said.contains("face_1.jpg") && said.contains("JPEG"), "cut to {length}: {said}");
    }
    // any byte may be wrong: an error or a picture, never a panic
    for place in 0..whole.len() {
        for value in [0, 0x7f, 0xff] {
            let mut wrong = whole.clone();
            wrong[place] = value;
            write(&path, &wrong);
            let _ = Image::read(&path);
        }
    }
    write(&path, b"\x89PNG\r\n\x1a\n\0\0\0");
    assert!(message(Image::read(&path)).contains("damaged or unfinished PNG"));
    write(&path, b"");
    assert!(message(Image::read(&path)).contains("empty file"));
    write(&path, b"<html>");
    assert!(message(Image::read(&path)).contains("neither PNG nor JPEG"));
    assert!(message(Image::read(&dir.path().join("none.jpg"))).contains("none.jpg"));
}

#[test]
fn pictures_are_ordered_by_number() {
    let dir = folder();
    for name in ["frame_10.jpg", "frame_9.JPG", "frame_1.png", "frame_2.jpeg", "notes.txt"] {
        write(&dir.path().join(name), b"");
    }
    let names = |paths: Vec<PathBuf>| {
        paths.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(pictures(dir.path()).unwrap()), ["frame_1.png", "frame_2.jpeg", "frame_9.JPG", "frame_10.jpg"]);
    let empty = folder();
    assert!(message(pictures(empty.path())).contains("no JPEG or PNG"));
}

#[test]
fn chalearns_layout_is_read() {
    let dir = folder();
    chalearn(dir.path());
    let corpus = load(dir.path(), &SHAPE, None).unwrap();
    assert_eq!((corpus.train.len(), corpus.valid.len(), corpus.test.len(), corpus.missing), (2, 2, 0, 2));
    let clip = &corpus.train[1];
    assert_eq!(clip.id, "b.2");
    // openness is last in the file and first here
    assert_eq!(clip.traits, [0.75, 0.625, 0.25, 0.5, 0.375]);
    assert_eq!(clip.faces, [200; 192]);
    // the middle three of twelve frames, in order of their numbers
    let levels: Vec<u8> = clip.frames.chunks(64).map(|frame| frame[0]).collect();
    assert_eq!(levels, [48, 58, 68]);
    assert_eq!(load(dir.path(), &SHAPE, Some(1)).unwrap().train.len(), 1);
    // clips whose folders kept the videos' ending are found too
    let faces = dir.path().join("image_data/training_data_face");
    fs::rename(faces.join("b.2"), faces.join("b.2.mp4")).unwrap();
    assert_eq!(load(dir.path(), &SHAPE, None).unwrap().train[1], corpus.train[1]);
    // without a folder of faces the frames serve for both
    fs::remove_dir_all(faces).unwrap();
    assert_eq!(load(dir.path(), &SHAPE, None).unwrap().train[0].faces, [68; 192]);
}

/// What [`load`] says after `harm` was done to a whole data set.
fn harmed(harm: impl FnOnce(&Path)) -> String {
    let dir = folder();
    chalearn(dir.path());
    harm(dir.path());
    message(load(dir.path(), &SHAPE, None))
}

#[test]
fn hostile_data_sets_are_refused_with_the_place() {
    let said = harmed(|dir| fs::remove_file(dir.join("annotation_validation.pkl")).unwrap());
    assert!(said.contains("annotation_validation.pkl") && said.contains("is not there"), "{said}");
    let with = |labels: Vec<(&'static str, Vec<(&'static str, f64)>)>| {
        harmed(move |dir| write(&dir.join("annotation_training.pkl"), &annotation(&labels)))
    };
    let every = |videos: Vec<(&'static str, f64)>| TRAITS.map(|name| (name, videos.clone())).to_vec();
    let said = with(every(vec![("a.1.mp4", 0.5)])[1..].to_vec());
    assert!(said.contains("extraversion: this key is missing"), "{said}");
    let said = with(every(vec![("a.1.mp4", 1.25)]));
    assert!(said.contains("openness/a.1.mp4") && said.contains("1.25"), "{said}");
    let said = with(every(vec![("../a.mp4", 0.5)]));
    assert!(said.contains("no name of a video"), "{said}");
    let mut uneven = every(vec![("a.1.mp4", 0.5)]);
    uneven[2].1.push(("b.2.mp4", 0.5));
    let said = with(uneven);
    assert!(said.contains("openness/b.2.mp4: this label is missing"), "{said}");
    let said = with(every(vec![("c.4.mp4", 0.5)]));
    assert!(said.contains("none of the 1 videos"), "{said}");
    let said = harmed(|dir| write(&dir.join("annotation_training.pkl"), b"cos\nsystem\n(S'true'\ntR."));
    assert!(said.contains("annotation_training.pkl"), "{said}");
    let said = harmed(|dir| fs::remove_dir_all(dir.join("image_data")).unwrap());
    assert!(said.contains("training_data") && said.contains("neither"), "{said}");
    let said = harmed(|dir| {
        let frames = dir.join("image_data/training_data/a.1");
        fs::remove_dir_all(&frames).unwrap();
        fs::create_dir(&frames).unwrap();
    });
    assert!(said.contains("a.1: there is no JPEG or PNG"), "{said}");
    let said = harmed(|dir| write(&dir.join("image_data/training_data/a.1/frame_5.jpg"), &gray(9)[..90]));
    assert!(said.contains("frame_5.jpg") && said.contains("damaged or unfinished JPEG"), "{said}");
    let dir = folder();
    chalearn(dir.path());
    let vast = VideoShape { faces: 1024, face_size: 1024, frames: 1024, frame_size: 1024 };
    assert!(message(load(dir.path(), &vast, None)).contains("GiB of memory"));
}

#[test]
fn clips_shorter_than_asked_stand_still_and_empty_ones_are_refused() {
    let image = |level| Image::gray(8, 8, &[level; 64]).unwrap();
    let clip = VideoClip::from_images("x".into(), &[image(1)], &[image(1), image(2)], &SHAPE).unwrap();
    assert_eq!(clip.frames.chunks(64).map(|frame| frame[0]).collect::<Vec<_>>(), [1, 2, 2]);
    assert!(message(VideoClip::from_images("x".into(), &[], &[], &SHAPE)).contains("clip x has no picture"));
}

#[test]
fn video_files_take_an_installed_ffmpeg() {
    let dir = folder();
    let video = dir.path().join("clip.mp4");
    assert!(message(VideoClip::from_video(&video, &SHAPE)).contains("no such file"));
    write(&video, b"a video");
    let said = message(VideoClip::from_video_by("no-such-program".as_ref(), &video, &SHAPE));
    assert!(said.contains("clip.mp4") && said.contains("install ffmpeg"), "{said}");
}

#[cfg(unix)]
#[test]
fn what_ffmpeg_says_is_passed_on_and_what_it_writes_are_frames() {
    use std::os::unix::fs::PermissionsExt;
    let dir = folder();
    let (video, program) = (dir.path().join("clip.mp4"), dir.path().join("ffmpeg"));
    write(&video, b"a video");
    let by = |script: &str| {
        // written under another name first: a file that is open for writing cannot be run
        let aside = dir.path().join("aside");
        write(&aside, format!("#!/bin/sh\n{script}\n").as_bytes());
        fs::set_permissions(&aside, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(&aside, &program).unwrap();
        VideoClip::from_video_by(&program, &video, &SHAPE)
    };
    // 5 frames of 8 x 8 x 3 levels, the letter A, and a piece of a sixth
    let clip = by("head -c 1000 /dev/zero | tr '\\0' A").unwrap();
    assert_eq!((clip.faces, clip.frames), (vec![65; 192], vec![65; 192]));
    assert!(message(by("echo 'moov atom not found' >&2; exit 1")).contains("moov atom not found"));
    assert!(message(by("exit 0")).contains("found no picture"));
}
