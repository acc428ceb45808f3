"""Lists of things of one kind, numbered, with dashes or in a line."""

from words import CATEGORIES, NUMBER_WORDS

from . import Example, chat

ASK = ["List {n} {c}.", "Name {n} {c}.", "Give me {n} {c}.", "Write a list of {n} {c}.", "Can you list {n} {c}?", "Tell me {n} {c}.",
       "list {n} {c}", "I need {n} {c}."]
STYLES = {
    "numbered": [" Number them.", " Use numbers.", " As a numbered list.", " Make it a numbered list."],
    "bullets": [" Use bullets.", " Use bullet points.", " As a bullet list.", " With dashes."],
    "line": [" On one line.", " Separate them with commas.", " As a comma list."],
}


def render(items: list[str], style: str) -> str:
    if style == "line":
        return ", ".join(items)
    return "\n".join((f"{i}. " if style == "numbered" else "- ") + item for i, item in enumerate(items, 1))


def generate(rng) -> Example:
    category = rng.choice(list(CATEGORIES))
    words = CATEGORIES[category]
    n = rng.choice([2, 3, 3, 3, 4, 5])
    asked = rng.choice(ASK).format(n=rng.choice([str(n), NUMBER_WORDS[n]]), c=category)
    style = rng.choice(["numbered", "numbered", "bullets", "line"])
    plain = rng.random() < 0.4  # without a wish the list is numbered
    if plain:
        style = "numbered"
    else:
        asked += rng.choice(STYLES[style])

    def check(answer: str) -> bool:
        if style == "line":
            items = answer.split(", ")
        else:
            items = [line.split(" ", 1)[-1] for line in answer.split("\n")]
        return len(items) == n == len(set(items)) and all(i in words for i in items) and answer == render(items, style)

    # Neighbours in the category, from any start: what follows is one fixed word, which a small model learns without repeating itself.
    start = rng.randrange(len(words))
    items = [words[(start + i) % len(words)] for i in range(n)]
    return chat(asked, render(items, style), asked, check=check)
