"""Sums with and without written steps."""

from . import Example, chat

WORDS = {"+": ["plus"], "-": ["minus"], "*": ["times", "multiplied by"]}
ASK = ["What is {q}?", "{q}", "{q} =", "{q}=?", "Compute {q}.", "How much is {q}?", "what's {q}?", "Calculate {q}", "Tell me {q}.",
       "Can you work out {q}?", "what is {q}", "Please add up: {q}", "Solve {q}."]


def question(rng, a: int, op: str, b: int) -> str:
    form = rng.random()
    if form < 0.55:
        q = f"{a} {op} {b}"
    elif form < 0.75:
        q = f"{a}{op}{b}"
    elif form < 0.8 and op == "*":
        q = f"{a} x {b}"
    else:
        q = f"{a} {rng.choice(WORDS[op])} {b}"
    ask = rng.choice(ASK[:-2] if op != "+" else ASK)
    return ask.format(q=q)


def value(a: int, op: str, b: int) -> int:
    return a + b if op == "+" else a - b if op == "-" else a * b


def operands(rng, digits: int) -> tuple[int, str, int]:
    op = rng.choice("++--*")
    top = 10**digits - 1
    if op == "*":
        return rng.randint(0, 12), op, rng.randint(0, 12)
    a, b = rng.randint(0, top), rng.randint(0, top if rng.random() < 0.7 else 9)
    if op == "-" and a < b and rng.random() < 0.8:
        a, b = b, a
    return a, op, b


def key(a: int, op: str, b: int, asked: str) -> str:
    # The times table and sums of single digits have to be learnt whole: there only the wording is held out.
    if max(a, b) <= (12 if op == "*" else 9):
        return asked
    return f"{a}-{b}" if op == "-" else f"{min(a, b)}{op}{max(a, b)}"


def direct(rng) -> Example:
    a, op, b = operands(rng, 2 if rng.random() < 0.8 else 1)
    asked = question(rng, a, op, b)
    # Single digits and the times table are answered at once in either mode; larger numbers only when thinking is off.
    small = max(a, b) < 10 or op == "*"
    return chat(asked, f"{a} {op} {b} = {value(a, op, b)}.", key(a, op, b, asked), thinking=None if small else False)


COLUMNS = ["ones", "tens", "hundreds", "thousands"]


def add_steps(a: int, b: int) -> list[str]:
    lines, carry = [], 0
    xs, ys = str(a)[::-1], str(b)[::-1]
    for i in range(max(len(xs), len(ys))):
        x, y = (int(s[i]) if i < len(s) else 0 for s in (xs, ys))
        total = x + y + carry
        line = f"{COLUMNS[i]}: {x}+{y}" + (f"+{carry}" if carry else "") + f"={total}, write {total % 10}"
        carry = total // 10
        lines.append(line + (f" carry {carry}" if carry else ""))
    if carry:
        lines.append(f"{COLUMNS[len(lines)]}: write {carry}")
    return lines


def subtract_steps(a: int, b: int) -> list[str]:
    if a < b:
        return [f"{a}<{b}, so swap: {b}-{a}", *subtract_steps(b, a), "swapped, so minus"]
    lines, borrow = [], 0
    xs, ys = str(a)[::-1], str(b)[::-1]
    for i, digit in enumerate(xs):
        x, y = int(digit), int(ys[i]) if i < len(ys) else 0
        left = f"{x}-{y}" + ("-1" if borrow else "")
        d = x - y - borrow
        borrow = int(d < 0)
        lines.append(f"{COLUMNS[i]}: {left}={d}, write {d % 10}" + (" borrow 1" if borrow else ""))
    return lines


def multiply_steps(a: int, b: int) -> list[str]:
    lines, carry = [], 0
    digits = str(a)[::-1]
    for i, digit in enumerate(digits):
        product = int(digit) * b
        total = product + carry
        line = f"{COLUMNS[i]}: {digit}*{b}={product}" + (f", {product}+{carry}={total}" if carry else "")
        last = i == len(digits) - 1
        carry = total // 10
        lines.append(line + (f", write {total}" if last else f", write {total % 10}" + (f" carry {carry}" if carry else "")))
    return lines


def steps(a: int, op: str, b: int) -> str:
    lines = add_steps(a, b) if op == "+" else subtract_steps(a, b) if op == "-" else multiply_steps(a, b)
    return f"{a}{op}{b}\n" + "\n".join(lines) + f"\nso {value(a, op, b)}"


def thinking(rng) -> Example:
    op = rng.choice("++--*")
    if op == "*":
        a, b = rng.randint(13, 999 if rng.random() < 0.3 else 99), rng.randint(2, 9)  # up to 12 is the times table
        asked = question(rng, a, op, b) if rng.random() < 0.7 else question(rng, b, op, a)
    else:
        digits = rng.choice([2, 2, 3, 3, 3])
        a, b = rng.randint(10 ** (digits - 1), 10**digits - 1), rng.randint(1, 10 ** rng.choice([digits, digits, digits, digits - 1]) - 1)
        if rng.random() < 0.3 and op == "+":
            a, b = b, a
        if op == "-" and a < b and rng.random() < 0.8:
            a, b = b, a
        if max(a, b) < 10:
            a += 10
        asked = question(rng, a, op, b)
    example = chat(asked, f"{a} {op} {b} = {value(a, op, b)}.", key(a, op, b, asked), thinking=True)
    example.messages[-1]["reasoning_content"] = steps(a, op, b)
    return example
