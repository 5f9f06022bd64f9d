#!/usr/bin/env python
"""The sentiment models in PyTorch and Keras, and what they and limbic make of each other's weights.

    python scripts/check_weights.py files tests/files     weights, inputs and scores for tests/weights.rs
    python scripts/check_weights.py check target/release/examples

The second trains small models with limbic's msa_train, exports them (convert_weights), loads the files into the models below and
compares scores with msa_predict's; then it goes the other way, from fresh weights of theirs. Needs torch, keras, safetensors, numpy.
"""
import json
import os
import pickle
import subprocess
import sys
import tempfile
import warnings

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np
import torch
from keras import layers
from safetensors.numpy import load_file, save_file
from torch import nn

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests/golden/reference"))
from refmodels import msa as reference  # noqa: E402

EPSILON = 1e-6
# the layers hand masks on by themselves, and are built by their first call
warnings.filterwarnings("ignore", category=UserWarning, module=r"keras\.|torch\.nn")


class TorchCrossBlock(nn.Module):
    """A query's sequence attends to a context's; called as nn.TransformerDecoderLayer calls its parts."""

    def __init__(self, dim, heads, ff, norm_first):
        super().__init__()
        self.norm_first = norm_first
        self.multihead_attn = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.norm1, self.norm2 = nn.LayerNorm(dim, EPSILON), nn.LayerNorm(dim, EPSILON)
        self.linear1, self.linear2 = nn.Linear(dim, ff), nn.Linear(ff, dim)

    def forward(self, x, context, mask):
        attend = lambda q: self.multihead_attn(q, context, context, key_padding_mask=~mask, need_weights=False)[0]
        feed = lambda x: self.linear2(nn.functional.gelu(self.linear1(x)))
        if self.norm_first:
            x = x + attend(self.norm1(x))
            return x + feed(self.norm2(x))
        x = self.norm1(x + attend(x))
        return self.norm2(x + feed(x))


class TorchPosition(nn.Module):
    def __init__(self, steps, dim):
        super().__init__()
        self.embeddings = nn.Parameter(torch.randn(steps, dim) * 0.1)

    def forward(self, x):
        return x + self.embeddings[: x.shape[1]]


class TorchTcn(nn.Module):
    def __init__(self, dim, count):
        super().__init__()
        conv = lambda i: nn.Conv1d(dim, dim, 3, padding=2**i, dilation=2**i)
        self.convs = nn.ModuleList(conv(i) for i in range(count))
        self.norms = nn.ModuleList(nn.BatchNorm1d(dim) for _ in range(count))

    def forward(self, x, mask):
        mask = mask[:, None].float()
        x = x.transpose(1, 2) * mask
        for conv, norm in zip(self.convs, self.norms):
            x = (x + norm(conv(x)).relu()) * mask
        return x.transpose(1, 2)


class TorchEncoder(nn.Module):
    def __init__(self, config, modality):
        super().__init__()
        dim, count = config["model_dim"], config["n_layers_mod"]
        self.kind = config["encoder"]
        self.projection = nn.Linear(modality["dim"], dim)
        if self.kind == "transformer":
            self.position = TorchPosition(modality["seq_len"], dim)
            block = lambda: nn.TransformerEncoderLayer(
                dim, config["num_heads"], config["ff_dim"], activation="gelu", layer_norm_eps=EPSILON, batch_first=True,
                norm_first=config["norm_first"])
            self.blocks = nn.ModuleList(block() for _ in range(count))
        elif self.kind == "tcn":
            self.tcn = TorchTcn(dim, count)
        else:
            cell = nn.LSTM if self.kind == "lstm" else nn.GRU
            setattr(self, self.kind, cell(dim, dim // 2, count, batch_first=True, bidirectional=True))

    def forward(self, x, mask):
        x = self.projection(x)
        if self.kind == "transformer":
            x = self.position(x)
            for block in self.blocks:
                x = block(x, src_key_padding_mask=~mask)
            return x
        if self.kind == "tcn":
            return self.tcn(x, mask)
        packed = nn.utils.rnn.pack_padded_sequence(x, mask.sum(1), batch_first=True, enforce_sorted=False)
        y, _ = getattr(self, self.kind)(packed)
        return nn.utils.rnn.pad_packed_sequence(y, batch_first=True, total_length=x.shape[1])[0]


class TorchFusion(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.names = [m["name"] for m in config["modalities"]]
        self.count, self.back = config["n_layers_fuse"], config["bidirectional_fusion"]
        anchor, others = self.names[0], self.names[1:]
        pairs = [(anchor, other) for other in others] + [(other, anchor) for other in others if self.back]
        for to, of in pairs:
            block = lambda: TorchCrossBlock(config["model_dim"], config["num_heads"], config["ff_dim"], config["norm_first"])
            self.add_module(f"{to}_from_{of}", nn.ModuleList(block() for _ in range(self.count)))

    def forward(self, xs, masks):
        xs, anchor = list(xs), self.names[0]
        for layer in range(self.count):
            for i, other in enumerate(self.names[1:], 1):
                xs[0] = getattr(self, f"{anchor}_from_{other}")[layer](xs[0], xs[i], masks[i])
            for i, other in enumerate(self.names[1:], 1):
                if self.back:
                    xs[i] = getattr(self, f"{other}_from_{anchor}")[layer](xs[i], xs[0], masks[0])
        return xs


class TorchAdaptive(nn.Module):
    def __init__(self, config):
        super().__init__()
        dim, count = config["model_dim"], len(config["modalities"])
        self.weight1, self.weight2 = nn.Linear(dim, dim // 2), nn.Linear(dim // 2, count)
        pool = lambda: nn.ModuleDict({"hidden": nn.Linear(dim, dim // 4), "score": nn.Linear(dim // 4, 1)})
        pooled = count if config["pooling_method"] == "attention" else 0
        self.pools = nn.ModuleList(pool() for _ in range(pooled))

    def forward(self, xs, masks):
        pooled = []
        for i, (x, mask) in enumerate(zip(xs, masks)):
            weights = mask.float() / mask.sum(1, keepdim=True)
            if len(self.pools):
                scores = self.pools[i]["score"](self.pools[i]["hidden"](x).tanh())[..., 0]
                weights = scores.masked_fill(~mask, -torch.inf).softmax(1)
            pooled.append((x * weights[..., None]).sum(1))
        pooled = torch.stack(pooled, 1)
        weights = self.weight2(self.weight1(pooled.mean(1)).relu()).softmax(1)
        return (pooled * weights[..., None]).sum(1)


class TorchSentiment(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.names = [m["name"] for m in config["modalities"]]
        for modality in config["modalities"]:
            self.add_module(modality["name"] + "_encoder", TorchEncoder(config, modality))
        self.fusion, self.adaptive = TorchFusion(config), TorchAdaptive(config)
        self.head = nn.Linear(config["model_dim"], 1)

    def forward(self, xs, masks):
        xs = [getattr(self, name + "_encoder")(x, mask) for name, x, mask in zip(self.names, xs, masks)]
        return self.head(self.adaptive(self.fusion(xs, masks), masks))[:, 0]


class KerasRecurrentEncoder(layers.Layer):
    def __init__(self, config, name):
        super().__init__(name=name)
        kind, units = config["encoder"], config["model_dim"] // 2
        cell = layers.LSTM if kind == "lstm" else layers.GRU
        self.projection = layers.Dense(config["model_dim"], name="projection")
        layer = lambda i: layers.Bidirectional(cell(units, return_sequences=True, name=f"{kind}_{i}"), name=f"{kind}_{i}")
        self.depth = [layer(i) for i in range(config["n_layers_mod"])]

    def call(self, x, mask=None, training=False):
        x = self.projection(x)
        for layer in self.depth:
            x = layer(x, mask=mask)
        return x


def keras_sentiment(config):
    """reference/refmodels/msa.py's model, or the same with recurrent encoders. Modalities are text, audio, video of one length."""
    dims = [m["dim"] for m in config["modalities"]]
    steps = max(m["seq_len"] for m in config["modalities"])
    model = reference.MSASeqLevelModel(
        steps, *dims, config["model_dim"], config["num_heads"], config["ff_dim"], config["n_layers_mod"],
        config["n_layers_fuse"], config["bidirectional_fusion"], config["pooling_method"], 0.0, config["norm_first"])
    for modality in config["modalities"]:
        name = modality["name"] + "_encoder"
        if config["encoder"] == "transformer":
            getattr(model, name).position.seq_len = modality["seq_len"]
        else:
            setattr(model, name, KerasRecurrentEncoder(config, name))
    return model


class Torch:
    encoders = ("transformer", "lstm", "gru", "tcn")

    def __init__(self, config, seed):
        torch.manual_seed(seed)
        self.model = TorchSentiment(config).eval()
        with torch.no_grad():
            for name, value in list(self.model.named_parameters()) + list(self.model.named_buffers()):
                if value.is_floating_point() and value.ndim == 1:  # biases and statistics that are not all 0 or 1
                    value.add_(0.3 * torch.rand_like(value))

    def scores(self, xs, masks):
        with torch.no_grad():
            return self.model([torch.tensor(x) for x in xs], [torch.tensor(m) for m in masks]).numpy()

    def weights(self):
        return {name: value.contiguous().numpy() for name, value in self.model.state_dict().items()}

    def load(self, path, *_):
        self.model.load_state_dict({name: torch.tensor(value) for name, value in load_file(path).items()}, strict=True)


class Keras:
    encoders = ("transformer", "lstm", "gru")

    def __init__(self, config, seed):
        keras.utils.set_random_seed(seed)
        self.model = keras_sentiment(config)

    def variables(self):
        return [v for v in self.model.weights if "seed_generator" not in v.path]

    def scores(self, xs, masks):
        built = self.model.built
        scores = keras.ops.convert_to_numpy(self.model([*xs, *masks]))[:, 0]
        if built:
            return scores
        for v in self.variables():  # biases that are not all 0
            v.assign(v + 0.1 * keras.random.uniform(v.shape))
        return self.scores(xs, masks)

    def weights(self):
        return {v.path: np.ascontiguousarray(keras.ops.convert_to_numpy(v)) for v in self.variables()}

    def load(self, path, xs, masks):
        self.scores(xs, masks)  # builds it
        tensors = load_file(path)
        paths = {v.path.split("/", 1)[1] for v in self.variables()}
        assert paths == set(tensors), sorted(paths ^ set(tensors))[:8]
        for v in self.variables():
            v.assign(tensors[v.path.split("/", 1)[1]])


FRAMEWORKS = {"pytorch": Torch, "keras": Keras}


def small(encoder):
    modality = lambda name, dim, steps: {"name": name, "dim": dim, "seq_len": steps}
    return dict(
        modalities=[modality("text", 7, 5), modality("audio", 5, 6), modality("video", 4, 4)], model_dim=8, num_heads=2,
        ff_dim=12, encoder=encoder, n_layers_mod=2, n_layers_fuse=1, bidirectional_fusion=True, pooling_method="attention",
        norm_first=encoder != "lstm")


def files(out):
    for framework, kind in FRAMEWORKS.items():
        for encoder in kind.encoders:
            config = small(encoder)
            random = np.random.default_rng(5)
            xs = [random.normal(size=(3, m["seq_len"], m["dim"])).astype("f4") for m in config["modalities"]]
            masks = [np.arange(x.shape[1])[None] < np.array([[x.shape[1]], [2], [1]]) for x in xs]
            xs = [x * m[..., None] for x, m in zip(xs, masks)]
            model = kind(config, 3)
            tensors = {"score": model.scores(xs, masks)}
            for m, x, mask in zip(config["modalities"], xs, masks):
                tensors["input " + m["name"]] = np.ascontiguousarray(x)
                tensors["input " + m["name"] + "_mask"] = mask.astype("u1")
            tensors.update(("weight " + name, value) for name, value in model.weights().items())
            save_file(tensors, os.path.join(out, f"weights_{framework}_{encoder}.safetensors"))


DATA = os.path.join(ROOT, "tests/files/unaligned_np2_p4.pkl")


def clips(config):
    """All clips of DATA, padded: ids, features and masks."""
    with open(DATA, "rb") as file:
        data = pickle.load(file)
    ids, xs, masks = [], [[], [], []], [[], [], []]
    for split in ("train", "valid", "test"):
        part = data[split]
        ids += list(part["id"])
        lengths = [part["text_bert"][:, 1].sum(1), part["audio_lengths"], part["vision_lengths"]]
        for i, (key, modality) in enumerate(zip(("text", "audio", "vision"), config["modalities"])):
            x = np.where(np.isneginf(part[key]), 0, part[key]).astype("f4")[:, : modality["seq_len"]]
            mask = np.arange(x.shape[1])[None] < np.asarray(lengths[i])[:, None]
            xs[i].append(x * mask[..., None])
            masks[i].append(mask)
    return ids, [np.concatenate(x) for x in xs], [np.concatenate(m) for m in masks]


def check(programs):
    run = lambda name, *arguments: subprocess.run(
        [os.path.join(programs, name), *map(str, arguments)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    worst = 0.0

    def predicted(folder):
        run("msa_predict", folder, "--data", DATA, "--split", "all", "--format", "json", "--output", folder + ".json")
        with open(folder + ".json") as file:
            return {row["id"]: row["score"] for row in json.load(file)}

    with tempfile.TemporaryDirectory() as folder:
        for framework, kind in FRAMEWORKS.items():
            for encoder in kind.encoders:
                trained, other, file = (os.path.join(folder, f"{framework}_{encoder}{end}") for end in ("", "_back", ".safetensors"))
                run("msa_train", "--data", DATA, "--out", trained, "--alone", "--epochs", 2, "--preset", "small", "--model_dim", 16,
                    "--n_layers_mod", 2, "--encoder", encoder, "--pooling_method", "attention", "--bidirectional_fusion")
                with open(os.path.join(trained, "config.json")) as config_file:
                    config = json.load(config_file)["model"]
                ids, xs, masks = clips(config)
                model = kind(config, 1)
                run("convert_weights", trained, "--to", framework, "--output", file)
                model.load(file, xs, masks)
                theirs, ours = model.scores(xs, masks), predicted(trained)
                out = max(abs(ours[id] - score) for id, score in zip(ids, theirs))
                model = kind(config, 2)
                theirs = model.scores(xs, masks)
                save_file(model.weights(), file)
                run("convert_weights", trained, "--from", framework, "--input", file, "--output", other)
                ours = predicted(other)
                back = max(abs(ours[id] - score) for id, score in zip(ids, theirs))
                worst = max(worst, out, back)
                print(f"{framework:8} {encoder:12} scores of {len(ids)} clips: exported differ by {out:.1e}, imported by {back:.1e}")
    if worst > 1e-4:
        sys.exit("that is more than rounding")


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("files", "check"):
        sys.exit(__doc__)
    {"files": files, "check": check}[sys.argv[1]](sys.argv[2])
