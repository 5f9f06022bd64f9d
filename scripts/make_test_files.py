#!/usr/bin/env python
"""Writes tests/files: what numpy and pickle really write, for the tests of limbic's readers.

    python scripts/make_test_files.py tests/files

Run it once under each toolchain; it writes the files of the one that runs it:
    Python 3 with numpy >= 2   all MMSA and MulT files, npz, the type zoo in protocols 0 to 5, the hostile files
    Python 3 with numpy 1.26   MMSA files and the zoo under numpy 1's names (numpy.core), protocols 2, 3, 5
    Python 2.7 with numpy 1.16 the zoo, ChaLearn-like and MulT-like pickles, protocols 0 to 2

A toolchain beside the system's own: pip install --target .whl/np1 'numpy<2', then PYTHONPATH=.whl/np1 python3 ...

Feature values follow one formula, which tests/formats.rs repeats.
"""
from __future__ import print_function

import os
import pickle
import sys

import numpy as np

PYTHON2 = sys.version_info[0] == 2
NUMPY2 = int(np.__version__.split(".")[0]) >= 2
TAG = "py27" if PYTHON2 else "np2" if NUMPY2 else "np1"
SPLITS = ("train", "valid", "test")
COUNTS = (4, 2, 3)


def feature(split, modality, clip, step, dim):
    """Never 0, exact in every float type."""
    return ((split * 7 + modality * 5 + clip * 3 + step * 2 + dim) % 16 + 1) / 8.0


def features(split, modality, count, steps, dims, dtype, lengths, padding):
    array = np.full((count, steps, dims), padding, dtype=dtype)
    for n in range(count):
        for t in range(lengths[n]):
            for d in range(dims):
                array[n, t, d] = feature(split, modality, n, t, d)
    return array


def length(modality, clip, steps):
    return steps - (clip + modality) % 3


def mmsa(steps, dims, dtype="f4", aligned=False, sims=False, text_arrays=False):
    data = {}
    for s, split in enumerate(SPLITS):
        count = COUNTS[s]
        lengths = [[length(m, n, steps[m]) for n in range(count)] for m in range(3)]
        # BERT's features of padding are not 0: only the attention mask tells.
        text, audio, vision = [
            features(s, m, count, steps[m], dims[m], dtype, lengths[m], 9 if m == 0 else 0) for m in range(3)
        ]
        audio[0, 0, 0] = -np.inf
        bert = np.zeros((count, 3, steps[0]), dtype="i8")
        for n in range(count):
            bert[n, 0, :] = 101 + n
            bert[n, 1, : lengths[0][n]] = 1
        ids = ["%s%d$_$%d" % (split, n, n + 1) for n in range(count)]
        words = [u"clip %d of %s, \u00e9\u4f60" % (n, split) for n in range(count)]
        labels = [n * 0.5 - 1 for n in range(count)]
        data[split] = {
            "raw_text": np.array(words) if text_arrays else np.array(words, dtype=object),
            "audio": audio,
            "vision": vision,
            "id": np.array(ids) if text_arrays else ids,
            "text": text,
            "text_bert": bert,
            "annotations": ["Neutral"] * count,
            "classification_labels": np.array([1] * count),
            "regression_labels": np.array(labels, dtype="f4" if sims else "f8"),
        }
        if not aligned:
            data[split]["audio_lengths"] = lengths[1]
            data[split]["vision_lengths"] = np.array(lengths[2]) if sims else lengths[2]
        if sims:
            for m in "TAV":
                data[split]["regression_labels_" + m] = np.array(labels, dtype="f4")
    return data


def aligned():
    return mmsa((6, 6, 6), (8, 5, 4), aligned=True)


def unaligned():
    return mmsa((6, 9, 7), (8, 5, 4))


def sims():
    return mmsa((5, 8, 6), (8, 3, 7), dtype="f8", sims=True, text_arrays=True)


def zoo():
    """Every type and layout, each 0..23 in the shape (2, 3, 4)."""
    count = np.arange(24).reshape(2, 3, 4)
    arrays = {}
    for name in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"):
        for order in "<>":
            arrays[order + name] = count.astype(order + name)
    arrays["bool"] = count % 2 == 1
    arrays["fortran"] = np.asfortranarray(count.astype("f4"))
    arrays["fortran_big"] = np.asfortranarray(count.astype(">i2"))
    # The axes 2, 0, 1 of a contiguous array: protocol 5 of numpy 2 writes order 'K'.
    arrays["permuted"] = np.ascontiguousarray(count.astype("f4").transpose(1, 2, 0)).transpose(2, 0, 1)
    arrays["strided"] = np.repeat(count.astype("f4"), 2, axis=2)[:, :, ::2]
    return {
        "arrays": arrays,
        "bytes": np.array([b"one", b"", b"three\xe9"]),
        "text": np.array([u"one", u"", u"\u4f60\u597d \U0001f600"]),
        "text_big": np.array([u"one", u"", u"\u4f60\u597d \U0001f600"]).astype(">U4"),
        "objects": np.array([u"a", 1, 2.5, None, [1, 2], {"k": b"v"}], dtype=object).reshape(2, 3),
        "scalars": [np.float32(1.5), np.float64(-2.25), np.int64(-7), np.uint8(200), np.bool_(True)],
        "empty": np.zeros((0, 3), dtype="f4"),
        "numbers": [0, 1, -1, 255, 256, 65535, 65536, -(2 ** 31), 2 ** 31, 2 ** 40, -(2 ** 63), 2 ** 63 - 1, 0.1, -1e300, True, False],
        "strings": [u"", u"abc", u"it's \"quoted\" \\ \n\t", u"\u00e9\u4f60\U0001f600", "native"],
        "raw": [b"", b"abc", b"\x00\xff\\n'\"\n"],
        "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
        "set": set([5]),
        "none": None,
        "shared": [count.astype("f4")] * 2,
        7: "integer key",
    }


def chalearn():
    """Python 2's str, with one name that is Latin-1 and no UTF-8."""
    traits = ("extraversion", "neuroticism", "agreeableness", "conscientiousness", "openness")
    videos = ("J4GQm9j0JZ0.003.mp4", "zEyRyTnIw5I.005.mp4", "caf\xe9.001.mp4")
    return {trait: {video: (t * 3 + v) / 16.0 for v, video in enumerate(videos)} for t, trait in enumerate(traits)}


def mult():
    data = {}
    for s, split in enumerate(SPLITS):
        data[split] = {
            "vision": np.full((2, 3, 4), s, dtype="f4"),
            "text": np.full((2, 3, 6), s, dtype="f4"),
            "audio": np.full((2, 3, 5), s, dtype="f4"),
            "labels": np.full((2, 1, 1), s / 2.0, dtype="f4"),
            "id": np.array([[b"vid1"], [b"vid2"]]),
        }
    return data


def mult_features(steps, dims, front=False, emotions=False, ids="rows"):
    """As MulT's files: no lengths, zeros pad. Clip 0 has an audio step of -inf, clip 1 of train no vision at all."""
    data = {}
    for s, split in enumerate(SPLITS):
        count = COUNTS[s]
        arrays = []
        for m in range(3):
            lengths = [length(m, n, steps[m]) for n in range(count)]
            array = features(s, m, count, steps[m], dims[m], "f4", lengths, 0)
            if front:
                for n in range(count):
                    array[n] = np.roll(array[n], steps[m] - lengths[n], axis=0)
            arrays.append(array)
        text, audio, vision = arrays
        audio[0, 1, 0] = -np.inf
        if s == 0:
            vision[1] = 0
        labels = np.array([n * 0.5 - 1 for n in range(count)], dtype="f4").reshape(count, 1, 1)
        if emotions:
            labels = np.zeros((count, 4, 2), dtype="i8")
            for n in range(count):
                for e in range(4):
                    labels[n, e, int(n % 4 == e)] = 1
        data[split] = {"text": text, "audio": audio, "vision": vision, "labels": labels}
        if ids == "rows":
            rows = [["v%d" % n, "%.1f" % n, "%.1f" % (n + 1)] for n in range(count)]
            data[split]["id"] = np.array(rows).astype("S8")
        elif ids == "objects":
            data[split]["id"] = np.array([["v%d" % n, "%d" % n] for n in range(count)], dtype=object)
        elif ids == "list":
            data[split]["id"] = [b"v%d" % n for n in range(count)]
    return data


def mult_edited(split, key, value, **options):
    data = mult_features((3, 4, 2), (2, 2, 2), **options)
    if value is None:
        del data[split][key]
    elif callable(value):
        value(data[split][key])
    else:
        data[split][key] = value
    return data


def write_mult(out):
    write(out, "mult_aligned.pkl", mult_features((5, 5, 5), (6, 5, 4), front=True), 2)
    write(out, "mult_unaligned.pkl", mult_features((5, 8, 7), (6, 5, 4), front=True, ids="objects"), 4)
    write(out, "mult_end_padded.pkl", mult_features((5, 8, 7), (6, 5, 4), ids="list"), 4)
    write(out, "mult_iemocap.pkl", mult_features((5, 5, 5), (6, 5, 4), emotions=True, ids="none"), 4)
    for name, data in {
        "mult_no_vision": mult_edited("valid", "vision", None),
        "mult_clip_count": mult_edited("train", "audio", np.ones((3, 4, 2), dtype="f4")),
        "mult_features": mult_edited("test", "text", np.ones((3, 3, 5), dtype="f4")),
        "mult_nan_audio": mult_edited("test", "audio", put((2, 1, 1), np.nan)),
        "mult_nan_label": mult_edited("test", "labels", put((1, 0, 0), np.nan)),
        "mult_label_shape": mult_edited("train", "labels", np.zeros((4, 3, 2))),
        "mult_label_text": mult_edited("train", "labels", np.array(["a", "b", "c", "d"])),
        "mult_nan_emotion": mult_edited("train", "labels", np.full((4, 4, 2), np.nan)),
        "mult_id_count": mult_edited("train", "id", [b"a", b"b", b"c"]),
        "mult_id_numbers": mult_edited("train", "id", np.arange(4)),
        "mult_no_clips": mult_edited("valid", "labels", np.zeros((0, 1, 1))),
        "mult_runs_code": mult_edited("train", "id", Call(os.system, "touch code-was-run")),
    }.items():
        write(out, "bad_%s.pkl" % name, data, 4)


class Call(object):
    """Pickles as a call that unpickling would make."""

    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


def edited(split, key, value):
    """A sound file but for one value; None removes the key."""
    data = mmsa((3, 4, 2), (2, 2, 2))
    if value is None:
        del data[split][key]
    elif callable(value):
        value(data[split][key])
    else:
        data[split][key] = value
    return data


def put(index, value):
    def change(array):
        array[index] = value

    return change


def bad():
    empty = mmsa((3, 4, 2), (2, 2, 2))
    for key, value in empty["valid"].items():
        empty["valid"][key] = value[:0]
    no_split = mmsa((3, 4, 2), (2, 2, 2))
    del no_split["valid"]
    return {
        "no_split": no_split,
        "split_is_list": dict(edited("test", "id", None), test=[1, 2]),
        "empty_split": empty,
        "no_text": edited("train", "text", None),
        "no_labels": edited("valid", "regression_labels", None),
        "no_lengths": edited("train", "audio_lengths", None),
        "rank": edited("train", "vision", np.zeros((4, 8), dtype="f4")),
        "clip_count": edited("test", "audio", np.ones((2, 4, 2), dtype="f4")),
        "id_count": edited("train", "id", ["a", "b", "c"]),
        "features": edited("valid", "vision", np.ones((2, 2, 3), dtype="f4")),
        "no_features": edited("train", "audio", np.ones((4, 4, 0), dtype="f4")),
        "object_features": edited("train", "audio", np.full((4, 4, 2), 1.0, dtype=object)),
        "text_features": edited("train", "audio", np.full((4, 4, 2), "x")),
        "complex_features": edited("train", "audio", np.full((4, 4, 2), 1j)),
        "nan_vision": edited("valid", "vision", put((1, 0, 1), np.nan)),
        "inf_text": edited("train", "text", put((0, 1, 1), -np.inf)),
        "inf_audio": edited("train", "audio", put((3, 0, 1), np.inf)),
        "nan_label": edited("test", "regression_labels", put(2, np.nan)),
        "label_shape": edited("test", "regression_labels", np.zeros((3, 2))),
        "label_text": edited("test", "regression_labels", ["a", "b", "c"]),
        "length_large": edited("train", "audio_lengths", put(2, 5)),
        "length_negative": edited("train", "vision_lengths", put(0, -1)),
        "length_fraction": edited("train", "audio_lengths", put(1, 1.5)),
        "mask_shape": edited("train", "text_bert", np.ones((4, 3, 4), dtype="i8")),
        "mask_value": edited("train", "text_bert", put((1, 1, 2), 7)),
        "id_numbers": edited("train", "id", [1, 2, 3, 4]),
        # Must not touch anything when it is read: it would if it were run.
        "runs_code": edited("train", "annotations", [Call(os.system, "touch code-was-run"), 1, 2, 3]),
        "runs_eval": edited("train", "id", [Call(eval, "open('code-was-run', 'w')"), 1, 2, 3]),
        "runs_in_array": edited("train", "id", np.array([Call(os.system, "touch code-was-run")] * 4, dtype=object)),
        "memmap_call": edited("train", "audio", Call(np.fromfile, "/etc/passwd")),
    }


def write(out, name, data, protocol):
    with open(os.path.join(out, name), "wb") as file:
        pickle.dump(data, file, protocol=protocol)


def write_npz(out):
    slashes, underscores = {}, {}
    for split, keys in aligned().items():
        for key, value in keys.items():
            slashes[split + "/" + key] = value
    for split, keys in mmsa((6, 9, 7), (8, 5, 4), text_arrays=True).items():
        for key, value in keys.items():
            underscores[split + "_" + key] = value
    # Object arrays are pickles inside of the archive.
    np.savez_compressed(os.path.join(out, "aligned.npz"), **slashes)
    np.savez(os.path.join(out, "unaligned.npz"), **underscores)
    slashes["train/id"] = np.array([Call(os.system, "touch code-was-run")] * 4, dtype=object)
    np.savez_compressed(os.path.join(out, "bad_runs_code.npz"), **slashes)
    slashes["train/id"] = np.array(["a", "b", "c", "d"])
    slashes["train_id"] = slashes["train/id"]
    np.savez_compressed(os.path.join(out, "bad_twice.npz"), **slashes)
    del slashes["train_id"], slashes["valid/audio"]
    np.savez_compressed(os.path.join(out, "bad_missing.npz"), **slashes)
    np.save(os.path.join(out, "one_array.npy"), np.arange(3))
    everything = zoo()
    arrays = dict(everything["arrays"])
    arrays.update((key, everything[key]) for key in ("bytes", "text", "text_big", "objects", "empty"))
    np.savez(os.path.join(out, "zoo.npz"), **arrays)


def main(out):
    protocols = (0, 1, 2) if PYTHON2 else (0, 1, 2, 3, 4, 5) if NUMPY2 else (2, 3, 5)
    for protocol in protocols:
        write(out, "zoo_%s_p%d.pkl" % (TAG, protocol), zoo(), protocol)
    if PYTHON2:
        write(out, "chalearn_p0.pkl", chalearn(), 0)
        write(out, "chalearn_p2.pkl", chalearn(), 2)
        write(out, "mult_p2.pkl", mult(), 2)
        return
    for protocol in (0, 2, 4, 5) if NUMPY2 else (3, 5):
        write(out, "aligned_%s_p%d.pkl" % (TAG, protocol), aligned(), protocol)
    write(out, "unaligned_%s_p4.pkl" % TAG, unaligned(), 4)
    write(out, "sims_%s_p4.pkl" % TAG, sims(), 4)
    if NUMPY2:
        write_npz(out)
        write_mult(out)
        write(out, "without_text_bert.pkl", edited("train", "text_bert", None), 4)
        silent = aligned()
        silent["train"]["audio"][1] = 0
        write(out, "silent_clip.pkl", silent, 4)
        for name, data in bad().items():
            write(out, "bad_%s.pkl" % name, data, 4)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
