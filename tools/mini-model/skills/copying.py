"""Saying a thing again, saying a word several times, spelling."""

from words import ANIMALS, COLOURS, COMMON, DAYS, FOODS, FRUITS, NAMES, PLACES, THINGS, sentence

from . import Example, chat

REPEAT = ["Repeat after me: {x}", "Repeat: {x}", "Copy this sentence: {x}", "Say exactly: {x}", "Please repeat this: {x}", "Echo: {x}",
          "Say this back to me: {x}", "Write this again: {x}", 'Repeat "{x}"', 'Say "{x}"', "Copy: {x}"]
SPELL = ["Spell {w}.", "Spell the word {w}.", "How do you spell {w}?", 'Spell "{w}".', "Can you spell {w}?", "spell {w}"]
POOL = COMMON + ANIMALS + COLOURS + FOODS + PLACES + THINGS + NAMES + DAYS
# A token does not show its letters: each word's spelling has to be learnt, so they are few.
SPELLED = [w for w in ANIMALS + COLOURS + THINGS + FRUITS if len(w) <= 5]


def nonsense(rng) -> str:
    """Letters in no order, so that copying cannot lean on known words."""
    return "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(rng.randint(2, 7)))


def phrase(rng) -> str:
    kind = rng.random()
    if kind < 0.4:
        return sentence(rng)
    if kind < 0.75:
        return " ".join(rng.choice(POOL) for _ in range(rng.randint(1, 9)))
    if kind < 0.87:
        return " ".join(nonsense(rng) if rng.random() < 0.6 else rng.choice(POOL) for _ in range(rng.randint(1, 4)))
    if kind < 0.93:
        return " ".join(str(rng.randint(0, 10 ** rng.randint(1, 5))) for _ in range(rng.randint(1, 4)))
    return rng.choice("!?*#-") .join(rng.choice(POOL) for _ in range(rng.randint(2, 4)))


def generate(rng) -> Example:
    kind = rng.random()
    if kind < 0.65:
        x = phrase(rng)
        return chat(rng.choice(REPEAT).format(x=x), x, x)
    if kind < 0.78:
        w, n = rng.choice(POOL), rng.randint(2, 5)
        count = rng.choice([str(n), ["two", "three", "four", "five"][n - 2]])
        asked = rng.choice(["Say {w} {n} times.", "Repeat the word {w} {n} times.", "Write {w} {n} times."]).format(w=w, n=count)
        return chat(asked, " ".join([w] * n))
    w = rng.choice(SPELLED)
    return chat(rng.choice(SPELL).format(w=w), "-".join(w.lower()) + ".")
