"""One peer program. Reads its task as one line of JSON on standard input and answers in JSON, a line per request:

  {"model", "style", "params": {path: shape}, "batch", "lengths" | "sizes", "p", "negatives", "lam", "threads"}
                                           -> {"torch", "blas", ...}
  {"do": "train" | "infer", "steps": K}   -> {"wall": [...], "cpu": [...]}

or replays what `heddle train --record` wrote, a style and a loss per line:

  peer.py --replay MODEL RECORD_DIR --styles reference tuned

tools/bench/compare and tests/peer/compare drive it. Style `compiled` is `tuned` through torch.compile."""
import argparse
import json
import pathlib
import sys
import time

import torch

from peers.common import Batch, load
from peers.gru4rec import Gru4Rec
from peers.interaction import Interaction, Rows
from peers.sequence import BLOCKS, Sequence

MODELS = [*BLOCKS, "gru4rec", "deepfm", "dcnv2"]
STYLES = ["reference", "tuned", "packed", "compiled"]


def build(model, weights, style, p=0, negatives=0, sizes=None, lam=0):
    """p: dropout; negatives: drawn items, 0: those of the batch; sizes: vocabularies of the fields; lam: penalty."""
    if model in BLOCKS:
        return Sequence(model, weights, style, p, negatives)
    if model == "gru4rec":
        return Gru4Rec(weights, style, p, negatives)
    return Interaction(model, weights, style, p, sizes, lam)


def optimizer(program, weights, style):
    """`fused` where the version has it for CPUs, else `foreach`; reference style goes parameter by parameter."""
    kind, beta2 = program.optimizer
    args = dict(lr=1e-3, betas=(0.9, beta2), eps=1e-8, weight_decay=0)
    if style == "reference":
        return kind(weights.values(), **args, foreach=False)
    try:
        return kind(weights.values(), **args, fused=True)
    except (TypeError, RuntimeError):
        return kind(weights.values(), **args, foreach=True)


class Step:
    """One training step: gradients, clipping, update."""

    def __init__(self, program, weights, style, loss_of=None):
        self.loss_of, self.clip, self.weights = loss_of or program.loss, program.clip, list(weights.values())
        self.optimizer = optimizer(program, weights, style)

    def __call__(self, batch):
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss_of(batch)
        loss.backward()
        if self.clip:
            torch.nn.utils.clip_grad_norm_(self.weights, self.clip)
        self.optimizer.step()
        return loss


def replay(model, record, style, sizes, lam):
    record = pathlib.Path(record)
    weights = {k: t.requires_grad_() for k, t in load(record / "weights.safetensors").items() if ".stats." not in k}
    program = build(model, weights, style, sizes=sizes, lam=lam)
    step = Step(program, weights, style)
    for path in sorted(record.glob("batch-*.safetensors")):
        print(f"{style} {step((Rows if sizes else Batch).recorded(path)).item():.9g}", flush=True)


def initial(params):
    g = torch.Generator().manual_seed(7)
    return {path: (torch.randn(shape, generator=g) * 0.02).requires_grad_() for path, shape in params.items()}


def describe():
    config = torch.__config__.show().splitlines()
    return {"torch": torch.__version__, "threads": torch.get_num_threads(), "python": sys.executable, "blas": blas(),
            "capability": next((line.split(":")[1].strip() for line in config if "CPU capability" in line), "unknown")}


def blas():
    """The matrix library and the kernels it chose."""
    if "mkl" in torch.__config__.show().lower() and torch.backends.mkl.is_available():
        return "MKL"
    import ctypes
    for line in open("/proc/self/maps"):
        path = line.split()[-1]
        if "openblas" in path and ".so" in path or "libblas" in path:
            lib = ctypes.CDLL(path)
            if hasattr(lib, "openblas_get_corename"):
                lib.openblas_get_corename.restype = lib.openblas_get_config.restype = ctypes.c_char_p
                kinds = {0: "sequential", 1: "pthread", 2: "OpenMP"}
                return (f"OpenBLAS {lib.openblas_get_config().decode().split()[1]} "
                        f"{kinds.get(lib.openblas_get_parallel(), '?')} {lib.openblas_get_corename().decode()}")
    return "unknown"


def serve():
    task = json.loads(sys.stdin.readline())
    torch.manual_seed(1)
    torch.set_num_threads(task["threads"])
    model, style, sizes = task["model"], task["style"], task["sizes"]
    weights = initial(task["params"])
    program = build(model, weights, "tuned" if style == "compiled" else style, task["p"], task["negatives"], sizes, task["lam"])
    batch = Rows.generated(task["batch"], sizes) if sizes else Batch.generated(task["lengths"], task["params"]["emb"][0])
    loss_of, infer = program.loss, program.infer
    if style == "compiled":
        loss_of, infer = torch.compile(loss_of), torch.compile(infer)
    train = Step(program, weights, style, loss_of)

    def rank(b):
        with torch.no_grad():
            return infer(b)

    print(json.dumps(describe()), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        step = train if request["do"] == "train" else rank
        wall, cpu = [], []
        for _ in range(request["steps"]):
            w, c = time.perf_counter(), time.process_time()
            step(batch)
            wall.append(time.perf_counter() - w)
            cpu.append(time.process_time() - c)
        print(json.dumps({"wall": wall, "cpu": cpu}), flush=True)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--replay", nargs=2, metavar=("MODEL", "RECORD_DIR"))
    a.add_argument("--styles", nargs="+", choices=STYLES[:3], default=["tuned"])
    a.add_argument("--sizes", type=lambda text: [int(n) for n in text.split(",")], help="of the fields' vocabularies: 5,7")
    a.add_argument("--lam", type=float, default=0)
    args = a.parse_args()
    if args.replay:
        for style in args.styles:
            replay(*args.replay, style, args.sizes, args.lam)
    else:
        serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
