"""Interaction models in PyTorch, written from the papers' equations; nothing here reads a spec.

A model is a function of params by name and a batch: logit(net) with

    net.w[NAME]     a param, named by its path in Heddle (mlp.0.hidden.1.linear.0.W)
    net.x[NAME]     an input of the batch
    net.sizes       entries of each categorical field
    net.h           settings, where a model has several forms
    net.training    batch norm by the batch's statistics, and net.state moves; else by net.state

Matrices are stored [in, out], fields' tables one under another. tests/models/reference_ctr.py stores values of these
functions, tests/peer/ctr_train.py trains them beside `heddle train`."""

import torch
import torch.nn.functional as F


class Net:
    def __init__(self, w, x, sizes=(), training=True, state=None, **h):
        self.w, self.x, self.sizes, self.h = w, x, list(sizes), h
        self.training, self.state = training, {} if state is None else state

    def rows(self):
        offsets = torch.tensor([sum(self.sizes[:f]) for f in range(len(self.sizes))])
        return self.x["fv"] + offsets

    def embed(self):  # (B, F, D)
        return self.w["emb"][self.rows()]

    def linear_terms(self):
        return self.w["lin"][self.rows()].sum(1)

    def count(self, form):
        n = 0
        while form.format(n) in self.w:
            n += 1
        return n


def dense(net, at, x):
    w = net.w[at + ".W"]
    return x.reshape(len(x), -1) @ w.reshape(-1, w.shape[-1]) + net.w[at + ".b"]


def standardise(net, at, x, eps=1e-5, mom=0.1):
    """F.batch_norm without gain and bias over the rows of x (N, K)."""
    k = x.shape[1]
    mean = net.state.setdefault(at + ".mu", torch.zeros(k, dtype=x.dtype))
    var = net.state.setdefault(at + ".var", torch.ones(k, dtype=x.dtype))
    if net.training and len(x) == 1:  # torch refuses one row
        return (x - x.mean(0)) / eps**0.5
    return F.batch_norm(x, mean, var, training=net.training, momentum=mom, eps=eps)


def batch_norm(net, at, x):
    return standardise(net, at + ".stats.0", x) * net.w[at + ".gain"] + net.w[at + ".bias"]


def flat_norm(net, at, x):
    """batch_norm of each cell of x (N, ...)."""
    n = standardise(net, at + ".stats.0", x.flatten(1))
    return (n * net.w[at + ".gain"].flatten() + net.w[at + ".bias"].flatten()).reshape(x.shape)


def hidden(net, at, x):
    x = dense(net, at + ".linear.0", x)
    if at + ".bn.0.gain" in net.w:
        x = batch_norm(net, at + ".bn.0", x)
    return F.relu(x)


def tower(net, form, x):
    for k in range(net.count(form + ".linear.0.W")):
        x = hidden(net, form.format(k), x)
    return x


def mlp(net, at, x):
    return dense(net, at + ".out.0", tower(net, at + ".hidden.{}", x))[:, 0]


def join(net, x, h):
    both = torch.cat([x.reshape(len(x), -1), h], 1)
    return F.linear(both, torch.cat([net.w["out.0.Wx"].reshape(-1), net.w["out.0.Wh"][:, 0]])[None], net.w["out.0.b"])[:, 0]


def dice(net, at, x):
    gate = torch.sigmoid(standardise(net, at + ".stats.0", x, 1e-9, 0.01))
    return gate * x + net.w[at + ".alpha"] * (1 - gate) * x


def pairs(n):
    return torch.triu_indices(n, n, 1)


# ---- the models ----


def sparse_rows(net):
    """Of rows that are lists: for each its features and values."""
    o = net.x["L.offsets"].tolist()
    return [(net.x["feature"][a:b], net.x["value"][a:b]) for a, b in zip(o, o[1:])]


def lr(net):
    if "feature" in net.x:
        return torch.stack([v @ net.w["lin"][f] for f, v in sparse_rows(net)]) + net.w["bias"]
    return net.linear_terms() + net.w["bias"]


def fm(net):
    if "feature" in net.x:
        products = []
        for f, v in sparse_rows(net):
            x = v[:, None] * net.w["emb"][f]
            products.append(torch.triu(x @ x.T, 1).sum())
        return lr(net) + torch.stack(products)
    e = net.embed()
    i, j = pairs(e.shape[1])
    return lr(net) + (e[:, i] * e[:, j]).sum((1, 2))


def wide_deep(net):
    return net.linear_terms() + mlp(net, "mlp.0", net.embed())


def deepfm(net):
    e = net.embed()
    i, j = pairs(e.shape[1])
    return net.linear_terms() + (e[:, i] * e[:, j]).sum((1, 2)) + mlp(net, "mlp.0", e)


def nfm(net):
    e = net.embed()
    i, j = pairs(e.shape[1])
    return net.linear_terms() + mlp(net, "mlp.0", (e[:, i] * e[:, j]).sum(1))


def deep_crossing(net):
    x = net.embed()
    for k in range(net.count("unit.{}.W")):
        at = f"unit.{k}"
        a = F.relu(dense(net, at + ".inner.0.linear.0", x))
        w = net.w[at + ".W"]
        x = F.relu((a @ w.reshape(len(w), -1)).reshape(x.shape) + net.w[at + ".b"] + x)
    return dense(net, "out.0", x)[:, 0]


def pnn(net):
    e = net.embed()
    i, j = pairs(e.shape[1])
    kernel = net.w.get("K")
    if kernel is None:
        products = (e[:, i] * e[:, j]).sum(2)
    elif kernel.dim() == 2:
        products = kernel[i, j] * (e[:, i] * e[:, j]).sum(2)
    elif kernel.dim() == 3:
        products = (e[:, i] * kernel[i, j] * e[:, j]).sum(2)
    else:
        products = torch.einsum("bpd,pdc,bpc->bp", e[:, i], kernel[i, j], e[:, j])
    both = torch.cat([e.reshape(len(e), -1), products], 1)
    w = torch.cat([net.w["We"].reshape(-1, net.w["We"].shape[-1]), net.w["Wp"][i, j]])
    return mlp(net, "mlp.0", F.relu(both @ w + net.w["b"]))


def dcn(net):
    e = net.embed().flatten(1)
    x = e
    for k in range(net.count("cross.{}.Wc")):
        x = e * (x @ net.w[f"cross.{k}.Wc"].reshape(-1, 1)) + net.w[f"cross.{k}.b"].reshape(-1) + x
    if "out.0.W" in net.w:
        return dense(net, "out.0", x)[:, 0]
    return join(net, x, tower(net, "mlp.{}", e))


def dcnv2(net):
    e = net.embed().flatten(1)
    n = e.shape[1]
    x = e
    for k in range(net.count("cross.{}.b")):
        w = {name: net.w[f"cross.{k}.{name}"] for name in ("Wc", "U", "C", "V", "b") if f"cross.{k}.{name}" in net.w}
        b = w["b"].reshape(-1)
        if "Wc" in w:
            x = e * F.linear(x, w["Wc"].reshape(n, n).T, b) + x
            continue
        gates = F.softmax(x @ net.w["gate"].reshape(n, -1), 1)
        experts = []
        for m in range(len(w["U"])):
            low = torch.tanh(torch.tanh(x @ w["V"][m].reshape(n, -1)) @ w["C"][m])
            experts.append(e * (low @ w["U"][m].reshape(-1, n) + b))
        x = (gates[:, :, None] * torch.stack(experts, 1)).sum(1) + x
    if "out.0.W" in net.w:
        return dense(net, "out.0", tower(net, "mlp.{}", x))[:, 0]
    return join(net, x, tower(net, "mlp.{}", e))


def xdeepfm(net):
    e = net.embed()
    x, s = e, net.w["bias"]
    for k in range(net.count("cin.{}.Wc")):
        w = net.w[f"cin.{k}.Wc"]
        outer = torch.einsum("bfd,bmd->bfmd", e, x).reshape(len(e), -1, e.shape[2])
        x = F.conv1d(outer, w.reshape(-1, w.shape[2]).T[:, :, None], net.w[f"cin.{k}.b"])
        s = s + x.sum(2) @ net.w[f"cin.{k}.wo"][:, 0]
    deep = mlp(net, "mlp.0", e) if "mlp.0.out.0.W" in net.w else 0
    return net.linear_terms() + s + deep


def autoint(net):
    e = net.embed()
    x = e  # (B, F, K)
    plus = "mlp.0.out.0.W" in net.w
    for at in ["first.0"] + [f"next.{k}" for k in range(net.count("next.{}.attend.0.Wq"))]:
        w = lambda name: net.w[f"{at}.{name}"]
        width = x.shape[2]
        q, k, v = (
            torch.einsum("bfk,kha->bhfa", x, w("attend.0." + m).reshape(width, *w("attend.0." + m).shape[-2:]))
            for m in ("Wq", "Wk", "Wv")
        )
        scores = q @ k.transpose(2, 3)
        scores = scores * net.h.get("scale", 1.0)
        o = (F.softmax(scores, 3) @ v).transpose(1, 2).flatten(2)
        o = o + (x @ w("Wr").reshape(width, -1) if at == "first.0" else x)
        if plus:
            gain, bias = w("finish.0.gain").reshape(-1), w("finish.0.bias").reshape(-1)
            o = F.layer_norm(o, o.shape[-1:], gain, bias, 1e-5)
        x = F.relu(o)
    logit = dense(net, "out.0", x)[:, 0]
    return logit + mlp(net, "mlp.0", e) if plus else logit


# ---- histories ----


def owners(net):
    """The example of every event."""
    o = net.x["T.offsets"]
    return torch.repeat_interleave(torch.arange(len(o) - 1), o[1:] - o[:-1])


def over_lists(net, f, score):
    """f (softmax) of every example's stretch of score (N,)."""
    o = net.x["T.offsets"].tolist()
    parts = [f(score[a:b], 0) for a, b in zip(o, o[1:]) if b > a]
    return torch.cat(parts) if parts else score


def item(net, ids):
    """(..., 2, D): an item's own embedding and its category's."""
    return torch.stack([net.w["ei"][ids], net.w["ec"][net.x["cate"][ids]]], -2)


def din(net):
    """h.form: None, "code" or "bars"."""
    form = net.h.get("form")
    own = owners(net)
    e, t = item(net, net.x["item"]), item(net, net.x["cand"])
    each = t[own]
    h = torch.stack([each, e, each - e, each * e], 1)  # (N, 4, 2, D)

    def layer(at, x):
        x = dense(net, at + ".linear.0", x)
        if form == "code":
            return torch.sigmoid(x)
        if form == "bars":
            x = batch_norm(net, at + ".bn.0", x)
        return dice(net, at + ".dice.0", x)

    for k in range(net.count("unit.{}.linear.0.W")):
        h = layer(f"unit.{k}", h)
    s = dense(net, "score.0", h)[:, 0]
    if form == "code":
        s = over_lists(net, F.softmax, s / (2 * e.shape[2]) ** 0.5)
    elif form == "bars":
        s = over_lists(net, F.softmax, s)
    out = torch.zeros_like(t).index_add(0, own, s[:, None, None] * e)
    if form == "code":
        u = dense(net, "user.0", flat_norm(net, "bn.0", out))
        u = u.reshape(t.shape)
        g = flat_norm(net, "head.0", torch.stack([u, t, u * t], 1))
    else:
        g = torch.cat([net.w["eu"][net.x["user"]][:, None], t, out], 1)
    for k in range(net.count("mlp.{}.linear.0.W")):
        g = layer(f"mlp.{k}", g)
    logit = dense(net, "last.0", g)[:, 0]
    return logit + net.w["bi"][net.x["cand"]] if form == "code" else logit


def gru(net, at, x, scale=None):
    """Write gate, reset before the product; scale(t, gate) is the gate that writes. x (L, I) of one example."""
    w = lambda name: net.w[f"{at}.{name}"]
    h, out = torch.zeros(w("Uh").shape[1], dtype=x.dtype), []
    after = at + ".ch" in net.w  # reset after the product
    for t in range(len(x)):
        gate = torch.sigmoid(x[t] @ w("Wz") + h @ w("Uz") + w("bz")) if at + ".Wz" in net.w else None
        r = torch.sigmoid(x[t] @ w("Wr") + h @ w("Ur") + w("br"))
        past = r * (h @ w("Uh") + w("ch")) if after else (r * h) @ w("Uh")
        c = torch.tanh(x[t] @ w("Wh") + w("bh") + past)
        write = gate if scale is None else scale(t, gate)
        h = (1 - write) * h + write * c
        out.append(h)
    return torch.stack(out)


def dien(net):
    """h.form: None, "code", "agru" or "fuxi"."""
    form = net.h.get("form")
    k = net.w["Wq"].shape[0]
    item_of = lambda ids: torch.cat([net.w["ei"][ids], net.w["ec"][net.x["cate"][ids]]], -1)
    e, t = item_of(net.x["item"]), item_of(net.x["cand"])
    lists = net.x["T.offsets"].tolist()
    spans = [range(a, b) for a, b in zip(lists, lists[1:])]
    h = torch.zeros_like(e)
    for span in spans:
        if span:
            h = torch.cat([h[: span.start], gru(net, "extract.0", e[span.start : span.stop]), h[span.stop :]])
    want = F.linear(t, net.w["Wq"].T, net.w["bq"])
    want = want.clamp_min(0) + net.w["slope"] * want.clamp_max(0)
    each = want[owners(net)]
    b = torch.stack([each, h, each - h, each * h], 1)
    for n in range(net.count("unit.{}.linear.0.W")):
        b = torch.sigmoid(dense(net, f"unit.{n}.linear.0", b))
    att = over_lists(net, F.softmax, dense(net, "score.0", b)[:, 0])
    scales = {"code": lambda a, z: 1 - (1 - a) * (1 - z), "agru": lambda a, z: a}
    scale = scales.get(form, lambda a, z: a * z)
    last, total = [], []
    for span in spans:
        a = att[span.start : span.stop]
        states = gru(net, "evolve.0", h[span.start : span.stop], lambda i, z: scale(a[i], z)) if span else None
        last.append(states[-1] if span else torch.zeros(k, dtype=e.dtype))
        total.append(e[span.start : span.stop].sum(0))
    last, total = torch.stack(last), torch.stack(total)
    x = torch.stack([t, total, t * total, last], 1)
    me = flat_norm(net, "head.0.bn.0", net.w["eu"][net.x["user"]])
    x = flat_norm(net, "head.0.bn.1", x)
    top = me @ net.w["head.0.Wu"] + x.flatten(1) @ net.w["head.0.Wx"].flatten(0, 1) + net.w["head.0.b"]
    top = dice(net, "head.0.dice.0", top)
    for n in range(net.count("mlp.{}.linear.0.W")):
        top = dice(net, f"mlp.{n}.dice.0", dense(net, f"mlp.{n}.linear.0", top))
    net.kept = e, h, spans
    two = dense(net, "last.0", top)
    return two[:, 1] - two[:, 0]


def dien_aux(net, n):
    """Of the example's next events against drawn ones; n: the bound of a history."""
    e, h, spans = net.kept
    at = [j for span in spans for j in span if j + 1 in span]
    after = e[[j + 1 for j in at]]
    ids = net.x["neg"][at]
    drawn = torch.cat([net.w["ei"][ids], net.w["ec"][net.x["cate"][ids]]], -1)
    pair = torch.stack([torch.stack([h[at], after], 1), torch.stack([h[at], drawn], 1)], 1)  # (N, real|fake, 2, K)
    q = flat_norm(net, "bn.0", pair.flatten(0, 1))
    for m in range(net.count("net.{}.linear.0.W")):
        q = torch.sigmoid(dense(net, f"net.{m}.linear.0", q))
    p = F.log_softmax(dense(net, "net_out.0", q), 1).reshape(-1, 2, 2)
    return -(p[:, 0, 1] + p[:, 1, 0]).sum() / (len(spans) * (n - 1))


MODELS = {f.__name__: f for f in (lr, fm, wide_deep, deepfm, nfm, deep_crossing, pnn, dcn, dcnv2, xdeepfm, autoint, din, dien)}


def losses(net, logit, lam=0.0, tables=("lin", "emb", "ei", "ec", "eu")):
    """Mean binary cross-entropy with the penalty on whole tables, and the penalty."""
    penalty = 0.5 * lam * sum((net.w[t] ** 2).sum() for t in tables if t in net.w)
    return F.binary_cross_entropy_with_logits(logit, net.x["lab"]) + penalty, penalty
