//! Every type, layout and protocol, from three toolchains.

use limbic::data::{Document, npz, pickle};

use crate::file;

fn zoos() -> Vec<(String, Document)> {
    let names = ["np2_p0", "np2_p1", "np2_p2", "np2_p3", "np2_p4", "np2_p5", "np1_p2", "np1_p3", "np1_p5"];
    let python2 = ["py27_p0", "py27_p1", "py27_p2"];
    let open = |name: &str| (name.to_owned(), pickle::read(&file(&format!("zoo_{name}.pkl"))).unwrap());
    names.into_iter().chain(python2).map(open).collect()
}

#[test]
fn every_array_type_and_layout() {
    let count: Vec<f64> = (0..24).map(f64::from).collect();
    for (zoo, document) in zoos() {
        let arrays = document.root().get("arrays").unwrap().entries().unwrap();
        assert_eq!(arrays.len(), 22 + 5, "{zoo}");
        for (name, item) in arrays {
            let array = item.numeric_array(3, "[2, 3, 4]").unwrap();
            assert_eq!(array.shape(), [2, 3, 4], "{zoo} {name}");
            let bools: Vec<f64> = count.iter().map(|n| n % 2.0).collect();
            let expected = if name == "bool" { &bools } else { &count };
            assert_eq!(&array.numbers().unwrap(), expected, "{zoo} {name} {}", array.dtype());
            assert_eq!(array.block(1, 5).unwrap(), expected[12..17], "{zoo} {name}");
            assert_eq!(array.block(2, 5), None);
            if let Some(plain) = name.strip_prefix(['<', '>']).filter(|_| !name.ends_with('1')) {
                assert_eq!(array.dtype().to_string(), format!("{}{plain}", &name[..1]), "{zoo}");
            }
        }
        let empty = document.root().get("empty").unwrap();
        assert_eq!(empty.array().unwrap().shape(), [0, 3], "{zoo}");
        assert!(empty.array().unwrap().is_empty());
        for item in document.root().get("shared").unwrap().items().unwrap() {
            assert_eq!(item.array().unwrap().numbers().unwrap(), count, "{zoo}");
        }
    }
}

#[test]
fn an_npz_of_everything() {
    let document = npz::read(&file("zoo.npz"), |_| true).unwrap();
    let root = document.root();
    let mut arrays = 0;
    for (name, item) in root.entries().unwrap() {
        if item.numeric_array(3, "").is_ok() {
            let numbers = item.array().unwrap().numbers().unwrap();
            let expected = |n: usize| if name == "bool" { n % 2 } else { n } as f64;
            assert!(numbers.len() == 24 && numbers.iter().enumerate().all(|(n, &x)| x == expected(n)), "{name}");
            arrays += 1;
        }
    }
    assert_eq!(arrays, 22 + 5);
    let strings = |key| root.get(key).unwrap().strings().unwrap();
    assert_eq!(strings("text"), ["one", "", "\u{4f60}\u{597d} \u{1f600}"]);
    assert_eq!(strings("text_big"), strings("text"));
    assert_eq!(strings("bytes"), ["one", "", "three\u{e9}"]);
    assert_eq!(root.get("objects").unwrap().items().unwrap()[5].get("k").unwrap().str().unwrap(), "v");
    assert_eq!(root.get("empty").unwrap().array().unwrap().shape(), [0, 3]);
    let some = npz::read(&file("zoo.npz"), |name| name == "<f4").unwrap();
    assert_eq!(some.root().entries().unwrap().len(), 1);
}

#[test]
fn text_and_bytes() {
    for (zoo, document) in zoos() {
        let strings = |key| document.root().get(key).unwrap().strings().unwrap();
        assert_eq!(strings("text"), ["one", "", "\u{4f60}\u{597d} \u{1f600}"], "{zoo}");
        assert_eq!(strings("text_big"), strings("text"), "{zoo}");
        assert_eq!(strings("bytes"), ["one", "", "three\u{e9}"], "{zoo}");
        let expected = ["", "abc", "it's \"quoted\" \\ \n\t", "\u{e9}\u{4f60}\u{1f600}", "native"];
        assert_eq!(strings("strings"), expected, "{zoo}");
        // 0xff makes it no UTF-8, so it reads as Latin-1.
        assert_eq!(strings("raw"), ["", "abc", "\0\u{ff}\\n'\"\n"], "{zoo}");
    }
}

#[test]
fn numbers_and_containers() {
    for (zoo, document) in zoos() {
        let root = document.root();
        let two = |power: i32| 2f64.powi(power);
        let expected = [0.0, 1.0, -1.0, 255.0, 256.0, 65535.0, 65536.0, -two(31), two(31), two(40)];
        let more = [-two(63), two(63), 0.1, -1e300, 1.0, 0.0];
        let numbers = root.get("numbers").unwrap().numbers().unwrap();
        assert_eq!(numbers, [expected.as_slice(), &more].concat(), "{zoo}");
        assert_eq!(root.get("scalars").unwrap().numbers().unwrap(), [1.5, -2.25, -7.0, 200.0, 1.0], "{zoo}");
        for (n, tuple) in root.get("tuples").unwrap().items().unwrap().iter().enumerate() {
            let expected: Vec<f64> = (1..=n).map(|i| i as f64).collect();
            assert_eq!(tuple.numbers().unwrap(), expected, "{zoo}");
        }
        assert_eq!(root.get("set").unwrap().numbers().unwrap(), [5.0], "{zoo}");
        assert_eq!(root.entries().unwrap().iter().filter(|(key, _)| key == "7").count(), 1, "{zoo}");
        let objects = root.get("objects").unwrap().items().unwrap();
        assert_eq!(objects.len(), 6, "{zoo}");
        assert_eq!(objects[0].str().unwrap(), "a");
        assert_eq!(objects[2].number().unwrap(), 2.5);
        assert_eq!(objects[4].numbers().unwrap(), [1.0, 2.0]);
        assert_eq!(objects[5].get("k").unwrap().str().unwrap(), "v");
        assert_eq!(objects[5].get("k").unwrap().key(), "objects/5/k");
    }
}

#[test]
fn errors_name_the_key() {
    let (_, document) = zoos().remove(4);
    let root = document.root();
    let text = root.get("nothing").unwrap_err().to_string();
    assert!(text.contains("nothing: this key is missing") && text.contains("arrays, bytes"), "{text}");
    let text = root.get("arrays").unwrap().get("<f4").unwrap().str().unwrap_err().to_string();
    assert!(text.ends_with("zoo_np2_p4.pkl: arrays/<f4: expected text, found an array"), "{text}");
    assert!(root.get("objects").unwrap().array().is_err());
    assert!(root.get("none").unwrap().number().is_err());
    assert!(root.get("text").unwrap().numeric_array(1, "[N]").is_err());
    assert!(root.get("arrays").unwrap().get("<f4").unwrap().numbers().is_err(), "three axes are no column");
}

#[test]
fn python_2_annotations() {
    for name in ["chalearn_p0.pkl", "chalearn_p2.pkl"] {
        let document = pickle::read(&file(name)).unwrap();
        let trait_names = ["extraversion", "neuroticism", "agreeableness", "conscientiousness", "openness"];
        for (t, trait_name) in trait_names.iter().enumerate() {
            let videos = document.root().get(trait_name).unwrap();
            assert_eq!(videos.entries().unwrap().len(), 3);
            let of = |video: &str| videos.get(video).unwrap().number().unwrap();
            assert_eq!(of("J4GQm9j0JZ0.003.mp4"), t as f64 * 3.0 / 16.0, "{name}");
            assert_eq!(of("zEyRyTnIw5I.005.mp4"), (t as f64 * 3.0 + 1.0) / 16.0, "{name}");
            let latin = videos.entries().unwrap().into_iter().find(|(key, _)| key == "caf\u{e9}.001.mp4").unwrap().1;
            assert_eq!(latin.number().unwrap(), (t as f64 * 3.0 + 2.0) / 16.0, "{name}");
        }
    }
}

#[test]
fn mult_like() {
    let document = pickle::read(&file("mult_p2.pkl")).unwrap();
    let test = document.root().get("test").unwrap();
    assert_eq!(test.get("id").unwrap().strings().unwrap(), ["vid1", "vid2"]);
    assert_eq!(test.get("labels").unwrap().numbers().unwrap(), [1.0, 1.0]);
    assert_eq!(test.get("audio").unwrap().numeric_array(3, "[N, T, D]").unwrap().shape(), [2, 3, 5]);
}
