#!/usr/bin/env python3
"""Logits, losses and gradients of the interaction models, computed in double precision by the PyTorch functions of
tests/peer/ctr.py and stored as NAME.expect or NAME-VARIANT.expect.

    python3 tests/models/reference_ctr.py          rewrites them beside it

Sizes are those of specs.c: three fields with 4, 3 and 5 entries."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
sys.path.insert(0, os.path.join(HERE, "..", "peer"))
import ctr
import expect
from expect import Numbers

SIZES, D, B = [4, 3, 5], 5, 6
ROWS, FIELDS = sum(SIZES), len(SIZES)


def tables(r, linear):
    return {**({"lin": r.real(ROWS)} if linear else {}), "emb": r.real(ROWS, D)}


def hidden(r, at, k, m, bn):
    k = k if isinstance(k, tuple) else (k,)
    w = {f"{at}.linear.0.W": r.real(*k, m), f"{at}.linear.0.b": r.real(m)}
    if bn:
        w.update({f"{at}.bn.0.gain": r.real(m), f"{at}.bn.0.bias": r.real(m)})
    return w


def tower(r, form, k, widths, bn):
    w = {}
    for n, m in enumerate(widths):
        w.update(hidden(r, form.format(n), k, m, bn))
        k = m
    return w, k


def mlp(r, k, widths, bn):
    w, last = tower(r, "mlp.0.hidden.{}", k, widths, bn)
    return {**w, "mlp.0.out.0.W": r.real(last, 1), "mlp.0.out.0.b": r.real(1)}


def out(r, *k):
    return {"out.0.W": r.real(*k, 1), "out.0.b": r.real(1)}


def join(r, k):
    return {"out.0.Wx": r.real(FIELDS, D, 1), "out.0.Wh": r.real(k, 1), "out.0.b": r.real()}


def upper(x):
    """A param over f < g has no cells elsewhere: 0."""
    for f in range(FIELDS):
        x[f, : f + 1] = 0
    return x


def write(name, params, lam, given=None, **h):
    """Without given: a batch of fields. lam None: there is no penalty."""
    model = name.split("-")[0]
    r = Numbers(sum(map(ord, name)))
    given = given or {"fv": ctr.torch.stack([r.ids(B, below=n) for n in SIZES], 1)}
    given["lab"] = (r.real(B) > 0).double()

    def compute(x, p):
        net = ctr.Net(p, x, SIZES, training=True, **h)
        logit = ctr.MODELS[model](net)
        loss, penalty = ctr.losses(net, logit, lam or 0)
        if model == "dien":
            aux = 0 if h["form"] == "fuxi" else ctr.dien_aux(net, 9)
            loss = (0.5 if h["form"] == "code" else 1) * loss + aux
            return {"logit": logit, **({} if h["form"] == "fuxi" else {"aux": aux})}, loss
        return {"logit": logit, **({} if lam is None else {"penalty": penalty})}, loss

    expect.write(HERE, name, given, params, compute, B)


def main():
    r = Numbers(71)
    flat = (FIELDS, D)
    write("lr", {"lin": r.real(ROWS), "bias": r.real()}, 1e-5)
    write("fm", {**tables(r, True), "bias": r.real()}, 5e-6)
    lists = [0, 0, 1, 4, 4, 13, 15]
    given = {"L.offsets": ctr.torch.tensor(lists), "feature": r.ids(15, below=13), "value": r.real(15)}
    write("lr-sparse", {"lin": r.real(13), "bias": r.real()}, 1e-5, dict(given))
    write("fm-sparse", {"lin": r.real(13), "emb": r.real(13, D), "bias": r.real()}, 5e-6, dict(given))
    r = Numbers(74)
    write("wide_deep", {**tables(r, True), **mlp(r, flat, [7, 6], True)}, 0.1)
    write("deepfm", {**tables(r, True), **mlp(r, flat, [7, 6], True)}, 0.05)
    write("nfm", {**tables(r, True), **mlp(r, D, [7, 6], False)}, 1e-4)

    w = tables(r, False)
    for n, m in enumerate([7, 6]):
        w.update({f"unit.{n}.inner.0.linear.0.W": r.real(*flat, m), f"unit.{n}.inner.0.linear.0.b": r.real(m)})
        w.update({f"unit.{n}.W": r.real(m, *flat), f"unit.{n}.b": r.real(*flat)})
    write("deep_crossing", {**w, **out(r, *flat)}, 0.05)

    for variant, shape in {"": None, "-opnn": (D, D), "-opnn_vec": (D,), "-opnn_num": ()}.items():
        w = {**tables(r, False), "We": r.real(*flat, 7), "Wp": upper(r.real(FIELDS, FIELDS, 7)), "b": r.real(7)}
        if shape is not None:
            w["K"] = upper(r.real(FIELDS, FIELDS, *shape))
        write("pnn" + variant, {**w, **mlp(r, 7, [6], False)}, 0.05)

    cross = {}
    for n in range(2):
        cross.update({f"cross.{n}.Wc": r.real(*flat, 1), f"cross.{n}.b": r.real(*flat)})
    deep, last = tower(r, "mlp.{}", flat, [7, 6], True)
    write("dcn", {**tables(r, False), **cross, **deep, **join(r, last)}, 0.05)
    write("dcn-cross", {**tables(r, False), **cross, **out(r, *flat)}, 1e-4)

    cross = {}
    for n in range(2):
        cross.update({f"cross.{n}.Wc": r.real(*flat, *flat, scale=0.3), f"cross.{n}.b": r.real(*flat)})
    write("dcnv2", {**tables(r, False), **cross, **deep, **join(r, last)}, 0.05)
    write("dcnv2-cross", {**tables(r, False), **cross, **out(r, *flat)}, 1e-3)
    write("dcnv2-stacked", {**tables(r, False), **cross, **deep, **out(r, last)}, 0.05)
    cross = {"gate": r.real(*flat, 3)}
    for n in range(2):
        shapes = {"U": (3, 4, *flat), "C": (3, 4, 4), "V": (3, *flat, 4), "b": flat}
        cross.update({f"cross.{n}.{k}": r.real(*shape, scale=0.5) for k, shape in shapes.items()})
    write("dcnv2-mix", {**tables(r, False), **cross, **deep, **join(r, last)}, 0.05)

    w = {**tables(r, True), "bias": r.real()}
    for n, (m, k) in enumerate([(FIELDS, 4), (4, 3)]):
        w.update({f"cin.{n}.Wc": r.real(FIELDS, m, k, scale=0.5), f"cin.{n}.b": r.real(k), f"cin.{n}.wo": r.real(k, 1)})
    write("xdeepfm", {**w, **mlp(r, flat, [7, 6], True)}, 0.1)
    write("xdeepfm-cin", w, 5e-4)

    w = {**tables(r, False), "first.0.Wr": r.real(D, 2, 3), **out(r, FIELDS, 2, 3)}
    for at, k in (("first.0", (D,)), ("next.0", (2, 3))):
        w.update({f"{at}.attend.0.{m}": r.real(*k, 2, 3, scale=0.5) for m in ("Wq", "Wk", "Wv")})
    write("autoint", w, 0.05)
    for at in ("first.0", "next.0"):
        w.update({f"{at}.finish.0.gain": r.real(2, 3), f"{at}.finish.0.bias": r.real(2, 3)})
    write("autoint-plus", {**w, **mlp(r, flat, [7, 6], True)}, 0.1, scale=32**-0.5)


ITEMS, CATEGORIES, USERS, LISTS = 13, 4, 5, [0, 0, 1, 4, 4, 13, 15]


def history(r):
    n = LISTS[-1]
    ids = lambda count, below: r.ids(count, below=below)
    return {
        "T.offsets": ctr.torch.tensor(LISTS),
        "item": ids(n, ITEMS),
        "cand": ids(B, ITEMS),
        "user": ids(B, USERS),
        "cate": ids(ITEMS, CATEGORIES),
    }


def din_layers(r, form, k, widths, kind):
    w = {}
    for n, m in enumerate(widths):
        at = form.format(n)
        w.update({f"{at}.linear.0.W": r.real(*k, m, scale=0.5), f"{at}.linear.0.b": r.real(m)})
        if kind != "code":
            w[f"{at}.dice.0.alpha"] = r.real(m)
        if kind == "bars":
            w.update({f"{at}.bn.0.gain": r.real(m), f"{at}.bn.0.bias": r.real(m)})
        k = (m,)
    return w


def din():
    d = 3
    for kind in (None, "code", "bars"):
        r = Numbers(72)
        given = history(r)
        parts = 6 if kind == "code" else 5
        w = {"ei": r.real(ITEMS, d), "ec": r.real(CATEGORIES, d)}
        w.update(din_layers(r, "unit.{}", (4, 2, d), [7, 4], kind))
        w.update({"score.0.W": r.real(4, 1), "score.0.b": r.real(1)})
        if kind == "code":
            w.update({"bi": r.real(ITEMS), "user.0.W": r.real(2, d, 2 * d), "user.0.b": r.real(2 * d)})
            w.update({"bn.0.gain": r.real(2, d), "bn.0.bias": r.real(2, d)})
            w.update({"head.0.gain": r.real(3, 2, d), "head.0.bias": r.real(3, 2, d)})
        else:
            w["eu"] = r.real(USERS, d)
        w.update(din_layers(r, "mlp.{}", (3, 2, d) if kind == "code" else (parts, d), [6, 5], kind))
        w.update({"last.0.W": r.real(5, 1), "last.0.b": r.real(1)})
        write("din" + (f"-{kind}" if kind else ""), w, 0.005 if kind == "bars" else None, given, form=kind)


def dien():
    d, k = 2, 4
    for kind in (None, "code", "agru", "fuxi"):
        r = Numbers(73)
        given = history(r)
        if kind != "fuxi":
            given["neg"] = r.ids(LISTS[-1], below=ITEMS)
        w = {"ei": r.real(ITEMS, d), "ec": r.real(CATEGORIES, d), "eu": r.real(USERS, d), "Wq": r.real(k, k)}
        w.update({"bq": r.real(k), "slope": r.real(k)})
        for at in ("extract.0", "evolve.0"):
            gates = "rh" if kind == "agru" and at == "evolve.0" else "zrh"
            w.update({f"{at}.{m}{g}": r.real(k, k, scale=0.5) for m in "WU" for g in gates})
            w.update({f"{at}.b{g}": r.real(k) for g in gates})
        if kind == "fuxi":
            w["evolve.0.ch"] = r.real(k)
        for n, (shape, m) in enumerate([((4, k), 7), ((7,), 5)]):
            w.update({f"unit.{n}.linear.0.W": r.real(*shape, m, scale=0.5), f"unit.{n}.linear.0.b": r.real(m)})
        w.update({"score.0.W": r.real(5, 1), "score.0.b": r.real(1)})
        for n, shape in enumerate([(d,), (4, k)]):
            w.update({f"head.0.bn.{n}.gain": r.real(*shape), f"head.0.bn.{n}.bias": r.real(*shape)})
        w.update({"head.0.Wu": r.real(d, 6), "head.0.Wx": r.real(4, k, 6, scale=0.5), "head.0.b": r.real(6)})
        w["head.0.dice.0.alpha"] = r.real(6)
        w.update(din_layers(r, "mlp.{}", (6,), [5], None))
        w.update({"last.0.W": r.real(5, 2), "last.0.b": r.real(2)})
        if kind != "fuxi":
            w.update({"bn.0.gain": r.real(2, k), "bn.0.bias": r.real(2, k)})
            for n, (shape, m) in enumerate([((2, k), 5), ((5,), 3)]):
                w.update({f"net.{n}.linear.0.W": r.real(*shape, m, scale=0.5), f"net.{n}.linear.0.b": r.real(m)})
            w.update({"net_out.0.W": r.real(3, 2), "net_out.0.b": r.real(2)})
        write("dien" + (f"-{kind}" if kind else ""), w, None, given, form=kind)


if __name__ == "__main__":
    main()
    din()
    dien()
