"""config.json as real checkpoints carry it, old forms and new, beside what transformers reads from each.

The files are written from the published formats; the facts come from AutoConfig, not from this script.
"""

from common import CHECKPOINT, write_json
from models import MODELS_TO_MAKE, config_of

import copy
import json

import torch
import transformers
from transformers import AutoConfig, LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

transformers.utils.logging.set_verbosity_error()
FOLDER = CHECKPOINT / "configs"


def llama(**keys):
    return {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
            "initializer_range": 0.02, "use_cache": True} | keys


def qwen(generation, **keys):
    return {"architectures": [f"Qwen{generation}ForCausalLM"], "model_type": f"qwen{generation}",
            "attention_dropout": 0.0, "hidden_act": "silu", "initializer_range": 0.02, "use_cache": True} | keys


LLAMA3 = dict(attention_bias=False, attention_dropout=0.0, bos_token_id=128000, pretraining_tp=1, rms_norm_eps=1e-05,
              rope_theta=500000.0, torch_dtype="bfloat16", vocab_size=128256)
LLAMA3_8B = LLAMA3 | dict(hidden_size=4096, intermediate_size=14336, num_attention_heads=32, num_hidden_layers=32,
                          num_key_value_heads=8, tie_word_embeddings=False)
LLAMA31_ROPE = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                "original_max_position_embeddings": 8192, "rope_type": "llama3"}
QWEN25_7B = dict(bos_token_id=151643, eos_token_id=151645, hidden_size=3584, intermediate_size=18944,
                 max_window_layers=28, num_attention_heads=28, num_hidden_layers=28, num_key_value_heads=4,
                 rms_norm_eps=1e-06, rope_theta=1000000.0, tie_word_embeddings=False, torch_dtype="bfloat16",
                 use_sliding_window=False, vocab_size=152064)
QWEN3_06B = dict(attention_bias=False, bos_token_id=151643, eos_token_id=151645, head_dim=128, hidden_size=1024,
                 intermediate_size=3072, max_position_embeddings=40960, max_window_layers=28, num_attention_heads=16,
                 num_hidden_layers=28, num_key_value_heads=8, rms_norm_eps=1e-06, sliding_window=None,
                 tie_word_embeddings=True, use_sliding_window=False, vocab_size=151936)

CONFIGS = {
    "llama-2-7b": llama(
        bos_token_id=1, eos_token_id=2, hidden_size=4096, intermediate_size=11008, max_position_embeddings=4096,
        num_attention_heads=32, num_hidden_layers=32, num_key_value_heads=32, pretraining_tp=1, rms_norm_eps=1e-05,
        rope_scaling=None, tie_word_embeddings=False, torch_dtype="float16", transformers_version="4.31.0.dev0",
        vocab_size=32000),
    # Llama 1: neither key-value heads, nor theta, nor attention_bias are in the file
    "llama-7b": llama(
        bos_token_id=1, eos_token_id=2, hidden_size=4096, intermediate_size=11008, max_position_embeddings=2048,
        num_attention_heads=32, num_hidden_layers=32, pad_token_id=0, rms_norm_eps=1e-06, tie_word_embeddings=False,
        torch_dtype="float16", transformers_version="4.28.0.dev0", vocab_size=32000),
    "llama-3-8b": llama(
        **LLAMA3_8B, eos_token_id=128001, max_position_embeddings=8192, rope_scaling=None,
        transformers_version="4.40.0.dev0"),
    "llama-3.1-8b": llama(
        **LLAMA3_8B, eos_token_id=[128001, 128008, 128009], max_position_embeddings=131072, mlp_bias=False,
        rope_scaling=LLAMA31_ROPE, transformers_version="4.42.3"),
    "llama-3.2-1b": llama(
        **LLAMA3, eos_token_id=[128001, 128008, 128009], head_dim=64, hidden_size=2048, intermediate_size=8192,
        max_position_embeddings=131072, mlp_bias=False, num_attention_heads=32, num_hidden_layers=16,
        num_key_value_heads=8, rope_scaling=LLAMA31_ROPE | {"factor": 32.0}, tie_word_embeddings=True,
        transformers_version="4.45.0.dev0"),
    "llama-linear-old": llama(
        bos_token_id=1, eos_token_id=2, hidden_size=4096, intermediate_size=11008, max_position_embeddings=8192,
        num_attention_heads=32, num_hidden_layers=32, num_key_value_heads=32, rms_norm_eps=1e-05,
        rope_scaling={"type": "linear", "factor": 2}, tie_word_embeddings=False, torch_dtype="bfloat16",
        transformers_version="4.33.1", vocab_size=32000),
    "tinyllama-1.1b": llama(
        bos_token_id=1, eos_token_id=2, hidden_size=2048, intermediate_size=5632, max_position_embeddings=2048,
        num_attention_heads=32, num_hidden_layers=22, num_key_value_heads=4, pretraining_tp=1, rms_norm_eps=1e-05,
        rope_scaling=None, tie_word_embeddings=False, torch_dtype="float32", transformers_version="4.31.0.dev0",
        vocab_size=32000),
    "mistral-7b-v0.1": {
        "architectures": ["MistralForCausalLM"], "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu",
        "hidden_size": 4096, "initializer_range": 0.02, "intermediate_size": 14336, "max_position_embeddings": 32768,
        "model_type": "mistral", "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8,
        "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "sliding_window": 4096, "tie_word_embeddings": False,
        "torch_dtype": "bfloat16", "transformers_version": "4.34.0.dev0", "use_cache": True, "vocab_size": 32000},
    "mistral-7b-v0.3": {
        "architectures": ["MistralForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 1, "eos_token_id": 2,
        "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02, "intermediate_size": 14336,
        "max_position_embeddings": 32768, "model_type": "mistral", "num_attention_heads": 32, "num_hidden_layers": 32,
        "num_key_value_heads": 8, "rms_norm_eps": 1e-05, "rope_theta": 1000000.0, "sliding_window": None,
        "tie_word_embeddings": False, "torch_dtype": "bfloat16", "transformers_version": "4.42.0.dev0",
        "use_cache": True, "vocab_size": 32768},
    "qwen1.5-0.5b": qwen(
        2, bos_token_id=151643, eos_token_id=151643, hidden_size=1024, intermediate_size=2816,
        max_position_embeddings=32768, max_window_layers=21, num_attention_heads=16, num_hidden_layers=24,
        num_key_value_heads=16, rms_norm_eps=1e-06, rope_theta=1000000.0, sliding_window=32768,
        tie_word_embeddings=True, torch_dtype="bfloat16", transformers_version="4.37.0", use_sliding_window=False,
        vocab_size=151936),
    "qwen2-0.5b": qwen(
        2, bos_token_id=151643, eos_token_id=151643, hidden_size=896, intermediate_size=4864,
        max_position_embeddings=131072, max_window_layers=24, num_attention_heads=14, num_hidden_layers=24,
        num_key_value_heads=2, rms_norm_eps=1e-06, rope_theta=1000000.0, sliding_window=131072,
        tie_word_embeddings=True, torch_dtype="bfloat16", transformers_version="4.40.1", use_sliding_window=False,
        vocab_size=151936),
    # sliding_window is present and must be ignored; the long-context attention keys are unknown to most readers
    "qwen2.5-7b-1m": qwen(2, **QWEN25_7B | dict(
        dual_chunk_attention_config={"chunk_size": 262144, "local_size": 8192, "original_max_position_embeddings": 262144},
        max_position_embeddings=1010000, rope_theta=10000000.0, sliding_window=32768, transformers_version="4.47.1")),
    "qwen2.5-7b-yarn": qwen(2, **QWEN25_7B | dict(
        max_position_embeddings=32768, sliding_window=131072, transformers_version="4.43.1",
        rope_scaling={"factor": 4.0, "original_max_position_embeddings": 32768, "type": "yarn"})),
    # some layers slide for real: those from max_window_layers on
    "qwen2-sliding": qwen(2, **QWEN25_7B | dict(
        max_position_embeddings=131072, max_window_layers=20, sliding_window=4096, transformers_version="4.43.1",
        use_sliding_window=True)),
    "qwen3-0.6b": qwen(
        3, **QWEN3_06B, rope_scaling=None, rope_theta=1000000, torch_dtype="bfloat16", transformers_version="4.51.0"),
    # its class then takes 128, not the hidden size by the heads
    "qwen3-no-head-dim": qwen(
        3, **{k: v for k, v in QWEN3_06B.items() if k != "head_dim"}, rope_theta=1000000, torch_dtype="bfloat16",
        transformers_version="4.51.0"),
    "qwen3-0.6b-v5": qwen(
        3, **QWEN3_06B, dtype="bfloat16", layer_types=["full_attention"] * 28, pad_token_id=None,
        rope_parameters={"rope_theta": 1000000, "rope_type": "default"}, transformers_version="5.0.0"),
    "llama-3.1-8b-v5": llama(
        **{k: v for k, v in LLAMA3_8B.items() if k not in ("rope_theta", "torch_dtype")}, dtype="bfloat16",
        eos_token_id=[128001, 128008, 128009], head_dim=128, max_position_embeddings=131072, mlp_bias=False,
        rope_parameters=LLAMA31_ROPE | {"rope_theta": 500000.0}, transformers_version="5.0.0"),
    "gpt2": {
        "activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "attn_pdrop": 0.1,
        "bos_token_id": 50256, "embd_pdrop": 0.1, "eos_token_id": 50256, "initializer_range": 0.02,
        "layer_norm_epsilon": 1e-05, "model_type": "gpt2", "n_ctx": 1024, "n_embd": 768, "n_head": 12, "n_layer": 12,
        "n_positions": 1024, "resid_pdrop": 0.1, "summary_activation": None, "summary_first_dropout": 0.1,
        "summary_proj_to_labels": True, "summary_type": "cls_index", "summary_use_proj": True,
        "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}}, "vocab_size": 50257},
}


def facts(path):
    config = AutoConfig.from_pretrained(path)
    rope = dict(getattr(config, "rope_parameters", None) or {})
    theta = rope.pop("rope_theta", None)
    rope.pop("type", None)  # the old spelling of rope_type, kept by transformers beside it
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    intermediate = config.n_inner or 4 * config.n_embd if config.model_type == "gpt2" else config.intermediate_size
    return {
        "architecture": config.architectures[0],
        "modelType": config.model_type,
        "vocabSize": config.vocab_size,
        "hiddenSize": config.hidden_size,
        "intermediateSize": intermediate,
        "numLayers": config.num_hidden_layers,
        "numHeads": config.num_attention_heads,
        "numKvHeads": getattr(config, "num_key_value_heads", config.num_attention_heads),
        "headDim": head_dim,
        "maxPositionEmbeddings": config.max_position_embeddings,
        "rmsNormEps": getattr(config, "rms_norm_eps", None),
        "ropeTheta": theta,
        "ropeScaling": rope if rope.get("rope_type", "default") != "default" else None,
        "tieWordEmbeddings": config.tie_word_embeddings,
        "slidingWindow": getattr(config, "sliding_window", None),
        "slidingLayers": [i for i, kind in enumerate(layer_types(config)) if kind == "sliding_attention"],
        "attentionBias": attention_bias(config),
        "dtype": str(config.dtype).removeprefix("torch.") if config.dtype else None,
        "bosTokenId": config.bos_token_id,
        "eosTokenIds": config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id],
    }


def layer_types(config):
    window = getattr(config, "sliding_window", None)
    default = ["sliding_attention" if window and config.model_type == "mistral" else "full_attention"]
    return getattr(config, "layer_types", None) or default * config.num_hidden_layers


def attention_bias(config):
    """Whether q, k and v have a bias, looked up in the built model: for qwen2 the file does not say."""
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    return any(name.endswith(("q_proj.bias", "c_attn.bias")) for name, _ in model.named_parameters())


ROPES = {
    "default theta 10000 dim 128": dict(head_dim=128, rope_parameters={"rope_type": "default", "rope_theta": 10000.0}),
    "default theta 500000 dim 64": dict(head_dim=64, rope_parameters={"rope_type": "default", "rope_theta": 500000.0}),
    "default theta 1000000 dim 80": dict(head_dim=80, rope_parameters={"rope_type": "default", "rope_theta": 1000000.0}),
    "linear factor 2 dim 128": dict(
        head_dim=128, rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}),
    "linear factor 4 dim 96": dict(
        head_dim=96, rope_parameters={"rope_type": "linear", "factor": 4.0, "rope_theta": 500000.0}),
    "Llama 3.1 8B": dict(
        head_dim=128, max_position_embeddings=131072, rope_parameters=LLAMA31_ROPE | {"rope_theta": 500000.0}),
    "Llama 3.2 1B": dict(
        head_dim=64, max_position_embeddings=131072,
        rope_parameters=LLAMA31_ROPE | {"factor": 32.0, "rope_theta": 500000.0}),
    "llama3 all three bands at small size": dict(
        head_dim=20, max_position_embeddings=256,
        rope_parameters={"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                         "original_max_position_embeddings": 32, "rope_theta": 10000.0}),
    "Qwen2.5 YaRN": dict(
        head_dim=128, max_position_embeddings=32768,
        rope_parameters={"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768,
                         "rope_theta": 1000000.0}),
    "YaRN attention_factor given": dict(
        head_dim=64, max_position_embeddings=65536,
        rope_parameters={"rope_type": "yarn", "factor": 16.0, "original_max_position_embeddings": 4096,
                         "attention_factor": 1.0, "rope_theta": 10000.0}),
    "YaRN betas given": dict(
        head_dim=64, max_position_embeddings=65536,
        rope_parameters={"rope_type": "yarn", "factor": 16.0, "original_max_position_embeddings": 4096,
                         "beta_fast": 16.0, "beta_slow": 2.0, "rope_theta": 10000.0}),
    "YaRN mscale and mscale_all_dim differ": dict(
        head_dim=64, max_position_embeddings=163840,
        rope_parameters={"rope_type": "yarn", "factor": 40.0, "original_max_position_embeddings": 4096,
                         "beta_fast": 32.0, "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 0.707,
                         "rope_theta": 10000.0}),
    "YaRN mscale alone is ignored": dict(
        head_dim=64, max_position_embeddings=163840,
        rope_parameters={"rope_type": "yarn", "factor": 40.0, "original_max_position_embeddings": 4096,
                         "mscale": 0.5, "rope_theta": 10000.0}),
    "YaRN not truncated": dict(
        head_dim=64, max_position_embeddings=131072,
        rope_parameters={"rope_type": "yarn", "factor": 32.0, "original_max_position_embeddings": 4096,
                         "beta_fast": 32.0, "beta_slow": 1.0, "truncate": False, "rope_theta": 150000.0}),
    "YaRN with the ramp clamped at the first dimension": dict(
        head_dim=12, max_position_embeddings=256,
        rope_parameters={"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64,
                         "rope_theta": 10000.0}),
}


def rope_case(name, keys):
    config = LlamaConfig(hidden_size=4 * keys["head_dim"], num_attention_heads=4, **copy.deepcopy(keys))
    kind = config.rope_parameters["rope_type"]
    make = LlamaRotaryEmbedding.compute_default_rope_parameters if kind == "default" else ROPE_INIT_FUNCTIONS[kind]
    frequencies, scaling = make(config, "cpu")
    values = [float(v) for v in frequencies]  # float32 values, written as the doubles they are
    assert len(values) == keys["head_dim"] // 2
    kept = sorted(set(range(min(8, len(values)))) | set(range(len(values) - 2, len(values))))
    if kind == "llama3":
        plain, _ = LlamaRotaryEmbedding.compute_default_rope_parameters(config)
        ratio = frequencies / plain
        band = [i for i, r in enumerate(ratio.tolist()) if 1.001 / keys["rope_parameters"]["factor"] < r < 0.999]
        assert band, f"{name}: no frequency is in the smoothed band"
        kept = sorted(set(kept) | set(band))
    if kind == "yarn":
        plain, _ = LlamaRotaryEmbedding.compute_default_rope_parameters(config)
        ratio = (frequencies / plain).tolist()
        kept = sorted(set(kept) | {i for i, r in enumerate(ratio) if 1.001 / keys["rope_parameters"]["factor"] < r < 0.999})
    return {
        "name": name,
        "headDim": keys["head_dim"],
        "maxPositionEmbeddings": config.max_position_embeddings,
        "ropeParameters": keys["rope_parameters"],
        "count": len(values),
        "index": kept,
        "invFreq": [values[i] for i in kept],
        "attentionScaling": float(scaling),
    }


if __name__ == "__main__":
    # the tiny qwen3 checkpoint's config as this transformers writes it itself
    CONFIGS["qwen3-v5config"] = json.loads(config_of(MODELS_TO_MAKE["qwen3"]).to_json_string(use_diff=False))
    expected = {}
    for name, config_json in CONFIGS.items():
        path = FOLDER / f"{name}.json"
        write_json(path, dict(sorted(config_json.items())))
        expected[path.name] = facts(path)
    write_json(FOLDER / "expected.json", {"transformersVersion": transformers.__version__, "configs": expected})
    write_json(FOLDER / "rope.json", {
        "transformersVersion": transformers.__version__,
        "cases": [rope_case(name, keys) for name, keys in ROPES.items()],
    })
    small = json.loads((FOLDER / "expected.json").read_text())["configs"]
    print(len(small), "configs,", len(ROPES), "rope cases")
