//! Clips that stay on disk: the same batches as from memory, bit for bit; made ahead, so that a step waits only for what could not have
//! been there; and every fault of disk or thread a value.
#![cfg(feature = "data")]

use limbic::data::stream::{ClipWriter, Epochs, Streamed};
use limbic::data::{Batches, Clip, Corpus, Labels, Modality, Prefetch, Sequence, Split, Waits};
use limbic::plan::Batch;
use limbic::{Error, Result};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const DIMS: [usize; 2] = [3, 2];
const SIZE: usize = 4;

fn clip(split: usize, index: usize) -> Clip {
    let sequence = |modality: usize| {
        let len = (index * 5 + modality * 3 + split) % 6;
        let value = |at: usize| (split * 1000 + index * 100 + modality * 10 + at) as f32 / 7.0;
        Sequence { len, values: (0..len * DIMS[modality]).map(value).collect() }
    };
    let (id, text) = (format!("{split}-{index}"), if index.is_multiple_of(3) { String::new() } else { "né 你".into() });
    let emotion = (index % 3 < 2).then_some(index as u32 % 2);
    Clip { id, text, sequences: vec![sequence(0), sequence(1)], label: index as f32 / 3.0 - 1.0, emotion }
}

fn corpus() -> Corpus {
    let modality = |name: &str, dim| Modality { name: name.to_string(), dim };
    Corpus {
        name: "made up".to_string(),
        modalities: vec![modality("text", DIMS[0]), modality("audio", DIMS[1])],
        labels: Labels::Binary { name: "odd".to_string() },
        emotions: vec!["calm".to_string(), "glad".to_string()],
        train: (0..18).map(|index| clip(0, index)).collect(),
        valid: (0..3).map(|index| clip(1, index)).collect(),
        test: (0..5).map(|index| clip(2, index)).collect(),
    }
}

/// One modality cut, in another order than on disk.
fn wanted() -> Vec<(String, usize)> {
    vec![("audio".to_string(), 4), ("text".to_string(), 7)]
}

fn written() -> (tempfile::TempDir, Streamed) {
    let folder = tempfile::tempdir().unwrap();
    ClipWriter::write_corpus(folder.path(), &corpus()).unwrap();
    let streamed = Streamed::open(folder.path()).unwrap();
    (folder, streamed)
}

fn memory(corpus: &Corpus) -> Batches<'_> {
    Batches::new(corpus, &corpus.train, &wanted(), SIZE).unwrap().with_emotions()
}

fn epochs(streamed: &Streamed, ahead: usize) -> Epochs {
    streamed.batches(Split::Train, &wanted(), SIZE, ahead).unwrap().with_emotions().epochs(9)
}

fn all(items: impl Iterator<Item = Result<Batch>>) -> Vec<Batch> {
    items.collect::<Result<_>>().unwrap()
}

fn message<T>(result: Result<T>) -> String {
    match result {
        Ok(_) => panic!("this should have been refused"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn batches_are_those_from_memory() {
    let (_folder, streamed) = written();
    let corpus = corpus();
    for ahead in [1, 3, 50] {
        let epochs = epochs(&streamed, ahead);
        assert_eq!(epochs.len(), 5);
        for epoch in 0..4 {
            let from_disk = all(epochs.from(epoch, 0).unwrap());
            assert_eq!(from_disk, memory(&corpus).shuffled(9, epoch).collect::<Vec<_>>());
        }
        // an epoch that begins in the middle, as a resumed run's does, and goes on into the next
        let rest = all(epochs.from(2, 3).unwrap());
        assert_eq!(rest, memory(&corpus).shuffled(9, 2).skip(3).collect::<Vec<_>>());
        assert_eq!(all(epochs.from(3, 0).unwrap()), memory(&corpus).shuffled(9, 3).collect::<Vec<_>>());
        // left in the middle, taken up there
        assert_eq!(epochs.from(4, 0).unwrap().take(2).count(), 2);
        assert_eq!(all(epochs.from(4, 2).unwrap()), memory(&corpus).shuffled(9, 4).skip(2).collect::<Vec<_>>());
    }
    for split in Split::ALL {
        let in_order = all(streamed.batches(split, &wanted(), SIZE, 2).unwrap().in_order().unwrap());
        let expected = Batches::new(&corpus, corpus.split(split), &wanted(), SIZE).unwrap();
        assert_eq!(in_order, expected.in_order().collect::<Vec<_>>());
    }
    // what is there without reading values
    let known = streamed.corpus();
    assert_eq!((&known.labels, &known.modalities, &known.name), (&corpus.labels, &corpus.modalities, &corpus.name));
    for split in Split::ALL {
        for (index, clip) in corpus.split(split).iter().enumerate() {
            let light = &known.split(split)[index];
            assert_eq!((&light.id, &light.text, light.label), (&clip.id, &clip.text, clip.label));
            assert!(light.sequences.iter().zip(&clip.sequences).all(|(a, b)| a.len == b.len && a.values.is_empty()));
            assert_eq!(streamed.clip(split, index).unwrap(), *clip);
        }
    }
    let values = |clip: &Clip| clip.sequences.iter().map(|sequence| sequence.values.len() as u64).sum::<u64>();
    let bytes = Split::ALL.iter().flat_map(|split| corpus.split(*split)).map(values).sum::<u64>() * 4;
    assert_eq!(streamed.bytes_on_disk(), bytes);
    let batches = streamed.batches(Split::Train, &wanted(), SIZE, 2).unwrap();
    assert_eq!(batches.bytes(), 4 * (4 * SIZE * (4 * 3 + 7 * 4)), "two ahead, one being made, one in use");
}

/// Items that are made when they are let go, and a count of those that were begun.
struct Gate {
    begun: Arc<AtomicUsize>,
    go: Sender<()>,
}

fn gated(ahead: usize) -> (Gate, Prefetch<usize>) {
    let (go, wait): (Sender<()>, Receiver<()>) = channel();
    let begun = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&begun);
    let wait = Mutex::new(wait);
    let items = (0..20).map(move |item| {
        count.fetch_add(1, Ordering::SeqCst);
        wait.lock().unwrap().recv().unwrap();
        Ok(item)
    });
    (Gate { begun, go }, Prefetch::new(ahead, items).unwrap())
}

/// Until so many items were begun. Nothing but a defect makes this long.
fn until(begun: &AtomicUsize, count: usize) {
    for _ in 0..3000 {
        if begun.load(Ordering::SeqCst) >= count {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the thread does not read ahead: {} of {count}", begun.load(Ordering::SeqCst));
}

#[test]
fn what_could_have_been_ready_is_not_waited_for() {
    let (gate, mut items) = gated(3);
    for _ in 0..20 {
        gate.go.send(()).unwrap();
    }
    // three are ready and one more is held: item 4 (counted from 0) is not begun before one is taken
    until(&gate.begun, 4);
    for taken in 0..16 {
        assert_eq!(items.next().unwrap().unwrap(), taken);
        assert_eq!(items.waits(), Waits { taken: taken as u64 + 1, waited: 0, time: Duration::ZERO });
        until(&gate.begun, taken + 5);
    }
    assert_eq!(items.by_ref().map(|item| item.unwrap()).collect::<Vec<_>>(), [16, 17, 18, 19]);
    assert!(items.next().is_none() && items.next().is_none());
}

#[test]
fn it_reads_no_further_ahead_than_asked() {
    let (gate, items) = gated(2);
    for _ in 0..20 {
        gate.go.send(()).unwrap();
    }
    until(&gate.begun, 3);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(gate.begun.load(Ordering::SeqCst), 3, "two ready, one held");
    // and dropping it ends the thread: nothing is begun any more
    drop(items);
    assert_eq!(gate.begun.load(Ordering::SeqCst), 3);
    assert_eq!(Arc::strong_count(&gate.begun), 1, "the thread is gone");
}

#[test]
fn what_is_not_ready_is_waited_for_and_counted() {
    let (gate, mut items) = gated(2);
    until(&gate.begun, 1);
    let go = gate.go.clone();
    let later = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(30));
        go.send(()).unwrap();
    });
    assert_eq!(items.next().unwrap().unwrap(), 0);
    later.join().unwrap();
    let waits = items.waits();
    assert_eq!((waits.taken, waits.waited), (1, 1));
    assert!(waits.time > Duration::ZERO);
    // so that the thread ends
    drop(gate.go);
    drop(items);
}

#[test]
fn faults_of_the_thread_are_values() {
    let items = (0..5).map(|item| if item == 2 { Err(Error::Config("no more".to_string())) } else { Ok(item) });
    let mut items = Prefetch::new(4, items).unwrap();
    assert_eq!((items.next().unwrap().unwrap(), items.next().unwrap().unwrap()), (0, 1));
    assert!(message(items.next().unwrap()).contains("no more"));
    assert!(items.next().is_none(), "an error is the last item");
    let mut items =
        Prefetch::new(1, (0..5).map(|item| if item == 1 { panic!("as it should") } else { Ok(item) })).unwrap();
    assert_eq!(items.next().unwrap().unwrap(), 0);
    assert!(message(items.next().unwrap()).contains("stopped in the middle"));
    assert!(items.next().is_none());
}

#[test]
fn a_disk_that_fails_while_training_is_an_error() {
    let (folder, streamed) = written();
    let path = folder.path().join("train.f32");
    let whole = std::fs::read(&path).unwrap();
    let epochs = epochs(&streamed, 2);
    assert!(epochs.from(0, 0).unwrap().all(|batch| batch.is_ok()));
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let last = epochs.from(5, 0).unwrap().last().unwrap();
    let text = message(last);
    assert!(text.contains("train.f32: clip '0-"), "{text}");
    let mut broken = whole.clone();
    broken[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    let first = corpus().train.iter().position(|clip| clip.sequences.iter().any(|sequence| sequence.len > 0)).unwrap();
    std::fs::write(&path, &broken).unwrap();
    let text = message(streamed.clip(Split::Train, first));
    assert!(text.contains(&format!("clip '0-{first}'")) && text.contains("[0, 0] is NaN"), "{text}");
    std::fs::remove_file(&path).unwrap();
    assert!(message(streamed.clip(Split::Train, 0)).contains("train.f32"));
    assert!(message(epochs.from(7, 0).unwrap().next().unwrap()).contains("train.f32"));
    // and it can begin again once the disk is back
    std::fs::write(&path, &whole).unwrap();
    assert_eq!(all(epochs.from(7, 0).unwrap()), memory(&corpus()).shuffled(9, 7).collect::<Vec<_>>());
    assert!(message(streamed.clip(Split::Test, 5)).contains("there is no clip 5, the split has 5"));
}

#[test]
fn two_readers_of_the_same_epochs_are_told() {
    let (_folder, streamed) = written();
    let epochs = epochs(&streamed, 2);
    let (mut first, mut second) = (epochs.from(0, 0).unwrap(), epochs.from(0, 0).unwrap());
    assert!(first.next().unwrap().is_ok());
    assert!(message(second.next().unwrap()).contains("two iterators"));
}

/// `clips.json` with `from` replaced by `to`, opened.
fn edited(folder: &Path, from: &str, to: &str) -> String {
    let path = folder.join("clips.json");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from} is not in {text}");
    std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
    let result = message(Streamed::open(folder));
    std::fs::write(&path, text).unwrap();
    result
}

#[test]
fn folders_that_are_none() {
    let (folder, _) = written();
    let folder = folder.path();
    for (from, to, parts) in [
        ("limbic clips", "other clips", ["clips.json: format", "'other clips' 1"]),
        ("\"version\": 1", "\"version\": 2", ["clips.json: format", "'limbic clips' 2"]),
        ("\"label\": -1.0", "\"label\": null", ["clips.json", "invalid type: null"]),
        ("\"label\": -1.0", "\"label\": 1e99", ["clips.json", "number out of range"]),
        ("\"lens\": [\n", "\"lens\": [\n1,", ["train clip 0 ('0-0')", "3 lengths for 2 modalities"]),
        ("\"lens\": [\n", "\"lens\": [\n4294967295,4294967295],\"x\":[", ["train clip 0", "more than the"]),
        ("\"lens\": [\n", "\"lens\": [\n1,1],\"x\":[", ["train.f32: size", "write the folder again"]),
        ("\"lens\": [\n", "\"lens\": [\n-1,1],\"x\":[", ["clips.json", "invalid value"]),
    ] {
        let text = edited(folder, from, to);
        assert!(text.contains(parts[0]) && text.contains(parts[1]), "{to}: {text}");
    }
    std::fs::remove_file(folder.join("valid.f32")).unwrap();
    assert!(message(Streamed::open(folder)).contains("valid.f32"));
    assert!(Streamed::is_in(folder) && !Streamed::is_in(Path::new(env!("CARGO_MANIFEST_DIR"))));
    assert!(message(Streamed::open(Path::new("no/such/folder"))).contains("clips.json"));
    let (_folder, streamed) = written();
    assert!(message(streamed.batches(Split::Train, &wanted(), 0, 1)).contains("nothing to batch"));
    let other = [("depth".to_string(), 3)];
    assert!(message(streamed.batches(Split::Train, &other, 2, 1)).contains("no modality 'depth'"));
}

#[test]
fn the_writer_refuses_what_it_could_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let whole = corpus();
    let (modalities, emotions) = (whole.modalities.clone(), whole.emotions.clone());
    let like = Corpus { name: "c".to_string(), modalities, emotions, ..Corpus::default() };
    let create = || ClipWriter::create(folder.path(), &like).unwrap();
    let mut writer = create();
    let refused = |change: &dyn Fn(&mut Clip), writer: &mut ClipWriter| {
        let mut clip = clip(0, 1);
        change(&mut clip);
        message(writer.write(Split::Valid, &clip))
    };
    assert!(refused(&|clip| clip.emotion = Some(2), &mut writer).contains("the corpus names 2"));
    assert!(refused(&|clip| clip.label = f32::NAN, &mut writer).contains("the label is NaN"));
    assert!(
        refused(&|clip| clip.sequences[0].values[1] = f32::INFINITY, &mut writer).contains("text has a value that")
    );
    assert!(refused(&|clip| clip.sequences[1].len += 1, &mut writer).contains("of audio, but"));
    assert!(refused(&|clip| drop(clip.sequences.pop()), &mut writer).contains("1 lengths for 2 modalities"));
    writer.write(Split::Test, &clip(2, 1)).unwrap();
    // what is not finished is no corpus, nor is what a new one begins to replace
    assert!(!Streamed::is_in(folder.path()));
    writer.finish().unwrap();
    let streamed = Streamed::open(folder.path()).unwrap();
    assert_eq!(streamed.corpus().labels, Labels::Sentiment);
    assert_eq!((streamed.corpus().train.len(), streamed.clip(Split::Test, 0).unwrap()), (0, clip(2, 1)));
    drop(create());
    assert!(!Streamed::is_in(folder.path()));
}
