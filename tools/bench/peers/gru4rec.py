"""GRU4Rec (Hidasi et al. 2016, section 3.1): one recurrent layer, reset after the product, keep gate, no biases; a linear
map to the embedding's width; next item by softmax over the whole catalogue or, if negatives > 0, over items drawn once for all positions."""
import torch
import torch.nn.functional as F

from .common import dropout, fast_dropout, mean_nll, place


class Gru4Rec:
    optimizer, clip = (torch.optim.Adam, 0.999), None

    def __init__(self, weights, style, p, negatives=0):
        self.w, self.style, self.p, self.negatives = weights, style, p, negatives
        self.tuned = style != "reference"

    def steps(self, x):
        """Position by position, a product per gate."""
        w = {k[len("gru.0."):]: t for k, t in self.w.items() if k.startswith("gru.0.")}
        h = x.new_zeros(x.shape[0], w["Uz"].shape[0])
        out = []
        for i in range(x.shape[1]):
            e = x[:, i]
            z = torch.sigmoid(e @ w["Wz"] + h @ w["Uz"])
            r = torch.sigmoid(e @ w["Wr"] + h @ w["Ur"])
            n = torch.tanh(e @ w["Wn"] + r * (h @ w["Un"]))
            h = z * h + (1 - z) * n
            out.append(h)
        return torch.stack(out, 1)

    def recurrent(self, x):
        """The framework's own layer: gates r, z, n one above the other, input products of all positions at once."""
        w_in = torch.cat([self.w["gru.0." + k].t() for k in ("Wr", "Wz", "Wn")])
        w_rec = torch.cat([self.w["gru.0." + k].t() for k in ("Ur", "Uz", "Un")])
        h0 = x.new_zeros(1, x.shape[0], w_rec.shape[1])
        return torch._VF.gru(x, h0, (w_in, w_rec), False, 1, 0.0, torch.is_grad_enabled(), False, True)[0]

    def encode(self, batch, p):
        x = (fast_dropout if self.tuned else dropout)(F.embedding(batch.item, self.w["emb"]), p)
        h = self.recurrent(x) if self.tuned else self.steps(x)
        return h @ self.w["Wo"] + self.w["bo"]

    def loss(self, batch):
        out, nxt, valid = self.encode(batch, self.p), batch.nxt, batch.valid
        if self.style == "packed":
            out, nxt = out[valid], nxt[valid]
        out, nxt, emb = out.reshape(-1, out.shape[-1]), nxt.reshape(-1), self.w["emb"]
        if self.negatives > 0 or batch.neg is not None:
            neg = torch.randint(emb.shape[0], (self.negatives,)) if batch.neg is None else batch.neg.to(torch.int64)
            hit = (out * F.embedding(nxt, emb)).sum(1, keepdim=True)
            miss = (out @ F.embedding(neg, emb).t()).masked_fill(neg[None, :] == nxt[:, None], -5e4)
            nll = torch.logsumexp(torch.cat([hit, miss], 1), 1) - hit[:, 0]
        else:
            nll = F.cross_entropy(out @ emb.t(), nxt, reduction="none")
        return mean_nll(nll, valid, self.style)

    def infer(self, batch):
        x = self.encode(batch, 0)
        return place(x[torch.arange(x.shape[0]), batch.last] @ self.w["emb"].t(), batch)
