#!/usr/bin/env python
"""Writes tests/files/csd: small .csd files as the CMU Multimodal SDK's are, made by h5py, and what the SDK's alignment makes of them.

    python scripts/make_csd_files.py tests/files/csd

expected.json holds every clip: words aligned to labels, audio and video averaged over words, by numpy, after mmsdk's align().
"""
import json
import os
import sys

import h5py
import numpy as np

EPSILON = 10e-6
VIDEOS = ["aB_1", "c-2", "d3", "only_labels"]
FOLDS = {"aB_1": "train", "c-2": "valid", "d3": "test", "not_there": "train"}


def sequence(path, root, videos, chunks, latest=False, dtype=None):
    with h5py.File(path, "w", libver="latest" if latest else None) as file:
        data = file.create_group(root + "/data")
        for video, (intervals, features) in videos.items():
            options = dict(chunks=chunks(features), compression="gzip") if chunks else {}
            data.create_dataset(video + "/features", data=features if dtype is None else features.astype(dtype), **options)
            data.create_dataset(video + "/intervals", data=intervals)
        metadata = file.create_group(root + "/metadata")
        for key, value in {"root name": root, "dataset name": "made up", "md5": None, "version": 1.0}.items():
            metadata.create_dataset(key, data=[json.dumps(value)], dtype=h5py.string_dtype())


def make(out):
    random = np.random.default_rng(3)
    words, vectors, audio, video, labels = {}, {}, {}, {}, {}
    for index, name in enumerate(VIDEOS):
        count = 7 + 2 * index
        ends = np.cumsum(random.uniform(0.1, 0.6, count))
        intervals = np.stack([np.concatenate([[0], ends[:-1]]), ends], 1)
        spoken = np.array([["sp" if w % 4 == 2 else "wörd%d" % w] for w in range(count)])
        spoken = np.char.encode(spoken, "utf-8").astype("S32")
        end = ends[-1]
        starts = np.arange(0, end * 0.8, 0.05)
        sound = random.normal(size=(len(starts), 3))
        sound[1, 0], sound[len(starts) // 2, 1], sound[0, 2] = -np.inf, np.nan, 1e300
        pictures = np.arange(0.2, end, 0.11)
        cuts = np.array([[0, end * 0.3], [end * 0.3, end * 0.3], [end * 0.3 + 0.01, end * 0.7], [end * 0.7, end + 1]])
        labels[name] = cuts, np.array([[l * 0.5 - 1, 9] for l in range(4)])
        if name != "only_labels":
            words[name] = intervals, spoken
            vectors[name] = intervals, random.normal(size=(count, 4))
            audio[name] = np.stack([starts, starts + 0.05], 1), sound
            video[name] = np.stack([pictures, pictures + 0.11], 1), random.normal(size=(len(pictures), 2))
    os.makedirs(out, exist_ok=True)
    file = lambda name: os.path.join(out, name)
    sequence(file("TimestampedWords.csd"), "words", words, None)
    sequence(file("TimestampedWordVectors.csd"), "glove_vectors", vectors, lambda f: (3, f.shape[1]), dtype="f4")
    sequence(file("COVAREP.csd"), "COVAREP", audio, lambda f: (16, f.shape[1]))
    sequence(file("Visual_FACET.csd"), "FACET_4.2", video, lambda f: (5, 1), latest=True, dtype="f4")
    sequence(file("Opinion_Labels.csd"), "Opinion Segment Labels", labels, None, dtype="f4")
    with open(file("folds.txt"), "w") as folds:
        folds.write("# which video is in which split\n\n")
        folds.writelines(f"{split} {name}  # {split}\n" for name, split in FOLDS.items())

    expected = {"train": [], "valid": [], "test": []}
    for name in vectors:
        for number, (segment, label) in enumerate(zip(*labels[name])):
            if abs(segment[0] - segment[1]) < EPSILON:
                continue
            steps = [w for w in intersect(segment, vectors[name][0]) if words[name][1][w, 0] != b"sp"]
            sequences = [[vectors[name][1][w].astype("f4") for w in steps]]
            for intervals, features in (audio[name], (video[name][0], video[name][1].astype("f4"))):
                means = []
                for w in steps:
                    rows = intersect(vectors[name][0][w], intervals)
                    mean = np.average(features[rows], 0) if rows else np.zeros(features.shape[1])
                    with np.errstate(over="ignore"):
                        means.append(np.nan_to_num(mean.astype("f4"), nan=0, posinf=0, neginf=0))
                sequences.append(means)
            expected[FOLDS[name]].append({
                "id": f"{name}[{number}]", "label": float(label[0]),
                "text": " ".join(words[name][1][w, 0].decode() for w in steps),
                "sequences": [[float(v) for row in s for v in row] for s in sequences]})
    with open(file("expected.json"), "w") as out:
        json.dump(expected, out)


def intersect(reference, intervals):
    """mmsdk's __intersect_and_copy: rows that overlap by more than epsilon."""
    start, end = np.maximum(intervals[:, 0], reference[0]), np.minimum(intervals[:, 1], reference[1])
    return list(np.where(end - start > EPSILON)[0])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    make(sys.argv[1])
