"""Tiny random checkpoints as Hugging Face writes them, each with golden logits and greedy continuations.

The golden comes from the model loaded back from its directory, so config.json and the weights on disk are what is proven.
"""

import copy
import itertools
import json
import shutil

from common import MODELS, f32_base64, write_json

import numpy as np
import torch
import transformers
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

torch.set_num_threads(1)
transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

LENGTHS = [1, 7, 33, 70]
EVERY_POSITION = {7, 33}  # the others keep only the last row, to stay small
GREEDY = 64
MIN_MARGIN = 5e-3  # between the best two logits at every greedy step: hundreds of times the float32 noise
MIN_DISTINCT = 16  # per continuation
MAX_RUN = 6  # of one id
ATTEMPTS = 12


def llama(**changes):
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_act": "silu",
        "hidden_size": 48,
        "initializer_range": 0.02,
        "intermediate_size": 88,
        "max_position_embeddings": 256,
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "num_key_value_heads": 2,
        "pretraining_tp": 1,
        "rms_norm_eps": 1e-05,
        "rope_scaling": None,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
        "torch_dtype": "float32",
        "transformers_version": "4.43.0",
        "use_cache": True,
        "vocab_size": 163,
    } | changes


def qwen2(**changes):
    return {
        "architectures": ["Qwen2ForCausalLM"],
        "attention_dropout": 0.0,
        "bos_token_id": 160,
        "eos_token_id": 162,
        "hidden_act": "silu",
        "hidden_size": 48,
        "initializer_range": 0.02,
        "intermediate_size": 92,
        "max_position_embeddings": 256,
        "max_window_layers": 2,
        "model_type": "qwen2",
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0,
        "sliding_window": 256,
        "tie_word_embeddings": True,
        "torch_dtype": "float32",
        "transformers_version": "4.40.1",
        "use_cache": True,
        "use_sliding_window": False,
        "vocab_size": 167,
    } | changes


def qwen3(**changes):
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": 160,
        "eos_token_id": 162,
        "head_dim": 16,
        "hidden_act": "silu",
        "hidden_size": 48,
        "initializer_range": 0.02,
        "intermediate_size": 88,
        "max_position_embeddings": 256,
        "max_window_layers": 2,
        "model_type": "qwen3",
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-06,
        "rope_scaling": None,
        "rope_theta": 1000000,
        "sliding_window": None,
        "tie_word_embeddings": True,
        "torch_dtype": "float32",
        "transformers_version": "4.51.0",
        "use_cache": True,
        "use_sliding_window": False,
        "vocab_size": 165,
    } | changes


def qwen3_moe(**changes):
    """Odd sizes; the second of three layers is dense. Of the experts' widths none fills a panel of a kernel."""
    return qwen3(
        architectures=["Qwen3MoeForCausalLM"],
        decoder_sparse_step=1,
        hidden_size=32,
        intermediate_size=44,
        mlp_only_layers=[1],
        model_type="qwen3_moe",
        moe_intermediate_size=20,
        norm_topk_prob=True,
        num_attention_heads=2,
        num_experts=6,
        num_experts_per_tok=2,
        num_hidden_layers=3,
        num_key_value_heads=1,
        output_router_logits=False,
        router_aux_loss_coef=0.001,
        tie_word_embeddings=False,
    ) | changes


def mixtral(**changes):
    return {
        "architectures": ["MixtralForCausalLM"],
        "attention_dropout": 0.0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_act": "silu",
        "hidden_size": 32,
        "initializer_range": 0.02,
        "intermediate_size": 36,
        "max_position_embeddings": 256,
        "model_type": "mixtral",
        "num_attention_heads": 4,
        "num_experts_per_tok": 2,
        "num_hidden_layers": 2,
        "num_key_value_heads": 2,
        "num_local_experts": 4,
        "output_router_logits": False,
        "rms_norm_eps": 1e-05,
        "rope_theta": 1000000.0,
        "router_aux_loss_coef": 0.02,
        "sliding_window": None,
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "transformers_version": "4.36.0",
        "use_cache": True,
        "vocab_size": 157,
    } | changes


LLAMA31_ROPE = {
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
    "rope_type": "llama3",
}
# With head_dim 16 and theta 12000 the second frequency (wavelength 20) lies in llama3's smoothed band (8..32),
# the first is kept, the rest is divided by the factor: all three branches count.
MODELS_TO_MAKE = {
    "llama2": llama(num_key_value_heads=4, tie_word_embeddings=False, vocab_size=161),
    "llama3": llama(rope_theta=500000.0),
    "llama31": llama(head_dim=16, rope_theta=12000.0, rope_scaling=LLAMA31_ROPE, eos_token_id=[160, 161, 162]),
    "llama-linear": llama(rope_scaling={"type": "linear", "factor": 4.0}),
    "llama-yarn": llama(
        rope_scaling={"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
    ),
    "qwen2": qwen2(),
    "qwen2-sliding": qwen2(
        num_hidden_layers=3,
        use_sliding_window=True,
        sliding_window=16,
        max_window_layers=1,
        layer_types=["full_attention", "sliding_attention", "sliding_attention"],
    ),
    "qwen3": qwen3(),
    "qwen3-bf16": qwen3(torch_dtype="bfloat16"),
    "llama-f16": llama(torch_dtype="float16", tie_word_embeddings=False),
    "qwen3-moe": qwen3_moe(),
    # weights that are probabilities among all experts
    "qwen3-moe-plain": qwen3_moe(norm_topk_prob=False, mlp_only_layers=[], decoder_sparse_step=2, num_experts_per_tok=3),
    "mixtral": mixtral(),
}


def weight(rng, name, shape):
    if "q_norm" in name or "k_norm" in name:  # large enough that attention is not nearly uniform
        return 1.8 + rng.uniform(-0.4, 0.4, shape)
    if name.endswith("norm.weight"):
        return 1 + rng.uniform(-0.2, 0.2, shape)
    if name.endswith("bias"):
        return rng.normal(0, 0.3, shape)
    if "embed_tokens" in name or "lm_head" in name:
        return rng.normal(0, 0.4, shape)
    if name.endswith("gate.weight"):  # a router: choices well apart
        return rng.normal(0, 0.6, shape)
    if "v_proj" in name or "o_proj" in name:  # strong attention keeps greedy text from falling into loops
        return rng.normal(0, 0.35, shape)
    return rng.normal(0, 0.2, shape)


def config_of(config_json):
    return AutoConfig.for_model(**copy.deepcopy(config_json))  # a copy: transformers writes into nested dicts


def build(config_json, seed):
    model = AutoModelForCausalLM.from_config(config_of(config_json), dtype=torch.float32)
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            parameter.copy_(torch.from_numpy(weight(rng, name, tuple(parameter.shape)).astype(np.float32)))
    model.generation_config = GenerationConfig(
        bos_token_id=config_json["bos_token_id"],
        eos_token_id=config_json["eos_token_id"],
        do_sample=True,
        temperature=0.6,
        top_p=0.9,
    )
    return model.to(getattr(torch, config_json["torch_dtype"]))


def save(model, config_json, folder, **kwargs):
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder, **kwargs)
    for file in folder.glob("*.safetensors"):
        file.chmod(0o644)
    # transformers 5 writes rope_parameters and dtype; checkpoints on the hub still carry the older keys.
    write_json(folder / "config.json", dict(sorted(config_json.items())))


def load(folder, dtype=torch.float32):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager",
                                                 experts_implementation="eager")
    assert model.config._attn_implementation == "eager"
    return model.eval()


@torch.no_grad()
def logits_of(model, ids):
    return model(torch.tensor([ids]), use_cache=False).logits[0]


def longest_run(ids):
    return max(len(list(group)) for _, group in itertools.groupby(ids))


def greedy(model, ids):
    """Every step recomputes the whole sequence, so no cache implementation is part of the golden."""
    out, least = [], float("inf")
    for _ in range(GREEDY):
        best = torch.topk(logits_of(model, ids + out)[-1], 2)
        least = min(least, float(best.values[0] - best.values[1]))
        out.append(int(best.indices[0]))
        if least < MIN_MARGIN or longest_run(out) > MAX_RUN:
            return None
    return (out, least) if len(set(out)) >= MIN_DISTINCT else None


def prompt_of(model, seed, length):
    """The first of a few random prompts whose continuation is well separated and does not loop."""
    for attempt in range(ATTEMPTS):
        rng = np.random.default_rng([seed, length, attempt])
        ids = rng.integers(0, model.config.vocab_size, length).tolist()
        result = greedy(model, ids)
        if result is not None:
            return {"ids": ids, "greedy": result[0], "minMargin": round(result[1], 6)}
    return None


def prompts_of(model, seed):
    prompts = []
    for length in LENGTHS:
        prompts.append(prompt_of(model, seed, length))
        if prompts[-1] is None:
            return None
    return prompts


def golden(name, folder, seed):
    model = load(folder)
    prompts = prompts_of(model, seed)
    if prompts is None:
        return None
    exact = load(folder, torch.float64)
    noise = 0.0
    for prompt in prompts:
        every = len(prompt["ids"]) in EVERY_POSITION
        logits = logits_of(model, prompt["ids"]).numpy()
        noise = max(noise, float(np.abs(logits - logits_of(exact, prompt["ids"]).numpy()).max()))
        kept = logits if every else logits[-1:]
        prompt["logits"] = {
            "positions": "all" if every else "last",
            "shape": list(kept.shape),
            "dtype": "F32",
            "data": f32_base64(kept),
        }
    return {
        "model": name,
        "seed": seed,
        "transformersVersion": transformers.__version__,
        "torchVersion": torch.__version__,
        "dtype": "float32",
        "attention": "eager",
        "layerTypes": getattr(model.config, "layer_types", None) or ["full_attention"] * model.config.num_hidden_layers,
        "logitsNoise": float(f"{noise:.3g}"),
        "prompts": prompts,
    }


def make(name, config_json, first_seed):
    folder = MODELS / name
    for seed in range(first_seed, first_seed + 400):
        model = build(config_json, seed)
        save(model, config_json, folder)
        result = golden(name, folder, seed)
        if result is not None:
            write_json(folder / "golden.json", result)
            tied = "lm_head.weight" not in load_file(folder / "model.safetensors")
            assert tied == config_json["tie_word_embeddings"]
            print(name, "seed", seed, "noise", result["logitsNoise"], "margin",
                  min(p["minMargin"] for p in result["prompts"]),
                  "distinct", [len(set(p["greedy"])) for p in result["prompts"]],
                  "runs", [longest_run(p["greedy"]) for p in result["prompts"]])
            return model
    raise SystemExit(f"{name}: no seed gives well separated greedy ids")


def shard(model, config_json):
    folder = MODELS / "llama3-sharded"
    save(model, config_json, folder, max_shard_size="80KB")
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    files = sorted(set(index["weight_map"].values()))
    assert len(files) >= 2
    parts = {k: v for file in files for k, v in load_file(folder / file).items()}
    whole = load_file(MODELS / "llama3/model.safetensors")
    assert parts.keys() == whole.keys() and all(torch.equal(parts[k], whole[k]) for k in whole)
    print("llama3-sharded", len(files), "shards")


def check_scaling_matters():
    """A rope, window or expert setting that changes nothing would make its golden worthless."""
    for name, changes in {
        "llama31": {"rope_scaling": None},
        "llama-linear": {"rope_scaling": None},
        "llama-yarn": {"rope_scaling": None},
        "qwen2-sliding": {"use_sliding_window": False, "layer_types": None},
        "qwen3-moe": {"norm_topk_prob": False},
        "qwen3-moe-plain": {"num_experts_per_tok": 2},
        "mixtral": {"num_experts_per_tok": 1},
    }.items():
        folder = MODELS / name
        config = config_of(json.loads((folder / "config.json").read_text()) | changes)
        plain = AutoModelForCausalLM.from_pretrained(
            folder, config=config, dtype=torch.float32, attn_implementation="eager"
        )
        prompt = json.loads((folder / "golden.json").read_text())["prompts"][3]
        off = (logits_of(load(folder), prompt["ids"]) - logits_of(plain, prompt["ids"])).abs().amax(-1)
        assert off[-1] > 0.05, (name, off[-1])
        if name == "qwen2-sliding":
            assert (off[:16] == 0).all() and off[16] > 0, off[:20]
        print(name, "setting moves the last logits by", round(float(off[-1]), 3))


def check_window():
    """With every layer sliding, token 0 reaches exactly positions up to layers * (window - 1)."""
    config_json = MODELS_TO_MAKE["qwen2-sliding"] | {"max_window_layers": 0, "layer_types": ["sliding_attention"] * 3}
    model = build(config_json, 0).eval()
    model.set_attn_implementation("eager")
    a = np.random.default_rng(0).integers(3, 160, 70).tolist()
    changed = (logits_of(model, a) != logits_of(model, [(a[0] + 1) % 160] + a[1:])).any(-1).nonzero()
    assert int(changed.max()) == 3 * 15, int(changed.max())


if __name__ == "__main__":
    check_window()
    for index, (name, config_json) in enumerate(MODELS_TO_MAKE.items()):
        model = make(name, config_json, 1000 * (index + 1))
        if name == "llama3":
            shard(model, config_json)
    check_scaling_matters()
