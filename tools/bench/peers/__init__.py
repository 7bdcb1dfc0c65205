"""The models as plain PyTorch programs, written from the papers' equations (docs/bench.md says what each style does)."""
