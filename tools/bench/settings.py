"""What is compared: specs, sizes, row lengths, and the figures a peer must come near for a ratio to count."""
import array
import json
import pathlib
import random

ITEMS = 7550


class Setting:
    """lengths: what is run when none are asked for, None for a model of rows. sizes: vocabularies of a row's fields.
    figures: style -> {longest row (None for a model of rows): training examples/s}."""

    def __init__(self, spec, batch, lengths=None, variant=None, defines=(), sizes=None, figures=None):
        self.spec, self.batch, self.lengths, self.variant, self.sizes = spec, batch, lengths, variant, sizes
        self.defines, self.figures = list(defines), figures or {}

    def defines_for(self, longest):
        """Bounds and position tables grow with the rows; the published length is 200."""
        if self.sizes:
            return [f"cat=[{','.join(map(str, self.sizes))}]", *self.defines]
        positions = [f"N={longest + 11}"] if self.figures.get("reference") else []
        return [f"item={ITEMS}", *self.defines, *([f"T.max={longest}", *positions] if longest > 200 else [])]


def _sequence(name, reference, tuned):
    at = (200, 400, 600, 800)
    return Setting(f"models/sequential/{name}.heddle", 32, ["full:200", "full:800"],
                   figures={"reference": dict(zip(at, reference)), "tuned": dict(zip(at, tuned))})


FIELDS = [539] * 9 + [538]  # ten fields and 5,389 values, as Frappe has

# Figures: PyTorch 1.13.1, two threads of a two-core AVX-512 machine, fair environment, examples/s of a training step.
SETTINGS = {
    "fuxi_alpha": _sequence("fuxi_alpha", (64, 27, 19, 10), (116, 47, 28, 18)),
    "hstu": _sequence("hstu", (72, 35, 20, 14), (141, 61, 40, 25)),
    "sasrec": _sequence("sasrec", (78, 36, 22, 15), (166, 62, 34, 24)),
    "llama": _sequence("llama", (73, 35, 21, 14), (134, 72, 39, 25)),
    "gru4rec": Setting("models/sequential/gru4rec.heddle", 32, ["full:50"], variant="sampled", defines=["D=100", "K=100"],
                       figures={"tuned": {50: 2160}}),
    "deepfm": Setting("models/interaction/deepfm.heddle", 4096, sizes=FIELDS, figures={"tuned": {None: 65000}}),
    "dcnv2": Setting("models/interaction/dcnv2.heddle", 4096, sizes=FIELDS, figures={"tuned": {None: 60000}}),
}


class BadLengths(Exception):
    pass


def _source(text, batch):
    """All row lengths that a --lengths stands for."""
    kind, _, rest = text.partition(":")
    try:
        if kind == "full":
            return [int(rest)]
        if kind == "uniform":
            low, high = (int(v) for v in rest.split(":"))
            return [low + (high - low) * k / (4 * batch - 1) for k in range(4 * batch)]
        if kind == "data":
            schema = json.loads((pathlib.Path(rest) / "schema.json").read_text())
            offsets = array.array("q", (pathlib.Path(rest) / schema["offsets"]["file"]).read_bytes())
            return [min(b - a - 2, 200) for a, b in zip(offsets, offsets[1:]) if b - a > 2]
        return [int(line) for line in pathlib.Path(text).read_text().split()]
    except (OSError, ValueError, KeyError) as e:
        raise BadLengths(f"--lengths {text} is none of full:N, uniform:A:B, data:DIR, a file of lengths: {e}")


def row_lengths(text, batch):
    """full:N, uniform:A:B, data:DIR (a data set's histories under next-item training: all but the last two events, the
    last 200 of them) or a file with one length per line. A small batch takes quantiles, so that it has the mean of all,
    and always the longest, which is what a peer pads to."""
    known = sorted(_source(text, batch))
    if not known or known[0] < 1:
        raise BadLengths(f"--lengths {text}: there must be lengths, of at least 1")
    if len(known) < batch:
        return [round(known[k % len(known)]) for k in range(batch)]
    chosen = [round(known[int((k + 0.5) * len(known) / batch)]) for k in range(batch)]
    chosen[-1] = round(known[-1])
    random.Random(1).shuffle(chosen)
    return chosen
