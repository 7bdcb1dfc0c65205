"""Trains an interaction model of ctr.py on what `heddle train --record` wrote (initial weights, then every batch), prints
the loss of every step, and then AUC and log-loss on the test part of a data set.

    python3 tests/peer/ctr_train.py MODEL RECORD_DIR DATA_DIR [--lam L] [--lr 1e-3] [--form F] [--scale S]

No dropout. The data set is read column by column, without Heddle."""
import argparse
import json
import math
import pathlib
import sys

import numpy as np
import torch
import torch.nn.functional as F

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent / "tools" / "bench")]
import ctr
from peers.common import load


class Data:
    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.schema = json.loads((self.path / "schema.json").read_text())
        sizes = {v["name"]: v["size"] for v in self.schema["vocabularies"]}
        columns = {(c["table"], c["name"]): c for c in self.schema["columns"]}
        self.fields = [f["column"] for f in self.schema["fields"]["cat"]]
        self.sizes = [sizes[columns["row", name]["vocab"]] for name in self.fields]

    def column(self, name, dtype):
        suffix = {np.int32: "i32", np.float32: "f32"}[dtype]
        return np.fromfile(self.path / "columns" / f"row.{name}.{suffix}", dtype)

    def test(self):
        """Rows of the test part: ids of the fields, labels."""
        chosen = self.column("part", np.int32) == 2
        ids = np.stack([self.column(f, np.int32)[chosen] for f in self.fields], 1)
        return torch.from_numpy(ids.astype(np.int64)), torch.from_numpy((self.column("lab", np.float32)[chosen] > 0).astype(np.float32))


def auc(score, label):
    """Area under the ROC curve; a tie counts one half."""
    score, label = score.double().numpy(), label.numpy() > 0.5
    order = np.argsort(score, kind="stable")
    ordered = score[order]
    first = np.searchsorted(ordered, ordered, "left")
    last = np.searchsorted(ordered, ordered, "right")
    rank = np.empty(len(score))
    rank[order] = (first + last + 1) / 2
    positives = int(label.sum())
    return (rank[label].sum() - positives * (positives + 1) / 2) / (positives * (len(label) - positives))


def main():
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument("model", choices=ctr.MODELS)
    a.add_argument("record", type=pathlib.Path)
    a.add_argument("data")
    a.add_argument("--lam", type=float, default=0)
    a.add_argument("--lr", type=float, default=1e-3)
    a.add_argument("--scale", type=float, default=1)
    a.add_argument("--threads", type=int, default=1)
    args = a.parse_args()
    torch.set_num_threads(args.threads)
    data = Data(args.data)
    loaded = load(args.record / "weights.safetensors")
    precision = next(t.dtype for t in loaded.values() if t.is_floating_point())
    states = {k: t for k, t in loaded.items() if k.rsplit(".", 1)[-1] in ("mu", "var")}
    w = {k: t.requires_grad_() for k, t in loaded.items() if k not in states}
    optimizer = torch.optim.Adam(w.values(), lr=args.lr)

    def net(x, training):
        x = {k: t.to(precision) if t.is_floating_point() else t.long() for k, t in x.items()}
        return ctr.Net(w, x, data.sizes, training, states, scale=args.scale)

    for path in sorted(args.record.glob("batch-*.safetensors")):
        n = net(load(path), True)
        loss, _ = ctr.losses(n, ctr.MODELS[args.model](n), args.lam)
        optimizer.zero_grad()
        loss.backward()
        norm = torch.stack([t.grad.norm() for t in w.values()]).norm()  # clip_grad_norm_ adds 1e-6 to it
        for t in w.values():
            t.grad *= torch.clamp(10 / norm, max=1)
        optimizer.step()
        print(f"loss {loss.item():.9g}", flush=True)
    ids, label = data.test()
    with torch.no_grad():
        logit = torch.cat([ctr.MODELS[args.model](net({"fv": part}, False)) for part in ids.split(4096)])
    logloss = F.binary_cross_entropy_with_logits(logit.double(), label.double()).item()
    print(f"auc {auc(logit, label):.9g}\nlogloss {logloss:.9g}")
    return 0 if math.isfinite(logloss) else 1


if __name__ == "__main__":
    sys.exit(main())
