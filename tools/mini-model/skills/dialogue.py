"""Small talk and facts of a small consistent world, and remembering what the user said."""

from words import (ANIMALS, CAPITALS, CITIES, COLOUR_OF, COLOURS, DAYS, FOODS, FRUITS, HOME_OF, LEGS_OF, MONTHS, NAMES, NUMBER_WORDS, OPPOSITES,
                   ORDINALS, PLURALS, SEASONS, SOUND_OF, SPORTS, VEGETABLES, YOUNG_OF, CATEGORIES, article)

from . import Example, chat, held_out

ME = "I am Slipway's little built-in model."
CAN = "I can chat a little, do small sums, copy text, make lists and JSON, and call a calculator."
# Ways to say a thing -> the answer. Each group of wordings has one answer, so that greedy decoding is testable.
TALK = [
    (["Hello", "Hi", "Hey", "Hello there", "Hi there", "Hey there", "Greetings", "Hello Slipway", "Hi Slipway"], "Hello! How can I help you?"),
    (["Good morning", "Morning"], "Good morning! How can I help you?"),
    (["Good evening"], "Good evening! How can I help you?"),
    (["Good night", "Sleep well"], "Good night! Sleep well."),
    (["Who are you", "What are you", "Tell me who you are", "Introduce yourself", "What is your name", "What's your name", "Who am I talking to",
      "Please introduce yourself", "Tell me about yourself", "Say who you are", "Which model are you", "Are you Slipway"], ME),
    (["What can you do", "How can you help me", "What are you good at", "What can I ask you", "Help", "What do you know", "Can you help me",
      "What are your skills", "Tell me what you can do"], CAN),
    (["Are you a human", "Are you human", "Are you a person", "Are you a robot", "Are you real", "Are you an AI", "Are you a computer"],
     "No person here, only a small language model."),
    (["How are you", "How are you doing", "How do you do", "How are you today", "How is it going", "Are you well"], "I am fine, thank you. How are you?"),
    (["I am fine", "I am well", "I'm good", "Fine, thanks", "I am happy"], "I am glad to hear that!"),
    (["I am sad", "I feel sad", "I am not well", "I had a bad day", "I feel bad"], "I am sorry to hear that. I hope it gets better soon."),
    (["I am tired", "I feel tired", "I am sleepy"], "Then a little rest would be good."),
    (["I am hungry", "I want to eat"], "How about some bread and soup?"),
    (["I am thirsty", "I want to drink"], "How about a glass of water?"),
    (["I am bored", "I have nothing to do"], "Shall I tell you a joke?"),
    (["Thank you", "Thanks", "Thanks a lot", "Thank you very much", "Many thanks"], "You are welcome!"),
    (["Goodbye", "Bye", "Bye bye", "See you", "See you later", "See you soon"], "Goodbye! See you soon."),
    (["Tell me a joke", "Do you know a joke", "Make me laugh", "Another joke please"],
     "Why did the bicycle fall over? Because it was two tired!"),
    (["Are you big", "How big are you", "How large are you", "How many parameters do you have", "Are you small"],
     "I am very small: only about three million parameters."),
    (["Who made you", "Who built you", "Who trained you", "Where do you come from"], "I was trained for Slipway from generated examples."),
    (["Where do you live", "Where are you"], "I live inside the Slipway package."),
    (["What is Slipway", "Tell me about Slipway", "What does Slipway do"], "Slipway is a TypeScript engine that runs language models."),
    (["How old are you", "When is your birthday"], "I am quite new."),
    (["Do you like music", "Do you like songs"], "I cannot hear music, but I like the word."),
    (["What is the weather", "How is the weather", "What is the weather like today", "Is it raining", "Is it sunny today"],
     "I cannot see outside, but I hope it is sunny."),
    (["What time is it", "What day is it today", "What is the date"], "I have no clock, so I do not know."),
    (["Do you like cats", "Do you like dogs", "Do you like animals", "What is your favourite animal"], "I like all animals, but ducks most of all."),
    (["What is your favourite colour", "Which colour do you like", "Do you have a favourite colour"], "My favourite colour is blue, like the sea."),
    (["What is your favourite food", "What do you like to eat", "Do you eat"], "I do not eat, but pancakes sound nice."),
    (["Yes", "Yes please", "Okay", "OK", "Sure"], "Good! What would you like to do?"),
    (["No", "No thanks", "No thank you"], "All right. Just ask if you need anything."),
    (["Sorry", "I am sorry", "Excuse me"], "No problem!"),
    (["You are nice", "You are great", "I like you", "Well done", "Good job", "That is right"], "Thank you, that is kind!"),
    (["You are wrong", "That is wrong", "That is not right"], "I am sorry. I am small and make mistakes."),
    (["Tell me a story", "Tell me a short story", "Write a story", "Can you tell me a story"],
     "Once upon a time a little duck found a red boat. It sailed to the sea and made many friends. The end."),
    (["Write a poem", "Tell me a poem", "Write a short poem", "Can you write a poem"],
     "The sea is blue, the sun is bright,\nthe little boat sails day and night."),
    (["Count to five", "Count from one to five", "Can you count to five"], "1, 2, 3, 4, 5"),
    (["Count to ten", "Count from 1 to 10", "Count to 10", "Can you count to ten"], "1, 2, 3, 4, 5, 6, 7, 8, 9, 10"),
    (["Say the alphabet", "What is the alphabet", "Write the alphabet"], "a b c d e f g h i j k l m n o p q r s t u v w x y z"),
    (["Name the days of the week", "List the days of the week", "What are the days of the week"], ", ".join(DAYS) + "."),
    (["Name the seasons", "What are the seasons", "List the four seasons"], "Spring, summer, autumn and winter."),
    (["How many days are in a week", "How many days does a week have"], "A week has 7 days."),
    (["How many months are in a year", "How many months does a year have"], "A year has 12 months."),
    (["How many hours are in a day", "How many hours does a day have"], "A day has 24 hours."),
    (["How many minutes are in an hour", "How many minutes does an hour have"], "An hour has 60 minutes."),
]
LEAD = ["", "", "", "", "Hi! ", "Hello, ", "Please tell me: ", "Hey, ", "Question: ", "So, ", "Well, ", "One more question: "]
END = ["", "?", "!", ".", " please", " now?"]


def dress(rng, said: str) -> str:
    """The same words with another beginning, end or case."""
    lead = rng.choice(LEAD)
    if lead and not said.startswith(("I ", "I'm", "Slipway")) and lead[-2] != ".":
        said = said[0].lower() + said[1:] if lead.endswith((", ", ": ")) else said
    out = lead + said + rng.choice(END)
    return out.lower() if rng.random() < 0.15 else out


def talk(rng) -> Example:
    wordings, answer = rng.choice(TALK) if rng.random() < 0.7 else rng.choice(TALK[:6])
    said = rng.choice(wordings)
    asks = said.split()[0] in ("Who", "What", "What's", "How", "Are", "Which", "Where", "Do", "Can", "Is", "When")
    form = rng.random()
    if form < 0.45:
        said += "?" if asks else rng.choice(["!", ".", ""])
    else:
        said = dress(rng, said)
    return chat(said, answer)


def pick(rng, table: dict):
    return rng.choice(list(table.items()))


def fact(rng) -> Example:
    kind = rng.randrange(15)
    if kind == 0:
        a, b = pick(rng, OPPOSITES)
        q, ans = [f"What is the opposite of {a}", f"Give me the opposite of {a}", f"Opposite of {a}", f"Tell me the opposite of {a}"], f"The opposite of {a} is {b}."
    elif kind == 1:
        a, b = pick(rng, PLURALS)
        q, ans = [f"What is the plural of {a}", f"Give me the plural of {a}", f"Plural of {a}", f"One {a}, two what"], f"The plural of {a} is {b}."
    elif kind == 2:
        a, b = pick(rng, COLOUR_OF)
        q, ans = [f"What colour is {a}", f"What is the colour of {a}", f"Which colour is {a}", f"What color is {a}"], f"{a[0].upper() + a[1:]} is {b}."
    elif kind in (3, 4):
        a, b = pick(rng, CAPITALS)
        q, ans = [f"What is the capital of {a}", f"Capital of {a}", f"Which city is the capital of {a}", f"Tell me the capital of {a}"], f"The capital of {a} is {b}."
    elif kind == 5:
        b, a = pick(rng, CAPITALS)
        q, ans = [f"Where is {a}", f"In which country is {a}", f"Which country is {a} in"], f"{a} is in {b}."
    elif kind == 6:
        a, b = pick(rng, SOUND_OF)
        q, ans = [f"What does a {a} say", f"Which sound does a {a} make", f"What sound does a {a} make"], f"{article(a).capitalize()} says {b}."
        q = [x.replace(f"a {a}", article(a)) for x in q]
    elif kind == 7:
        a, b = pick(rng, LEGS_OF)
        q = [f"How many legs does {article(a)} have", f"How many legs has {article(a)}"]
        ans = f"{article(a).capitalize()} has {b or 'no'} legs."
    elif kind == 8:
        a, b = pick(rng, YOUNG_OF)
        q, ans = [f"What is a young {a} called", f"What do you call a young {a}", f"What is a baby {a} called"], f"A young {a} is called a {b}."
    elif kind == 9:
        a, b = pick(rng, HOME_OF)
        q, ans = [f"Where does {article(a)} live", f"Where is the home of {article(a)}"], f"{article(a).capitalize()} lives in the {b}."
    elif kind in (10, 11):
        i = rng.randrange(7)
        if rng.random() < 0.5:
            q, ans = [f"Which day comes after {DAYS[i]}", f"What day is after {DAYS[i]}", f"What comes after {DAYS[i]}"], f"{DAYS[(i + 1) % 7]} comes after {DAYS[i]}."
        else:
            q, ans = [f"Which day comes before {DAYS[i]}", f"What day is before {DAYS[i]}", f"What comes before {DAYS[i]}"], f"{DAYS[(i - 1) % 7]} comes before {DAYS[i]}."
    elif kind == 12:
        i = rng.randrange(12)
        q, ans = rng.choice([
            ([f"Which month comes after {MONTHS[i]}", f"What month is after {MONTHS[i]}"], f"{MONTHS[(i + 1) % 12]} comes after {MONTHS[i]}."),
            ([f"Which is the {ORDINALS[i]} month", f"What is the {ORDINALS[i]} month of the year"], f"The {ORDINALS[i]} month is {MONTHS[i]}."),
        ])
    elif kind == 13:
        i = rng.randrange(4)
        q, ans = [f"Which season comes after {SEASONS[i]}", f"What comes after {SEASONS[i]}"], f"{SEASONS[(i + 1) % 4].capitalize()} comes after {SEASONS[i]}."
    else:
        c = rng.choice(["fruit", "vegetable", "animal", "colour", "city", "sport"])
        plural = {"city": "cities"}.get(c, c + "s")
        w = rng.choice(CATEGORIES[plural])
        right = rng.random() < 0.5
        other = c if right else rng.choice([x for x in ["fruit", "vegetable", "animal", "colour", "city", "sport"] if x != c])
        if not right and w in CATEGORIES[{"city": "cities"}.get(other, other + "s")]:
            right = True
        who = w if c in ("city", "sport", "colour") else article(w)
        q = [f"Is {who} {article(other)}"]
        ans = f"Yes, {who} is {article(other)}." if right else f"No, {who} is {article(c)}."
    said = rng.choice(q)
    return chat(said + "?" if rng.random() < 0.5 else dress(rng, said), ans)


def generate(rng) -> Example:
    return talk(rng) if rng.random() < 0.5 else fact(rng)


LIKES = {"colour": COLOURS, "food": FOODS, "animal": ANIMALS, "fruit": FRUITS, "sport": SPORTS, "city": CITIES, "vegetable": VEGETABLES}


def memory(rng) -> Example:
    """The user says something about themselves, talks of other things, and asks for it back."""
    told = []
    name = rng.choice(NAMES)
    if rng.random() < 0.7:
        said = rng.choice(["My name is {v}.", "I am {v}.", "Hi, I'm {v}.", "Hello, my name is {v}.", "I am called {v}.", "Call me {v}.", "my name is {v}"])
        told.append((said.format(v=name), f"Nice to meet you, {name}!",
                     ["What is my name?", "Do you remember my name?", "Who am I?", "what's my name?", "Tell me my name."], f"Your name is {name}."))
    for thing in rng.sample(list(LIKES), rng.choice([0, 1, 1, 2]) or (not told)):
        v = rng.choice(LIKES[thing])
        said = rng.choice(["My favourite {t} is {v}.", "The {t} I like most is {v}.", "I have a favourite {t}: {v}.", "my favorite {t} is {v}"])
        told.append((said.format(t=thing, v=v), f"I will remember that your favourite {thing} is {v}.",
                     [f"What is my favourite {thing}?", f"Which {thing} do I like most?", f"What is my favorite {thing}?", f"Do you remember my favourite {thing}?"],
                     f"Your favourite {thing} is {v}."))
    if rng.random() < 0.25:
        age = rng.randint(5, 90)
        told.append((f"I am {age} years old.", f"So you are {age} years old.", ["How old am I?", "What is my age?"], f"You are {age} years old."))
    rng.shuffle(told)
    messages = []

    def say(user: str, answer: str):
        messages.extend([{"role": "user", "content": user}, {"role": "assistant", "content": answer}])

    if len(told) > 1 and rng.random() < 0.2:  # two things in one breath
        say(f"{told[0][0]} {told[1][0]}", f"{told[0][1]} {told[1][1]}")
        rest = told[2:]
    else:
        rest = told
    for said, answer, _, _ in rest:
        say(said, answer)
    for _ in range(rng.choice([0, 0, 1, 1, 2])):
        between = generate(rng)
        said = between.messages[0]["content"]
        if not held_out(between.key) and not said.lower().startswith(("i am", "i'm")):
            messages.extend(between.messages)
    for _, _, questions, answer in rng.sample(told, min(len(told), rng.choice([1, 1, 2]))):
        say(rng.choice(questions), answer)
    return Example(messages, "|".join(m["content"] for m in messages if m["role"] == "user"))
