//! Files made to do harm: every one is refused with an error, quickly, and nothing is run.

use std::io::Cursor;
use std::path::Path;

use limbic::data::mmsa::{self, MmsaOptions};
use limbic::data::{load_corpus, npz};
use proptest::prelude::*;

use crate::cases::cases;
use crate::{bytes, file, message, parse};

/// Everything that is read of an MMSA file, from bytes. Only errors or a corpus may come of it.
fn load(bytes: Vec<u8>) -> limbic::Result<limbic::data::Corpus> {
    mmsa::parse(bytes, Path::new("test"), &MmsaOptions::default())
}

#[test]
fn calls_that_python_would_make_are_refused_by_name() {
    for (name, import) in [
        ("bad_runs_code.pkl", "posix.system"),
        ("bad_runs_eval.pkl", "builtins.eval"),
        ("bad_runs_in_array.pkl", "posix.system"),
        ("bad_runs_code.npz", "posix.system"),
        ("bad_memmap_call.pkl", "numpy.fromfile"),
    ] {
        let text = message(load_corpus(file(name)));
        let refusal = format!("refuses to import {import}: ");
        assert!(text.contains(name) && text.contains("byte ") && text.contains(&refusal), "{name}: {text}");
    }
    assert!(!Path::new("code-was-run").exists());
}

#[test]
fn every_opcode_that_imports_or_calls_is_refused() {
    let numpy_dtype = "cnumpy\ndtype\n";
    let array = "cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR";
    for (pickle, part) in [
        ("cos\nsystem\n(S'true'\ntR.", "refuses to import os.system: "),
        ("c__builtin__\neval\n(S'1'\ntR.", "refuses to import __builtin__.eval: "),
        ("\u{1}\u{2}", "no pickle opcode"),
        ("S'os'\nS'system'\n\u{93}", "refuses to import os.system: "),
        ("K\u{1}K\u{2}\u{93}", "a name that is no text"),
        ("(S'true'\nios\nsystem\n.", "refuses to import os.system and to make an object"),
        ("(inumpy\nndarray\n.", "refuses to import numpy.ndarray and to make an object"),
        ("(cnumpy\nndarray\no.", "refuses to make an object"),
        ("cnumpy\ndtype\n)\u{81}.", "refuses to make an object"),
        ("cnumpy\ndtype\n)}\u{92}.", "refuses to make an object"),
        ("Pid\n.", "refuses a persistent reference"),
        ("K\u{1}Q.", "refuses a persistent reference"),
        ("\u{82}\u{1}.", "refuses to import by extension code"),
        ("\u{83}\u{1}\u{0}.", "refuses to import by extension code"),
        ("\u{84}\u{1}\u{0}\u{0}\u{0}.", "refuses to import by extension code"),
        ("\u{97}.", "outside of the pickle"),
        // BUILD on what is no fresh array or dtype.
        ("}}b.", "refuses to set the state of a dict"),
        ("](I1\ntb.", "refuses to set the state of a list"),
        (&format!("{numpy_dtype}}}b."), "refuses to set the state of a callable"),
        (&format!("{array}}}b."), "an array's state is not numpy's"),
        // Names that are known, called as numpy never does.
        ("cnumpy\nndarray\n((I9\nttR.", "refuses to call NdArray"),
        ("cnumpy.core.multiarray\n_reconstruct\n(cnumpy\ndtype\n(I0\ntS'b'\ntR.", "anything but a numpy.ndarray"),
        ("cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I1000000000000\ntS'b'\ntR.", "but a numpy.ndarray"),
        ("cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\nNtR.", "refuses to call Reconstruct"),
        ("c_codecs\nencode\n(Vabc\nVrot13\ntR.", "anything but latin1"),
        ("c_codecs\nencode\n(]Vlatin1\ntR.", "encode what is no text"),
        ("c__builtin__\nbytes\n(I1000000000000\ntR.", "data is an int"),
        ("c__builtin__\nset\n(}tR.", "refuses to call Set"),
        (&format!("{numpy_dtype}(]tR."), "structured types are not read"),
        (&format!("{numpy_dtype}(Vf4\nI0\nI1\nI2\ntR."), "refuses to call DType"),
        ("]]R.", "a call without a tuple"),
        ("](tR.", "refuses to call a list"),
        // Corrupt.
        ("(.", "missing from the stack"),
        (".", "missing from the stack"),
        ("NN.", "left over"),
        ("(N.", "left over"),
        ("t.", "a mark is missing"),
        ("}(Nu.", "a key without a value"),
        ("N(NNu.", "None, which is no dict"),
        ("NNa.", "None, which is no list"),
        ("g7\n.", "the memo has no entry 7"),
        ("g-7\n.", "no number"),
        ("\u{80}\u{6}.", "protocol 6"),
        ("I12x\n.", "no number"),
        ("I99999999999999999999\n.", "exceeds 64 bits"),
        ("\u{8a}\u{9}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{80}\u{0}.", "exceeds 64 bits"),
        ("Fx\n.", "no number"),
        ("S'a\n.", "no quotes"),
        ("S'\\q'\n.", "an escape"),
        ("V\\ud800\n.", "an escape"),
        ("\u{8c}\u{1}\u{ff}.", "not valid UTF-8"),
    ] {
        // Characters up to U+00FF stand for bytes.
        let raw: Vec<u8> = pickle.chars().map(|c| u8::try_from(c).unwrap()).collect();
        let text = message(parse(&raw));
        assert!(text.contains(part), "{pickle:?}: {text}");
    }
}

#[test]
fn lengths_are_checked_before_anything_is_allocated() {
    let huge =
        |opcode: u8, width: usize| [&[opcode][..], &[0xff, 0xff, 0xff, 0x7f, 0, 0, 0, 0x7f][..width], b"abc"].concat();
    for (opcode, width) in [(b'X', 4), (b'B', 4), (b'T', 4), (0x8b, 4), (0x8d, 8), (0x8e, 8), (0x96, 8), (0x95, 8)] {
        let text = message(parse(&huge(opcode, width)));
        assert!(text.contains("byte 0: ") && text.contains("but only 3 remain"), "{opcode:#x}: {text}");
    }
}

/// `_reconstruct` and the state of an f4 array of that shape with 8 bytes of data.
fn array_claiming(shape: &str, dtype: &str) -> Vec<u8> {
    let start = "cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR";
    format!("{start}(I1\n({shape}tcnumpy\ndtype\n(V{dtype}\nI0\nI1\ntRI0\nS'abcdefgh'\ntb.").into_bytes()
}

#[test]
fn shapes_are_checked_against_the_bytes() {
    assert!(parse(&array_claiming("I2\n", "f4")).is_ok());
    for (shape, dtype) in [
        ("I3\n", "f4"),
        ("I-2\n", "f4"),
        ("I4611686018427387904\nI4\n", "f4"),
        ("I9223372036854775807\nI9223372036854775807\nI0\n", "f4"),
        ("I1000000000000\n", "U0"),
        ("I1000000000000\n", "S0"),
        ("I2\n", "U4611686018427387904"),
        ("I2\n", "f16"),
        ("I2\n", "V4"),
        ("I2\n", "M8[ns]"),
        ("I2\n", "O"),
        ("Vx\n", "f4"),
    ] {
        assert!(parse(&array_claiming(shape, dtype)).is_err(), "{shape:?} {dtype}");
    }
    let no_bytes = String::from_utf8(array_claiming("I1000000000000\n", "U0")).unwrap().replace("abcdefgh", "");
    assert!(message(parse(no_bytes.as_bytes())).contains("has no bytes"));
    assert!(parse(&array_claiming(&"I1\n".repeat(64), "f8")).is_ok());
    assert!(message(parse(&array_claiming(&"I1\n".repeat(65), "f8"))).contains("axes"));
}

/// Were one of them not cheap, this would not end.
#[test]
fn depth_cycles_and_bombs_stay_cheap() {
    // A list in a list, a million deep: neither reading nor dropping recurses.
    let deep = [b"]".repeat(1_000_000), b"a".repeat(999_999), b".".to_vec()].concat();
    drop(parse(&deep).unwrap());
    // A list that holds itself, and a dict that is its own value.
    let cycle = parse(b"]q\x00h\x00a.").unwrap();
    assert_eq!(cycle.root().items().unwrap()[0].items().unwrap().len(), 1);
    assert!(cycle.root().numbers().is_err() && cycle.root().strings().is_err());
    let cycle = parse(b"}q\x00U\x01kh\x00s.").unwrap();
    assert_eq!(cycle.root().get("k").unwrap().get("k").unwrap().key(), "k/k");
    // An array of objects that holds itself.
    let array = "cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntRp0\n";
    let own = format!("{array}(I1\n(I1\ntcnumpy\ndtype\n(VO8\nI0\nI1\ntRI0\n(g0\nltb.");
    assert!(parse(own.as_bytes()).unwrap().root().numbers().is_err());
    // 2^64 leaves by sharing: each list holds the one before twice.
    let laughs = [b"]".to_vec(), b"2\x86".repeat(64), b".".to_vec()].concat();
    assert!(parse(&laughs).unwrap().root().numbers().is_err());
    // One megabyte of text, converted again and again.
    let text = [b"X\x00\x00\x10\x00".to_vec(), vec![b'a'; 1 << 20], b"q\x00".to_vec()].concat();
    let encode = b"c_codecs\nencode\nq\x01X\x06\x00\x00\x00latin1q\x02".to_vec();
    let bomb = [text, encode, b"h\x01h\x00h\x02\x86R".repeat(50_000), b".".to_vec()].concat();
    assert!(message(parse(&bomb)).contains("expands to far more"));
}

#[test]
fn every_prefix_of_a_file_is_an_error() {
    for name in ["aligned_np2_p0.pkl", "aligned_np2_p2.pkl", "aligned_np2_p5.pkl", "sims_np1_p4.pkl", "zoo_py27_p1.pkl"]
    {
        let whole = bytes(name);
        for end in 0..whole.len() {
            let text = message(parse(&whole[..end]));
            assert!(text.contains("test.pkl: byte ") && text.contains("cut short"), "{text}");
        }
        parse(&whole).unwrap();
    }
    for name in ["aligned.npz", "unaligned.npz"] {
        let whole = bytes(name);
        for end in 0..whole.len() {
            assert!(load(whole[..end].to_vec()).is_err(), "{name} cut at {end}");
        }
    }
}

/// Loads the file with each single byte changed in those ways.
fn change_every_byte(name: &str, changes: &[u8]) {
    let mut data = bytes(name);
    let sound = load(data.clone()).unwrap();
    let mut unnoticed = 0;
    for at in 0..data.len() {
        let byte = data[at];
        for change in changes {
            data[at] = byte ^ change;
            unnoticed += usize::from(load(data.clone()).is_ok_and(|corpus| corpus == sound));
        }
        data[at] = byte;
    }
    // Most changes are seen, as an error or as other values.
    let tried = data.len() * changes.len();
    assert!(unnoticed < tried / 2, "{name}: {unnoticed} of {tried} changes");
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
    assert!(peak.unwrap_or(0u64) < 600_000, "{peak:?} kB");
}

#[test]
fn no_changed_byte_of_a_pickle_does_harm() {
    for name in ["aligned_np2_p2.pkl", "unaligned_np2_p4.pkl", "aligned_np2_p5.pkl"] {
        change_every_byte(name, &[1, 0x10, 0x80, 0xff]);
    }
}

#[test]
fn no_changed_byte_of_an_npz_does_harm() {
    change_every_byte("aligned.npz", &[1, 0x80]);
    change_every_byte("unaligned.npz", &[0x10]);
}

#[test]
fn npy_headers_that_lie() {
    let header = |text: &str| {
        let mut npy = b"\x93NUMPY\x01\x00".to_vec();
        npy.extend((text.len() as u16).to_le_bytes());
        [npy, text.as_bytes().to_vec(), vec![0; 16]].concat()
    };
    let zip = |npy: &[u8]| {
        let mut archive = npyz::npz::NpzWriter::new(Cursor::new(Vec::new()));
        let zip = archive.zip_writer();
        zip.start_file("a.npy", Default::default()).unwrap();
        std::io::Write::write_all(zip, npy).unwrap();
        let bytes = zip.finish().unwrap();
        npz::parse(bytes, Path::new("a.npz"), |_| true)
    };
    let fields =
        |descr: &str, shape: &str| header(&format!("{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}"));
    let good = zip(&fields("'<f4'", "(2, 2)")).unwrap();
    assert_eq!(good.root().get("a").unwrap().array().unwrap().shape(), [2, 2]);
    for npy in [
        fields("'<f4'", "(2, 3)"),
        fields("'<f4'", "(3,)"),
        fields("'<f4'", "(-4,)"),
        fields("'<f4'", "(4.0,)"),
        fields("'<f4'", "(4294967296, 4294967296, 4294967296)"),
        fields("'<f4'", "(0, 18446744073709551615, 18446744073709551615)"),
        fields("'<f4'", "(99999999999999999999999,)"),
        fields("'<U4294967295'", "(1,)"),
        fields("'<c8'", "(2,)"),
        fields("'<f4x'", "(4,)"),
        fields("[('a', '<f4')]", "(4,)"),
        fields("'|O'", "(4,)"),
        fields("'<f4'", &format!("{}1{}", "(".repeat(4000), ")".repeat(4000))),
        fields("'<f4'", &format!("(4,) {}", " ".repeat(20_000))),
        fields("'<f4'", &format!("{}4", "-".repeat(9000))),
        header("{}"),
        header("1"),
        header(""),
        b"\x93NUMPY\x01\x00\xff\xff".to_vec(),
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec(),
        b"\x93NUMPY\x09\x00\x00\x00".to_vec(),
        b"nothing of the kind".to_vec(),
        Vec::new(),
    ] {
        let text = message(zip(&npy));
        assert!(text.starts_with("a.npz: a"), "{text}");
    }
}

/// Opcodes with a little of what follows them, so that random pickles get somewhere.
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    let known = [
        &b"("[..],
        b"0",
        b"1",
        b"2",
        b"N",
        b"\x88",
        b"K\x05",
        b"M\x00\x01",
        b"J\xff\xff\xff\xff",
        b"I7\n",
        b"I01\n",
        b"L-3L\n",
        b"\x8a\x01\x80",
        b"F1.5\n",
        b"G\x3f\xf0\x00\x00\x00\x00\x00\x00",
        b"S'ab'\n",
        b"U\x01b",
        b"Vf4\n",
        b"X\x02\x00\x00\x00f4",
        b"\x8c\x06latin1",
        b"C\x04abcd",
        b"\x96\x04\x00\x00\x00\x00\x00\x00\x00abcd",
        b"]",
        b"}",
        b")",
        b"\x8f",
        b"a",
        b"e",
        b"s",
        b"u",
        b"d",
        b"l",
        b"t",
        b"\x85",
        b"\x86",
        b"\x87",
        b"\x90",
        b"\x91",
        b"q\x00",
        b"q\x01",
        b"h\x00",
        b"h\x01",
        b"\x94",
        b"R",
        b"b",
        b"cnumpy\ndtype\n",
        b"cnumpy\nndarray\n",
        b"cnumpy.core.multiarray\n_reconstruct\n",
        b"c_codecs\nencode\n",
        b"cnumpy._core.multiarray\nscalar\n",
        b"cnumpy._core.numeric\n_frombuffer\n",
        b"cbuiltins\nset\n",
        b"cbuiltins\nbytes\n",
        b".",
    ];
    prop_oneof![
        9 => proptest::sample::select(known.map(<[u8]>::to_vec).to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..8),
    ]
}

proptest! {
    #![proptest_config(cases(4000))]

    #[test]
    fn random_bytes_are_never_more_than_an_error(data in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = load(data.clone());
        let _ = load([b"PK\x03\x04", data.as_slice()].concat());
        let _ = load([b"\x80\x04", data.as_slice()].concat());
    }

    #[test]
    fn random_opcodes_are_never_more_than_an_error(fragments in proptest::collection::vec(fragment(), 0..60)) {
        if let Ok(document) = parse(&[fragments.concat(), b".".to_vec()].concat()) {
            let root = document.root();
            let _ = (root.numbers(), root.strings(), root.str(), root.number(), root.items(), root.entries(), root.array());
        }
    }
}
