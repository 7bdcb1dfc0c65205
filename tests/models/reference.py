#!/usr/bin/env python3
"""Outputs, losses and gradients of every spec in models/, computed with PyTorch in double precision and stored as
NAME.expect.

    python3 tests/models/reference.py          rewrites every NAME.expect beside it

Written from the papers' equations (the specs name them), one example after another, with torch's own operators where
there are any; nothing here reads a spec. Sizes are those of specs.c. The test needs only the stored numbers."""

import os
import sys

import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import expect
from expect import Numbers

ITEMS, N, D, E, FV, G, HEADS, LAYERS, NEGATIVES = 13, 11, 6, 3, 5, 7, 2, 2, 3
TAU, EPS = 0.05, 1e-6


def rms(x, eps=EPS):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps)


def ln(x, eps=EPS):
    return F.layer_norm(x, x.shape[-1:], eps=eps)


def seconds(r, n):
    gaps = (r.real(n).abs() ** 3 * 90000).long()
    return 1_500_000_000 + gaps.cumsum(0)


def bucket(dt):
    """Of differences in seconds, in single precision as the published code does it."""
    logs = torch.log(dt.abs().clamp_min(1).to(torch.float32)) / torch.tensor(0.301, dtype=torch.float32)
    return logs.long().clamp(0, 128)


def user_lists(r, lengths, timed):
    """Examples of a next-item protocol: item and target, times of the events and of the request, drawn negatives."""
    offsets = [0]
    for n in lengths:
        offsets.append(offsets[-1] + n)
    given = {"T.offsets": offsets, "item": r.ids(offsets[-1], below=ITEMS), "target": r.ids(len(lengths), below=ITEMS)}
    if timed:
        given["ts"] = torch.cat([seconds(r, n) for n in lengths])
        given["now"] = torch.full((len(lengths),), 1_501_000_000)
    return given


def examples(given, *names):
    """What each example holds: its stretch of every list."""
    o = given["T.offsets"]
    for b in range(len(o) - 1):
        yield b, [given[name][o[b] : o[b + 1]] for name in names]


def sampled_softmax(given, p, encode):
    """Cosine scores of the next item and of the drawn ones over a temperature; a drawn item that is the next one does
    not count. encode(p, x, item ids, ts, now) maps the embedded events to outputs."""
    table = F.normalize(p["emb"], dim=-1, eps=EPS)
    outs, losses = [], []
    timed = "ts" in given
    for b, (item, neg, *ts) in examples(given, "item", "neg", *(["ts"] if timed else [])):
        x = D**0.5 * p["emb"][item] + p["pe"][: len(item)]
        x = encode(p, x, ts[0], given["now"][b]) if timed else encode(p, x)
        out = F.normalize(x, dim=-1, eps=EPS)
        following = torch.cat([item[1:], given["target"][b : b + 1]])
        hit = (out * table[following]).sum(-1, keepdim=True)
        others = torch.einsum("id,imd->im", out, table[neg])
        others = others.masked_fill(neg == following[:, None], float("-inf"))
        scores = torch.cat([hit, others], 1) / TAU
        outs.append(out)
        losses.append(F.cross_entropy(scores, torch.zeros(len(item), dtype=torch.long), reduction="none"))
    nll = torch.cat(losses)
    return {"out": torch.cat(outs), "nll": nll}, nll.mean()


def next_item(name, shapes, encode, timed, seed):
    r = Numbers(seed)
    given = user_lists(r, [1, 9, 4], timed)
    given["neg"] = r.ids(given["T.offsets"][-1], NEGATIVES, below=ITEMS)
    params = {"emb": r.real(ITEMS, D), "pe": r.real(N, D)}
    for layer in range(LAYERS):
        for key, shape in shapes.items():
            params[f"layer.{layer}.{key}"] = r.real(*shape, scale=0.5)
    if name == "llama":
        params["g0"] = r.real(D)
    expect.write(HERE, name, given, params, lambda g, p: sampled_softmax(g, p, encode), 3)


def causal_mask(n):
    return torch.ones(n, n).tril().bool()


def layer_params(p, layer):
    return lambda key: p[f"layer.{layer}.{key}"]


# ---- FuXi-alpha ----


def fuxi(p, x, ts, now):
    n = len(x)
    after = torch.cat([ts[1:], now[None]])
    places = N - 1 + torch.arange(n)[None, :] - torch.arange(n)[:, None]
    buckets = bucket(after[:, None] - ts[None, :])
    for layer in range(LAYERS):
        w = layer_params(p, layer)
        r = rms(x)
        q, k, v = (F.silu(torch.einsum("id,dhe->ihe", r, w(m))) for m in ("Wq", "Wk", "Wv"))
        u = F.silu(torch.einsum("id,dhcf->ihcf", r, w("Wu")))
        semantic = F.silu(torch.einsum("ihe,jhe->hij", q, k)) / N
        position = w("w_pos")[places].expand(HEADS, n, n)
        temporal = w("w_time")[buckets].expand(HEADS, n, n)
        a = torch.stack([position, temporal, semantic]) * causal_mask(n)
        o = torch.einsum("chij,jhf->ihcf", a, v)
        o = rms(o.reshape(n, -1)).reshape(o.shape)
        mid = x + w("b0") + torch.einsum("ihcf,hcfd->id", u * o, w("W0"))
        ff = rms(mid)
        x = mid + (F.silu(ff @ w("W1")) * (ff @ w("W3"))) @ w("W2")
    return x


FUXI = {
    "Wq": (D, HEADS, E),
    "Wk": (D, HEADS, E),
    "Wv": (D, HEADS, FV),
    "Wu": (D, HEADS, 3, FV),
    "w_pos": (2 * N - 1,),
    "w_time": (129,),
    "W0": (HEADS, 3, FV, D),
    "W1": (D, G),
    "W3": (D, G),
    "W2": (G, D),
    "b0": (D,),
}


# ---- HSTU ----


def hstu(p, x, ts, now):
    n = len(x)
    after = torch.cat([ts[1:], now[None]])
    places = N - 1 + torch.arange(n)[None, :] - torch.arange(n)[:, None]
    buckets = bucket(after[:, None] - ts[None, :])
    for layer in range(LAYERS):
        w = layer_params(p, layer)
        u, v, q, k = (F.silu(torch.einsum("id,dhe->ihe", ln(x), w(m))) for m in ("Wu", "Wv", "Wq", "Wk"))
        bias = w("w_pos")[places] + w("w_time")[buckets]
        a = F.silu(torch.einsum("ihe,jhe->hij", q, k) + bias) / N * causal_mask(n)
        o = torch.einsum("hij,jhf->ihf", a, v)
        o = ln(o.reshape(n, -1)).reshape(o.shape)
        x = x + w("bo") + torch.einsum("ihf,hfd->id", u * o, w("Wo"))
    return x


HSTU = {
    "Wu": (D, HEADS, FV),
    "Wv": (D, HEADS, FV),
    "Wq": (D, HEADS, E),
    "Wk": (D, HEADS, E),
    "w_pos": (2 * N - 1,),
    "w_time": (129,),
    "Wo": (HEADS, FV, D),
    "bo": (D,),
}


# ---- softmax attention: SASRec and LLaMa ----


def attend(q, k, v):
    q, k, v = (t.transpose(0, 1) for t in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(0, 1)


def heads(x, w):
    return torch.einsum("id,dhe->ihe", x, w)


def sasrec(p, x):
    for layer in range(LAYERS):
        w = layer_params(p, layer)
        n = ln(x, 1e-8)
        o = attend(heads(n, w("Wq")) + w("bq"), heads(x, w("Wk")) + w("bk"), heads(x, w("Wv")) + w("bv"))
        mid = ln(n + w("bp") + torch.einsum("ihe,hed->id", o, w("Wp")), 1e-8)
        x = mid + w("b2") + F.relu(mid @ w("W1") + w("b1")) @ w("W2")
    return x


SASREC = {
    "Wq": (D, HEADS, E),
    "Wk": (D, HEADS, E),
    "Wv": (D, HEADS, E),
    "Wp": (HEADS, E, D),
    "W1": (D, G),
    "W2": (G, D),
    "bq": (HEADS, E),
    "bk": (HEADS, E),
    "bv": (HEADS, E),
    "bp": (D,),
    "b1": (G,),
    "b2": (D,),
}


def llama(p, x):
    for layer in range(LAYERS):
        w = layer_params(p, layer)
        n = w("g1") * rms(x)
        o = attend(heads(n, w("Wq")), heads(n, w("Wk")), heads(n, w("Wv")))
        mid = x + torch.einsum("ihe,hed->id", o, w("Wo"))
        ff = w("g2") * rms(mid)
        x = mid + (F.silu(ff @ w("W1")) * (ff @ w("W3"))) @ w("W2")
    return p["g0"] * rms(x)


LLAMA = {
    "Wq": (D, HEADS, E),
    "Wk": (D, HEADS, E),
    "Wv": (D, HEADS, E),
    "Wo": (HEADS, E, D),
    "W1": (D, G),
    "W3": (D, G),
    "W2": (G, D),
    "g1": (D,),
    "g2": (D,),
}


# ---- GRU4Rec ----


def gru4rec():
    """torch.nn.GRU without biases, a linear map to the table's width, softmax over the catalogue."""
    width, hidden = 5, 7
    r = Numbers(31)
    given = user_lists(r, [1, 9, 4], False)
    params = {"emb": r.real(ITEMS, width), "Wo": r.real(hidden, width), "bo": r.real(width)}
    for key in ("Wz", "Wr", "Wn", "Uz", "Ur", "Un"):
        params["gru.0." + key] = r.real(width if key[0] == "W" else hidden, hidden)

    def compute(x, p):
        module = torch.nn.GRU(width, hidden, batch_first=True, bias=False)
        weights = {
            "weight_ih_l0": torch.cat([p["gru.0.W" + k] for k in "rzn"], 1).T,
            "weight_hh_l0": torch.cat([p["gru.0.U" + k] for k in "rzn"], 1).T,
        }
        outs, losses = [], []
        for b, (item,) in examples(x, "item"):
            h = torch.func.functional_call(module, weights, (p["emb"][item][None],))[0][0]
            out = h @ p["Wo"] + p["bo"]
            following = torch.cat([item[1:], x["target"][b : b + 1]])
            outs.append(out)
            losses.append(F.cross_entropy(out @ p["emb"].T, following, reduction="none"))
        nll = torch.cat(losses)
        return {"out": torch.cat(outs), "nll": nll}, nll.mean()

    expect.write(HERE, "gru4rec", given, params, compute, 3)


# ---- UniRec ----


def unirec():
    n, d, g, slots = 7, 6, 24, [4, 3]
    vocabs, widths = [4, 3, 5], [1, 3]
    r = Numbers(33)
    events, contents, values = [0, 0, 1, 8], [0, 2, 2, 3, 6, 6, 7, 9, 10], [0, 1, 1, 3, 4, 6, 7, 8, 8, 9]
    fields = [values[k + 1] - values[k] for k in range(9)]
    given = {"S.offsets": events, "Y.offsets": contents, "O.offsets": values}
    given["item"], given["act"] = r.ids(8, below=ITEMS), r.ids(8, below=3)
    given["tag"] = r.ids(10, below=5)
    given["ts"] = torch.cat([seconds(r, 1), seconds(r, 7)])
    given["now"] = torch.full((3,), 1_501_000_000)
    given["fv"] = torch.cat([r.ids(fields[k], below=vocabs[k % 3]) for k in range(9)])
    given["ctx"], given["safe"] = r.real(3, 4), torch.tensor([True, False, True])
    given["safe_num"] = torch.tensor([False, True])
    given["lab"], given["cand"], given["did"] = torch.tensor([0.0, 1.0, 1.0]), r.ids(3, below=ITEMS), r.ids(3, below=3)
    given["u"], given["u.known"] = r.real(3, d), torch.tensor([True, False, True])
    given["levels"] = [0, 2, 3]  # the third example follows the first: its state is the first one's next
    params = {"ei": r.real(ITEMS, d), "ea": r.real(3, d), "eg": r.real(5, d), "ef": r.real(12, d), "rec": r.real(n, d)}
    params.update({"age": r.real(129, d), "src": r.real(4, d), "wx": r.real(4, d), "Wh": r.real(2, d, d)})
    params.update({"wo": r.real(d, 1), "bx": r.real(2, d), "bh": r.real(d), "bo": r.real(), "u0": r.real(d)})
    params["We"] = r.real(3, d, d)
    for key in ("Wz", "Wr", "Wh", "Uz", "Ur", "Uh"):
        params["gru.0." + key] = r.real(d, d)
    for key in ("bz", "br", "bh"):
        params["gru.0." + key] = r.real(d)
    blocks = ["full.0", "stage.0.block.0", "stage.1.block.0"]
    for block in blocks:
        for key, shape in {
            "Wq": (d, 2, 3),
            "Wk": (d, 2, 3),
            "Wv": (d, 2, 3),
            "Wo": (2, 3, d),
            "W1": (d, g),
            "W2": (g, d),
            "g1": (d,),
            "g2": (d,),
            "b1": (g,),
            "b2": (d,),
        }.items():
            params[f"{block}.{key}"] = r.real(*shape, scale=0.5)
    for k, size in enumerate(slots):
        params[f"stage.{k}.compress.0.Q0"] = r.real(size, d)

    def block(p, at, x, sequence, given):
        """x: the sequence's tokens first, then three fields, two contexts and the user."""
        total = len(x)
        sees = torch.ones(total, total, dtype=torch.bool)
        sees[:sequence, :sequence] = causal_mask(sequence)
        sees[:sequence, sequence : sequence + 3] = given["safe"]
        sees[:sequence, sequence + 3 : sequence + 5] = given["safe_num"]
        w = lambda key: p[f"{at}.{key}"]
        h = w("g1") * rms(x)
        q, k, v = (heads(h, w(m)).transpose(0, 1) for m in ("Wq", "Wk", "Wv"))
        scores = (q @ k.transpose(1, 2) / q.shape[-1] ** 0.5).masked_fill(~sees, -torch.inf)
        o = (F.softmax(scores, -1) @ v).transpose(0, 1)
        x = x + torch.einsum("ihe,hed->id", o, w("Wo"))
        return x + w("b2") + F.gelu(w("g2") * rms(x) @ w("W1") + w("b1")) @ w("W2")

    def example(x, p, b, u):
        rows = range(events[b], events[b + 1])
        count = len(rows)
        sequence = []
        for i, row in enumerate(rows):
            tags = x["tag"][contents[row] : contents[row + 1]]
            token = p["ei"][x["item"][row]] + p["ea"][x["act"][row]] + p["rec"][count - 1 - i] + p["src"][0]
            token = token + p["age"][bucket(x["now"][b] - x["ts"][row])]
            sequence.append(token + p["eg"][tags].mean(0) if len(tags) else token)
        side = []
        for f in range(3):
            ids = x["fv"][values[3 * b + f] : values[3 * b + f + 1]] + sum(vocabs[:f])
            side.append((p["ef"][ids].mean(0) if len(ids) else 0) + p["src"][1])
        side.append(F.silu(p["bx"][0] + x["ctx"][b, :1] @ p["wx"][:1]) + p["src"][2])
        side.append(F.silu(p["bx"][1] + x["ctx"][b, 1:] @ p["wx"][1:]) + p["src"][2])
        side.append(u + p["src"][3])
        z = block(p, blocks[0], torch.stack(sequence + side), count, x)
        for k, size in enumerate(slots):
            s = z[:count]
            logits = d**-0.5 * p[f"stage.{k}.compress.0.Q0"] @ rms(s).T
            compressed = F.softmax(logits, -1) @ s if count else torch.zeros(size, d)
            z = block(p, blocks[k + 1], torch.cat([compressed, z[count:]]), size, x)
            count = size
        hid = F.gelu(p["bh"] + z[:count].mean(0) @ p["Wh"][0] + z[count:].mean(0) @ p["Wh"][1])
        w = lambda key: p["gru.0." + key]
        e = hid @ p["We"][0] + p["ei"][x["cand"][b]] @ p["We"][1] + p["ea"][x["did"][b]] @ p["We"][2]
        write = torch.sigmoid(e @ w("Wz") + u @ w("Uz") + w("bz"))
        reset = torch.sigmoid(e @ w("Wr") + u @ w("Ur") + w("br"))
        fresh = torch.tanh(e @ w("Wh") + (reset * u) @ w("Uh") + w("bh"))
        return p["bo"] + hid @ p["wo"][:, 0], (1 - write) * u + write * fresh

    def compute(x, p):
        before, logits, states = x["u"].clone().requires_grad_(True), [], []
        for b in range(3):
            u = states[0] if b == 2 else before[b] if x["u.known"][b] else p["u0"]
            logit, after = example(x, p, b, u)
            logits.append(logit)
            states.append(after)
        logit = torch.stack(logits)
        loss = F.binary_cross_entropy_with_logits(logit, x["lab"])
        by_state = torch.autograd.grad(loss, before, retain_graph=True)[0]
        by_state[2] = torch.autograd.grad(loss, states[0], retain_graph=True)[0]
        return {"logit": logit, "u'": torch.stack(states), "grad.u": by_state}, loss

    expect.write(HERE, "unirec", given, params, compute, 3)


def sasrec_dcnv2():
    n, d, g, vocabs = 7, 6, 5, [4, 3, 5]
    r = Numbers(34)
    events, contents, values = [0, 1, 3, 10], [0, 2, 2, 3, 6, 6, 7, 9, 10, 10, 12], [0, 1, 1, 3, 4, 6, 7, 8, 8, 9]
    fields = [values[k + 1] - values[k] for k in range(9)]
    given = {"S.offsets": events, "Y.offsets": contents, "O.offsets": values}
    given["item"], given["act"], given["tag"] = r.ids(10, below=ITEMS), r.ids(10, below=3), r.ids(12, below=5)
    given["fv"] = torch.cat([r.ids(fields[k], below=vocabs[k % 3]) for k in range(9)])
    given["ctx"], given["cand"], given["lab"] = r.real(3, 4), r.ids(3, below=ITEMS), torch.tensor([0.0, 1.0, 1.0])
    params = {"emb": r.real(ITEMS, d), "ea": r.real(3, d), "eg": r.real(5, d), "ef": r.real(12, d), "pe": r.real(n, d)}
    params.update({"wx": r.real(4, d), "bx": r.real(2, d)})
    for k in range(2):
        for key in ("Wq", "Wk", "Wv"):
            params[f"layer.{k}.{key}"] = r.real(d, 2, 3)
        for key in ("bq", "bk", "bv"):
            params[f"layer.{k}.{key}"] = r.real(2, 3)
        for key, shape in {"Wp": (2, 3, d), "bp": (d,), "W1": (d, g), "b1": (g,), "W2": (g, d), "b2": (d,)}.items():
            params[f"layer.{k}.{key}"] = r.real(*shape)
        params[f"cross.{k}.Wc"], params[f"cross.{k}.b"] = r.real(7, d, 7, d, scale=0.1), r.real(7, d)
    for k, (width, below) in enumerate([(7, (7, d)), (5, (7,))]):
        params[f"mlp.{k}.linear.0.W"], params[f"mlp.{k}.linear.0.b"] = r.real(*below, width, scale=0.3), r.real(width)
    params["out.0.Wx"], params["out.0.Wh"], params["out.0.b"] = r.real(7, d, 1, scale=0.1), r.real(5, 1), r.real()

    def layer(p, k, x):
        w = lambda key: p[f"layer.{k}.{key}"]
        h = ln(x, 1e-8)
        q, key, v = heads(h, w("Wq")) + w("bq"), heads(x, w("Wk")) + w("bk"), heads(x, w("Wv")) + w("bv")
        scores = torch.einsum("ihe,jhe->hij", q, key) / 3**0.5
        scores = scores.masked_fill(~causal_mask(len(x)), -torch.inf)
        o = torch.einsum("hij,jhe->ihe", F.softmax(scores, -1), v)
        h = ln(h + torch.einsum("ihe,hed->id", o, w("Wp")) + w("bp"), 1e-8)
        return h + F.relu(h @ w("W1") + w("b1")) @ w("W2") + w("b2")

    def example(x, p, b):
        lo, hi = events[b], events[b + 1]
        tags = [x["tag"][contents[row] : contents[row + 1]] for row in range(lo, hi)]
        content = torch.stack([p["eg"][t].mean(0) if len(t) else torch.zeros(d) for t in tags])
        seq = d**0.5 * (p["emb"][x["item"][lo:hi]] + p["ea"][x["act"][lo:hi]] + content) + p["pe"][: hi - lo]
        for k in range(2):
            seq = layer(p, k, seq)
        rows = [seq[-1], p["emb"][x["cand"][b]]]
        for f in range(3):
            ids = x["fv"][values[3 * b + f] : values[3 * b + f + 1]] + sum(vocabs[:f])
            rows.append(p["ef"][ids].mean(0) if len(ids) else torch.zeros(d))
        rows.append(F.silu(p["bx"][0] + x["ctx"][b, :1] @ p["wx"][:1]))
        rows.append(F.silu(p["bx"][1] + x["ctx"][b, 1:] @ p["wx"][1:]))
        e = torch.stack(rows)
        z = e
        for k in range(2):
            z = e * (torch.einsum("ad,adbe->be", z, p[f"cross.{k}.Wc"]) + p[f"cross.{k}.b"]) + z
        h = F.relu(torch.einsum("ad,adm->m", e, p["mlp.0.linear.0.W"]) + p["mlp.0.linear.0.b"])
        h = F.relu(h @ p["mlp.1.linear.0.W"] + p["mlp.1.linear.0.b"])
        return p["out.0.b"] + (z * p["out.0.Wx"][:, :, 0]).sum() + h @ p["out.0.Wh"][:, 0]

    def compute(x, p):
        logit = torch.stack([example(x, p, b) for b in range(3)])
        return {"logit": logit}, F.binary_cross_entropy_with_logits(logit, x["lab"])

    expect.write(HERE, "sasrec_dcnv2", given, params, compute, 3)


if __name__ == "__main__":
    next_item("fuxi_alpha", FUXI, fuxi, True, 21)
    next_item("hstu", HSTU, hstu, True, 22)
    next_item("sasrec", SASREC, sasrec, False, 23)
    next_item("llama", LLAMA, llama, False, 24)
    gru4rec()
    unirec()
    sasrec_dcnv2()
