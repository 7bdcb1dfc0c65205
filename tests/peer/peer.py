"""Independent PyTorch programs for FuXi-alpha, HSTU and SASRec: they read what `heddle train --record` wrote (initial
weights, then each batch with its negatives), train without dropout, and print one loss per step.

    python3 tests/peer/peer.py MODEL RECORD_DIR [--lr 1e-3] [--beta2 0.98]

Written from the papers' equations; shares nothing with Heddle's front end. Batches are padded, as frameworks do."""
import argparse
import json
import math
import pathlib
import struct
import sys

import numpy as np
import torch

DTYPES = {"F32": np.float32, "F64": np.float64, "I64": np.int64, "I32": np.int32, "U8": np.uint8, "BOOL": np.bool_}


def load(path):
    raw = pathlib.Path(path).read_bytes()
    (n,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8:8 + n])
    out = {}
    for name, t in header.items():
        if name != "__metadata__":
            a, b = t["data_offsets"]
            data = np.frombuffer(raw[8 + n + a:8 + n + b], DTYPES[t["dtype"]]).reshape(t["shape"])
            out[name] = torch.from_numpy(data.copy())
    return out


def rms(x, dims=(-1,), eps=1e-6):
    return x * torch.rsqrt((x * x).mean(dims, keepdim=True) + eps)


def layer_norm(x, dims=(-1,), eps=1e-6):
    x = x - x.mean(dims, keepdim=True)
    return x * torch.rsqrt((x * x).mean(dims, keepdim=True) + eps)


def bucket(dt):
    x = torch.clamp(dt.abs(), min=1).to(torch.float32)
    return torch.clamp(torch.trunc(torch.log(x) / 0.301).to(torch.int64), 0, 128)


def silu(x):
    return x * torch.sigmoid(x)


class Padded:
    """A recorded batch as padded arrays: item, ts and the time of the next event are (B, n)."""

    def __init__(self, batch):
        off = batch["T.offsets"].tolist()
        self.lengths = [b - a for a, b in zip(off, off[1:])]
        n, size = max(self.lengths), len(self.lengths)
        self.valid = torch.zeros(size, n, dtype=torch.bool)
        self.item = torch.zeros(size, n, dtype=torch.int64)
        self.ts = torch.zeros(size, n + 1, dtype=torch.int64)
        self.nxt = torch.zeros(size, n, dtype=torch.int64)
        self.neg = torch.zeros(size, n, batch["neg"].shape[1], dtype=torch.int64)
        for b, (start, length) in enumerate(zip(off, self.lengths)):
            rows = slice(start, start + length)
            self.valid[b, :length] = True
            self.item[b, :length] = batch["item"][rows]
            self.nxt[b, :length - 1] = batch["item"][rows][1:]
            self.nxt[b, length - 1] = batch["target"][b]
            self.neg[b, :length] = batch["neg"][rows]
            if "ts" in batch:
                self.ts[b, :length] = batch["ts"][rows]
                self.ts[b, length] = batch["now"][b]
        n_range = torch.arange(n)
        self.causal = n_range[None, :] <= n_range[:, None]
        self.shift = n_range[None, :] - n_range[:, None]
        self.buckets = bucket(self.ts[:, 1:, None] - self.ts[:, None, :-1])


def fuxi_block(w, pre, x, b, size):
    p = lambda name: w[pre + name]
    n = rms(x)
    q = silu(torch.einsum("bid,dhe->bihe", n, p("Wq")))
    k = silu(torch.einsum("bid,dhe->bihe", n, p("Wk")))
    v = silu(torch.einsum("bid,dhf->bihf", n, p("Wv")))
    u = silu(torch.einsum("bid,dhcf->bihcf", n, p("Wu")))
    sem = silu(torch.einsum("bihe,bjhe->bhij", q, k)) / size
    pos = p("w_pos")[size - 1 + b.shift]
    time = p("w_time")[b.buckets]
    mask = b.causal.to(x.dtype)
    o = torch.stack([torch.einsum("ij,bjhf->bihf", pos * mask, v),
                     torch.einsum("bij,bjhf->bihf", time * mask, v),
                     torch.einsum("bhij,bjhf->bihf", sem * mask, v)], dim=3)
    z = u * rms(o, (-3, -2, -1))
    m = x + p("b0") + torch.einsum("bihcf,hcfd->bid", z, p("W0"))
    g = rms(m)
    return m + (silu(g @ p("W1")) * (g @ p("W3"))) @ p("W2")


def hstu_block(w, pre, x, b, size):
    p = lambda name: w[pre + name]
    n = layer_norm(x)
    u = silu(torch.einsum("bid,dhf->bihf", n, p("Wu")))
    v = silu(torch.einsum("bid,dhf->bihf", n, p("Wv")))
    q = silu(torch.einsum("bid,dhe->bihe", n, p("Wq")))
    k = silu(torch.einsum("bid,dhe->bihe", n, p("Wk")))
    s = torch.einsum("bihe,bjhe->bhij", q, k) + (p("w_pos")[size - 1 + b.shift] + p("w_time")[b.buckets])[:, None]
    a = silu(s) / size * b.causal.to(x.dtype)
    o = torch.einsum("bhij,bjhf->bihf", a, v)
    return x + p("bo") + torch.einsum("bihf,hfd->bid", u * layer_norm(o, (-2, -1)), p("Wo"))


def sasrec_block(w, pre, x, b, size):
    p = lambda name: w[pre + name]
    n = layer_norm(x, eps=1e-8)
    q = torch.einsum("bid,dhe->bihe", n, p("Wq")) + p("bq")
    k = torch.einsum("bid,dhe->bihe", x, p("Wk")) + p("bk")
    v = torch.einsum("bid,dhe->bihe", x, p("Wv")) + p("bv")
    s = torch.einsum("bihe,bjhe->bhij", q, k) / math.sqrt(q.shape[-1])
    a = torch.softmax(s.masked_fill(~b.causal, -math.inf), dim=-1)
    o = torch.einsum("bhij,bjhe->bihe", a, v)
    h = layer_norm(n + p("bp") + torch.einsum("bihe,hed->bid", o, p("Wp")), eps=1e-8)
    return h + torch.relu(h @ p("W1") + p("b1")) @ p("W2") + p("b2")


BLOCKS = {"fuxi_alpha": fuxi_block, "hstu": hstu_block, "sasrec": sasrec_block}


def loss_of(model, w, batch, tau=0.05):
    b = Padded(batch)
    size, width = w["pe"].shape
    x = math.sqrt(width) * w["emb"][b.item] + w["pe"][:b.item.shape[1]]
    layer = 0
    while any(name.startswith(f"layer.{layer}.") for name in w):
        x = BLOCKS[model](w, f"layer.{layer}.", x, b, size)
        layer += 1
    unit = lambda t: t / torch.clamp(t.norm(dim=-1, keepdim=True), min=1e-6)
    out, cat = unit(x), unit(w["emb"])
    hit = (out * cat[b.nxt]).sum(-1, keepdim=True) / tau
    miss = torch.einsum("bid,bimd->bim", out, cat[b.neg]) / tau
    miss = miss.masked_fill(b.neg == b.nxt[..., None], -math.inf)
    nll = torch.logsumexp(torch.cat([hit, miss], -1), -1) - hit[..., 0]
    return nll[b.valid].mean()


def main():
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument("model", choices=BLOCKS)
    a.add_argument("record")
    a.add_argument("--lr", type=float, default=1e-3)
    a.add_argument("--beta2", type=float, default=0.98)
    args = a.parse_args()
    record = pathlib.Path(args.record)
    w = {k: t.requires_grad_() for k, t in load(record / "weights.safetensors").items()}
    opt = torch.optim.AdamW(w.values(), lr=args.lr, betas=(0.9, args.beta2), eps=1e-8, weight_decay=0)
    for path in sorted(record.glob("batch-*.safetensors")):
        opt.zero_grad()
        loss = loss_of(args.model, w, load(path))
        loss.backward()
        opt.step()
        print(f"{loss.item():.9g}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
