"""Checks an exported folder: template against the training text, tokenizer round trip, logits against transformers."""

import argparse
import json
import random
import subprocess
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

import data
from model import Qwen3
from skills import SKILLS

# Renders the same cases with the JavaScript Jinja that the engine's users have; run from the repository root.
JS = """
import { Template } from '@huggingface/jinja';
import { readFileSync } from 'node:fs';
const { template, cases } = JSON.parse(readFileSync(0, 'utf8'));
const t = new Template(template);
console.log(JSON.stringify(cases.map(c => t.render(c))));
"""


def cases(count: int):
    rng = random.Random(7)
    chats = [s for s in SKILLS if s != "plain"]
    for i in range(count):
        example = data.draw(chats[i % len(chats)], rng)
        messages = [dict(m) for m in example.messages[:-1]]
        if rng.random() < 0.3:
            messages.insert(0, {"role": "system", "content": rng.choice(data.SYSTEMS)})
        off = rng.random() < 0.5
        parts = data.pieces([*messages, {"role": "assistant", "content": ""}], example.tools, off)
        wanted = "".join(t for t, _ in parts[:-2])
        yield {"messages": messages, "tools": example.tools, "enable_thinking": not off, "add_generation_prompt": True}, wanted


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--node", action="store_true", help="also render with @huggingface/jinja")
    args = parser.parse_args()
    fast, raw = AutoTokenizer.from_pretrained(args.model), Tokenizer.from_file(str(args.model / "tokenizer.json"))
    made = list(cases(400))
    extra = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "<think>\nx\n</think>\n\nb"}, {"role": "user", "content": "c"}]
    made.append(({"messages": extra, "tools": None, "enable_thinking": True, "add_generation_prompt": True},
                 "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\n"))
    for case, wanted in made:
        text = fast.apply_chat_template(case["messages"], tools=case["tools"], enable_thinking=case["enable_thinking"], add_generation_prompt=True, tokenize=False)
        assert text == wanted, (text, wanted)
        assert fast(text)["input_ids"] == raw.encode(text, add_special_tokens=False).ids
    print("template: transformers renders", len(made), "cases as trained")
    if args.node:
        template = json.loads((args.model / "tokenizer_config.json").read_text())["chat_template"]
        given = json.dumps({"template": template, "cases": [c for c, _ in made]})
        shown = json.loads(subprocess.run(["node", "--input-type=module", "-e", JS], input=given, capture_output=True, text=True, check=True).stdout)
        assert shown == [w for _, w in made], [(a, b) for a, (_, b) in zip(shown, made) if a != b][0]
        print("template: @huggingface/jinja renders the same")
    for text in ["Hello, world!", "naïve café — 12345 €", "日本語 🙂\t\n\n x", "\u0000\u007f", "  two  spaces "]:
        assert raw.decode(raw.encode(text, add_special_tokens=False).ids, skip_special_tokens=False) == text, text
    rng = random.Random(9)
    for _ in range(300):
        doc = data.compose(rng, data.default_weights())
        assert data.encode(raw, [doc])[0][0] == raw.encode("".join(t for t, _ in doc), add_special_tokens=False).ids
    print("tokenizer: round trips, and pieces encode as the whole")
    theirs = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32).eval()
    ours = Qwen3(json.loads((args.model / "config.json").read_text())).eval()
    ours.load_state_dict({k: v.float() for k, v in load_file(args.model / "model.safetensors").items()})
    ids = torch.tensor([raw.encode(made[0][1], add_special_tokens=False).ids])
    with torch.no_grad():
        a = theirs(ids).logits[0]
        b = ours(ids, torch.zeros_like(ids), torch.arange(ids.shape[1]))
    assert (a - b).abs().max() < 1e-3, (a - b).abs().max()
    print("model: logits as transformers, largest difference", f"{(a - b).abs().max():.1e}")


if __name__ == "__main__":
    main()
