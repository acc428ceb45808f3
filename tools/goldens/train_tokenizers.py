"""Two tiny tokenizers in the two shapes most models use, and what the tokenizers library answers with them.

Not called tokenizers.py: a script's own folder comes first on Python's path and it would hide the library.
"""

from common import CHECKPOINT, write_json
from corpus import CHATS, STREAMED, TEXTS, TRAIN

import json

import tokenizers
import transformers
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer

FOLDER = CHECKPOINT / "tokenizers"

LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3_CHAT = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}"
    "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
    "+ message['content'] | trim + '<|eot_id|>' %}"
    "{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
CHATML = (
    "{%- if messages[0]['role'] != 'system' %}\n"
    "    {{- '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}\n"
    "{%- endif %}\n"
    "{%- for message in messages %}\n"
    "    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}\n"
    "{%- endfor %}\n"
    "{%- if add_generation_prompt %}\n"
    "    {{- '<|im_start|>assistant\\n' }}\n"
    "{%- endif %}\n"
)


def byte_bpe():
    """Llama 3's pre-tokenizer and begin-of-text template, Qwen 2's NFC: bytes as letters, so nothing is unknown."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3_SPLIT), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(TRAIN, trainers.BpeTrainer(
        vocab_size=600, show_progress=False, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())))
    tokenizer.add_special_tokens([
        "<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>",
        "<|im_start|>", "<|im_end|>"])
    tokenizer.add_tokens(["<tool_call>", "</tool_call>"])  # added but not special, as Qwen has them
    begin = tokenizer.token_to_id("<|begin_of_text|>")
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing("<|begin_of_text|> $A", "<|begin_of_text|> $A <|begin_of_text|>:1 $B:1",
                                      [("<|begin_of_text|>", begin)]),
    ])
    return tokenizer


def llama_bpe():
    """Llama 2's: a metaspace, no pre-tokenizer, rare characters as byte tokens."""
    byte_tokens = [f"<0x{b:02X}>" for b in range(256)]
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    learner.train_from_iterator(TRAIN, trainers.BpeTrainer(
        vocab_size=600, show_progress=False, limit_alphabet=110,
        special_tokens=["<unk>", "<s>", "</s>"] + byte_tokens))
    learned = json.loads(learner.to_str())["model"]

    tokenizer = Tokenizer(models.BPE(
        vocab=learned["vocab"], merges=[tuple(m) for m in learned["merges"]], unk_token="<unk>", fuse_unk=True,
        byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([
        decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"])
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A", "<s> $A <s>:1 $B:1", [("<s>", 1)])
    return tokenizer


TOKENIZERS = {
    "byte-bpe": (byte_bpe, {
        "bos_token": "<|begin_of_text|>",
        "chat_template": LLAMA3_CHAT,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|eot_id|>",
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": 8192,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }),
    "llama-bpe": (llama_bpe, {
        "add_bos_token": True,
        "add_eos_token": False,
        "bos_token": "<s>",
        "chat_template": CHATML,
        "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>",
        "model_max_length": 4096,
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": "<unk>",
    }),
}


def save(name, tokenizer, settings):
    content = json.loads(tokenizer.to_str())
    if name == "byte-bpe":  # the older spelling of merges, which most files on the hub have; llama-bpe keeps the newer
        content["model"]["merges"] = [" ".join(pair) for pair in content["model"]["merges"]]
    folder = FOLDER / name
    write_json(folder / "tokenizer.json", content)
    added = {
        str(t["id"]): {k: t[k] for k in ("content", "lstrip", "normalized", "rstrip", "single_word", "special")}
        for t in content["added_tokens"]
    }
    write_json(folder / "tokenizer_config.json", {"added_tokens_decoder": added, **settings})


def text_case(tokenizer, text):
    plain = tokenizer.encode(text, add_special_tokens=False)
    special = tokenizer.encode(text, add_special_tokens=True)
    case = {
        "text": text,
        "ids": plain.ids,
        "idsWithSpecial": special.ids,
        # decoding is of idsWithSpecial
        "decoded": tokenizer.decode(special.ids, skip_special_tokens=False),
        "decodedSkipSpecial": tokenizer.decode(special.ids, skip_special_tokens=True),
    }
    if text in STREAMED:
        case["decodedPrefixes"] = [
            tokenizer.decode(plain.ids[:n], skip_special_tokens=True) for n in range(len(plain.ids) + 1)]
    return case


def chat_cases(name):
    tokenizer = AutoTokenizer.from_pretrained(FOLDER / name)
    out = []
    for title, messages in CHATS.items():
        render = lambda prompt: tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt)
        out.append({
            "name": title,
            "messages": messages,
            "rendered": render(False),
            "renderedWithPrompt": render(True),
            # of renderedWithPrompt, without a second begin token
            "ids": tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False),
        })
    return out


if __name__ == "__main__":
    cases = {"transformersVersion": transformers.__version__, "tokenizersVersion": tokenizers.__version__}
    for name, (make, settings) in TOKENIZERS.items():
        made = make()
        save(name, made, settings)
        tokenizer = Tokenizer.from_file(str(FOLDER / name / "tokenizer.json"))
        texts = [text_case(tokenizer, text) for text in TEXTS]
        assert [c["ids"] for c in texts] == [made.encode(t, add_special_tokens=False).ids for t in TEXTS]
        loaded = AutoTokenizer.from_pretrained(FOLDER / name)  # transformers must see the same tokenizer
        assert [c["idsWithSpecial"] for c in texts] == [loaded(t)["input_ids"] for t in TEXTS]
        chats = chat_cases(name)
        for chat in chats:
            assert chat["ids"] == tokenizer.encode(chat["renderedWithPrompt"], add_special_tokens=False).ids
        cases[name] = {"vocabSize": tokenizer.get_vocab_size(), "texts": texts, "chats": chats}
        print(name, tokenizer.get_vocab_size(), "tokens,", len(texts), "texts,", len(chats), "chats")
    write_json(FOLDER / "cases.json", cases)
