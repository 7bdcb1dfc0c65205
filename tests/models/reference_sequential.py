#!/usr/bin/env python3
"""Outputs, losses and gradients of the sequential specs that train on other losses than the sampled softmax, and of the
variants of FuXi-alpha and LLaMa, computed with PyTorch in double precision and stored as NAME.expect or
NAME-VARIANT.expect.

    python3 tests/models/reference_sequential.py [NAME ...]          rewrites those (or all) beside it

Written from the papers' equations (the specs name them), one example after another, with torch's own modules where
there are any; nothing here reads a spec. Sizes are those of specs.c."""

import math
import os
import sys

import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import expect
from expect import Numbers

ITEMS, USERS = 13, 4
EPS = 1e-6


def lists(r, lengths, n_items=ITEMS):
    offsets = [0]
    for n in lengths:
        offsets.append(offsets[-1] + n)
    return {
        "T.offsets": offsets,
        "item": r.ids(offsets[-1], below=n_items),
        "target": r.ids(len(lengths), below=n_items),
    }


def stretches(given, *names):
    o = given["T.offsets"]
    for b in range(len(o) - 1):
        yield b, [given[name][o[b] : o[b + 1]] for name in names]


def following(item, target):
    return torch.cat([item[1:], target.reshape(1)])


def ln(x, eps):
    return F.layer_norm(x, x.shape[-1:], eps=eps)


def rms(x, eps=EPS):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps)


def heads(x, w):
    return torch.einsum("id,dhe->hie", x, w)


def causal(n):
    return torch.ones(n, n).tril().bool()


def params_of(r, shapes, scale=0.5):
    return {key: r.real(*shape, scale=scale) for key, shape in shapes.items()}


def log_sigmoid_loss(x, y):
    return F.binary_cross_entropy_with_logits(x, torch.full_like(x, y), reduction="none")


# ---- SASRec as released, TiSASRec ----


def released_block(w, x, scores, values, eps):
    """scores(q, k) [h,i,j] from queries and keys; values(a, v) [h,i,e]."""
    nx = w("g1") * ln(x, eps) + w("c1")
    q = heads(nx, w("Wq")) + w("bq")[:, None]
    k = heads(x, w("Wk")) + w("bk")[:, None]
    v = heads(x, w("Wv")) + w("bv")[:, None]
    n, e = len(x), q.shape[-1]
    s = (scores(q, k) / math.sqrt(e)).masked_fill(~causal(n), float("-inf"))
    o = values(F.softmax(s, -1), v)
    mid = nx + o.transpose(0, 1).reshape(n, -1)
    ff = w("g2") * ln(mid, eps) + w("c2")
    return ff + F.relu(ff @ w("W1") + w("b1")) @ w("W2") + w("b2")


def released_shapes(d, h, e, g):
    shapes = {"Wq": (d, h, e), "Wk": (d, h, e), "Wv": (d, h, e), "W1": (d, g), "W2": (g, d)}
    shapes.update({"bq": (h, e), "bk": (h, e), "bv": (h, e), "b1": (g,), "b2": (d,)})
    shapes.update({"g1": (d,), "c1": (d,), "g2": (d,), "c2": (d,)})
    return shapes


def paired(out, emb, after, neg):
    hit, miss = (out * emb[after]).sum(-1), (out * emb[neg]).sum(-1)
    return log_sigmoid_loss(hit, 1.0) + log_sigmoid_loss(miss, 0.0)


def sasrec_orig():
    d, h, e, g, n, layers, eps = 6, 2, 3, 7, 9, 2, 1e-8
    r = Numbers(41)
    given = lists(r, [1, 9, 4])
    given["neg"] = r.ids(14, below=ITEMS)
    p = {"emb": r.real(ITEMS, d), "pe": r.real(n, d), "g0": r.real(d), "c0": r.real(d)}
    for layer in range(layers):
        p.update(params_of(r, {f"layer.{layer}.{k}": s for k, s in released_shapes(d, h, e, g).items()}))

    def compute(given, p):
        outs, nll = [], []
        for b, (item, neg) in stretches(given, "item", "neg"):
            x = math.sqrt(d) * p["emb"][item] + p["pe"][n - len(item) :]
            for layer in range(layers):
                w = lambda key: p[f"layer.{layer}.{key}"]
                x = released_block(w, x, lambda q, k: q @ k.transpose(1, 2), lambda a, v: a @ v, eps)
            out = p["g0"] * ln(x, eps) + p["c0"]
            outs.append(out)
            nll.append(paired(out, p["emb"], following(item, given["target"][b]), neg))
        nll = torch.cat(nll)
        return {"out": torch.cat(outs), "nll": nll}, nll.mean()

    expect.write(HERE, "sasrec_orig", given, p, compute, 3)


def tisasrec():
    d, h, e, g, n, top, layers, eps, lam = 6, 2, 3, 7, 9, 5, 2, 1e-8, 5e-5
    r = Numbers(42)
    given = lists(r, [1, 9, 4])
    gaps = [0, 0, 40, 55, 0, 300, 41, 41, 2000, 60, 0, 0, 0, 0]
    given["ts"] = 1_500_000_000 + torch.tensor(gaps).cumsum(0)
    given["neg"] = r.ids(14, below=ITEMS)
    p = {"emb": r.real(ITEMS, d), "PK": r.real(n, h, e), "PV": r.real(n, h, e)}
    p.update({"RK": r.real(top + 1, h, e), "RV": r.real(top + 1, h, e), "g0": r.real(d), "c0": r.real(d)})
    for layer in range(layers):
        p.update(params_of(r, {f"layer.{layer}.{k}": s for k, s in released_shapes(d, h, e, g).items()}))

    def compute(given, p):
        outs, nll = [], []
        for b, (item, ts, neg) in stretches(given, "item", "ts", "neg"):
            times = ts.tolist()
            unit = min([y - x for x, y in zip(times, times[1:]) if y > x], default=1)
            tau = torch.tensor([math.floor((t - times[0]) / unit + 0.5) for t in times])
            apart = (tau[:, None] - tau[None, :]).abs().clamp_max(top)
            pk, pv = (p[k][n - len(item) :].transpose(0, 1) for k in ("PK", "PV"))
            rk, rv = p["RK"][apart], p["RV"][apart]
            x = math.sqrt(d) * p["emb"][item]
            for layer in range(layers):
                w = lambda key: p[f"layer.{layer}.{key}"]
                scores = lambda q, k: q @ (k + pk).transpose(1, 2) + torch.einsum("hie,ijhe->hij", q, rk)
                values = lambda a, v: a @ (v + pv) + torch.einsum("hij,ijhe->hie", a, rv)
                x = released_block(w, x, scores, values, eps)
            out = p["g0"] * ln(x, eps) + p["c0"]
            outs.append(out)
            nll.append(paired(out, p["emb"], following(item, given["target"][b]), neg))
        nll = torch.cat(nll)
        l2 = sum((p[k] ** 2).sum() for k in ("emb", "PK", "PV", "RK", "RV"))
        return {"out": torch.cat(outs), "nll": nll, "l2": l2}, nll.mean() + 0.5 * lam * l2

    expect.write(HERE, "tisasrec", given, p, compute, 3)


# ---- BERT4Rec ----


def bert4rec():
    d, h, e, g, n, layers, eps = 6, 2, 3, 7, 10, 1, 1e-12
    r = Numbers(43)
    given = lists(r, [1, 9, 4, 6])
    events = given["T.offsets"][-1]
    given["dice"] = torch.tensor([0.5, 0.7, 0.05, 0.09091])  # the third hides the event to come, the others do not
    given["key"] = torch.randperm(events, generator=r.generator) / 32.0
    p = {"emb": r.real(ITEMS + 1, d), "type": r.real(d), "pe": r.real(n, d), "Wt": r.real(d, d), "bias": r.real(ITEMS)}
    p.update({key: r.real(d) for key in ("ct", "c0", "c3", "g0", "g3")})
    shapes = {"Wq": (d, h, e), "Wk": (d, h, e), "Wv": (d, h, e), "Wp": (h, e, d), "W1": (d, g), "W2": (g, d)}
    shapes.update({"bq": (h, e), "bk": (h, e), "bv": (h, e), "bp": (d,), "b1": (g,), "b2": (d,)})
    shapes.update({"g1": (d,), "c1": (d,), "g2": (d,), "c2": (d,)})
    for layer in range(layers):
        p.update(params_of(r, {f"layer.{layer}.{k}": s for k, s in shapes.items()}))

    def compute(given, p):
        outs, nlls, total, count = [], [], 0.0, 0
        for b, (item, key) in stretches(given, "item", "key"):
            length = len(item)
            last = given["dice"][b] < 1 / 11
            tokens = item.clone()
            hidden = []
            if last:
                tokens = torch.cat([tokens, torch.tensor([ITEMS])])
                hidden = [(length, given["target"][b])]
            else:
                some = min(40, max(1, round(0.2 * length)))
                for i in key.argsort()[:some].tolist():
                    tokens[i] = ITEMS
                    hidden.append((i, item[i]))
            x = p["g0"] * ln(p["emb"][tokens] + p["type"] + p["pe"][: len(tokens)], eps) + p["c0"]
            for layer in range(layers):
                w = lambda key: p[f"layer.{layer}.{key}"]
                q, k, v = (heads(x, w("W" + m)) + w("b" + m)[:, None] for m in "qkv")
                o = F.softmax(q @ k.transpose(1, 2) / math.sqrt(e), -1) @ v
                mid = w("g1") * ln(x + torch.einsum("hie,hed->id", o, w("Wp")) + w("bp"), eps) + w("c1")
                up = F.gelu(mid @ w("W1") + w("b1"))
                x = w("g2") * ln(mid + up @ w("W2") + w("b2"), eps) + w("c2")
            out = p["g3"] * ln(F.gelu(x @ p["Wt"] + p["ct"]), eps) + p["c3"]
            nll = torch.zeros(length + 1)
            for i, want in hidden:
                one = F.cross_entropy((out[i] @ p["emb"][:ITEMS].T + p["bias"])[None], want[None])
                total, count = total + one, count + 1
                nll[i] = one.detach()
            outs.append(out if last else torch.cat([out, torch.zeros(1, d)]))
            nlls.append(nll)
        return {"out": torch.cat(outs), "nll": torch.cat(nlls)}, total / (count + 1e-5)

    expect.write(HERE, "bert4rec", given, p, compute, 4)


# ---- NARM ----


def narm():
    d, k, a = 5, 7, 3
    keep_in, keep_out = 0.75, 0.5  # without noise what dropout would keep is scaled
    r = Numbers(44)
    given = lists(r, [1, 9, 4])
    p = {"emb": r.real(ITEMS, d), "A1": r.real(k, a), "A2": r.real(k, a), "B": r.real(2, k, d), "va": r.real(a)}
    for key in ("Wz", "Wr", "Wn", "Uz", "Ur", "Un"):
        p["gru.0." + key] = r.real(d if key[0] == "W" else k, k)
    for key in ("bz", "br", "bn"):
        p["gru.0." + key] = r.real(k)
    hard = lambda x: F.hardtanh(0.2 * x + 0.5, 0.0, 1.0)

    def compute(given, p):
        w = lambda key: p["gru.0." + key]
        outs, nll = [], []
        for b, (item,) in stretches(given, "item"):
            h, states = torch.zeros(k), []
            for x in keep_in * p["emb"][item]:
                z = hard(x @ w("Wz") + h @ w("Uz") + w("bz"))
                reset = hard(x @ w("Wr") + h @ w("Ur") + w("br"))
                new = torch.tanh(x @ w("Wn") + (reset * h) @ w("Un") + w("bn"))
                h = (1 - z) * h + z * new
                states.append(h)
            for i, target in enumerate(following(item, given["target"][b])):
                seen = torch.stack(states[: i + 1])
                alpha = F.softmax(hard(seen @ p["A1"] + states[i] @ p["A2"]) @ p["va"], 0)
                c = keep_out * torch.cat([alpha @ seen, states[i]])
                out = c @ p["B"].reshape(2 * k, d)
                outs.append(out)
                nll.append(-torch.log(F.softmax(p["emb"] @ out, 0)[target] + 1e-8))
        nll = torch.stack(nll)
        return {"out": torch.stack(outs), "nll": nll}, nll.mean()

    expect.write(HERE, "narm", given, p, compute, 3)


# ---- Caser ----


def caser():
    d, w, s, m, ny, nx = 5, 4, 2, 3, 3, 2
    r = Numbers(45)
    given = lists(r, [1, 9, 4])
    given["user"] = r.ids(3, below=USERS)
    given["neg"] = r.ids(14, m, below=ITEMS)
    p = {"emb": r.real(ITEMS, d), "pad": r.real(d), "pu": r.real(USERS, d), "Wy": r.real(ny, w), "cy": r.real(ny)}
    wx = r.real(w, nx, w, d)
    for height in range(w):
        wx[height, :, height + 1 :] = 0  # a filter has height + 1 rows
    p.update({"Wx": wx, "cx": r.real(w, nx), "Zy": r.real(ny, d, d), "Zx": r.real(w, nx, d), "bz": r.real(d)})
    p.update({"W2": r.real(ITEMS, d), "P2": r.real(ITEMS, d), "b2": r.real(ITEMS)})

    def compute(given, p):
        outs, nll, pos, neg_losses = [], [], [], []
        for b, (item, neg) in stretches(given, "item", "neg"):
            user = p["pu"][given["user"][b]]
            after = following(item, given["target"][b])
            score = lambda z, ids: p["b2"][ids] + p["W2"][ids] @ z + p["P2"][ids] @ user
            for i in range(len(item)):
                rows = [p["emb"][item[t]] if t >= 0 else p["pad"] for t in range(i + 1 - w, i + 1)]
                image = torch.stack(rows)[None, None]
                vertical = F.conv2d(image, p["Wy"][:, None, :, None], p["cy"])[0, :, 0]
                maps = []
                for height in range(w):
                    conv = F.conv2d(image, p["Wx"][height, :, None, : height + 1], p["cx"][height])
                    maps.append(F.relu(conv).amax((2, 3))[0])
                z = p["bz"] + torch.einsum("yd,ydc->c", vertical, p["Zy"])
                z = F.relu(z + torch.einsum("sf,sfc->c", torch.stack(maps), p["Zx"]))
                outs.append(z)
                losses = log_sigmoid_loss(score(z, after[i : i + s]), 1.0)
                pos.append(losses)
                nll.append(torch.cat([losses.detach(), torch.zeros(s - len(losses))]))
                neg_losses.append(log_sigmoid_loss(score(z, neg[i]), 0.0))
        return {"out": torch.stack(outs), "nll": torch.stack(nll)}, torch.cat(pos).mean() + torch.cat(neg_losses).mean()

    expect.write(HERE, "caser", given, p, compute, 3)


# ---- SR-GNN ----


def sr_gnn():
    d, steps = 5, 2
    r = Numbers(46)
    given = lists(r, [1, 9, 4], n_items=4)  # few items, so that sessions return to some
    given["T.offsets"] = [0, 1, 10, 14]
    p = {"emb": r.real(ITEMS, d)}
    p.update({key: r.real(d, d) for key in ("W1", "W2", "Wg", "Wl")})
    p.update({key: r.real(d) for key in ("b1", "b2", "w", "b3")})
    for step in range(steps):
        shapes = {"Wm": (2, d, d), "bm": (2, d), "cm": (2, d), "Wr": (2, d, d), "Wz": (2, d, d), "Wn": (2, d, d)}
        shapes.update({"Ur": (d, d), "Uz": (d, d), "Un": (d, d), "br": (d,), "bz": (d,), "bn": (d,), "cn": (d,)})
        p.update(params_of(r, {f"step.{step}.{k}": s for k, s in shapes.items()}))

    def compute(given, p):
        outs, nll = [], []
        for b, (item,) in stretches(given, "item"):
            nodes = sorted(set(item.tolist()))
            alias = torch.tensor([nodes.index(v) for v in item.tolist()])
            m = torch.zeros(len(nodes), len(nodes))
            for x, y in zip(alias.tolist(), alias.tolist()[1:]):
                m[x, y] = 1
            a_in = (m / m.sum(0, keepdim=True).clamp_min(1)).T
            a_out = m / m.sum(1, keepdim=True).clamp_min(1)
            h = p["emb"][torch.tensor(nodes)]
            for step in range(steps):
                w = lambda key: p[f"step.{step}.{key}"]
                parts = [a @ (h @ w("Wm")[c] + w("bm")[c]) + w("cm")[c] for c, a in enumerate((a_in, a_out))]
                cell = torch.nn.GRUCell(2 * d, d)
                weights = {
                    "weight_ih": torch.cat([w("W" + k).reshape(2 * d, d) for k in "rzn"], 1).T,
                    "weight_hh": torch.cat([w("U" + k) for k in "rzn"], 1).T,
                    "bias_ih": torch.cat([w("b" + k) for k in "rzn"]),
                    "bias_hh": torch.cat([torch.zeros(2 * d), w("cn")]),
                }
                h = torch.nn.utils.stateless.functional_call(cell, weights, (torch.cat(parts, 1), h))
            states = h[alias]
            last = states[-1]
            alpha = torch.sigmoid(last @ p["W1"] + p["b1"] + states @ p["W2"] + p["b2"]) @ p["w"]
            out = (alpha @ states) @ p["Wg"] + last @ p["Wl"] + p["b3"]
            outs.append(out)
            nll.append(F.cross_entropy((p["emb"] @ out)[None], given["target"][b : b + 1]))
        nll = torch.stack(nll)
        return {"out": torch.stack(outs), "nll": nll}, nll.mean()

    expect.write(HERE, "sr_gnn", given, p, compute, 3)


# ---- BPR-MF ----


def bpr_mf():
    d, lam = 5, 0.01
    r = Numbers(47)
    given = lists(r, [1, 9, 4])
    given["user"] = r.ids(3, below=USERS)
    given["neg"] = r.ids(14 + 3, below=ITEMS)  # of every event and of the newest
    p = {"pu": r.real(USERS, d), "emb": r.real(ITEMS, d)}

    def compute(given, p):
        outs, nll, total = [], [], []
        start = 0
        for b, (item,) in stretches(given, "item"):
            u = p["pu"][given["user"][b]]
            pos = p["emb"][torch.cat([item, given["target"][b : b + 1]])]
            neg = p["emb"][given["neg"][start : start + len(item) + 1]]
            start += len(item) + 1
            loss = -torch.log(torch.sigmoid(pos @ u - neg @ u) + 1e-10)
            outs.append(u)
            nll.append(loss)
            total.append(loss + lam * ((u * u).sum() + (pos * pos).sum(-1) + (neg * neg).sum(-1)))
        return {"out": torch.stack(outs), "nll": torch.cat(nll)}, torch.cat(total).mean()

    expect.write(HERE, "bpr_mf", given, p, compute, 3)


# ---- GRU4Rec, sessions side by side ----


def gru4rec_session():
    d, samples, alpha, lam = 5, 4, 0.5, 0.3
    r = Numbers(48)
    batch = 3
    given = lists(r, [1] * batch)
    given["user"] = torch.tensor([2, 0, 3])
    given["support"] = torch.tensor([5, 1, 0, 12, 3, 3, 1, 40, 2, 9, 1, 1, 7])
    given["ext"] = r.ids(samples, below=ITEMS)
    given["target"] = torch.tensor([4, 7, 1])  # the second is an outlier of the support
    given["h"], given["h.known"] = r.real(batch, d), torch.tensor([True, False, True])
    p = {"Wy": r.real(ITEMS, d), "By": r.real(ITEMS)}
    for key in ("Wz", "Wr", "Wh", "Uz", "Ur", "Uh"):
        p["gru.0." + key] = r.real(d, d)
    for key in ("bz", "br", "bh"):
        p["gru.0." + key] = r.real(d)

    def positives(y):
        return y.diagonal()[:, None]  # of M sessions and M + samples columns

    def others(y):
        return F.softmax(y.masked_fill(torch.eye(*y.shape).bool(), float("-inf")), 1)

    def bpr_max(y):
        w = others(y)
        return -torch.log((w * torch.sigmoid(positives(y) - y)).sum(1) + 1e-24) + lam * (w * y * y).sum(1)

    losses = {
        "": lambda y: F.cross_entropy(y, torch.arange(batch), reduction="none"),
        "-bpr": lambda y: -F.logsigmoid(positives(y) - y).sum(1),
        "-bpr_max": bpr_max,
        "-top1": lambda y: (torch.sigmoid(y - positives(y)) + torch.sigmoid(y * y)).mean(1)
        - torch.sigmoid(positives(y)[:, 0] ** 2) / y.shape[1],
        "-top1_max": lambda y: (others(y) * (torch.sigmoid(y - positives(y)) + torch.sigmoid(y * y))).sum(1),
    }
    for name, loss in losses.items():

        def compute(given, p):
            w = lambda key: p["gru.0." + key]
            h = torch.where(given["h.known"][:, None], given["h"], torch.zeros(batch, d))
            e = p["Wy"][given["item"]]
            z = torch.sigmoid(e @ w("Wz") + h @ w("Uz") + w("bz"))
            reset = torch.sigmoid(e @ w("Wr") + h @ w("Ur") + w("br"))
            new = torch.tanh(e @ w("Wh") + (reset * h) @ w("Uh") + w("bh"))
            out = (1 - z) * h + z * new
            columns = torch.cat([given["target"], given["ext"]])
            y = out @ p["Wy"][columns].T + p["By"][columns]
            if name == "":
                often = torch.log(given["support"][columns].clamp_min(1).double())
                y = y - often * torch.cat([torch.ones(batch), torch.full((samples,), alpha)])
            nll = loss(y)
            return {"out": out, "h'": out, "nll": nll}, nll.mean()

        expect.write(HERE, "gru4rec_session" + name, given, p, compute, batch)


# ---- variants of FuXi-alpha and LLaMa: the sampled softmax of cosine scores ----


def sampled(name, shapes, top, positions, encode, seed):
    d, n, negatives, tau = 6, 11, 3, 0.05
    r = Numbers(seed)
    given = lists(r, [1, 9, 4])
    given["neg"] = r.ids(14, negatives, below=ITEMS)
    p = {"emb": r.real(ITEMS, d)}
    if positions:
        p["pe"] = r.real(n, d)
    p.update(params_of(r, top))
    for layer in range(2):
        p.update(params_of(r, {f"layer.{layer}.{k}": s for k, s in shapes.items()}))

    def compute(given, p):
        table = F.normalize(p["emb"], dim=-1, eps=EPS)
        outs, nll = [], []
        for b, (item, neg) in stretches(given, "item", "neg"):
            x = math.sqrt(d) * p["emb"][item] + (p["pe"][: len(item)] if positions else 0)
            for layer in range(2):
                x = encode(lambda key: p[f"layer.{layer}.{key}"], x)
            out = F.normalize(p["g0"] * rms(x) if "g0" in p else x, dim=-1, eps=EPS)
            after = following(item, given["target"][b])
            hit = (out * table[after]).sum(-1, keepdim=True)
            others = torch.einsum("id,imd->im", out, table[neg])
            others = others.masked_fill(neg == after[:, None], float("-inf"))
            scores = torch.cat([hit, others], 1) / tau
            outs.append(out)
            nll.append(F.cross_entropy(scores, torch.zeros(len(item), dtype=torch.long), reduction="none"))
        nll = torch.cat(nll)
        return {"out": torch.cat(outs), "nll": nll}, nll.mean()

    expect.write(HERE, name, given, p, compute, 3)


def attend(q, k, v):
    s = q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])
    return F.softmax(s.masked_fill(~causal(q.shape[1]), float("-inf")), -1) @ v


def stage_one(w, x):
    n = rms(x)
    o = attend(heads(n, w("Wq")), heads(n, w("Wk")), heads(n, w("Wv")))
    return x + w("b0") + torch.einsum("hie,hed->id", o, w("W0"))


def swiglu(w, g):
    return (F.silu(g @ w("W1")) * (g @ w("W3"))) @ w("W2")


def fuxi_variants():
    d, h, e, f, g = 6, 2, 3, 5, 7
    base = {"Wq": (d, h, e), "Wk": (d, h, e), "Wv": (d, h, f), "W0": (h, f, d), "b0": (d,)}
    sampled("fuxi_alpha-base", base, {}, True, stage_one, 51)

    def no_ams(w, x):
        mid = stage_one(w, x)
        return mid + swiglu(w, rms(mid))

    sampled("fuxi_alpha-no_ams", {**base, "W1": (d, g), "W3": (d, g), "W2": (g, d)}, {}, True, no_ams, 52)


def llama_rope():
    d, h, pairs, g = 6, 2, 3, 7
    e = 2 * pairs
    shapes = {"Wq": (d, h, pairs, 2), "Wk": (d, h, pairs, 2), "Wv": (d, h, e), "Wo": (h, e, d)}
    shapes.update({"W1": (d, g), "W3": (d, g), "W2": (g, d), "g1": (d,), "g2": (d,)})

    def turned(x):
        """Pairs as complex numbers, turned by position times frequency."""
        angles = torch.arange(x.shape[1])[:, None] * 10000.0 ** (-torch.arange(pairs) / pairs)
        z = torch.view_as_complex(x.reshape(h, -1, pairs, 2)) * torch.polar(torch.ones_like(angles), angles)
        return torch.view_as_real(z).reshape(h, -1, e)

    def encode(w, x):
        n = w("g1") * rms(x)
        q, k = (turned(heads(n, w(m).reshape(d, h, e))) for m in ("Wq", "Wk"))
        o = attend(q, k, heads(n, w("Wv")))
        mid = x + torch.einsum("hie,hed->id", o, w("Wo"))
        return mid + swiglu(w, w("g2") * rms(mid))

    sampled("llama-rope", shapes, {"g0": (d,)}, False, encode, 53)


ALL = [sasrec_orig, tisasrec, bert4rec, narm, caser, sr_gnn, bpr_mf, gru4rec_session, fuxi_variants, llama_rope]

if __name__ == "__main__":
    for program in ALL:
        if len(sys.argv) < 2 or program.__name__ in sys.argv[1:]:
            program()
