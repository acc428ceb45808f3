"""Text without a chat, for plain completion: counting, the alphabet, small stories."""

from words import (ADJECTIVES, ANIMALS, CATEGORIES, COLOURS, COMMON, DAYS, FOODS, MONTHS, NAMES, NUMBER_WORDS, PLACES, THINGS, VERBS_PAST,
                   WEATHER)

from . import Example, arithmetic, held_out
from .copying import SPELLED
from .lists import render


def story(rng) -> str:
    """Sentences that keep the same hero, pet and thing."""
    n, m = rng.sample(NAMES, 2)
    a, t, w, p, f = (rng.choice(x) for x in (ADJECTIVES, THINGS, ANIMALS, PLACES, FOODS))
    parts = [f"Once upon a time there was a {a} {w} named {n}.", f"{n} lived near the {p}.",
             f"One {rng.choice(WEATHER)} day {n} found a {rng.choice(COLOURS)} {t}.", f'"Whose {t} is this?" asked {n}.',
             f'"It is mine," said {m}.', f"{n} gave the {t} to {m}.", f"{m} was very happy and gave {n} some {f}.",
             "They became good friends.", "The end."]
    if rng.random() < 0.4:
        parts = [f"{n} went to the {p}.", f"There {n} {rng.choice(VERBS_PAST)} a {a} {t}.", f"Then {m} came with a {w}.",
                 f"The {w} was hungry, so {n} gave it some {f}.", f"After that {n} and {m} went home."]
    return " ".join(parts)


def text(rng) -> str:
    kind = rng.random()
    if kind < 0.4:
        a, k = rng.randint(0, 90), rng.choice([1, 1, 1, 2, 5, 10])
        return rng.choice([", ", " "]).join(str(a + i * k) for i in range(rng.randint(8, 20)))
    if kind < 0.5:
        start = rng.randint(0, 10)
        return rng.choice([", ", " "]).join("abcdefghijklmnopqrstuvwxyz"[start:])
    if kind < 0.6:
        seq, i = rng.choice([DAYS, MONTHS, NUMBER_WORDS]), rng.randint(0, 3)
        return ", ".join(seq[i:])
    return story(rng)


def repeats(rng) -> str:
    """The same words in no order, again and again: the densest lesson in looking back. Not asked in the test."""
    pool = rng.choice([COMMON, COMMON + NAMES, NAMES + THINGS + ANIMALS])
    words = [rng.choice(pool) for _ in range(rng.randint(6, 30))]
    return "\n".join([rng.choice([" ", ", "]).join(words)] * rng.choice([2, 3]))


def generate(rng) -> Example:
    kind = rng.random()
    if kind < 0.4:
        return Example([], "sums", text=sums(rng))
    if kind < 0.58:
        return Example([], "spelling", text=spelling(rng))
    if kind < 0.75:
        return Example([], "chains", text=chains(rng))
    t = repeats(rng) if kind < 0.82 else text(rng)
    return Example([], t, text=[(t, True)])


def sums(rng) -> list[tuple[str, bool]]:
    """A page of sums, many to the token; only the results are learnt. Not asked in the test."""
    pieces = []
    while len(pieces) < 36:
        a, op, b = arithmetic.operands(rng, rng.choice([1, 2, 2]))
        if not held_out(arithmetic.key(a, op, b, "")):
            pieces += [(f"{a} {op} {b} =", False), (f" {arithmetic.value(a, op, b)}.\n", True)]
    return pieces


def continuation(rng) -> tuple[str, str]:
    """A held-out question with one right answer: the next numbers of a count."""
    t = text(rng)
    while not t[0].isdigit():
        t = text(rng)
    parts = t.split(", ") if ", " in t else t.split(" ")
    sep = ", " if ", " in t else " "
    return sep.join(parts[:-2]), sep + sep.join(parts[-2:])


def spelling(rng) -> list[tuple[str, bool]]:
    """Many words and their letters."""
    words = rng.sample(SPELLED, 14)
    return [piece for w in words for piece in ((f"{w}:", False), (" " + "-".join(w) + ".\n", True))]


def chains(rng) -> list[tuple[str, bool]]:
    """The order in which lists name the things of a category."""
    pieces = []
    for category in rng.sample(list(CATEGORIES), 4):
        words = CATEGORIES[category]
        start = rng.randrange(len(words))
        items = [words[(start + i) % len(words)] for i in range(min(9, len(words)))]
        text = render(items, rng.choice(["numbered", "numbered", "bullets", "line"]))
        pieces += [(f"{category}:\n", False), (text + "\n", True)]
    return pieces
