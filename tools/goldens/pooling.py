"""Tiny checkpoints that embed, classify and score, each with what transformers makes of texts and pairs of texts.

Each directory is complete (tokenizer, config, weights, the files of sentence-transformers where there are any), and the
golden comes from the directory loaded back.
"""

import collections
import json
import math
import re
import shutil
import string

from common import ROOT, f32_base64, write_json
from corpus import TRAIN

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoModelForTokenClassification
from transformers import Qwen3ForCausalLM

transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
torch.set_num_threads(1)

FOLDER = ROOT / "packages/engine/fixtures"
LATIN = TRAIN[:8]  # few letters, so that a small vocabulary holds them; all others are unknown

TEXTS = [
    "Hello",
    "The quick brown fox jumps over the lazy dog.",
    "Crème brûlée, naïve café — 12,345.67!",
    "北京 is a city; Tokyo too. \t Two  spaces\nand a line",
    "it's what they've said: don't",
    "A longer text, so that batches hold rows of different lengths. " * 4,
]
PAIRS = [
    ["What is the capital of China?", "The capital of China is Beijing."],
    ["What is the capital of China?", "Gravity attracts two bodies."],
    ["fox", "The quick brown fox jumps over the lazy dog. " * 3],
]


def word_piece():
    """The vocabulary is counted here, since the library's trainer breaks ties at random."""
    words = collections.Counter(re.findall(r"[a-z]+", " ".join(LATIN).lower()))
    letters = sorted(set("".join(LATIN + TEXTS).lower()) & set(string.printable) - set(string.whitespace))
    frequent = [word for word, _ in sorted(words.items(), key=lambda entry: (-entry[1], entry[0]))][:60]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{c}" for c in letters if c.isalnum()),
              *(w for w in frequent if len(w) > 1), "##ing", "##ed", "##er", "##ation", "北"]
    tokenizer = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix="##")
    tokenizer.add_special_tokens(pieces[:5])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0", pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return tokenizer, {"tokenizer_class": "BertTokenizer", "cls_token": "[CLS]", "sep_token": "[SEP]",
                       "pad_token": "[PAD]", "unk_token": "[UNK]", "mask_token": "[MASK]", "do_lower_case": True}


SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>",
           "unk_token": "<unk>", "mask_token": "<mask>"}


def roberta_bpe():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(TRAIN, trainers.BpeTrainer(
        vocab_size=330, show_progress=False, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"]))
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), True, False)
    return tokenizer, {"tokenizer_class": "RobertaTokenizer", "add_prefix_space": False} | SPECIAL


def unigram():
    """XLM-R's, save that its table of normalisations is NFKC."""
    words = collections.Counter("▁" + word for line in LATIN for word in line.split())
    letters = sorted(set("".join(LATIN + TEXTS)) & set(string.printable) - set(string.whitespace))
    total = sum(words.values())
    vocabulary = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -3.5),
                  *((letter, -8.0 - i / 100) for i, letter in enumerate(letters)),
                  *((word, round(math.log(n / total), 4)) for word, n in sorted(words.items()) if n > 1 and len(word) > 2),
                  ("ing", -5.0), ("er", -5.1), ("s.", -5.2), ("北京", -6.0)]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=3))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")])
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    return tokenizer, {"tokenizer_class": "XLMRobertaTokenizer"} | SPECIAL


def qwen_bpe(eos):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(TRAIN + ["yes", "no"] * 50, trainers.BpeTrainer(
        vocab_size=330, show_progress=False, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())))
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<extra_0>"])
    end = tokenizer.token_to_id("<|endoftext|>")
    byte_level = processors.ByteLevel(trim_offsets=False)
    if eos:  # as Qwen3-Embedding has it
        tokenizer.post_processor = processors.Sequence([byte_level, processors.TemplateProcessing(
            single="$A <|endoftext|>", pair="$A $B:1 <|endoftext|>:1", special_tokens=[("<|endoftext|>", end)])])
    else:
        tokenizer.post_processor = byte_level
    return tokenizer, {"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}


def encoder(kind, **changes):
    roberta = kind != "bert"
    return {
        "architectures": [{"bert": "Bert", "roberta": "Roberta", "xlm-roberta": "XLMRoberta"}[kind] + "Model"],
        "attention_probs_dropout_prob": 0.1,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "hidden_size": 24,
        "initializer_range": 0.02,
        "intermediate_size": 40,
        "layer_norm_eps": 1e-05 if roberta else 1e-12,
        "max_position_embeddings": 322 if roberta else 320,
        "model_type": kind,
        "num_attention_heads": 2,
        "num_hidden_layers": 2,
        "pad_token_id": 1 if roberta else 0,
        "torch_dtype": "float32",
        "type_vocab_size": 1 if roberta else 2,
    } | changes


def labels(*names):
    return {"id2label": {str(i): name for i, name in enumerate(names)}, "label2id": {n: i for i, n in enumerate(names)}}


def decoder(kind, **changes):
    return {
        "attention_bias": kind == "qwen2",
        "attention_dropout": 0.0,
        "hidden_act": "silu",
        "hidden_size": 24,
        "initializer_range": 0.02,
        "intermediate_size": 36,
        "max_position_embeddings": 512,
        "model_type": kind,
        "num_attention_heads": 2,
        "num_hidden_layers": 2,
        "num_key_value_heads": 1,
        "rms_norm_eps": 1e-06,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
        "torch_dtype": "float32",
    } | ({"head_dim": 16} if kind == "qwen3" else {}) | changes


def sentence_transformers(folder, hidden, mode, normalize, max_length=None):
    parts = ["", "1_Pooling"] + (["2_Normalize"] if normalize else [])
    classes = ["Transformer", "Pooling", "Normalize"]
    write_json(folder / "modules.json", [
        {"idx": i, "name": str(i), "path": part, "type": f"sentence_transformers.models.{classes[i]}"}
        for i, part in enumerate(parts)])
    write_json(folder / "1_Pooling/config.json", {
        "word_embedding_dimension": hidden,
        **{f"pooling_mode_{name}": name == mode for name in
           ["cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken"]},
        "include_prompt": True,
    })
    if max_length is not None:
        write_json(folder / "sentence_bert_config.json", {"max_seq_length": max_length, "do_lower_case": False})


def weight(rng, name, shape):
    if "q_norm" in name or "k_norm" in name:
        return 1.8 + rng.uniform(-0.4, 0.4, shape)
    if "norm" in name.lower() and name.endswith("weight"):
        return 1 + rng.uniform(-0.2, 0.2, shape)
    if name.endswith("bias"):
        return rng.normal(0, 0.3, shape)
    if "embed" in name:
        return rng.normal(0, 0.5, shape)
    return rng.normal(0, 0.3, shape)


def fill(model, seed):
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            parameter.copy_(torch.from_numpy(weight(rng, name, tuple(parameter.shape)).astype(np.float32)))
    return model


def save(name, tokenizer, settings, config, model):
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_json(folder / "tokenizer.json", json.loads(tokenizer.to_str()))
    write_json(folder / "tokenizer_config.json", settings)
    write_json(folder / "config.json", dict(sorted(config.items())))
    tensors = {k: v.contiguous() for k, v in model.state_dict().items() if "position_ids" not in k}
    if config.get("tie_word_embeddings") and "lm_head.weight" in tensors:
        del tensors["lm_head.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def encode(tokenizer, text):
    encoding = tokenizer.encode(*text) if isinstance(text, list) else tokenizer.encode(text)
    return encoding.ids, encoding.type_ids


@torch.no_grad()
def outputs(model, config, ids, type_ids):
    kinds = {"token_type_ids": torch.tensor([type_ids])} if config["model_type"] == "bert" else {}
    return model(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long), **kinds)


def case(tokenizer, config, model, text, finish):
    ids, type_ids = encode(tokenizer, text)
    values = finish(model, config, ids, type_ids).numpy()
    values = values[None] if values.ndim == 1 else values
    return {"text": text, "ids": ids, "typeIds": type_ids, "shape": list(values.shape), "data": f32_base64(values)}


def make(name, seed, tokenizer_and_settings, config, auto, finish, given, after=lambda folder: None):
    tokenizer, settings = tokenizer_and_settings
    config["vocab_size"] = tokenizer.get_vocab_size()
    if "decoder" not in config and config["model_type"].startswith(("qwen", "llama")):
        config["pad_token_id"] = tokenizer.token_to_id("<|endoftext|>")
        config["eos_token_id"] = tokenizer.token_to_id("<|im_end|>")
    built = auto.from_config(AutoConfig.for_model(**json.loads(json.dumps(config))), dtype=torch.float32) \
        if hasattr(auto, "from_config") else auto._from_config(AutoConfig.for_model(**config), dtype=torch.float32)
    folder = save(name, tokenizer, settings, config, fill(built, seed))
    after(folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    model = auto.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    cases = [case(tokenizer, config, model, text, finish) for text in given]
    write_json(folder / "golden.json", {
        "transformersVersion": transformers.__version__, "torchVersion": torch.__version__, "cases": cases})
    print(name, config["vocab_size"], "tokens,", [len(c["ids"]) for c in cases],
          sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) // 1024, "KiB")


def states(model, config, ids, type_ids):
    return outputs(model, config, ids, type_ids).last_hidden_state[0]


def logits(model, config, ids, type_ids):
    return outputs(model, config, ids, type_ids).logits[0]


def unit(x):
    return torch.nn.functional.normalize(x, dim=-1)


def reward_head(folder):
    """Qwen2.5-Math's reward models keep two matrices with a ReLU between; their class is not in transformers."""
    tensors = load_file(folder / "model.safetensors")
    tensors = {f"model.{name}": tensor for name, tensor in tensors.items()}
    rng = np.random.default_rng(77)
    for key, shape in {"score.0.weight": (24, 24), "score.0.bias": (24,), "score.2.weight": (2, 24), "score.2.bias": (2,)}.items():
        tensors[key] = torch.from_numpy(weight(rng, key, shape).astype(np.float32))
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def steps(model, config, ids, type_ids):
    tensors = load_file(FOLDER / "qwen2-process-reward/model.safetensors")
    x = states(model, config, ids, type_ids)
    x = torch.relu(x @ tensors["score.0.weight"].T + tensors["score.0.bias"])
    scores = (x @ tensors["score.2.weight"].T + tensors["score.2.bias"]).softmax(-1)
    return scores[torch.tensor(ids) == config["step_tag_id"]]


def yes_or_no(model, config, ids, type_ids):
    """As Qwen's model card has it: the share of "yes" among the two logits of the last token."""
    tokenizer = Tokenizer.from_file(str(FOLDER / "qwen3-reranker/tokenizer.json"))
    two = logits(model, config, ids, type_ids)[-1][[tokenizer.token_to_id("no"), tokenizer.token_to_id("yes")]]
    return two.softmax(-1)[1:]


if __name__ == "__main__":
    make("bert-embed", 1, word_piece(), encoder("bert"), AutoModel,
         lambda *a: unit(states(*a).mean(0)), TEXTS,
         lambda f: sentence_transformers(f, 24, "mean_tokens", True, 256))
    make("bert-classify", 2, word_piece(),
         encoder("bert", architectures=["BertForSequenceClassification"], **labels("joy", "anger", "calm")),
         AutoModelForSequenceClassification, lambda *a: logits(*a).softmax(-1), TEXTS)
    make("bert-tokens", 3, word_piece(),
         encoder("bert", architectures=["BertForTokenClassification"], **labels("O", "B-PER", "I-PER", "B-LOC")),
         AutoModelForTokenClassification, lambda *a: logits(*a).softmax(-1), TEXTS)
    make("bert-rerank", 4, word_piece(),
         encoder("bert", architectures=["BertForSequenceClassification"], **labels("LABEL_0")),
         AutoModelForSequenceClassification, lambda *a: logits(*a).sigmoid(), PAIRS)
    make("roberta-classify", 5, roberta_bpe(),
         encoder("roberta", architectures=["RobertaForSequenceClassification"],
                 problem_type="multi_label_classification", **labels("a", "b")),
         AutoModelForSequenceClassification, lambda *a: logits(*a).sigmoid(), TEXTS)
    make("xlmr-embed", 6, unigram(), encoder("xlm-roberta"), AutoModel, lambda *a: unit(states(*a)[0]), TEXTS,
         lambda f: sentence_transformers(f, 24, "cls_token", True))
    make("xlmr-rerank", 7, unigram(),
         encoder("xlm-roberta", architectures=["XLMRobertaForSequenceClassification"], **labels("LABEL_0")),
         AutoModelForSequenceClassification, lambda *a: logits(*a).sigmoid(), PAIRS)
    make("qwen3-embed", 8, qwen_bpe(True), decoder("qwen3", architectures=["Qwen3ForCausalLM"]), AutoModel,
         lambda *a: unit(states(*a)[-1]), TEXTS, lambda f: sentence_transformers(f, 24, "lasttoken", True))
    make("qwen2-classify", 9, qwen_bpe(False),
         decoder("qwen2", architectures=["Qwen2ForSequenceClassification"], **labels("no", "maybe", "yes")),
         AutoModelForSequenceClassification, lambda *a: logits(*a).softmax(-1), TEXTS)
    make("llama-rerank", 10, qwen_bpe(False),
         decoder("llama", architectures=["LlamaForSequenceClassification"], **labels("LABEL_0")),
         AutoModelForSequenceClassification, lambda *a: logits(*a).sigmoid(), PAIRS)
    step = qwen_bpe(False)
    make("qwen2-process-reward", 11, step,
         decoder("qwen2", architectures=["Qwen2ForProcessRewardModel"], step_tag_id=step[0].token_to_id("<extra_0>")),
         AutoModel, steps, ["First do this.<extra_0>Then do that.<extra_0>", "Only one step<extra_0>"], reward_head)
    make("qwen3-reranker", 12, qwen_bpe(False), decoder("qwen3", architectures=["Qwen3ForCausalLM"]), Qwen3ForCausalLM,
         yes_or_no, ["<|im_start|>" + a + "\n" + b + "<|im_end|>\n" for a, b in PAIRS])
