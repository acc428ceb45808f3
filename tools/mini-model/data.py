"""Examples as text and tokens: the train/held-out split, the rendering, the packing."""

import json
import random

from skills import SKILLS, Example, held_out

SYSTEMS = ["You are a helpful assistant.", "You are Slipway's little built-in model.", "You are a friendly assistant.", "Answer briefly.",
           "Be helpful and short.", "You are a small model that answers in one sentence.", "You are helpful."]
NO_THINK = "<think>\n\n</think>\n\n"


def draw(skill: str, rng: random.Random, test: bool = False) -> Example:
    while True:
        example = SKILLS[skill][0](rng)
        if held_out(example.key) == test:
            return example


def tool_call(call: dict) -> str:
    f = call["function"]
    arguments = f["arguments"] if isinstance(f["arguments"], str) else json.dumps(f["arguments"], ensure_ascii=False)
    return f'<tool_call>\n{{"name": "{f["name"]}", "arguments": {arguments}}}\n</tool_call>'


def answer_text(message: dict) -> str:
    return message["content"] + "\n".join(tool_call(c) for c in message.get("tool_calls", []))


def pieces(messages: list[dict], tools: list[dict] | None, thinking_off: bool) -> list[tuple[str, bool]]:
    """The chat as (text, is it learnt) pieces; the joined text is what chat_template.jinja renders, plus the last turn's thinking."""
    out: list[tuple[str, bool]] = []
    system = messages[0]["content"] if messages[0]["role"] == "system" else None
    if tools:
        listed = "".join("\n" + json.dumps(t, ensure_ascii=False) for t in tools)
        head = (system + "\n\n" if system else "") + f"Tools:\n<tools>{listed}\n</tools>\nTo use one, answer with\n"
        out.append((f'<|im_start|>system\n{head}<tool_call>\n{{"name": ..., "arguments": {{...}}}}\n</tool_call><|im_end|>\n', False))
    elif system:
        out.append((f"<|im_start|>system\n{system}<|im_end|>\n", False))
    for i, m in enumerate(messages):
        if m["role"] == "user":
            out.append((f"<|im_start|>user\n{m['content']}<|im_end|>\n", False))
        elif m["role"] == "tool":
            out.append((f"<|im_start|>user\n<tool_response>\n{m['content']}\n</tool_response><|im_end|>\n", False))
        elif m["role"] == "assistant":
            last = i == len(messages) - 1
            out.append(("<|im_start|>assistant\n" + (NO_THINK if last and thinking_off else ""), False))
            text = answer_text(m) + "<|im_end|>"
            # Past thinking is stripped from the prompt; a turn shown without it must not teach answering without it.
            # A compact string of arguments is what a client sends back, never what the model should write.
            stripped = m.get("hidden") or any(isinstance(c["function"]["arguments"], str) for c in m.get("tool_calls", []))
            if last and m.get("reasoning_content"):
                text = f"<think>\n{m['reasoning_content']}\n</think>\n\n" + text
            out.append((text, last or not stripped))
            out.append(("\n", False))
    return out


def compose(rng: random.Random, weights: dict[str, float], max_parts: int = 3) -> list[tuple[str, bool]]:
    """One training document: plain text, or a chat made of one or more examples of any skill."""
    names, shares = list(weights), list(weights.values())
    skill = rng.choices(names, shares)[0]
    example = draw(skill, rng)
    if example.text is not None:
        return [*example.text, ("<|endoftext|>", True)]
    messages, last = list(example.messages), example
    if rng.random() < 0.35:  # earlier turns of other kinds, so that a chat may change its subject
        for _ in range(rng.randint(1, max_parts - 1)):
            before_skill = rng.choices(names, shares)[0]
            before = draw(before_skill, rng)
            if before.text is not None or before.tools or (before_skill == "memory" and skill == "memory"):
                continue
            earlier = [dict(m) for m in before.messages]
            for m in earlier:
                # A sum in the past is shown bare; with a calculator at hand it would not be answered so.
                if m["role"] == "assistant" and (before.thinking is not None or example.tools):
                    m["hidden"] = True
            messages = earlier + messages
    if rng.random() < 0.3:
        messages.insert(0, {"role": "system", "content": rng.choice(SYSTEMS)})
    off = last.thinking is False or (last.thinking is None and rng.random() < 0.25)
    return pieces(messages, last.tools, off)


def encode(tokenizer, docs: list[list[tuple[str, bool]]]) -> list[tuple[list[int], list[bool]]]:
    # Every border between pieces is a special token or follows one, or a newline, so encoding piece by piece is encoding the whole.
    flat = tokenizer.encode_batch_fast([t for d in docs for t, _ in d], add_special_tokens=False)
    out, i = [], 0
    for d in docs:
        ids, learn = [], []
        for _, is_learnt in d:
            ids += flat[i].ids
            learn += [is_learnt] * len(flat[i].ids)
            i += 1
        out.append((ids, learn))
    return out


def pack(docs, length: int, pad: int):
    """Rows of whole documents, each into the first row with room; each row is [ids, targets, learnt, document number]."""
    rows: list[list] = []
    open_rows: list[list] = []
    for ids, learn in docs:
        if len(ids) > length + 1:  # rare; a cut document would lose its answer
            continue
        # A document of n tokens gives n - 1 predictions.
        x, y, w = ids[:-1], ids[1:], learn[1:]
        for row in open_rows:
            if len(row[0]) + len(x) <= length:
                break
        else:
            row = [[], [], [], [], 0]
            open_rows.append(row)
            if len(open_rows) > 24:  # the fullest of them is closed
                fullest = max(range(24), key=lambda i: len(open_rows[i][0]))
                rows.append(open_rows.pop(fullest))
        row[0] += x
        row[1] += y
        row[2] += w
        row[3] += [row[4]] * len(x)
        row[4] += 1
    rows += open_rows
    for row in rows:
        room = length - len(row[0])
        row[0] += [pad] * room
        row[1] += [pad] * room
        row[2] += [False] * room
        row[3] += [-1] * room
        del row[4]
    return rows


def default_weights() -> dict[str, float]:
    return {name: share for name, (_, share) in SKILLS.items()}


if __name__ == "__main__":
    rng = random.Random(0)
    for _ in range(25):
        print("".join(t for t, _ in compose(rng, default_weights())))
        print("-" * 60)
