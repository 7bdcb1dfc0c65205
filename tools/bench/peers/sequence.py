"""FuXi-alpha (Ye et al. 2025, sections 3.2 to 3.4), HSTU (Zhai et al. 2024, section 3.2), SASRec (Kang and McAuley 2018,
in the form of the HSTU tables) and a LLaMa-style recommender, in both styles. Weights have the names and shapes of the
specs' params: Wq (D, H, E) and so on."""
import math

import torch
import torch.nn.functional as F

from .common import Context, bucket, fast_layer_norm, fast_rms, layer_norm, place, rms, sampled_loss, unit

# ---- reference style --------------------------------------------------------------------------------------------


def silu(x):
    return x * torch.sigmoid(x)


def project(x, weight, bias=None):
    y = torch.einsum("bid,dhe->bihe", x, weight)
    return y if bias is None else y + bias


def biases(w, c):
    pos = w["w_pos"][c.size - 1 + c.shift]
    return pos, w["w_time"].index_select(0, bucket(c.gaps()).view(-1)).view(-1, c.n, c.n)


def fuxi_reference(w, x, c):
    n = rms(x)
    q, k, v = (silu(project(n, w[name])) for name in ("Wq", "Wk", "Wv"))
    u = silu(torch.einsum("bid,dhcf->bihcf", n, w["Wu"]))
    sem = silu(torch.einsum("bihe,bjhe->bhij", q, k)) / c.size
    pos, time = biases(w, c)
    o = torch.stack([torch.einsum("ij,bjhf->bihf", pos * c.mask, v),
                     torch.einsum("bij,bjhf->bihf", time * c.mask, v),
                     torch.einsum("bhij,bjhf->bihf", sem * c.mask, v)], dim=3)
    z = c.drop(u * rms(o, (-3, -2, -1)), c.p)
    m = x + w["b0"] + torch.einsum("bihcf,hcfd->bid", z, w["W0"])
    g = c.drop(rms(m), c.p)
    return m + (silu(g @ w["W1"]) * (g @ w["W3"])) @ w["W2"]


def hstu_reference(w, x, c):
    n = layer_norm(x)
    u, v, q, k = (silu(project(n, w[name])) for name in ("Wu", "Wv", "Wq", "Wk"))
    pos, time = biases(w, c)
    s = torch.einsum("bihe,bjhe->bhij", q, k) + (pos + time)[:, None]
    a = silu(s) / c.size * c.mask
    o = torch.einsum("bhij,bjhf->bihf", a, v)
    z = c.drop(u * layer_norm(o, (-2, -1)), c.p)
    return x + w["bo"] + torch.einsum("bihf,hfd->bid", z, w["Wo"])


def softmax_attention(q, k, v, c, p):
    s = torch.einsum("bihe,bjhe->bhij", q, k) / math.sqrt(q.shape[-1])
    a = torch.softmax(s.masked_fill(~c.causal, -math.inf), dim=-1)
    return torch.einsum("bhij,bjhe->bihe", c.drop(a, p), v)


def sasrec_reference(w, x, c):
    n = layer_norm(x, eps=1e-8)
    o = softmax_attention(project(n, w["Wq"], w["bq"]), project(x, w["Wk"], w["bk"]), project(x, w["Wv"], w["bv"]), c, c.p)
    h = layer_norm(n + w["bp"] + torch.einsum("bihe,hed->bid", o, w["Wp"]), eps=1e-8)
    up = c.drop(torch.relu(h @ w["W1"] + w["b1"]), c.p)
    return h + c.drop(up @ w["W2"] + w["b2"], c.p)


def llama_reference(w, x, c):
    n = w["g1"] * rms(x)
    o = softmax_attention(*(project(n, w[name]) for name in ("Wq", "Wk", "Wv")), c, 0)
    m = x + c.drop(torch.einsum("bihe,hed->bid", o, w["Wo"]), c.p)
    g = c.drop(w["g2"] * rms(m), c.p)
    return m + (silu(g @ w["W1"]) * (g @ w["W3"])) @ w["W2"]


# ---- tuned style: rows (B * H, n, E) for the attention, weights side by side -------------------------------------

def together(x, w, names, biases_of=None):
    """One product for several projections of x; the parts as they come, (B, n, width)."""
    parts = [w[name].flatten(1) for name in names]
    y = x @ torch.cat(parts, 1)
    if biases_of:
        y = y + torch.cat([w[name].flatten() for name in biases_of])
    return y.split([part.shape[1] for part in parts], -1)


def to_rows(x, heads):
    B, n, width = x.shape
    if heads == 1:
        return x
    return x.view(B, n, heads, width // heads).transpose(1, 2).reshape(B * heads, n, width // heads)


def from_rows(x, heads):
    """(B * H, n, E) to (B, n, H, E)."""
    return x.view(-1, heads, *x.shape[1:]).transpose(1, 2)


def per_head(a, heads):
    return a if heads == 1 else a.repeat_interleave(heads, 0)


def swiglu(g, w):
    up, gate = together(g, w, ("W1", "W3"))
    return (F.silu(up) * gate) @ w["W2"]


def fuxi_tuned(w, x, c):
    B, n, _ = x.shape
    H, width = w["Wv"].shape[1:]
    q, k, v, u = together(fast_rms(x), w, ("Wq", "Wk", "Wv", "Wu"))
    q, k, v, u = to_rows(F.silu(q), H), to_rows(F.silu(k), H), to_rows(F.silu(v), H), F.silu(u)
    sem = torch.bmm(F.silu(torch.bmm(q, k.transpose(1, 2))) * (c.mask / c.size), v)
    time = torch.bmm(per_head(c.time_weights(w["w_time"]), H), v)
    pos = (c.position_weights(w["w_pos"]) @ v.transpose(0, 1).reshape(n, -1)).view(n, B * H, width).transpose(0, 1)
    o = torch.stack([from_rows(t, H) for t in (pos, time, sem)], dim=3).reshape(B, n, -1)
    z = c.drop(u * fast_rms(o), c.p)
    m = x + torch.addmm(w["b0"], z.view(B * n, -1), w["W0"].flatten(0, 2)).view(x.shape)
    return m + swiglu(c.drop(fast_rms(m), c.p), w)


def hstu_tuned(w, x, c):
    B, n, _ = x.shape
    H = w["Wv"].shape[1]
    u, v, q, k = together(fast_layer_norm(x), w, ("Wu", "Wv", "Wq", "Wk"))
    u, v, q, k = F.silu(u), to_rows(F.silu(v), H), to_rows(F.silu(q), H), to_rows(F.silu(k), H)
    bias = c.time_weights(w["w_time"]) + c.position_weights(w["w_pos"])
    a = F.silu(torch.baddbmm(per_head(bias, H), q, k.transpose(1, 2))) * (c.mask / c.size)
    o = from_rows(torch.bmm(a, v), H).reshape(B, n, -1)
    z = c.drop(u * fast_layer_norm(o), c.p)
    return x + torch.addmm(w["bo"], z.view(B * n, -1), w["Wo"].flatten(0, 1)).view(x.shape)


def fast_attention(q, k, v, heads, c, p):
    """The framework's own fused attention where it has one and nothing is dropped."""
    B, n, width = q.shape
    q, k, v = to_rows(q, heads), to_rows(k, heads), to_rows(v, heads)
    if p == 0 and hasattr(F, "scaled_dot_product_attention"):
        q, k, v = (t.view(B, heads, n, -1) for t in (q, k, v))
        return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(B, n, -1)
    masked = torch.zeros_like(c.mask).masked_fill(~c.causal, -math.inf)
    s = torch.baddbmm(masked, q, k.transpose(1, 2), alpha=1 / math.sqrt(q.shape[-1]))
    return from_rows(torch.bmm(c.drop(torch.softmax(s, -1), p), v), heads).reshape(B, n, -1)


def sasrec_tuned(w, x, c):
    B, n, D = x.shape
    H = w["Wq"].shape[1]
    h = fast_layer_norm(x, 1e-8)
    q = h @ w["Wq"].flatten(1) + w["bq"].flatten()
    k, v = together(x, w, ("Wk", "Wv"), ("bk", "bv"))
    o = fast_attention(q, k, v, H, c, c.p)
    m = fast_layer_norm(h + torch.addmm(w["bp"], o.view(B * n, -1), w["Wp"].flatten(0, 1)).view(x.shape), 1e-8)
    flat = m.view(B * n, D)
    up = c.drop(torch.relu(torch.addmm(w["b1"], flat, w["W1"])), c.p)
    return m + c.drop(torch.addmm(w["b2"], up, w["W2"]), c.p).view(x.shape)


def llama_tuned(w, x, c):
    q, k, v = together(w["g1"] * fast_rms(x), w, ("Wq", "Wk", "Wv"))
    o = fast_attention(q, k, v, w["Wq"].shape[1], c, 0)
    m = x + c.drop(o @ w["Wo"].flatten(0, 1), c.p)
    return m + swiglu(c.drop(w["g2"] * fast_rms(m), c.p), w)


BLOCKS = {"fuxi_alpha": (fuxi_reference, fuxi_tuned), "hstu": (hstu_reference, hstu_tuned),
          "sasrec": (sasrec_reference, sasrec_tuned), "llama": (llama_reference, llama_tuned)}


class Sequence:
    """One of the four around its block: embedding, layers, cosine output. p: dropout probability."""
    optimizer, clip = (torch.optim.AdamW, 0.98), None

    def __init__(self, model, weights, style, p, negatives=128, tau=0.05):
        self.w, self.style, self.p, self.negatives, self.tau = weights, style, p, negatives, tau
        self.block = BLOCKS[model][style != "reference"]
        self.layers = []
        while any(name.startswith(f"layer.{len(self.layers)}.") for name in weights):
            prefix = f"layer.{len(self.layers)}."
            self.layers.append({k[len(prefix):]: t for k, t in weights.items() if k.startswith(prefix)})

    def encode(self, batch, p):
        w = self.w
        size, width = w["pe"].shape
        c = Context(batch, size, p, self.style)
        x = c.drop(math.sqrt(width) * F.embedding(batch.item, w["emb"]) + w["pe"][:c.n], p)
        for layer in self.layers:
            x = self.block(layer, x, c)
        return w["g0"] * (rms if self.style == "reference" else fast_rms)(x) if "g0" in w else x

    def loss(self, batch):
        return sampled_loss(self.w["emb"], self.encode(batch, self.p), batch, self.negatives, self.style, self.tau)

    def infer(self, batch):
        x = self.encode(batch, 0)
        x = unit(x[torch.arange(x.shape[0]), batch.last])
        return place(x @ unit(self.w["emb"]).t(), batch)
