"""What a sampler must do to one row of logits, in plain float64, and Philox4x32-10 vectors.

The order is vLLM's: logit_bias, repetition, frequency and presence penalties, temperature, min_p, top_k, top_p.
Wherever Hugging Face has the same step its processor is run beside ours.
"""

from common import TENSOR, write_json

import numpy as np
import torch
import transformers
from transformers.generation import logits_process as hf

VOCAB = 24
ORDER = ["logitBias", "repetitionPenalty", "frequencyPenalty", "presencePenalty", "temperature",
         "minP", "topK", "topP", "typicalP"]
CLEAR = 1e-4  # distance of every cut from its threshold, so that a float32 sampler keeps the same tokens


def softmax(logits):
    exp = np.exp(logits - logits.max())
    return exp / exp.sum()


def best_first(values):
    """Indices by falling value; of equal values the lower index comes first."""
    return np.argsort(-values, kind="stable")


def keep_only(logits, kept):
    out = np.full_like(logits, -np.inf)
    out[list(kept)] = logits[list(kept)]
    return out


def logit_bias(logits, bias):
    out = logits.copy()
    for token, value in bias.items():
        out[int(token)] += value
    return out


def repetition_penalty(logits, penalty, seen):
    out = logits.copy()
    for token in set(seen):
        out[token] = out[token] * penalty if out[token] < 0 else out[token] / penalty
    return out


def frequency_penalty(logits, penalty, output):
    return logits - penalty * np.bincount(np.array(output, dtype=np.int64), minlength=VOCAB)


def presence_penalty(logits, penalty, output):
    return logits - penalty * (np.bincount(np.array(output, dtype=np.int64), minlength=VOCAB) > 0)


def temperature(logits, value):
    if value == 0:  # greedy: everything else is irrelevant but the arg max
        return keep_only(logits, [best_first(logits)[0]])
    return logits / value


def min_p(logits, ratio):
    probs = softmax(logits)
    assert np.abs(probs - ratio * probs.max()).min() > CLEAR * probs.max(), "a probability on the edge of min_p"
    return keep_only(logits, np.flatnonzero(probs >= ratio * probs.max()))


def top_k(logits, k):
    kept = best_first(logits)[:k] if k > 0 else np.arange(VOCAB)  # 0 means no limit
    return keep_only(logits, [t for t in kept if logits[t] > -np.inf])


def top_p(logits, p):
    """The shortest best-first prefix whose mass reaches p; the probabilities are those left by the earlier steps."""
    order = best_first(logits)
    mass = np.cumsum(softmax(logits)[order])
    assert p >= 1 or np.abs(mass - p).min() > CLEAR, "a cumulative mass on the edge of top_p"
    kept = order[: int(np.searchsorted(mass, p)) + 1] if p < 1 else order
    return keep_only(logits, [t for t in kept if logits[t] > -np.inf])


def typical_p(logits, mass_wanted):
    """Tokens whose surprise is nearest to the entropy, until their mass reaches the wanted one."""
    probs = softmax(logits)
    with np.errstate(divide="ignore"):
        surprise = -np.log(probs)
    entropy = (probs * np.where(probs > 0, surprise, 0)).sum()
    order = np.argsort(np.abs(surprise - entropy), kind="stable")
    mass = np.cumsum(probs[order])
    assert np.abs(mass - mass_wanted).min() > CLEAR
    return keep_only(logits, order[: int(np.searchsorted(mass, mass_wanted)) + 1])


def apply(params, logits, prompt, output):
    if "logitBias" in params:
        logits = logit_bias(logits, params["logitBias"])
    if "repetitionPenalty" in params:
        logits = repetition_penalty(logits, params["repetitionPenalty"], prompt + output)
    if "frequencyPenalty" in params:
        logits = frequency_penalty(logits, params["frequencyPenalty"], output)
    if "presencePenalty" in params:
        logits = presence_penalty(logits, params["presencePenalty"], output)
    if "temperature" in params:
        logits = temperature(logits, params["temperature"])
    if "minP" in params:
        logits = min_p(logits, params["minP"])
    if "topK" in params:
        logits = top_k(logits, params["topK"])
    if "topP" in params:
        logits = top_p(logits, params["topP"])
    if "typicalP" in params:
        logits = typical_p(logits, params["typicalP"])
    return logits


def hugging_face(params, logits, prompt, output):
    """The same row through transformers, or None where it has no such step or breaks ties otherwise."""
    if set(params) & {"frequencyPenalty", "presencePenalty"} or params.get("temperature") == 0:
        return None
    make = {
        "logitBias": lambda v: hf.SequenceBiasLogitsProcessor([[[int(t)], float(b)] for t, b in v.items()]),
        "repetitionPenalty": hf.RepetitionPenaltyLogitsProcessor,
        "temperature": hf.TemperatureLogitsWarper,
        "minP": hf.MinPLogitsWarper,
        "topK": lambda k: hf.TopKLogitsWarper(k or VOCAB),
        "topP": hf.TopPLogitsWarper,
        "typicalP": hf.TypicalLogitsWarper,
    }
    ids = torch.tensor([prompt + output])
    scores = torch.from_numpy(logits)[None]
    for step in ORDER:
        if step in params:
            scores = make[step](params[step])(ids, scores)
    return scores[0].numpy()


def rows():
    rng = np.random.default_rng(7)
    draw = lambda scale: (np.round(rng.normal(0, scale, VOCAB) * 256) / 256).astype(np.float32)  # exact and short
    made = {"wide": draw(3), "narrow": draw(0.7), "plain": draw(1.8), "peak": draw(1)}
    made["peak"][5] = 14.25
    made["ties"] = np.array([1, 3, 3, 0, 3, 2, 2, 2, 2, -1, 3, 0, 1, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0], np.float32)
    made["flat"] = np.zeros(VOCAB, np.float32)
    made["masked"] = made["plain"].copy()
    made["masked"][[0, 3, 9, 17]] = -np.inf  # a grammar forbids these
    return made


PROMPT, OUTPUT = [3, 3, 7, 11, 0], [5, 5, 5, 9, 7, 20]

CASES = [
    ("nothing", "plain", {}),
    ("masked tokens stay impossible", "masked", {}),
    ("repetition penalty covers prompt and output, once per token", "plain", {"repetitionPenalty": 1.3}),
    ("repetition penalty below one rewards", "wide", {"repetitionPenalty": 0.8}),
    ("presence penalty counts output only", "plain", {"presencePenalty": 1.5}),
    ("presence penalty may be negative", "plain", {"presencePenalty": -0.75}),
    ("frequency penalty per occurrence in the output", "plain", {"frequencyPenalty": 0.6}),
    ("frequency penalty may be negative", "narrow", {"frequencyPenalty": -0.4}),
    ("frequency and presence together", "wide", {"frequencyPenalty": 0.3, "presencePenalty": 0.9}),
    ("all three penalties", "wide", {"repetitionPenalty": 1.2, "frequencyPenalty": 0.3, "presencePenalty": 0.5}),
    ("logit bias", "plain", {"logitBias": {"2": 5.0, "5": -100.0, "23": 1.25}}),
    ("logit bias comes before the repetition penalty", "plain",
     {"logitBias": {"3": 6.0, "7": -6.0}, "repetitionPenalty": 1.5}),
    ("temperature above one", "wide", {"temperature": 1.7}),
    ("temperature below one", "narrow", {"temperature": 0.35}),
    ("temperature zero is arg max", "wide", {"temperature": 0}),
    ("temperature zero takes the lower index of a tie", "ties", {"temperature": 0}),
    ("temperature zero after penalties", "peak", {"temperature": 0, "frequencyPenalty": 5.0}),
    ("top k", "plain", {"topK": 5}),
    ("top k of one", "wide", {"topK": 1}),
    ("top k larger than the vocabulary", "plain", {"topK": 1000}),
    ("top k zero is off", "plain", {"topK": 0}),
    ("top k with a tie at the cut keeps lower indices", "ties", {"topK": 6}),
    ("top p", "plain", {"topP": 0.8}),
    ("top p keeps one token at least", "peak", {"topP": 0.05}),
    ("top p of one is off", "wide", {"topP": 1.0}),
    ("top p with a tie at the cut keeps lower indices", "ties", {"topP": 0.7}),
    ("top p on a flat row", "flat", {"topP": 0.51}),
    ("min p", "plain", {"minP": 0.1}),
    ("min p near one keeps the best", "plain", {"minP": 0.99}),
    ("min p after temperature", "plain", {"temperature": 2.0, "minP": 0.1}),
    ("top p counts the mass left by top k", "narrow", {"topK": 8, "topP": 0.6}),
    ("min p then top k then top p", "narrow", {"minP": 0.2, "topK": 12, "topP": 0.75}),
    ("temperature, top k, top p", "wide", {"temperature": 0.8, "topK": 10, "topP": 0.9}),
    ("masked row with filters", "masked", {"temperature": 1.2, "minP": 0.02, "topK": 9, "topP": 0.85}),
    ("everything", "plain",
     {"logitBias": {"1": 2.0, "11": -1.0}, "repetitionPenalty": 1.15, "frequencyPenalty": 0.2,
      "presencePenalty": 0.3, "temperature": 0.9, "minP": 0.03, "topK": 12, "topP": 0.92}),
    ("typical p", "plain", {"typicalP": 0.6}),
    ("typical p may drop the best token", "peak", {"temperature": 6.0, "typicalP": 0.3}),
]
TIES_DIFFER = {"top k with a tie at the cut keeps lower indices",  # Hugging Face keeps every token of the tie
               "top p with a tie at the cut keeps lower indices",  # and its sort decides among equals
               "top p on a flat row"}


def cases():
    made, out, compared = rows(), [], 0
    for name, row, params in CASES:
        logits = made[row].astype(np.float64)
        result = apply(params, logits, PROMPT, OUTPUT)
        other = None if name in TIES_DIFFER else hugging_face(params, logits, PROMPT, OUTPUT)
        if other is not None:
            assert np.allclose(other, result, rtol=1e-12, atol=0), name
            compared += 1
        probs = softmax(result)
        assert abs(probs.sum() - 1) < 1e-12
        out.append({
            "name": name, "row": row, "params": params,
            "kept": np.flatnonzero(probs > 0).tolist(),
            "logits": [None if v == -np.inf else float(v) for v in result],
            "probs": probs.tolist(),
        })
    print(len(out), "sampling cases,", compared, "also through transformers")
    assert 5 not in next(c for c in out if "drop the best" in c["name"])["kept"]
    order_case = next(c for c in CASES if "before the repetition" in c[0])[2]
    swapped = logit_bias(
        repetition_penalty(made["plain"].astype(np.float64), order_case["repetitionPenalty"], PROMPT + OUTPUT),
        order_case["logitBias"])
    assert not np.allclose(swapped, apply(order_case, made["plain"].astype(np.float64), PROMPT, OUTPUT))
    plain_rows = {k: [None if v == -np.inf else float(v) for v in row] for k, row in made.items()}
    return plain_rows, out


def philox4x32(counter, key, rounds=10):
    c, k = list(counter), list(key)
    for _ in range(rounds):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & 0xFFFFFFFF, (a >> 32) ^ c[3] ^ k[1], a & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


ONES = 0xFFFFFFFF
KNOWN = [  # the known answers published with Random123
    ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([ONES] * 4, [ONES] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    ([0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], [0xA4093822, 0x299F31D0],
     [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]),
]


def philox_vectors():
    for counter, key, output in KNOWN:
        assert philox4x32(counter, key) == output
    inputs = [
        ([1, 0, 0, 0], [0, 0]),
        ([0, 1, 0, 0], [0, 0]),
        ([0, 0, 1, 0], [0, 0]),
        ([0, 0, 0, 1], [0, 0]),
        ([0, 0, 0, 0], [1, 0]),
        ([0, 0, 0, 0], [0, 1]),
        ([0x80000000] * 4, [0x80000000] * 2),
        ([17, 0, 42, 0], [1234, 0]),
        ([ONES, 0, ONES, 0], [0xDEADBEEF, 0x0BADF00D]),
        ([4095, 7, 123456789, 987654321], [0x12345678, 0x9ABCDEF0]),
    ]
    made = KNOWN + [(c, k, philox4x32(c, k)) for c, k in inputs]
    return [{"counter": c, "key": k, "output": o} for c, k, o in made]


if __name__ == "__main__":
    plain_rows, made = cases()
    write_json(TENSOR / "sampling.json", {
        "transformersVersion": transformers.__version__,
        "vocab": VOCAB,
        "order": ORDER,
        "prompt": PROMPT,
        "output": OUTPUT,
        "rows": plain_rows,
        "cases": made,
        "philox4x32": philox_vectors(),
    })
