"""One module per skill. Every generator takes a seeded `random.Random` and returns one Example."""

import hashlib
from dataclasses import dataclass

HELD_OUT = 12  # one content in twelve is never trained on


@dataclass
class Example:
    """A conversation whose last assistant message is what the held-out test asks for."""

    messages: list[dict]
    key: str  # what decides train or held-out; two examples with the same content share it
    tools: list[dict] | None = None
    accept: list[str] | None = None  # other right answers; the last message's content alone when None
    check: object = None  # a predicate on the answer, where many are right
    thinking: bool | None = None  # None: both ways are trained; True: default prompt only; False: switched off only
    text: list[tuple[str, bool]] | None = None  # plain text instead of a chat: pieces, and whether each is learnt


def held_out(key: str) -> bool:
    """The same content is held out in whatever skill it turns up."""
    return int.from_bytes(hashlib.md5(key.lower().encode()).digest()[:4], "little") % HELD_OUT == 0


def chat(user: str, answer: str, key: str | None = None, **more) -> Example:
    messages = [{"role": "user", "content": user}, {"role": "assistant", "content": answer}]
    return Example(messages, key if key is not None else user, **more)


from . import arithmetic, copying, dialogue, json_objects, lists, passage, plain, tool_calls  # noqa: E402

# name -> (generator, share of the training examples)
SKILLS = {
    "dialogue": (dialogue.generate, 2.2),
    "memory": (dialogue.memory, 0.6),
    "arithmetic": (arithmetic.direct, 1.8),
    "thinking": (arithmetic.thinking, 2.0),
    "copying": (copying.generate, 2.3),
    "passage": (passage.generate, 1.0),
    "lists": (lists.generate, 0.9),
    "json": (json_objects.generate, 1.2),
    "tools": (tool_calls.generate, 0.9),
    "plain": (plain.generate, 2.4),
}
