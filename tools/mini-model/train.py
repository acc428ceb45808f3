"""Trains the model for a given wall-clock time; resumable.

The schedule follows the clock, not the step number: a busy machine makes fewer steps, not a later end.
"""

import argparse
import json
import math
import random
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

import data
from model import Qwen3, config_for


class Muon(torch.optim.Optimizer):
    """Momentum whose update is made orthogonal by five Newton-Schulz steps (Jordan et al., 2024); for hidden matrices only."""

    def __init__(self, params, lr: float, momentum: float = 0.95):
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            shapes: dict[tuple, list] = {}
            for p in group["params"]:
                buf = self.state[p].setdefault("momentum", torch.zeros_like(p))
                buf.lerp_(p.grad, 1 - group["momentum"])
                shapes.setdefault(tuple(p.shape), []).append((p, p.grad.lerp(buf, group["momentum"])))
            for (rows, cols), items in shapes.items():  # equal shapes go through the iteration as one batch
                g = torch.stack([u for _, u in items])
                x = g.mT if rows > cols else g
                x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
                for _ in range(5):
                    a = x @ x.mT
                    x = 3.4445 * x + (-4.775 * a + 2.0315 * a @ a) @ x
                x = x.mT if rows > cols else x
                for (p, _), update in zip(items, x):
                    p.mul_(1 - group["lr"] * 0.02)
                    p.add_(update, alpha=-group["lr"] * max(1, rows / cols) ** 0.5)


def batches(tokenizer, rng, rows: int, length: int, weights):
    pad = tokenizer.token_to_id("<|endoftext|>")
    while True:
        docs = data.encode(tokenizer, [data.compose(rng, weights()) for _ in range(3000)])
        packed = data.pack(docs, length, pad)
        rng.shuffle(packed)
        for i in range(0, len(packed) - rows + 1, rows):
            ids, targets, learnt, numbers = (torch.tensor(column) for column in zip(*packed[i : i + rows]))
            where = learnt.flatten().nonzero().squeeze(1)
            yield ids, numbers, where, targets.flatten()[where]


def pace(part: float) -> float:
    """The learning rate over the run, 0..1: a short rise, a plateau, a straight fall over the last 45 %."""
    return min(1.0, part / 0.01 + 0.02) * min(1.0, (1 - part) / 0.45 + 0.01)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder of the checkpoint, the log and mix.json")
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--length", type=int, default=320)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--matrix-lr", type=float, default=0.01)
    parser.add_argument("--lr", type=float, default=0.002)
    parser.add_argument("--f32", action="store_true")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.work.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer.from_file(str(args.tokenizer / "tokenizer.json"))
    model = Qwen3(config_for(tokenizer))
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    optimizers = [Muon(matrices, args.matrix_lr), torch.optim.AdamW(others, args.lr, betas=(0.9, 0.98), weight_decay=0.0, fused=True)]
    bases = [args.matrix_lr, args.lr]
    step, seen, used = 0, 0, 0.0
    saved = args.work / "checkpoint.pt"
    if saved.exists():
        state = torch.load(saved)
        model.load_state_dict(state["model"])
        for o, s in zip(optimizers, state["optimizers"]):
            o.load_state_dict(s)
        step, seen, used = state["step"], state["seen"], state["used"]
    mix = args.work / "mix.json"

    def weights() -> dict[str, float]:
        """The skills' shares; mix.json may change some of them while the training runs."""
        return data.default_weights() | (json.loads(mix.read_text()) if mix.exists() else {})

    def save():
        state = {"model": model.state_dict(), "optimizers": [o.state_dict() for o in optimizers], "step": step, "seen": seen, "used": used}
        torch.save(state, args.work / "checkpoint.tmp")
        (args.work / "checkpoint.tmp").rename(saved)

    source = batches(tokenizer, random.Random(f"{args.seed} {step}"), args.rows, args.length, weights)
    if args.compile:
        for layer in model.model.layers:  # one graph serves all layers, so it compiles in seconds
            layer.compile(dynamic=False)
    print(f"{sum(p.numel() for p in model.parameters())} parameters", flush=True)
    total, mark, last_save, losses = args.minutes * 60, time.monotonic(), time.monotonic(), []
    seen_mark = seen
    start, before = time.monotonic(), used
    while (used := before + time.monotonic() - start) < total:
        for o, base in zip(optimizers, bases):
            for g in o.param_groups:
                g["lr"] = base * pace(used / total)
        ids, numbers, where, targets = next(source)
        with torch.autocast("cpu", torch.bfloat16, enabled=not args.f32):
            logits = model(ids, numbers, where)
        loss = F.cross_entropy(logits.float(), targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(others, 1.0)
        for o in optimizers:
            o.step()
            o.zero_grad(set_to_none=True)
        step += 1
        seen += ids.numel()
        losses.append(loss.item())
        if step in (2, 5, 10, 20) or step % 50 == 0 or not math.isfinite(losses[-1]):
            now = time.monotonic()
            print(f"step {step} part {used / total:.3f} loss {sum(losses) / len(losses):.4f} seen {seen / 1e6:.2f} M {(seen - seen_mark) / (now - mark):.0f} tokens/s", flush=True)
            mark, seen_mark, losses = now, seen, []
            if now - last_save > 120:
                save()
                last_save = now
    save()
    print(f"done: {step} steps, {seen} tokens, {used / 60:.1f} minutes", flush=True)


if __name__ == "__main__":
    main()
