"""The programs that are timed against each other, each a process of its own: Heddle, and one per peer and style."""
import json
import os
import pathlib
import statistics
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
PRELOADS = ["libtcmalloc_minimal.so.4", "libtcmalloc.so.4", "libjemalloc.so.2"]
LIBRARY_DIRS = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"]


class Failed(Exception):
    pass


def fair_environment(threads, avx2=False):
    """What a peer runs under: all threads, no setting that slows its matrix library, the OpenMP build of OpenBLAS, an
    allocator that keeps freed pages, AVX-512 where the CPU has it (avx2: nothing beyond AVX2). Returns the changes, which
    are printed."""
    changes = {"OPENBLAS_CORETYPE": None, "OPENBLAS_L2_SIZE": None, "OPENBLAS_NUM_THREADS": None, "MKL_NUM_THREADS": None,
               "ATEN_CPU_CAPABILITY": "avx512" if "avx512f" in cpu_flags() else None, "OMP_NUM_THREADS": str(threads)}
    if avx2:
        changes.update({"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "OPENBLAS_CORETYPE": "Haswell"})
    preload = next((os.path.join(d, n) for n in PRELOADS for d in LIBRARY_DIRS if os.path.exists(os.path.join(d, n))), None)
    changes["LD_PRELOAD"] = preload
    blas = next((os.path.join(d, "openblas-openmp") for d in LIBRARY_DIRS
                 if os.path.exists(os.path.join(d, "openblas-openmp"))), None)
    if blas:
        changes["LD_LIBRARY_PATH"] = blas + (":" + os.environ["LD_LIBRARY_PATH"] if os.environ.get("LD_LIBRARY_PATH") else "")
    return changes


def apply(changes):
    env = {k: v for k, v in os.environ.items() if changes.get(k, v) is not None}
    env.update({k: v for k, v in changes.items() if v is not None})
    return env


def cpu_flags():
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        return []
    return next((line.split(":")[1].split() for line in text.splitlines() if line.startswith("flags")), [])


def torch_version(python):
    """The version of torch that an interpreter has, or None."""
    try:
        done = subprocess.run([python, "-c", "import numpy, torch; print(torch.__version__)"], capture_output=True, text=True,
                              timeout=300)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


class Heddle:
    """`heddle bench`, a process per round: kernels come from the cache, and its first step is not counted."""
    style = "heddle"

    def __init__(self, binary, spec, batch, lengths, threads, without=None, avx2=False):
        """spec: its path with -D and --variant, as arguments. without: passes left out."""
        self.name = f"heddle without {without}" if without else "heddle"
        self.file = tempfile.NamedTemporaryFile("w", suffix=".lengths")
        self.file.write("".join(f"{n}\n" for n in lengths or [1]))
        self.file.flush()
        self.command = [binary, "bench", *spec, "--json", "--batch", str(batch), "--threads", str(threads)]
        self.command += ["--lengths", self.file.name] + (["--skip-pass", without] if without else [])
        self.command += ["--cpu", "x86-64-v3"] if avx2 else []
        self.batch, self.peak_bytes, self.last, self.about = batch, 0, None, None
        first = self._bench(2)
        self.rates = {"train": first["train_examples_per_s"], "infer": first["infer_examples_per_s"]}

    def _bench(self, steps):
        child = subprocess.Popen(self.command + ["--steps", str(steps)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                 text=True)
        out, err = child.stdout.read(), child.stderr.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            raise Failed(f"{' '.join(self.command)} failed ({child.returncode}):\n{err.strip()}")
        self.peak_bytes = max(self.peak_bytes, usage.ru_maxrss * 1024)
        self.last = json.loads(out.splitlines()[-1])
        return self.last

    def measure(self, seconds):
        """{kind: (examples/s, examples per CPU second)}"""
        j = self._bench(max(3, int(seconds * self.rates["train"] / self.batch)))
        return {kind: (j[f"{kind}_examples_per_s"], self.batch / j[f"{kind}_cpu_s"]) for kind in ("train", "infer")}

    def close(self):
        self.file.close()


class Peer:
    """A peer that stays alive; asked for a few steps at a time. Its first two steps of a kind are not counted."""

    def __init__(self, python, style, task, environment):
        self.style, self.batch = style, task["batch"]
        self.child = subprocess.Popen([python, str(HERE / "peer.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, text=True, env=apply(environment))
        self.about = self._ask({**task, "style": style})
        self.name = f"{style}, torch {self.about['torch'].split('+')[0]}"
        self.rates, self.peak_bytes = {}, 0

    def _ask(self, request):
        try:
            self.child.stdin.write(json.dumps(request) + "\n")
            self.child.stdin.flush()
        except BrokenPipeError:
            pass
        line = self.child.stdout.readline()
        if not line:
            raise Failed(f"the peer ({self.style}) ended:\n{self.child.stderr.read().strip()[-2000:]}")
        return json.loads(line)

    def measure(self, seconds):
        out = {}
        for kind in ("train", "infer"):
            if kind not in self.rates:
                self._ask({"do": kind, "steps": 2})
                self.rates[kind] = statistics.median(self._ask({"do": kind, "steps": 1})["wall"])
            steps = max(2, min(1000, int(seconds / self.rates[kind])))
            r = self._ask({"do": kind, "steps": steps})
            out[kind] = self.batch / statistics.median(r["wall"]), self.batch / max(1e-9, statistics.median(r["cpu"]))
            if kind == "train":
                self.peak_bytes = max(self.peak_bytes, self._high_water())
        return out

    def _high_water(self):
        status = pathlib.Path(f"/proc/{self.child.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))

    def close(self):
        self.child.stdin.close()
        self.child.wait()
