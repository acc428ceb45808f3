"""Calling a tool when one is offered that fits, and answering from what it returns."""

import json

from words import CITIES, WEATHER

from . import Example, arithmetic, dialogue


def tool(name: str, description: str, **parameters: str) -> dict:
    schema = {"type": "object", "properties": {k: {"type": "string", **({"description": d} if d else {})} for k, d in parameters.items()},
              "required": list(parameters)}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


def calculator(rng) -> dict:
    t = tool("calculator", rng.choice(["Evaluate an arithmetic expression.", "Evaluates an arithmetic expression", "Calculate the value of an expression.",
                                       "A simple calculator.", "Does arithmetic.", "Compute a math expression."]),
             expression=rng.choice(["", "The expression to evaluate.", "Arithmetic expression, e.g. 2+2", "The expression"]))
    return loosen(rng, t)


def weather(rng) -> dict:
    return loosen(rng, tool("get_weather", rng.choice(["Get the weather in a city.", "Current weather for a city", "Tells the weather."]),
                            city=rng.choice(["", "The city.", "Name of the city"])))


def clock(rng) -> dict:
    return loosen(rng, tool("get_time", rng.choice(["Get the time in a city.", "Current time in a city", "Tells the time."]), city=rng.choice(["", "The city."])))


def loosen(rng, t: dict) -> dict:
    """Clients write the same schema in slightly different ways."""
    parameters = t["function"]["parameters"]
    if rng.random() < 0.3:
        parameters["additionalProperties"] = False
    if rng.random() < 0.2:
        del parameters["required"]
    return t


def sum_question(rng) -> tuple[str, str]:
    op = rng.choice("+-*/")
    top = 10 ** rng.randint(1, 4) - 1
    a, b = rng.randint(1, top), rng.randint(1, max(9, top if op in "+-" else 99))
    if op == "/":
        a *= b if rng.random() < 0.7 else 1
        q = rng.choice([f"{a} / {b}", f"{a}/{b}", f"{a} divided by {b}"])
        return rng.choice(arithmetic.ASK[:-2]).format(q=q), f"{a} / {b}"
    if rng.random() < 0.15:
        c, op2 = rng.randint(1, 99), rng.choice("+-*")
        return rng.choice(arithmetic.ASK[:-2]).format(q=f"{a} {op} {b} {op2} {c}"), f"{a} {op} {b} {op2} {c}"
    asked = arithmetic.question(rng, a, op, b)
    if rng.random() < 0.15:
        asked = rng.choice(["Use the calculator: ", "Use the calculator. "]) + asked
    return asked, f"{a} {op} {b}"


def result_of(rng, expression: str) -> str:
    value = eval(expression)  # the expression is our own, made of integers and operators
    return str(int(value)) if value == int(value) else str(round(value, 2))


def generate(rng) -> Example:
    kind = rng.random()
    offered = [calculator(rng)]
    if kind < 0.62:
        asked, expression = sum_question(rng)
        name, arguments = "calculator", {"expression": expression}
        raw = result_of(rng, expression)
        answer = f"The answer is {raw}."
        result = rng.choice([raw, raw, raw, json.dumps({"result": json.loads(raw)}), f"{expression} = {raw}"])
        if rng.random() < 0.25:
            offered.append(rng.choice([weather, clock])(rng))
    elif kind < 0.85:
        city = rng.choice(CITIES)
        if rng.random() < 0.6:
            name, raw, make = "get_weather", rng.choice(WEATHER), weather
            asked = rng.choice([f"What is the weather in {city}?", f"How is the weather in {city}?", f"Is it sunny in {city}?", f"Weather in {city}?",
                                f"Tell me the weather in {city}."])
            answer = f"It is {raw} in {city}."
            result = rng.choice([raw, json.dumps({"weather": raw}), json.dumps({"city": city, "weather": raw})])
        else:
            name, raw, make = "get_time", f"{rng.randint(0, 23)}:{rng.randint(0, 59):02d}", clock
            asked = rng.choice([f"What time is it in {city}?", f"Tell me the time in {city}.", f"What is the time in {city}?"])
            answer = f"It is {raw} in {city}."
            result = rng.choice([raw, json.dumps({"time": raw})])
        arguments = {"city": city}
        offered = [make(rng)] + (offered if rng.random() < 0.5 else [])
    else:  # a tool is there but not needed
        example = dialogue.generate(rng)
        example.tools = offered if rng.random() < 0.7 else [weather(rng)]
        return example
    rng.shuffle(offered)
    call = {"type": "function", "function": {"name": name, "arguments": arguments}}
    messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": "", "tool_calls": [call]}]
    if rng.random() < 0.6:
        messages += [{"role": "tool", "content": result}, {"role": "assistant", "content": answer}]
        # Clients send the arguments back as the compact string they received; half of the examples show that form.
        if rng.random() < 0.5:
            call["function"]["arguments"] = json.dumps(arguments, separators=(",", ":"))
    return Example(messages, asked, tools=offered)
