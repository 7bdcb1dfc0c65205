"""Writing NAME.expect files (tests/support/expected.h has the format) from what PyTorch computes."""

import os

import torch

torch.set_default_dtype(torch.float64)


class Numbers:
    """Random numbers of three decimals, so that the files are short and their text is exact."""

    def __init__(self, seed):
        self.generator = torch.Generator().manual_seed(seed)

    def real(self, *shape, scale=1.0):
        x = torch.randn(shape, generator=self.generator) * scale
        return (x * 1000).round() / 1000

    def ids(self, *shape, below):
        return torch.randint(0, below, shape, generator=self.generator)


def write(directory, name, inputs, params, compute, batch, kinks=()):
    """compute(inputs, params) returns (outputs by name, loss). kinks: cells of param x where the derivative is one by
    convention and differences say something else. A param that the loss does not reach has no gradient."""
    leaves = {k: v.clone().requires_grad_(True) for k, v in params.items()}
    outputs, loss = compute(inputs, leaves)
    loss.backward()
    lines = [f"batch - 0 {batch}"]

    def line(kind, key, value, form):
        value = value.detach()
        parts = [kind, key, str(value.dim())] + [str(d) for d in value.shape]
        lines.append(" ".join(parts + [form(v) for v in value.reshape(-1).tolist()]))

    for key, value in inputs.items():
        number = lambda v: repr(int(v) if isinstance(v, bool) else v)
        line("input", key, value if torch.is_tensor(value) else torch.tensor(value), number)
    for key, value in params.items():
        line("param", key, value, repr)
    for key, value in {**outputs, "loss": loss}.items():
        line("output", key, value, lambda v: f"{v:.13g}")
    for key, value in leaves.items():
        if value.grad is not None:
            line("output", "grad." + key, value.grad, lambda v: f"{v:.13g}")
    if kinks:
        line("kinks", "x", torch.tensor(kinks), repr)
    with open(os.path.join(directory, name + ".expect"), "w") as f:
        f.write("\n".join(lines) + "\n")
