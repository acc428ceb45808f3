"""Writes the checkpoint as a Hugging Face folder: config, tokenizer, bfloat16 safetensors."""

import argparse
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

from model import config_for, write_config


def export(checkpoint: Path, tokenizer_folder: Path, out: Path) -> dict:
    state = torch.load(checkpoint, map_location="cpu")
    tokenizer = Tokenizer.from_file(str(tokenizer_folder / "tokenizer.json"))
    out.mkdir(parents=True, exist_ok=True)
    config = config_for(tokenizer)
    write_config(config, out / "config.json")
    eos = [tokenizer.token_to_id("<|im_end|>"), tokenizer.token_to_id("<|endoftext|>")]
    generation = {"do_sample": False, "eos_token_id": eos, "pad_token_id": eos[1], "bos_token_id": eos[1]}
    (out / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tokenizer_folder / name, out / name)
    # Written beside the old file and renamed, so that a reader never meets half a file.
    tensors = {name: t.to(torch.bfloat16).contiguous() for name, t in state["model"].items()}
    save_file(tensors, out / "model.safetensors.new", metadata={"format": "pt"})
    (out / "model.safetensors.new").chmod(0o644)
    (out / "model.safetensors.new").rename(out / "model.safetensors")
    return {k: state[k] for k in ("step", "seen", "used")}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    print(export(args.checkpoint, args.tokenizer, args.out))
