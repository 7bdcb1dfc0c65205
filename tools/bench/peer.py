"""One peer program. Reads its task as one line of JSON on standard input and answers in JSON, a line per request:

  {"model", "style", "params": {path: shape}, "lengths", "items", "p", "negatives", "threads"}   -> {"torch", "blas", ...}
  {"do": "train" | "infer", "steps": K}                                                       -> {"wall": [...], "cpu": [...]}

or replays what `heddle train --record` wrote, one loss a line:

  peer.py --replay MODEL RECORD_DIR [--style STYLE]

tools/bench/compare and tests/peer/compare drive it. Style `compiled` is `tuned` through torch.compile."""
import argparse
import json
import pathlib
import sys
import time

import torch

from peers.common import Batch, load
from peers.gru4rec import Gru4Rec
from peers.sequence import BLOCKS, Sequence

MODELS = list(BLOCKS) + ["gru4rec"]
STYLES = ["reference", "tuned", "packed", "compiled"]


def build(model, weights, style, p, negatives=128):
    return Gru4Rec(weights, style, p) if model == "gru4rec" else Sequence(model, weights, style, p, negatives)


def optimizer(model, weights, style, lr=1e-3):
    """As the spec says; `fused` where the version has it for CPUs, else `foreach`, else parameter by parameter."""
    kind = torch.optim.Adam if model in ("gru4rec", "deepfm", "dcnv2") else torch.optim.AdamW
    args = dict(lr=lr, betas=(0.9, 0.98 if model in BLOCKS else 0.999), eps=1e-8, weight_decay=0)
    if style == "reference":
        return kind(weights.values(), **args, foreach=False)
    try:
        return kind(weights.values(), **args, fused=True)
    except (TypeError, RuntimeError):
        return kind(weights.values(), **args, foreach=True)


def replay(model, record, style):
    record = pathlib.Path(record)
    weights = {k: t.requires_grad_() for k, t in load(record / "weights.safetensors").items()}
    opt = optimizer(model, weights, style)
    program = build(model, weights, style, 0)
    for path in sorted(record.glob("batch-*.safetensors")):
        opt.zero_grad()
        loss = program.loss(Batch.recorded(path))
        loss.backward()
        opt.step()
        print(f"{loss.item():.9g}", flush=True)


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
    model, style = task["model"], task["style"]
    weights = initial(task["params"])
    opt = optimizer(model, weights, style)
    program = build(model, weights, "tuned" if style == "compiled" else style, task["p"], task["negatives"])
    batch = Batch.generated(task["lengths"], task["items"])
    loss_of, infer = program.loss, program.infer
    if style == "compiled":
        loss_of, infer = torch.compile(loss_of), torch.compile(infer)

    def train_step():
        opt.zero_grad(set_to_none=True)
        loss = loss_of(batch)
        loss.backward()
        opt.step()
        return loss

    def infer_step():
        with torch.no_grad():
            return infer(batch)

    print(json.dumps(describe()), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        step = train_step if request["do"] == "train" else infer_step
        wall, cpu = [], []
        for _ in range(request["steps"]):
            w, c = time.perf_counter(), time.process_time()
            step()
            wall.append(time.perf_counter() - w)
            cpu.append(time.process_time() - c)
        print(json.dumps({"wall": wall, "cpu": cpu}), flush=True)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--replay", nargs=2, metavar=("MODEL", "RECORD_DIR"))
    a.add_argument("--style", choices=STYLES[:3], default="tuned")
    args = a.parse_args()
    if args.replay:
        replay(*args.replay, args.style)
    else:
        serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
