"""Reading a short passage and answering from it."""

from words import ANIMALS, CITIES, COLOURS, DAYS, FOODS, INSTRUMENTS, JOBS, NAMES, PLACES, SPORTS, THINGS, article

from . import Example

# Each kind of fact: how it is stated, how it is asked, how it is answered.
KINDS = [
    (CITIES, "{n} lives in {v}.", ["Where does {n} live?", "Which city does {n} live in?"], "{n} lives in {v}."),
    (JOBS, "{n} is {av}.", ["What is {n}'s job?", "What does {n} do?", "What is the job of {n}?"], "{n} is {av}."),
    (ANIMALS, "{n} has {av}.", ["What animal does {n} have?", "Which pet does {n} have?"], "{n} has {av}."),
    (FOODS, "{n} likes {v}.", ["What does {n} like?", "What does {n} like to eat?"], "{n} likes {v}."),
    (SPORTS, "{n}'s hobby is {v}.", ["What is {n}'s hobby?", "Which hobby does {n} have?"], "{n}'s hobby is {v}."),
    (INSTRUMENTS, "{n} plays the {v}.", ["What does {n} play?", "Which instrument does {n} play?"], "{n} plays the {v}."),
    (COLOURS, "{n}'s car is {v}.", ["What colour is {n}'s car?", "Which colour is the car of {n}?"], "{n}'s car is {v}."),
    (list(range(2, 99)), "{n} is {v} years old.", ["How old is {n}?", "What is {n}'s age?"], "{n} is {v} years old."),
    (DAYS, "{n} arrives on {v}.", ["When does {n} arrive?", "On which day does {n} arrive?"], "{n} arrives on {v}."),
]
OBJECT_KINDS = [
    (PLACES, "The {n} is in the {v}.", ["Where is the {n}?"], "The {n} is in the {v}."),
    (COLOURS, "The {n} is {v}.", ["What colour is the {n}?"], "The {n} is {v}."),
    (list(range(2, 99)), "The {n} costs {v} dollars.", ["How much is the {n}?", "What does the {n} cost?"], "The {n} costs {v} dollars."),
    (NAMES, "The {n} belongs to {v}.", ["Whose is the {n}?", "Who owns the {n}?"], "The {n} belongs to {v}."),
]
FRAMES = ["{p}\n{q}", "{p} {q}", "{p}\n\nQuestion: {q}", "Read this: {p}\n{q}", "Passage: {p}\nQuestion: {q}", "Text: {p}\n\n{q}",
          "Here are some facts. {p} {q}"]


def generate(rng) -> Example:
    n = rng.randint(2, 8)
    facts, used = [], set()
    people, things = rng.sample(NAMES, 4), rng.sample(THINGS, 4)
    while len(facts) < n:
        values, stated, questions, answer = kind = rng.choice(KINDS if rng.random() < 0.7 else OBJECT_KINDS)
        name = rng.choice(people if kind in KINDS else things)
        if (name, stated) in used:
            continue
        used.add((name, stated))
        v = rng.choice(values)
        say = {"n": name, "v": v, "av": article(str(v))}
        facts.append((stated.format(**say), [q.format(**say) for q in questions], answer.format(**say)))
    body = " ".join(f[0] for f in facts)
    frame = rng.choice(FRAMES)
    asked = rng.sample(facts, rng.choice([1, 1, 2]))
    messages = []
    for i, (_, questions, answer) in enumerate(asked):
        q = rng.choice(questions)
        messages += [{"role": "user", "content": q if i else frame.format(p=body, q=q)}, {"role": "assistant", "content": answer}]
    return Example(messages, body)
