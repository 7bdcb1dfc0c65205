"""What the peers share: recorded files, padded batches, norms, the sampled loss, the ranking step.

Every model comes in two styles of the same mathematics.

  reference  moves data as the published code does: buckets of all (i, j) in every layer, the item table normalised at
             every use, one small product per projection and per head
  tuned      what can be had without a kernel of one's own: buckets once per batch, the item table normalised once, one
             gather for all candidates, projections in one product, masks inside tables, cheap random masks
"""
import json
import math
import pathlib
import struct

import numpy as np
import torch
import torch.nn.functional as F

DTYPES = {"F32": np.float32, "F64": np.float64, "I64": np.int64, "I32": np.int32, "U8": np.uint8, "BOOL": np.bool_}
MODERN = int(torch.__version__.split(".")[0]) >= 2


def load(path):
    """The tensors of a safetensors file, by name."""
    raw = pathlib.Path(path).read_bytes()
    (n,) = struct.unpack("<Q", raw[:8])
    out = {}
    for name, t in json.loads(raw[8:8 + n]).items():
        if name != "__metadata__":
            a, b = t["data_offsets"]
            data = np.frombuffer(raw[8 + n + a:8 + n + b], DTYPES[t["dtype"]]).reshape(t["shape"])
            out[name] = torch.from_numpy(data.copy())
    return out


# ---- norms, activations -----------------------------------------------------------------------------------------

def rms(x, dims=(-1,), eps=1e-6):
    return x * torch.rsqrt((x * x).mean(dims, keepdim=True) + eps)


def layer_norm(x, dims=(-1,), eps=1e-6):
    x = x - x.mean(dims, keepdim=True)
    return x * torch.rsqrt((x * x).mean(dims, keepdim=True) + eps)


def unit(x):
    return x / torch.clamp(x.norm(dim=-1, keepdim=True), min=1e-6)


def fast_rms(x, eps=1e-6):
    """Over the last dimension, through the framework's own operator where it has one."""
    return F.rms_norm(x, x.shape[-1:], eps=eps) if hasattr(F, "rms_norm") else rms(x, eps=eps)


def fast_layer_norm(x, eps=1e-6):
    return F.layer_norm(x, x.shape[-1:], eps=eps)


def dropout(x, p):
    return F.dropout(x, p) if p > 0 else x


def fast_dropout(x, p):
    """A uniform draw and a comparison: eager Bernoulli draws of a CPU cost three times as much."""
    if p == 0 or torch.jit.is_scripting() or compiling():
        return dropout(x, p)
    return x * (torch.rand_like(x) >= p).to(x.dtype).mul_(1 / (1 - p))


def compiling():
    return hasattr(torch, "compiler") and torch.compiler.is_compiling()


def rows_of(table, index):
    """table[index], by the operator whose gradient is the faster one in this version."""
    if MODERN:
        return table.index_select(0, index.reshape(-1)).view(*index.shape, table.shape[1])
    return F.embedding(index, table)


def bucket(dt):
    x = torch.clamp(dt.abs(), min=1).to(torch.float32)
    return torch.clamp(torch.trunc(torch.log(x) / 0.301).to(torch.int64), 0, 128)


# ---- batches of sequences ---------------------------------------------------------------------------------------

class Batch:
    """Rows padded to the longest: item, nxt (B, n); ts (B, n + 1) with the time of the next event behind each row's end;
    valid (B, n); last (B,) the last position of each row; neg (B, n, M), or (M,) if all positions share them, where a
    recording gives the negatives."""

    def __init__(self, lengths, item, target, ts=None, now=None, neg=None):
        n, size = max(lengths), len(lengths)
        starts = np.cumsum([0] + list(lengths))
        self.lengths = list(lengths)
        self.valid = torch.arange(n)[None, :] < torch.tensor(lengths)[:, None]
        self.last = torch.tensor(lengths) - 1
        self.item = torch.zeros(size, n, dtype=torch.int64)
        self.ts = torch.zeros(size, n + 1, dtype=torch.int64)
        self.nxt = torch.zeros(size, n, dtype=torch.int64)
        self.target = target
        self.neg = torch.zeros(size, n, neg.shape[1], dtype=torch.int64) if neg is not None and neg.dim() > 1 else neg
        for b, length in enumerate(lengths):
            rows = slice(starts[b], starts[b] + length)
            self.item[b, :length] = item[rows]
            self.nxt[b, :length - 1] = item[rows][1:]
            self.nxt[b, length - 1] = target[b]
            if neg is not None and neg.dim() > 1:
                self.neg[b, :length] = neg[rows]
            if ts is not None:
                self.ts[b, :length] = ts[rows]
                self.ts[b, length] = now[b]

    @staticmethod
    def recorded(path):
        t = load(path)
        off = t["T.offsets"].tolist()
        return Batch([b - a for a, b in zip(off, off[1:])], t["item"], t["target"], t.get("ts"), t.get("now"), t.get("neg"))

    @staticmethod
    def generated(lengths, items, seed=1):
        """Uniform items; gaps between events with a heavy tail, a day on average."""
        g = torch.Generator().manual_seed(seed)
        rows = sum(lengths)
        gaps = (torch.rand(rows + len(lengths), generator=g).pow(3) * 4 * 86400).to(torch.int64)
        times = 10 ** 9 + torch.cumsum(gaps, 0)
        now = times[torch.tensor(np.cumsum(lengths))]
        return Batch(lengths, torch.randint(items, (rows,), generator=g), torch.randint(items, (len(lengths),), generator=g),
                     times[:rows], now)


class Context:
    """What a forward pass knows besides the weights: the batch, masks, the divisor, the dropout probability. Built in
    every step, so that what it computes is counted."""

    def __init__(self, batch, size, p, style):
        n = batch.item.shape[1]
        self.batch, self.size, self.p, self.n = batch, size, p, n
        at = torch.arange(n)
        self.shift = at[None, :] - at[:, None]
        self.causal = self.shift <= 0
        self.mask = self.causal.to(torch.float32)
        self.tuned = style != "reference"
        self.drop = fast_dropout if self.tuned else dropout
        self.flat = None

    def gaps(self):
        return self.batch.ts[:, 1:, None] - self.batch.ts[:, None, :-1]

    # Tuned: one more table entry, which is 0, stands for j > i; so the gathered weights need no mask.

    def time_index(self):
        if self.flat is None:
            self.flat = bucket(self.gaps()).masked_fill_(~self.causal, 129).view(-1)
        return self.flat

    def time_weights(self, w_time):
        table = torch.cat([w_time, w_time.new_zeros(1)])
        return table.index_select(0, self.time_index()).view(-1, self.n, self.n)

    def position_weights(self, w_pos):
        """(n, n), entry (i, j) = w_pos[N - 1 + j - i] for j <= i, else 0."""
        row = torch.cat([w_pos[self.size - self.n:self.size], w_pos.new_zeros(self.n)])
        at = torch.clamp(self.shift + self.n - 1, 0, 2 * self.n - 1).masked_fill_(~self.causal, 2 * self.n - 1)
        return row.index_select(0, at.view(-1)).view(self.n, self.n)


# ---- the loss of the sequence models, and ranking ---------------------------------------------------------------

def mean_nll(nll, valid, style):
    """Mean over the positions that exist; style `packed` has no others."""
    if style == "packed":
        return nll.mean()
    weight = valid.reshape(-1).to(nll.dtype)
    return (nll * weight).sum() / weight.sum()


def sampled_loss(emb, out, batch, negatives, style, tau):
    """Sampled softmax of cosines at every position. Rows of padding take part in all of it but the mean; style `packed`
    leaves them out first."""
    nxt, neg, valid = batch.nxt, batch.neg, batch.valid
    if style == "packed":
        out, nxt, neg = out[valid], nxt[valid], None if neg is None else neg[valid]
    out, nxt = out.reshape(-1, out.shape[-1]), nxt.reshape(-1)
    if neg is None:
        neg = torch.randint(emb.shape[0], (nxt.shape[0], negatives))
    neg = neg.reshape(nxt.shape[0], -1)
    if style == "reference":
        out = unit(out)
        hit = torch.bmm(unit(emb[nxt])[:, None, :], out[:, :, None])[:, :, 0] / tau
        miss = torch.bmm(unit(emb[neg]), out[:, :, None])[:, :, 0] / tau
        miss = torch.where(neg == nxt[:, None], torch.full_like(miss, -5e4), miss)
        nll = -F.log_softmax(torch.cat([hit, miss], 1), dim=1)[:, 0]
    else:
        cat = unit(emb)
        index = torch.cat([nxt[:, None], neg], 1)
        same = torch.cat([torch.zeros_like(nxt[:, None], dtype=torch.bool), neg == nxt[:, None]], 1)
        s = torch.bmm(rows_of(cat, index), (unit(out) / tau)[:, :, None])[:, :, 0].masked_fill(same, -5e4)
        nll = torch.logsumexp(s, 1) - s[:, 0]
    return mean_nll(nll, valid, style)


def place(score, batch):
    """Rank of each target among the items not in its row's history."""
    score = score.scatter(1, torch.where(batch.valid, batch.item, batch.item[:, :1]), -math.inf)
    own = score.gather(1, batch.target[:, None])
    return 1 + (score > own).sum(1)
