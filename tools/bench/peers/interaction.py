"""DeepFM (Guo et al. 2017) and DCN V2 (Wang et al. 2021, eq. 1, parallel structure) as BARS sets them: batch norm, dropout,
a penalty on the whole tables, gradients clipped by their norm. Weights have the names and shapes of the specs' params;
the tables of all fields are one, in field order. Reference style keeps a table per field and looks each up by itself."""
import numpy as np
import torch
import torch.nn.functional as F

from .common import dropout, fast_dropout, load


class Rows:
    """fv (B, fields) ids within their field, lab (B,)."""

    def __init__(self, fv, lab):
        self.fv, self.lab = fv.to(torch.int64), lab.to(torch.float32)

    @staticmethod
    def recorded(path):
        t = load(path)
        return Rows(t["fv"], t["lab"])

    @staticmethod
    def generated(batch, sizes, seed=1):
        g = torch.Generator().manual_seed(seed)
        fv = torch.stack([torch.randint(n, (batch,), generator=g) for n in sizes], 1)
        return Rows(fv, torch.randint(2, (batch,), generator=g))


class Interaction:
    optimizer, clip = (torch.optim.Adam, 0.999), 10

    def __init__(self, model, weights, style, p, sizes, lam):
        self.model, self.w, self.style, self.p, self.lam, self.sizes = model, weights, style, p, lam, list(sizes)
        self.tuned = style != "reference"
        self.first = torch.tensor(np.concatenate([[0], np.cumsum(sizes)[:-1]]))
        self.drop = fast_dropout if self.tuned else dropout
        prefix = "mlp.0.hidden." if model == "deepfm" else "mlp."
        self.hidden = []
        while f"{prefix}{len(self.hidden)}.linear.0.W" in weights:
            self.hidden.append(f"{prefix}{len(self.hidden)}.")
        self.running = {h: (torch.zeros_like(weights[h + "linear.0.b"]), torch.ones_like(weights[h + "linear.0.b"]))
                        for h in self.hidden}

    def rows(self, table, fv):
        """(B, fields, ...) of a table over all fields."""
        if self.tuned:
            return F.embedding(fv + self.first, table)
        parts = table.split(self.sizes)
        return torch.stack([F.embedding(fv[:, f], part) for f, part in enumerate(parts)], 1)

    def perceptron(self, x, training):
        for h in self.hidden:
            mean, var = self.running[h]
            x = torch.addmm(self.w[h + "linear.0.b"], x, self.w[h + "linear.0.W"].reshape(x.shape[1], -1))
            x = F.batch_norm(x, mean, var, self.w[h + "bn.0.gain"], self.w[h + "bn.0.bias"], training)
            x = torch.relu(x)
            x = self.drop(x, self.p) if training else x
        return x

    def logit(self, batch, training):
        w, e = self.w, self.rows(self.w["emb"], batch.fv)
        flat = e.flatten(1)
        h = self.perceptron(flat, training)
        if self.model == "deepfm":
            linear = self.rows(w["lin"][:, None], batch.fv)[:, :, 0].sum(1)
            total = e.sum(1)
            pairs = 0.5 * ((total * total).sum(1) - (e * e).sum((1, 2)))
            return linear + pairs + (h @ w["mlp.0.out.0.W"])[:, 0] + w["mlp.0.out.0.b"]
        x, layer = flat, 0
        while f"cross.{layer}.Wc" in w:
            wide = flat.shape[1]
            x = x + flat * torch.addmm(w[f"cross.{layer}.b"].reshape(wide), x, w[f"cross.{layer}.Wc"].reshape(wide, wide))
            layer += 1
        return w["out.0.b"] + (x @ w["out.0.Wx"].reshape(-1, 1) + h @ w["out.0.Wh"].reshape(-1, 1))[:, 0]

    def loss(self, batch):
        tables = [self.w[name] for name in ("lin", "emb") if name in self.w]
        if self.tuned:
            penalty = sum(torch.dot(t.flatten(), t.flatten()) for t in tables)
        else:
            penalty = sum(part.pow(2).sum() for t in tables for part in t.split(self.sizes))
        bce = F.binary_cross_entropy_with_logits(self.logit(batch, True), batch.lab)
        return bce + 0.5 * self.lam * penalty

    def infer(self, batch):
        return torch.sigmoid(self.logit(batch, False))
