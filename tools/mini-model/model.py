"""Qwen3 in a few lines, with the parameter names of transformers, for quick training on a CPU."""

import json

import torch
import torch.nn.functional as F
from torch import nn

CONFIG = {
    "architectures": ["Qwen3ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0, "bos_token_id": None, "eos_token_id": None,
    "head_dim": 32, "hidden_act": "silu", "hidden_size": 192, "initializer_range": 0.02, "intermediate_size": 576,
    "max_position_embeddings": 2048, "max_window_layers": 4, "model_type": "qwen3", "num_attention_heads": 6, "num_hidden_layers": 4,
    "num_key_value_heads": 3, "pad_token_id": None, "rms_norm_eps": 1e-6, "rope_scaling": None, "rope_theta": 10000.0, "sliding_window": None,
    "tie_word_embeddings": True, "torch_dtype": "bfloat16", "use_cache": True, "use_sliding_window": False, "vocab_size": None,
}


def config_for(tokenizer) -> dict:
    """The config, with the ids and the vocabulary size (rounded up to 64) of this tokenizer."""
    return CONFIG | {"vocab_size": -(-tokenizer.get_vocab_size() // 64) * 64, "eos_token_id": tokenizer.token_to_id("<|im_end|>"),
                     "bos_token_id": tokenizer.token_to_id("<|endoftext|>"), "pad_token_id": tokenizer.token_to_id("<|endoftext|>")}


class Norm(nn.Module):
    def __init__(self, n: int, eps: float):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(n)), eps

    def forward(self, x):
        return F.rms_norm(x, x.shape[-1:], self.weight.to(x.dtype), self.eps)


def rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        d, h = c["hidden_size"], c["head_dim"]
        self.h, self.groups = h, c["num_attention_heads"] // c["num_key_value_heads"]
        self.q_proj = nn.Linear(d, c["num_attention_heads"] * h, bias=False)
        self.k_proj = nn.Linear(d, c["num_key_value_heads"] * h, bias=False)
        self.v_proj = nn.Linear(d, c["num_key_value_heads"] * h, bias=False)
        self.o_proj = nn.Linear(c["num_attention_heads"] * h, d, bias=False)
        self.q_norm, self.k_norm = Norm(h, c["rms_norm_eps"]), Norm(h, c["rms_norm_eps"])

    def forward(self, x, cos, sin, mask):
        b, t, _ = x.shape
        q, k, v = (p(x).view(b, t, -1, self.h) for p in (self.q_proj, self.k_proj, self.v_proj))
        q, k = rotate(self.q_norm(q), cos, sin).transpose(1, 2), rotate(self.k_norm(k), cos, sin).transpose(1, 2)
        k, v = (y.repeat_interleave(self.groups, 1) for y in (k, v.transpose(1, 2)))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.o_proj(y.transpose(1, 2).reshape(b, t, -1))


class Mlp(nn.Module):
    def __init__(self, c):
        super().__init__()
        d, f = c["hidden_size"], c["intermediate_size"]
        self.gate_proj, self.up_proj, self.down_proj = nn.Linear(d, f, bias=False), nn.Linear(d, f, bias=False), nn.Linear(f, d, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.self_attn, self.mlp = Attention(c), Mlp(c)
        self.input_layernorm, self.post_attention_layernorm = Norm(c["hidden_size"], c["rms_norm_eps"]), Norm(c["hidden_size"], c["rms_norm_eps"])

    def forward(self, x, cos, sin, mask):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, mask)
        return x + self.mlp(self.post_attention_layernorm(x))


class Body(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.embed_tokens = nn.Embedding(c["vocab_size"], c["hidden_size"])
        self.layers = nn.ModuleList(Layer(c) for _ in range(c["num_hidden_layers"]))
        self.norm = Norm(c["hidden_size"], c["rms_norm_eps"])


class Qwen3(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c, self.model = c, Body(c)
        for name, p in self.named_parameters():
            if p.ndim == 2:
                nn.init.normal_(p, std=0.02 if "embed" in name else p.shape[1] ** -0.5)
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                nn.init.zeros_(p)  # every layer starts as the identity

    def forward(self, ids, docs, where):
        """ids, docs: (rows, length); attention stays inside a document; where: flat indices of the tokens whose successor is learnt."""
        half = self.c["head_dim"] // 2
        t = ids.shape[1]
        inverse = self.c["rope_theta"] ** (-torch.arange(half, dtype=torch.float32) / half)
        # Positions run on through the row: RoPE is relative, and attention never crosses a border.
        angle = torch.arange(t, dtype=torch.float32)[:, None] * inverse
        x = self.model.embed_tokens(ids)
        if torch.is_autocast_enabled("cpu"):
            x = x.bfloat16()
        cos, sin = angle.cos()[:, None].to(x.dtype), angle.sin()[:, None].to(x.dtype)
        mask = (docs[:, None, :, None] == docs[:, None, None, :]) & torch.ones(t, t, dtype=torch.bool).tril()
        for layer in self.model.layers:
            x = layer(x, cos, sin, mask)
        return F.linear(self.model.norm(x.flatten(0, 1)[where]), self.model.embed_tokens.weight)


def write_config(config: dict, path) -> None:
    path.write_text(json.dumps(config, indent=2) + "\n")
