"""JSON objects whose fields are named in the request."""

import json

from words import ANIMALS, CITIES, COLOURS, FOODS, FRUITS, JOBS, NAMES, THINGS

from . import Example, chat

FIELDS = {
    "name": lambda r: r.choice(NAMES), "age": lambda r: r.randint(1, 99), "city": lambda r: r.choice(CITIES),
    "colour": lambda r: r.choice(COLOURS), "color": lambda r: r.choice(COLOURS), "job": lambda r: r.choice(JOBS),
    "animal": lambda r: r.choice(ANIMALS), "pet": lambda r: r.choice(ANIMALS), "food": lambda r: r.choice(FOODS),
    "fruit": lambda r: r.choice(FRUITS), "item": lambda r: r.choice(THINGS), "price": lambda r: r.randint(1, 500),
    "count": lambda r: r.randint(0, 50), "size": lambda r: r.choice(["small", "medium", "large"]), "id": lambda r: r.randint(1, 9999),
    "year": lambda r: r.randint(1950, 2030), "active": lambda r: r.random() < 0.5, "title": lambda r: r.choice(THINGS),
    "score": lambda r: r.randint(0, 100), "ready": lambda r: r.random() < 0.5, "friend": lambda r: r.choice(NAMES),
    "tags": lambda r: r.sample(COLOURS, r.randint(1, 3)), "fruits": lambda r: r.sample(FRUITS, r.randint(2, 3)),
}
FRAMES = ["Make a JSON object with {f}.", "Give me JSON with {f}.", "Write a JSON object with {f}.", "Return JSON: {f}", "JSON with {f}",
          "Create a JSON object: {f}.", "Please answer in JSON with {f}.", "Output a JSON object with {f}."]


def shown(value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return " and ".join(value) if isinstance(value, list) else str(value)


def joined(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def generate(rng) -> Example:
    if rng.random() < 0.25:  # from a sentence
        name, age, city, job = rng.choice(NAMES), rng.randint(2, 99), rng.choice(CITIES), rng.choice(JOBS)
        said, fields = rng.choice([
            (f"{name} is {age} years old and lives in {city}.", {"name": name, "age": age, "city": city}),
            (f"{name} is {age} years old.", {"name": name, "age": age}),
            (f"{name} is a {job} in {city}.", {"name": name, "job": job, "city": city}),
            (f"{name}, {age}, works as a {job}.", {"name": name, "age": age, "job": job}),
        ])
        asked = rng.choice(["{s} Give me {k} as JSON.", "{s} Write this as JSON with {k}.", "Turn this into JSON with {k}: {s}",
                            "Extract {k} as JSON: {s}"]).format(s=said, k=joined(list(fields)))
    else:
        names = rng.sample(list(FIELDS), rng.choice([1, 2, 2, 3, 3, 4]))
        fields = {n: FIELDS[n](rng) for n in names}
        style = rng.choice(["{k} {v}", "{k} {v}", "{k}: {v}", "{k} = {v}", "{k}={v}"])
        parts = [style.format(k=k, v=shown(v)) for k, v in fields.items()]
        asked = rng.choice(FRAMES).format(f=joined(parts) if rng.random() < 0.7 else ", ".join(parts))
    return chat(asked, json.dumps(fields), json.dumps(fields))
