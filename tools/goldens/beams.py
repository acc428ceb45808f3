"""Beam search as transformers does it, on the tiny checkpoints of models.py: ids and scores."""

import itertools

from common import MODELS, ROOT, write_json

import torch
import transformers
from transformers import AutoModelForCausalLM, GenerationConfig

torch.set_num_threads(1)
transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

MODEL_NAMES = ["qwen3", "llama3", "qwen2-sliding"]
LENGTH_PENALTIES = [1.0, 0.0, 2.0, -1.0]
EARLY = [False, True, "never"]

def frequent(model, prompt):
    """Ids that a greedy text of this model holds."""
    model.generation_config.eos_token_id = None
    tokens = torch.tensor([prompt])
    ids = model.generate(tokens, attention_mask=torch.ones_like(tokens), generation_config=GenerationConfig(
        max_new_tokens=40, do_sample=False, eos_token_id=None, pad_token_id=0))[0, len(prompt):].tolist()
    return [ids[9], ids[17], ids[25]]

def search(model, prompt, case):
    config = GenerationConfig(
        max_new_tokens=case["maxTokens"], num_beams=case["beamWidth"], num_return_sequences=case["n"],
        length_penalty=case["lengthPenalty"], early_stopping=case["earlyStopping"], do_sample=False,
        eos_token_id=case["ends"] or None, pad_token_id=0, return_dict_in_generate=True, output_scores=True)
    ids = torch.tensor([prompt])
    # said, because it would be guessed from ids that equal the padding
    made = model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=config)
    found = []
    for row, score in zip(made.sequences[:, len(prompt):].tolist(), made.sequences_scores.tolist()):
        end = next((i + 1 for i, id in enumerate(row) if id in case["ends"]), len(row))
        found.append({"tokenIds": row[:end], "score": score})
    return found

def main():
    random = torch.Generator().manual_seed(5)
    models = {}
    for name in MODEL_NAMES:
        model = AutoModelForCausalLM.from_pretrained(MODELS / name, dtype=torch.float32, attn_implementation="eager").eval()
        exact = AutoModelForCausalLM.from_pretrained(MODELS / name, dtype=torch.float64, attn_implementation="eager").eval()
        cases = []
        for i, (penalty, early, width) in enumerate(itertools.product(LENGTH_PENALTIES, EARLY, [2, 4])):
            prompt = torch.randint(0, 150, (1 + 7 * (i % 4),), generator=random).tolist()
            ends = frequent(model, prompt)[: i % 4]
            case = {"beamWidth": width + i % 3, "n": 1 + i % width, "maxTokens": 6 + 7 * (i % 3),
                    "lengthPenalty": penalty, "earlyStopping": early, "ends": sorted(set(ends))}
            found = search(model, prompt, case)
            same = search(exact, prompt, case)
            # a beam that leads by less than rounding would prove nothing
            if [f["tokenIds"] for f in found] == [f["tokenIds"] for f in same]:
                cases.append({"prompt": prompt, **case, "beams": found})
        lengths = {len(beam["tokenIds"]) - case["maxTokens"] for case in cases for beam in case["beams"]}
        print(name, len(cases), "cases, lengths short of the limit:", sorted(lengths))
        assert len(cases) >= 20 and len(lengths) > 5
        models[name] = cases
    write_json(ROOT / "packages/engine/fixtures/beams.json", {
        "transformersVersion": transformers.__version__, "models": models})

main()
