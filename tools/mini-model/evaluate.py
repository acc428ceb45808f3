"""Greedy decoding on held-out examples of every skill: prints a table, writes JSON."""

import argparse
import json
import random
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

import data
from skills import SKILLS, held_out, plain


def question(skill: str, rng: random.Random):
    """A held-out prompt and what tells whether an answer to it is right."""
    if skill == "plain":
        while True:
            prompt, answer = plain.continuation(rng)
            if held_out(prompt + answer):
                return prompt, lambda text: text.startswith(answer), answer
    example = data.draw(skill, rng, test=True)
    *before, last = example.messages
    off = example.thinking is False or skill == "arithmetic"
    parts = data.pieces([*before, {"role": "assistant", "content": ""}], example.tools, off)
    prompt = "".join(t for t, _ in parts[:-2])
    if skill == "tools" and before[-1]["role"] == "user":
        # Arguments are kept as a string in half of the examples; what counts is the call the model writes.
        for c in last.get("tool_calls", []):
            if isinstance(c["function"]["arguments"], str):
                c["function"]["arguments"] = json.loads(c["function"]["arguments"])
    expected = data.answer_text(last)

    def right(text: str) -> bool:
        answer = text.split("</think>\n\n")[-1]
        if skill == "thinking" and "<think>" not in text:
            return False
        return example.check(answer) if example.check else answer == expected

    return prompt, right, expected


@torch.no_grad()
def complete(model, tokenizer, prompts: list[str], limit: int = 180, batch: int = 64) -> list[str]:
    pad = tokenizer.token_to_id("<|endoftext|>")
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    out = [""] * len(prompts)
    for i in range(0, len(order), batch):
        group = order[i : i + batch]
        ids = [tokenizer.encode(prompts[j], add_special_tokens=False).ids for j in group]
        width = max(map(len, ids))
        x = torch.tensor([[pad] * (width - len(r)) + r for r in ids])
        mask = torch.tensor([[0] * (width - len(r)) + [1] * len(r) for r in ids])
        y = model.generate(x, attention_mask=mask, max_new_tokens=limit, do_sample=False)[:, width:]
        for j, row in zip(group, y.tolist()):
            end = next((k for k, t in enumerate(row) if t in model.generation_config.eos_token_id), len(row))
            out[j] = tokenizer.decode(row[:end], skip_special_tokens=False)
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--skills", nargs="*", default=list(SKILLS))
    parser.add_argument("--wrong", type=int, default=0, help="show this many wrong answers of each skill")
    parser.add_argument("--seed", default="final", help="another than the one watched during training")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32).eval()
    tokenizer = Tokenizer.from_file(str(args.model / "tokenizer.json"))
    table = {}
    print(f"{'skill':<12} right / asked", flush=True)
    for skill in args.skills:
        rng = random.Random(f"{args.seed} {skill}")
        items = [question(skill, rng) for _ in range(args.items)]
        answers = complete(model, tokenizer, [p for p, _, _ in items])
        marks = [right(a) for (_, right, _), a in zip(items, answers)]
        table[skill] = {"right": sum(marks), "asked": len(marks)}
        print(f"{skill:<12} {sum(marks)} / {len(marks)} = {100 * sum(marks) / len(marks):.1f} %", flush=True)
        wrong = [(p, e, a) for (p, _, e), a, ok in zip(items, answers, marks) if not ok]
        for p, e, a in wrong[: args.wrong]:
            print(f"   {p[-160:]!r}\n     want {e!r}\n     got  {a!r}")
    if args.json:
        args.json.write_text(json.dumps(table, indent=2) + "\n")


if __name__ == "__main__":
    main()
