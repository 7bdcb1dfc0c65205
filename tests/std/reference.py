#!/usr/bin/env python3
"""Expected values of the standard library, computed with PyTorch in double precision and stored as NAME.expect.

    python3 reference.py          rewrites every NAME.expect beside it

Nothing here reads Heddle's files: each function below states what a library equation must compute, with torch's own
operator where torch has one and with the paper's formula where it has none, and autograd gives the gradients. The test
(std.c) needs only the stored numbers. A line is: kind, name, number of dims, dims, values.
"""

import os
import sys

import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
import expect
from expect import Numbers


def write(name, offsets, inputs, params, compute, batch, kinks=()):
    """compute returns the sum of the loss over examples; the specs average it."""
    given = {axis + ".offsets": lists for axis, lists in offsets.items()}

    def mean(x, p):
        outputs, total = compute(x, p)
        return outputs, total / batch

    expect.write(HERE, name, {**given, **inputs}, params, mean, batch, kinks)


LISTS = [0, 0, 1, 6]  # three examples with 0, 1 and 5 events


def rows(item, offsets=LISTS):
    """Ids of each example."""
    return [item[offsets[b] : offsets[b + 1]] for b in range(len(offsets) - 1)]


# ---- functions of one cell ----


def cellwise(name, f, extra=None, at=None, kinks=()):
    """y[n] = f(x[n]) or f(x[n], other[n]); the first cells are the points of `at`."""
    r = Numbers(len(name) * 31 + ord(name[0]))
    params = {"x": r.real(13, scale=2)}
    if extra:
        params[extra] = r.real(13)
    for i, v in enumerate(at or []):
        params["x"][i] = v
    inputs = {"w": r.real(3, 13)}

    def compute(given, p):
        y = f(*p.values())
        return {"y": y}, (given["w"] * y).sum()

    write(name, {}, inputs, params, compute, 3, kinks)


def cellwise_functions():
    cellwise("relu", F.relu, at=[0.0, -3.0, 3.0], kinks=(0,))
    cellwise("silu", F.silu, at=[0.0, -30.0, 30.0])
    cellwise("gelu", lambda x: F.gelu(x, approximate="none"), at=[0.0, -4.0, 4.0])
    cellwise("elu", lambda x: F.elu(x, alpha=0.7), at=[-9.0, 9.0])
    cellwise("hardsigmoid", lambda x: torch.clamp(0.2 * x + 0.5, 0, 1), at=[-3.0, 3.0, -2.4, 2.4])
    cellwise("prelu", lambda x, a: torch.where(x > 0, x, a * x), extra="a")
    cellwise("softplus", lambda x: F.softplus(x, threshold=1e9), at=[0.0, -700.0, 700.0])
    cellwise("logsigmoid", F.logsigmoid, at=[-700.0, 700.0])
    cellwise("bpr", lambda pos, neg: -F.logsigmoid(pos - neg), extra="o", at=[50.0, -50.0])

    def bce(x, t):
        return torch.maximum(x, torch.zeros_like(x)) - x * t + torch.log1p(torch.exp(-x.abs()))

    cellwise("bce", bce, extra="t", at=[40.0, -40.0])


# ---- norms ----


def norm(name, f):
    r = Numbers(len(name) * 17 + ord(name[0]))
    item = torch.tensor([2, 0, 3, 1, 2, 3])
    x = r.real(4, 7)
    x[3] = x[3] * 0.01  # shorter than the epsilon of l2norm
    x = (x * 100000).round() / 100000
    inputs = {"item": item, "w": r.real(6, 7)}

    def compute(given, p):
        y = f(p["x"][given["item"]])
        return {"y": y}, (given["w"] * y).sum()

    write(name, {"T": LISTS}, inputs, {"x": x}, compute, 3)


def norms():
    norm("rmsnorm", lambda x: F.rms_norm(x, (7,), eps=0.01))
    norm("layernorm", lambda x: F.layer_norm(x, (7,), eps=0.01))
    norm("l2norm", lambda x: F.normalize(x, dim=-1, eps=0.5))
    norm("center", lambda x: x - x.mean(-1, keepdim=True))


# ---- along letters ----


def causal(scores):
    n = scores.shape[0]
    return scores.masked_fill(torch.ones(n, n).triu(1).bool(), float("-inf"))


def softmax():
    r = Numbers(3)
    inputs = {"item": r.ids(6, below=9), "w": r.real(6, 3)}
    params = {"s": r.real(9, 9, scale=3), "val": r.real(9, 3)}

    def compute(given, p):
        out = []
        for item in rows(given["item"]):
            s = p["s"][item][:, item]
            out.append(F.softmax(causal(s), dim=-1) @ p["val"][item] if len(item) else torch.zeros(0, 3))
        o = torch.cat(out)
        return {"o": o}, (given["w"] * o).sum()

    write("softmax", {"T": LISTS}, inputs, params, compute, 3)


def logsumexp():
    r = Numbers(4)
    lists = [0, 1, 3, 8]
    inputs = {"item": r.ids(8, below=9), "w": r.real(8)}
    params = {"s": r.real(9, 9, scale=3)}

    def compute(given, p):
        y = torch.cat([torch.logsumexp(causal(p["s"][i][:, i]), -1) for i in rows(given["item"], lists)])
        return {"y": y}, (given["w"] * y).sum()

    write("logsumexp", {"T": lists}, inputs, params, compute, 3)


def place():
    s = torch.tensor(
        [[5.0, 1, 5, 3, 5, 0, 7, 2], [1.0, 2, 3, 4, 5, 6, 7, 8], [0.0, 0, 0, 0, 0, 0, 0, 0], [9.0, 1, 2, 3, 9, 4, 5, 6]]
    )
    t = torch.tensor([0, 7, 3, 1])

    def compute(given, p):
        out = []
        for b in range(4):
            others = torch.cat([s[b, : t[b]], s[b, t[b] + 1 :]])
            mine = s[b, t[b]]
            out.append(1 + (others > mine).sum() + 0.5 * (others == mine).sum())
        y = torch.stack(out).double()
        return {"y": y}, (p["a"] * y).sum()

    write("place", {}, {"s": s, "t": t}, {"a": torch.tensor(0.37)}, compute, 4)


def dropout():
    """Without noise it is the identity; the test checks the noise itself."""
    r = Numbers(6)
    inputs = {"x": r.real(3, 400), "w": r.real(3, 400)}

    def compute(given, p):
        y = F.dropout(p["a"] * given["x"], 0.25, training=False)
        return {"y": y}, (given["w"] * y).sum()

    write("dropout", {}, inputs, {"a": r.real(400)}, compute, 3)


# ---- blocks ----


def attention():
    r = Numbers(7)
    inputs = {"item": r.ids(6, below=9), "w": r.real(6, 2, 5)}
    params = {"q0": r.real(9, 2, 3), "k0": r.real(9, 2, 3), "v0": r.real(9, 2, 5)}

    def compute(given, p):
        out = []
        for item in rows(given["item"]):
            q, k, v = (p[name][item].transpose(0, 1) for name in ("q0", "k0", "v0"))
            if len(item):
                out.append(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(0, 1))
        o = torch.cat(out)
        return {"o": o}, (given["w"] * o).sum()

    write("CausalAttention", {"T": LISTS}, inputs, params, compute, 3)


def gates(r, call, names, biases):
    params = {"emb": r.real(9, 3)}
    for n in names:
        params[f"{call}.{n}"] = r.real(3 if n[0] == "W" else 4, 4)
    for n in biases:
        params[f"{call}.{n}"] = r.real(4)
    return params


def step_before(p, x, u):
    """One step, reset before the product, write gate; Cho et al. 2014, eqs. 5 to 8 with z for their 1 - z."""
    g = lambda n: p["gru.0." + n]
    w = torch.sigmoid(x @ g("Wz") + u @ g("Uz") + g("bz"))
    r = torch.sigmoid(x @ g("Wr") + u @ g("Ur") + g("br"))
    n = torch.tanh(x @ g("Wh") + (r * u) @ g("Uh") + g("bh"))
    return (1 - w) * u + w * n


BEFORE = (["Wz", "Wr", "Wh", "Uz", "Ur", "Uh"], ["bz", "br", "bh"])


def gru():
    r = Numbers(8)
    inputs = {"item": r.ids(6, below=9), "w": r.real(6, 4)}
    params = gates(r, "gru.0", *BEFORE)

    def compute(given, p):
        out = []
        for item in rows(given["item"]):
            u = torch.zeros(4)
            for i in item:
                u = step_before(p, p["emb"][i], u)
                out.append(u)
        h = torch.stack(out)
        return {"h": h}, (given["w"] * h).sum()

    write("Gru", {"T": LISTS}, inputs, params, compute, 3)


def gru_cell():
    r = Numbers(9)
    inputs = {"item": r.ids(3, below=9), "w": r.real(3, 4)}
    params = gates(r, "gru.0", *BEFORE)
    params["old"] = r.real(9, 4)

    def compute(given, p):
        z = step_before(p, p["emb"][given["item"]], p["old"][given["item"]])
        return {"z": z}, (given["w"] * z).sum()

    write("GruCell", {}, inputs, params, compute, 3)


def gru_after():
    """torch.nn.GRU; its bias of the update and reset gates is the sum of two, of which one is set to 0."""
    r = Numbers(10)
    inputs = {"item": r.ids(6, below=9), "w": r.real(6, 4)}
    params = gates(r, "gru.0", ["Wz", "Wr", "Wn", "Uz", "Ur", "Un"], ["bz", "br", "bn", "cn"])

    def compute(given, p):
        g = lambda n: p["gru.0." + n]
        module = torch.nn.GRU(3, 4, batch_first=True)
        weights = {
            "weight_ih_l0": torch.cat([g("Wr"), g("Wz"), g("Wn")], 1).T,
            "weight_hh_l0": torch.cat([g("Ur"), g("Uz"), g("Un")], 1).T,
            "bias_ih_l0": torch.cat([g("br"), g("bz"), g("bn")]),
            "bias_hh_l0": torch.cat([torch.zeros(8), g("cn")]),
        }
        out = []
        for item in rows(given["item"]):
            if len(item):
                x = p["emb"][item].unsqueeze(0)
                out.append(torch.func.functional_call(module, weights, (x,))[0].squeeze(0))
        h = torch.cat(out)
        return {"h": h}, (given["w"] * h).sum()

    write("GruAfter", {"T": LISTS}, inputs, params, compute, 3)


def dense():
    r = Numbers(11)
    inputs = {"item": r.ids(6, below=9), "w": r.real(6, 2, 4)}
    params = {"emb": r.real(9, 2, 3), "map.0.W": r.real(3, 4), "map.0.b": r.real(4)}

    def compute(given, p):
        y = F.linear(p["emb"][given["item"]], p["map.0.W"].T, p["map.0.b"])
        return {"y": y}, (given["w"] * y).sum()

    write("Dense", {"T": LISTS}, inputs, params, compute, 3)


def swiglu():
    r = Numbers(12)
    inputs = {"item": r.ids(6, below=9), "w": r.real(6, 3)}
    params = {"emb": r.real(9, 3), "ff.0.W1": r.real(3, 5), "ff.0.W3": r.real(3, 5), "ff.0.W2": r.real(5, 3)}

    def compute(given, p):
        x = p["emb"][given["item"]]
        y = F.linear(F.silu(x @ p["ff.0.W1"]) * (x @ p["ff.0.W3"]), p["ff.0.W2"].T)
        return {"y": y}, (given["w"] * y).sum()

    write("SwiGLU", {"T": LISTS}, inputs, params, compute, 3)


def by_batch(x, eps, mom=0.1):
    """Batch statistics of torch over the rows of x, any features behind them."""
    flat = x.flatten(1)
    return F.batch_norm(flat, None, None, training=True, momentum=mom, eps=eps).reshape(x.shape)


def statistics():
    forms = {
        "Standardise": ({}, lambda x, p: by_batch(x, 1e-5)),
        "BatchNorm": ({"gain": (2, 3), "bias": (2, 3)}, lambda x, p: by_batch(x, 1e-5) * p["it.0.gain"] + p["it.0.bias"]),
        "Dice": ({"alpha": (2, 3)}, dice),
    }
    for name, (shapes, f) in forms.items():
        r = Numbers(40 + len(name))
        inputs = {"item": r.ids(6, below=9), "w": r.real(6, 2, 3)}
        params = {"emb": r.real(9, 2, 3), **{"it.0." + k: r.real(*shape) for k, shape in shapes.items()}}

        def compute(given, p):
            y = f(p["emb"][given["item"]], p)
            return {"y": y}, (given["w"] * y).sum()

        write(name, {"T": LISTS}, inputs, params, compute, 3)


def dice(x, p):
    gate = torch.sigmoid(by_batch(x, 1e-9))
    return gate * x + p["it.0.alpha"] * (1 - gate) * x


def hidden_layers():
    r = Numbers(51)
    inputs = {"item": r.ids(6, below=9), "w": r.real(6, 5)}
    params = {"emb": r.real(9, 2, 3), "one.0.linear.0.W": r.real(2, 3, 4), "one.0.linear.0.b": r.real(4)}
    params.update({"two.0.linear.0.W": r.real(4, 5), "two.0.linear.0.b": r.real(5)})
    params.update({"two.0.bn.0.gain": r.real(5), "two.0.bn.0.bias": r.real(5)})

    def compute(given, p):
        x = p["emb"][given["item"]].flatten(1)
        h = torch.tanh(x @ p["one.0.linear.0.W"].reshape(6, 4) + p["one.0.linear.0.b"])
        h = F.linear(h, p["two.0.linear.0.W"].T, p["two.0.linear.0.b"])
        y = F.relu(F.batch_norm(h, None, None, p["two.0.bn.0.gain"], p["two.0.bn.0.bias"], training=True))
        return {"y": y}, (given["w"] * y).sum()

    write("Hidden", {"T": LISTS}, inputs, params, compute, 3)


def perceptron():
    r = Numbers(52)
    inputs = {"item": r.ids(6, below=9), "w": r.real(6)}
    params, at, width = {"emb": r.real(9, 2, 3)}, "net.0.hidden.", (2, 3)
    for k, m in enumerate((4, 5)):
        params.update({f"{at}{k}.linear.0.W": r.real(*width, m), f"{at}{k}.linear.0.b": r.real(m)})
        params.update({f"{at}{k}.bn.0.gain": r.real(m), f"{at}{k}.bn.0.bias": r.real(m)})
        width = (m,)
    params.update({"net.0.out.0.W": r.real(5, 1), "net.0.out.0.b": r.real(1)})
    params.update({"flat.0.out.0.W": r.real(2, 3, 1), "flat.0.out.0.b": r.real(1)})

    def compute(given, p):
        x = p["emb"][given["item"]].flatten(1)
        h = x
        for k in range(2):
            w = p[f"{at}{k}.linear.0.W"]
            h = F.linear(h, w.reshape(-1, w.shape[-1]).T, p[f"{at}{k}.linear.0.b"])
            h = F.silu(F.batch_norm(h, None, None, p[f"{at}{k}.bn.0.gain"], p[f"{at}{k}.bn.0.bias"], training=True))
        y = F.linear(h, p["net.0.out.0.W"].T, p["net.0.out.0.b"])[:, 0]
        sums = torch.stack([part.sum(0) for part in rows(x)])
        one = sums @ p["flat.0.out.0.W"].reshape(6) + p["flat.0.out.0.b"]
        return {"y": y, "one": one}, (given["w"] * y).sum() + one.sum()

    write("Mlp", {"T": LISTS}, inputs, params, compute, 3)


def join():
    r = Numbers(53)
    inputs = {"item": r.ids(3, below=9), "w": r.real(3)}
    params = {"emb": r.real(9, 2, 3), "other": r.real(9, 4), "join.0.Wx": r.real(2, 3, 1), "join.0.Wh": r.real(4, 1)}
    params["join.0.b"] = r.real()

    def compute(given, p):
        both = torch.cat([p["emb"][given["item"]].flatten(1), p["other"][given["item"]]], 1)
        y = both @ torch.cat([p["join.0.Wx"].flatten(), p["join.0.Wh"].flatten()]) + p["join.0.b"]
        return {"y": y}, (given["w"] * y).sum()

    write("Join", {}, inputs, params, compute, 3)


def pairsum():
    r = Numbers(54)
    inputs = {"item": r.ids(6, below=9), "w": r.real(3, 3)}

    def compute(given, p):
        y = []
        for item in rows(p["emb"][given["item"]]):
            i, j = torch.triu_indices(len(item), len(item), 1)
            y.append((item[i] * item[j]).sum(0))
        y = torch.stack(y)
        return {"y": y}, (given["w"] * y).sum()

    write("pairsum", {"T": LISTS}, inputs, {"emb": r.real(9, 3)}, compute, 3)


if __name__ == "__main__":
    cellwise_functions()
    norms()
    softmax()
    logsumexp()
    place()
    dropout()
    attention()
    gru()
    gru_cell()
    gru_after()
    dense()
    swiglu()
    statistics()
    hidden_layers()
    perceptron()
    join()
    pairsum()
