"""Adapters as the PEFT library saves them, over the tiny checkpoints of models.py, with golden answers.

The golden is that of the merged weights; the library's own side branch must agree with it.
"""

import json
import shutil

from common import MODELS, ROOT, f32_base64, write_json
from models import MIN_MARGIN, load, logits_of, longest_run

import numpy as np
import peft
import torch
import transformers

FOLDER = MODELS.parent / "fixtures-adapters"
GREEDY = 20
ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]


def forms():
    """Sixteen over one model, each of another form, so that one batch holds all of them; then some of other models."""
    yield "qwen3", dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"])
    yield "qwen3", dict(r=8, lora_alpha=8, target_modules="all-linear")
    yield "qwen3", dict(r=2, lora_alpha=8, use_rslora=True, target_modules=ATTENTION)
    yield "qwen3", dict(r=4, lora_alpha=4, target_modules=r".*\.(up|down)_proj")
    yield "qwen3", dict(r=4, lora_alpha=6, target_modules=ATTENTION, rank_pattern={"q_proj": 2, r"layers\.1\.self_attn\.o_proj": 7})
    yield "qwen3", dict(r=3, lora_alpha=6, target_modules=["gate_proj", "k_proj"], alpha_pattern={"gate_proj": 9})
    yield "qwen3", dict(r=1, lora_alpha=2, target_modules=["o_proj"])
    yield "qwen3", dict(r=16, lora_alpha=16, target_modules=["k_proj", "down_proj"])
    yield "qwen3", dict(r=4, lora_alpha=8, target_modules=ATTENTION, layers_to_transform=[1])
    yield "qwen3", dict(r=4, lora_alpha=8, target_modules="all-linear", exclude_modules=["down_proj"])
    for r in (2, 3, 4, 5, 6, 7):
        yield "qwen3", dict(r=r, lora_alpha=2 * r, target_modules=[*ATTENTION[: r - 1], "up_proj"])
    yield "qwen2", dict(r=4, lora_alpha=8, target_modules="all-linear")
    yield "qwen3-moe", dict(r=4, lora_alpha=8, target_modules=ATTENTION)
    yield "mini", dict(r=2, lora_alpha=2, target_modules=["v_proj"])


def base_folder(base):
    return ROOT / "packages/mini/model" if base == "mini" else MODELS / base


def save(model, folder):
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    (folder / "adapter_model.safetensors").chmod(0o644)
    config = json.loads((folder / "adapter_config.json").read_text())
    # a set has no order
    if isinstance(config.get("target_modules"), list):
        config["target_modules"].sort()
    # where it was made says nothing
    write_json(folder / "adapter_config.json", dict(sorted(config.items())) | {"base_model_name_or_path": folder.parent.name})


def randomise(model, rng, scale):
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            if "lora_" in name or "prompt" in name:
                parameter.copy_(torch.from_numpy(rng.normal(0, scale, tuple(parameter.shape)).astype(np.float32)))


def greedy(next_logits, ids):
    """None where the best two are too close to call, or the text falls into a loop."""
    out = []
    for _ in range(GREEDY):
        logits = next_logits(ids + out)
        best = torch.topk(logits, 2).values
        if float(best[0] - best[1]) < MIN_MARGIN:
            return None
        out.append(int(logits.argmax()))
    return out if longest_run(out) < 8 else None


def prompts_of(next_logits, seed, vocab_size):
    prompts = []
    for length in (5, 23):
        for attempt in range(20):
            ids = np.random.default_rng([seed, length, attempt]).integers(0, vocab_size, length).tolist()
            answer = greedy(next_logits, ids)
            if answer is not None:
                break
        assert answer is not None, (seed, length)
        prompts.append({"ids": ids, "greedy": answer, "logits": f32_base64(next_logits(ids).numpy())})
    return prompts


@torch.no_grad()
def make_lora(base, options, number):
    rng = np.random.default_rng([7, number])
    adapted = peft.get_peft_model(load(base_folder(base)), peft.LoraConfig(task_type="CAUSAL_LM", **options))
    randomise(adapted, rng, 0.25)
    folder = FOLDER / base / f"lora-{number}"
    # half of them as half floats, as most are published
    save(adapted if number % 2 else adapted.to(torch.bfloat16), folder)
    adapted = peft.PeftModel.from_pretrained(load(base_folder(base)), folder).eval().float()
    vocab_size = adapted.config.vocab_size
    beside = logits_of(adapted, list(range(9)))
    plain = logits_of(load(base_folder(base)), list(range(9)))
    merged = adapted.merge_and_unload()
    difference = float((logits_of(merged, list(range(9))) - beside).abs().max())
    assert difference < 2e-4, difference
    assert float((plain - beside).abs().max()) > 0.5, "an adapter must change the answer"
    prompts = prompts_of(lambda ids: logits_of(merged, ids)[-1], number, vocab_size)
    return {"name": f"lora-{number}", "rank": max([options["r"], *options.get("rank_pattern", {}).values()]), "prompts": prompts}


@torch.no_grad()
def make_prefix(base, number, **options):
    """Prefix tuning as the PEFT library saves and runs it; with a projection, what is saved has passed it."""
    config = peft.PrefixTuningConfig(task_type="CAUSAL_LM", **options)
    adapted = peft.get_peft_model(load(base_folder(base)), config)
    randomise(adapted, np.random.default_rng([8, number]), 1.2)
    folder = FOLDER / base / f"prefix-{number}"
    save(adapted, folder)
    adapted = peft.PeftModel.from_pretrained(load(base_folder(base)), folder).eval()
    prompts = prompts_of(lambda ids: adapted(torch.tensor([ids])).logits[0, -1], number, adapted.config.vocab_size)
    return {"name": folder.name, "numVirtualTokens": options["num_virtual_tokens"], "prompts": prompts}


@torch.no_grad()
def make_paddle_prefix(base, number, length):
    """PaddleNLP's form, from its published sources: pre_caches.npy [layers, 2, heads, tokens, head_dim], positions from 0."""
    model = load(base_folder(base))
    config = model.config
    shape = (config.num_hidden_layers, 2, config.num_key_value_heads, length, config.head_dim)
    caches = np.random.default_rng([9, number]).normal(0, 1.2, shape).astype(np.float32)
    folder = FOLDER / base / f"prefix-{number}"
    folder.mkdir(parents=True)
    np.save(folder / "pre_caches.npy", caches)
    write_json(folder / "prefix_config.json", {
        "num_prefix_tokens": length, "num_attention_heads": config.num_attention_heads,
        "multi_query_group_num": config.num_key_value_heads, "num_hidden_layers": config.num_hidden_layers,
        "hidden_size": config.hidden_size, "prefix_projection": False, "dtype": "float32"})

    def next_logits(ids):
        past = transformers.DynamicCache()
        for i, (keys, values) in enumerate(torch.from_numpy(caches)):
            past.update(keys[None], values[None], i)
        mask = torch.ones(1, length + len(ids))
        return model(torch.tensor([ids]), past_key_values=past, attention_mask=mask,
                     position_ids=torch.arange(len(ids))[None]).logits[0, -1]

    prompts = prompts_of(next_logits, number, config.vocab_size)
    return {"name": folder.name, "numVirtualTokens": length, "prompts": prompts}


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    goldens = {}
    for number, (base, options) in enumerate(forms()):
        goldens.setdefault(base, []).append(make_lora(base, options, number))
    prefixes = {"qwen3": [make_prefix("qwen3", 19, num_virtual_tokens=5),
                          make_prefix("qwen3", 20, num_virtual_tokens=37, prefix_projection=True, encoder_hidden_size=24),
                          make_paddle_prefix("qwen3", 21, 9)]}
    for base, adapters in goldens.items():
        versions = {"peftVersion": peft.__version__, "transformersVersion": transformers.__version__}
        write_json(FOLDER / base / "golden.json", {"model": base, **versions, "adapters": adapters,
                                                   "prefixes": prefixes.get(base, [])})


if __name__ == "__main__":
    main()
