"""PyTorch on the rows of `benches/peers`: JSON lines that its `--with` reads.

    python torch_bench.py > torch.jsonl                     # this processor, all cores
    python torch_bench.py --device cuda >> torch.jsonl      # eager, with and without TF32, and compiled

Each row is the median of at least 10 runs after warm-up, synchronised with the device; on a GPU as many calls between two
synchronisations as take 20 ms. A processor's figures say what the silicon can do; they are no measure of the same adapter.
"""

import argparse
import json
import math
import os
import statistics
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

PRESETS = {
    "msa": dict(fuse=1, dropout=0.0),
    "msa_default": dict(),
    "msa_small": dict(dim=64, heads=2, inner=128, layers=1, fuse=1),
    "msa_medium": dict(dim=128, inner=256, fuse=1),
    "msa_large": dict(heads=8, layers=3, bidirectional=True, attention_pool=True),
}


class Bench:
    def __init__(self, options):
        self.options = options
        self.device = torch.device(options.device)
        self.gpu = self.device.type == "cuda"
        self.lib = f"torch-{options.device}"

    def wants(self, name):
        return not self.options.only or any(part in name for part in self.options.only.split(","))

    def wait(self):
        if self.gpu:
            torch.cuda.synchronize()

    def seconds(self, work, calls=1):
        begun = time.perf_counter()
        for _ in range(calls):
            work()
        self.wait()
        return (time.perf_counter() - begun) / calls

    def time(self, name, work):
        """Prints the row `name`."""
        if self.gpu:
            torch.cuda.reset_peak_memory_stats()
        first = self.seconds(work)
        begun = time.perf_counter()
        estimate = [self.seconds(work) for _ in range(1 if self.options.quick else 3)][-1]
        while not self.options.quick and time.perf_counter() - begun < 1.0:
            estimate = self.seconds(work)
        calls = max(1, min(1024, math.ceil(0.020 / estimate))) if self.gpu else 1
        runs = 3 if self.options.quick else max(10, min(200, int(2.0 / (estimate * calls))))
        times = [self.seconds(work, calls) * 1e3 for _ in range(runs)]
        row = dict(lib=self.lib, op=name, ms=statistics.median(times), min_ms=min(times), max_ms=max(times))
        row.update(first_ms=first * 1e3, runs=runs)
        if self.gpu:
            row["memory_mib"] = torch.cuda.max_memory_allocated() / 2**20
        print(json.dumps(row), flush=True)

    def random(self, *shape, grad=False):
        return torch.randn(*shape, device=self.device, requires_grad=grad)

    def forward(self, name, op, *shapes):
        """One row of `op` on inputs of these shapes."""
        if not self.wants(name):
            return
        inputs = [self.random(*shape) for shape in shapes]

        def work():
            with torch.no_grad():
                op(*inputs)

        self.time(name, work)

    def trained(self, name, op, *shapes):
        """Rows `_fwd` and `_fwdbwd`."""
        self.forward(f"{name}_fwd", op, *shapes)
        if not self.wants(f"{name}_fwdbwd"):
            return
        inputs = [self.random(*shape, grad=True) for shape in shapes]
        gradient = torch.ones_like(op(*inputs))

        def work():
            for x in inputs:
                x.grad = None
            op(*inputs).backward(gradient)

        self.time(f"{name}_fwdbwd", work)

    def valid(self, batch, seq_len, divisor):
        """A padding mask, True = valid, as limbic's rows have it."""
        lens = torch.tensor([max(1, seq_len - row * seq_len // (divisor * batch)) for row in range(batch)])
        return (torch.arange(seq_len)[None, :] < lens[:, None]).to(self.device)

    def ids(self, count, below):
        return torch.tensor([(i * 2654435761 % 2**32) % below for i in range(count)], device=self.device)


def masked_mean(x, valid):
    return (x * valid[:, :, None]).sum(1) / valid.sum(1, keepdim=True).clamp(min=1)


def ops(bench):
    for n in (512, 1024, 2048, 4096):
        bench.forward(f"matmul_{n}", torch.matmul, (n, n), (n, n))
        if n < 4096:
            bench.forward(f"matmul_nt_{n}", lambda a, b: a @ b.T, (n, n), (n, n))
            bench.forward(f"matmul_tn_{n}", lambda a, b: a.T @ b, (n, n), (n, n))
    bench.forward("bmm_32x64x64x64", torch.bmm, (32, 64, 64), (32, 64, 64))
    linear = lambda x, w, b: F.gelu(F.linear(x, w, b))
    bench.trained("linear_gelu_2048x256x512", linear, (2048, 256), (512, 256), (512,))

    conv1d = lambda x, w: F.conv1d(x, w, padding=4, dilation=4)
    bench.trained("conv1d_dil4", conv1d, (8, 256, 200), (256, 256, 3))
    for name, x, w, options in (
        ("conv2d", (8, 64, 56, 56), (64, 64, 3, 3), dict(padding=1)),
        ("conv2d_1x1", (8, 256, 28, 28), (128, 256, 1, 1), dict()),
        ("conv2d_depthwise", (8, 64, 56, 56), (64, 1, 3, 3), dict(padding=1, groups=64)),
        ("conv2d_stride2", (8, 128, 28, 28), (128, 128, 3, 3), dict(padding=1, stride=2)),
    ):
        bench.trained(name, lambda x, w, options=options: F.conv2d(x, w, **options), x, w)
    bench.trained("conv3d", lambda x, w: F.conv3d(x, w, padding=1), (2, 64, 16, 28, 28), (64, 64, 3, 3, 3))

    image, clip = (8, 64, 112, 112), (2, 64, 16, 28, 28)
    bench.trained("maxpool2d", lambda x: F.max_pool2d(x, 3, 2, 1), image)
    bench.trained("avgpool2d", lambda x: F.avg_pool2d(x, 3, 2, 1), image)
    bench.trained("maxpool3d", lambda x: F.max_pool3d(x, 3, 1, 1), clip)
    bench.trained("avgpool3d", lambda x: F.avg_pool3d(x, 3, 1, 1), clip)

    for batch, heads, seq_len, dim in ((32, 4, 64, 64), (4, 8, 512, 64), (1, 8, 2048, 64)):
        keys = bench.valid(batch, seq_len, 2)[:, None, None, :]
        attention = lambda q, k, v, keys=keys: F.scaled_dot_product_attention(q, k, v, attn_mask=keys)
        bench.trained(f"attn_b{batch}h{heads}s{seq_len}d{dim}", attention, *[(batch, heads, seq_len, dim)] * 3)

    for name, layer in (("lstm", nn.LSTM), ("gru", nn.GRU)):
        layer = layer(128, 128, batch_first=True).to(bench.device)
        bench.trained(f"{name}_b32s64h128", lambda x, layer=layer: layer(x)[0], (32, 64, 128))

    for rows, columns in ((2048, 256), (8192, 1024)):
        norm = lambda x, w, b: F.layer_norm(x, x.shape[1:], w, b)
        bench.trained(f"layernorm_{rows}x{columns}", norm, (rows, columns), (columns,), (columns,))
    batch_norm = lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True)
    bench.trained("batchnorm_8x64x56x56", batch_norm, (8, 64, 56, 56), (64,), (64,))
    bench.trained("gelu_4M", F.gelu, (1 << 22,))
    bench.trained("dropout_4M", lambda x: F.dropout(x, 0.1), (1 << 22,))
    bench.forward("add_bias_2048x2048", torch.add, (2048, 2048), (2048,))

    valid = bench.valid(32, 64, 2).float()
    bench.trained("maskmeanpool_32x64x256", lambda x: masked_mean(x, valid), (32, 64, 256))
    bench.trained("softmax_2048x512", lambda x: torch.softmax(x, 1), (2048, 512))
    targets = bench.ids(2048, 512)
    bench.trained("cross_entropy_2048x512", lambda x: F.cross_entropy(x, targets), (2048, 512))
    bench.forward("column_sums_8192x1024", lambda x: x.sum(0), (8192, 1024))
    bench.forward("sum_8M", torch.sum, (8192, 1024))
    ids = bench.ids(2048, 8192).reshape(32, 64)
    bench.trained("embedding_8192x256_2048", lambda table: F.embedding(ids, table), (8192, 256))
    bench.forward("concat_3x32x64x256", lambda *parts: torch.cat(parts, 1), *[(32, 64, 256)] * 3)
    bench.forward("transpose_2048x2048", lambda x: x.T.contiguous(), (2048, 2048))

    if bench.wants("adamw_5.5M"):
        model = Sentiment().to(bench.device)
        for parameter in model.parameters():
            parameter.grad = torch.randn_like(parameter)
        bench.time("adamw_5.5M", torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=1e-2).step)


class Attention(nn.Module):
    def __init__(self, dim, heads, dropout):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query, self.key, self.value, self.out = (nn.Linear(dim, dim) for _ in range(4))

    def forward(self, x, context, valid):
        split = lambda x: x.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        q, k, v = split(self.query(x)), split(self.key(context)), split(self.value(context))
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=valid[:, None, None, :], dropout_p=dropout)
        return self.out(y.transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, dim, heads, inner, dropout):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = Attention(dim, heads, dropout)
        self.feed_forward1, self.feed_forward2 = nn.Linear(dim, inner), nn.Linear(inner, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, valid, context=None):
        query = self.norm1(x)
        x = x + self.dropout(self.attention(query, query if context is None else context, valid))
        hidden = self.dropout(F.gelu(self.feed_forward1(self.norm2(x))))
        return x + self.dropout(self.feed_forward2(hidden))


class Encoder(nn.Module):
    def __init__(self, inputs, dim, heads, inner, layers, dropout):
        super().__init__()
        self.projection, self.dropout = nn.Linear(inputs, dim), nn.Dropout(dropout)
        self.position = nn.Parameter(torch.randn(1, 64, dim) * 0.02)
        self.blocks = nn.ModuleList(Block(dim, heads, inner, dropout) for _ in range(layers))

    def forward(self, x, valid):
        x = self.dropout(self.projection(x) + self.position)
        for block in self.blocks:
            x = block(x, valid)
        return x


class Sentiment(nn.Module):
    """limbic's multimodal transformer over text, audio and video."""

    def __init__(
        self, dim=256, heads=4, inner=512, layers=2, fuse=2, dropout=0.1, bidirectional=False, attention_pool=False
    ):
        super().__init__()
        block = lambda: Block(dim, heads, inner, dropout)
        self.encoders = nn.ModuleList(Encoder(n, dim, heads, inner, layers, dropout) for n in (300, 74, 47))
        self.anchor_from = nn.ModuleList(nn.ModuleList([block(), block()]) for _ in range(fuse))
        back = range(fuse if bidirectional else 0)
        self.to_anchor = nn.ModuleList(nn.ModuleList([block(), block()]) for _ in back)
        pool = lambda: nn.Sequential(nn.Linear(dim, dim // 4), nn.Tanh(), nn.Linear(dim // 4, 1))
        self.pools = nn.ModuleList(pool() for _ in range(3 if attention_pool else 0))
        self.weight1, self.weight2, self.head = nn.Linear(dim, dim // 2), nn.Linear(dim // 2, 3), nn.Linear(dim, 1)
        self.dropout = nn.Dropout(dropout)

    def pool(self, index, x, valid):
        if not self.pools:
            return masked_mean(x, valid.float())
        scores = self.pools[index](x).masked_fill(~valid[:, :, None], -1e4)
        return (x * torch.softmax(scores, 1)).sum(1)

    def forward(self, features, valid):
        streams = [encoder(x, mask) for encoder, x, mask in zip(self.encoders, features, valid)]
        for index, blocks in enumerate(self.anchor_from):
            for other, block in enumerate(blocks, 1):
                streams[0] = block(streams[0], valid[other], streams[other])
            if self.to_anchor:
                for other, block in enumerate(self.to_anchor[index], 1):
                    streams[other] = block(streams[other], valid[0], streams[0])
        pooled = torch.stack([self.pool(i, x, mask) for i, (x, mask) in enumerate(zip(streams, valid))], 1)
        weights = torch.softmax(self.weight2(self.dropout(F.relu(self.weight1(pooled.mean(1))))), 1)
        return self.head((pooled * weights[:, :, None]).sum(1))


class Bottleneck(nn.Module):
    def __init__(self, width, filters, stride, downsample):
        super().__init__()
        self.convs = nn.ModuleList(
            [
                conv_norm(width, filters, 1, 1),
                conv_norm(filters, filters, 3, stride),
                conv_norm(filters, 4 * filters, 1, 1),
            ]
        )
        self.downsample = conv_norm(width, 4 * filters, 1, stride) if downsample else nn.Identity()

    def forward(self, x):
        first, second, third = self.convs
        return F.relu(third(F.relu(second(F.relu(first(x))))) + self.downsample(x))


def conv_norm(inputs, outputs, kernel, stride):
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


def resnet50():
    """Without its classifier: 2048 features."""
    blocks, width = [], 64
    for layer, (filters, count) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3))):
        for block in range(count):
            blocks.append(Bottleneck(width, filters, 2 if block == 0 and layer > 0 else 1, block == 0))
            width = 4 * filters
    stem = [conv_norm(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    return nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())


class Same(nn.Module):
    """Pads as TensorFlow does, with zeros, then `layer`."""

    def __init__(self, layer, kernel, stride):
        super().__init__()
        self.layer, self.kernel, self.stride = layer, kernel, stride

    def forward(self, x):
        sides = []
        for size, kernel, stride in zip(x.shape[2:], self.kernel, self.stride):
            whole = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
            sides = [whole // 2, whole - whole // 2] + sides
        return self.layer(F.pad(x, sides))


def unit(inputs, outputs, kernel, stride=1):
    conv = Same(nn.Conv3d(inputs, outputs, kernel, stride, bias=False), [kernel] * 3, [stride] * 3)
    return nn.Sequential(conv, nn.BatchNorm3d(outputs, eps=1e-3, momentum=0.01), nn.ReLU())


def pool(kernel, stride):
    return Same(nn.MaxPool3d(kernel, stride), kernel, stride)


class Inception(nn.Module):
    def __init__(self, inputs, w0, w1a, w1b, w2a, w2b, w3):
        super().__init__()
        self.branches = nn.ModuleList(
            [
                unit(inputs, w0, 1),
                nn.Sequential(unit(inputs, w1a, 1), unit(w1a, w1b, 3)),
                nn.Sequential(unit(inputs, w2a, 1), unit(w2a, w2b, 3)),
                nn.Sequential(pool([3] * 3, [1] * 3), unit(inputs, w3, 1)),
            ]
        )

    def forward(self, x):
        return torch.cat([branch(x) for branch in self.branches], 1)


def i3d():
    """Over optical flow: 1024 features."""
    image = lambda: pool([1, 3, 3], [1, 2, 2])
    layers = [unit(2, 64, 7, 2), image(), unit(64, 64, 1), unit(64, 192, 3), image()]
    width = 192
    for stage in (
        (64, 96, 128, 16, 32, 32),
        (128, 128, 192, 32, 96, 64),
        3,
        (192, 96, 208, 16, 48, 64),
        (160, 112, 224, 24, 64, 64),
        (128, 128, 256, 24, 64, 64),
        (112, 144, 288, 32, 64, 64),
        (256, 160, 320, 32, 128, 128),
        2,
        (256, 160, 320, 32, 128, 128),
        (384, 192, 384, 48, 128, 128),
    ):
        if isinstance(stage, int):
            layers.append(pool([stage] * 3, [2] * 3))
        else:
            layers.append(Inception(width, *stage))
            width = stage[0] + stage[2] + stage[4] + stage[5]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Dropout(0.5))


def infer(bench, name, model, *inputs):
    if not bench.wants(name):
        return
    model = model().to(bench.device).eval()
    forward = torch.compile(model) if bench.options.compile else model

    def work():
        with torch.no_grad():
            forward(*inputs).cpu()

    bench.time(name, work)


def train(bench, name, model, target, *inputs):
    """AdamW with clipping by the global norm on the mean squared error; the loss comes back."""
    if not bench.wants(name):
        return
    model = model().to(bench.device).train()
    forward = torch.compile(model) if bench.options.compile else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, eps=1e-8, weight_decay=1e-2)
    target = bench.random(*target)

    def work():
        optimizer.zero_grad(set_to_none=True)
        loss = F.mse_loss(forward(*inputs), target)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        loss.item()

    bench.time(name, work)


def models(bench):
    def batch(clips):
        features = [bench.random(clips, 64, dim) for dim in (300, 74, 47)]
        return features, [bench.valid(clips, 64, divisor) for divisor in (2, 3, 4)]

    for name, sizes in PRESETS.items():
        model = lambda sizes=sizes: Sentiment(**sizes)
        for clips in (1, 32):
            infer(bench, f"{name}_infer_b{clips}", model, *batch(clips))
        train(bench, f"{name}_train_b32", model, (32, 1), *batch(32))
    train(bench, "msa_default_train_b32_dropout0", lambda: Sentiment(dropout=0.0), (32, 1), *batch(32))
    infer(bench, "resnet50_infer_b1", resnet50, bench.random(1, 3, 224, 224))
    train(bench, "resnet50_train_b2", resnet50, (2, 2048), bench.random(2, 3, 224, 224))
    infer(bench, "i3d_infer_b1_16x224", i3d, bench.random(1, 2, 16, 224, 224))
    train(bench, "i3d_train_b1_16x112", i3d, (1, 1024), bench.random(1, 2, 16, 112, 112))


def check():
    """The models are limbic's: as many parameters."""
    count = lambda model: sum(parameter.numel() for parameter in model.parameters())
    for name, model, parameters in (("ResNet-50", resnet50, 23_508_032), ("I3D", i3d, 12_265_312)):
        assert count(model()) == parameters, f"{name} has {count(model())} parameters, limbic's {parameters}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--only", default="", help="only rows whose name contains one of these, separated by commas")
    parser.add_argument("--quick", action="store_true", help="three runs a row")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of the processor")
    options = parser.parse_args()
    options.compile = False
    torch.manual_seed(0)
    torch.set_num_threads(options.threads)
    check()
    bench = Bench(options)
    settings = [("", False, False)]
    if bench.gpu:
        settings = [("", False, False), ("-tf32", True, False), ("-compile", False, True), ("-compile-tf32", True, True)]
    for ending, tf32, options.compile in settings:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
        bench.lib = f"torch-{options.device}{ending}"
        # single ops compile to themselves
        if not options.compile:
            ops(bench)
        models(bench)


if __name__ == "__main__":
    main()
