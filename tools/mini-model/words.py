"""The small world the model lives in: every word the generators draw from."""

NAMES = """Anna Ben Clara David Emma Felix Grace Henry Iris Jack Karen Leo Maria Nina Oscar Paul Rosa Sam Tina Victor
Wendy Alice Bob Carol Dan Eva Frank Gina Hugo Ivan Julia Kate Lucas Mia Noah Olivia Peter Ruth Simon Tom Uma Vera
Will Zoe Adam Bella Chris Diana Eric Fiona George Hanna Jane John Laura Mark Nora Otto Sara Theo Lily Max Amy Ella""".split()

COLOURS = "red blue green yellow orange purple pink brown black white grey silver gold".split()
ANIMALS = """cat dog horse cow pig sheep goat rabbit mouse lion tiger bear wolf fox elephant monkey duck hen frog snake
owl eagle whale dolphin turtle bee ant penguin deer zebra""".split()
FRUITS = "apple banana orange pear grape lemon cherry peach plum mango melon strawberry".split()
VEGETABLES = "carrot potato tomato onion cabbage pea bean pepper cucumber spinach".split()
FOODS = "bread cheese soup rice pasta pizza cake salad fish eggs honey butter chocolate pancakes".split()
DRINKS = "water tea coffee milk juice lemonade cocoa".split()
SPORTS = "football tennis swimming running cycling skiing basketball chess rowing climbing".split()
INSTRUMENTS = "piano guitar violin drum flute trumpet harp cello".split()
JOBS = "teacher doctor farmer baker pilot nurse painter cook driver singer writer sailor builder engineer gardener".split()
THINGS = """book pen lamp chair table box bag hat coat key clock phone cup plate spoon ball kite boat bike car door
window bed shoe ring map drum coin basket bottle mirror ladder rope candle bell flag stone""".split()
PLACES = "park school kitchen garden library market station harbour forest beach museum office farm river bridge".split()
TOOLS = "hammer saw drill screwdriver wrench pliers shovel axe".split()
VEHICLES = "car bus train bike boat plane truck ship tram".split()
CLOTHES = "hat coat shirt shoes socks scarf dress gloves jacket".split()
TREES = "oak pine birch maple willow elm beech".split()
SHAPES = "circle square triangle rectangle star oval".split()
BODY = "hand foot head arm leg eye ear nose mouth knee".split()
WEATHER = "sunny rainy cloudy windy snowy foggy stormy".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()
SEASONS = "spring summer autumn winter".split()
PLANETS = "Mercury Venus Earth Mars Jupiter Saturn Uranus Neptune".split()
CITIES = """Paris London Berlin Rome Madrid Vienna Oslo Lisbon Athens Dublin Prague Warsaw Cairo Tokyo Delhi Boston
Helsinki Stockholm Budapest Copenhagen Amsterdam Brussels Bern Ottawa Lima Sydney""".split()
ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth".split()
NUMBER_WORDS = "zero one two three four five six seven eight nine ten eleven twelve".split()

CAPITALS = {
    "France": "Paris", "England": "London", "Germany": "Berlin", "Italy": "Rome", "Spain": "Madrid",
    "Austria": "Vienna", "Norway": "Oslo", "Portugal": "Lisbon", "Greece": "Athens", "Ireland": "Dublin",
    "Poland": "Warsaw", "Egypt": "Cairo", "Japan": "Tokyo", "Finland": "Helsinki", "Sweden": "Stockholm",
    "Hungary": "Budapest", "Denmark": "Copenhagen", "Belgium": "Brussels", "Switzerland": "Bern", "Canada": "Ottawa",
    "Peru": "Lima",
}
OPPOSITES = {
    "hot": "cold", "big": "small", "fast": "slow", "up": "down", "left": "right", "old": "young", "happy": "sad",
    "open": "closed", "full": "empty", "light": "dark", "hard": "soft", "wet": "dry", "long": "short", "rich": "poor",
    "early": "late", "loud": "quiet", "clean": "dirty", "strong": "weak", "high": "low", "near": "far",
    "good": "bad", "day": "night", "black": "white", "in": "out", "yes": "no", "start": "end", "first": "last",
    "thick": "thin", "brave": "afraid", "cheap": "expensive", "easy": "difficult", "true": "false",
}
# Pairs that read the same both ways are added in the other direction too.
OPPOSITES |= {b: a for a, b in OPPOSITES.items() if b not in OPPOSITES}
PLURALS = {
    "cat": "cats", "dog": "dogs", "box": "boxes", "mouse": "mice", "child": "children", "foot": "feet",
    "tooth": "teeth", "man": "men", "woman": "women", "leaf": "leaves", "knife": "knives", "city": "cities",
    "baby": "babies", "berry": "berries", "bus": "buses", "fox": "foxes", "goose": "geese", "sheep": "sheep",
    "fish": "fish", "wolf": "wolves", "book": "books", "key": "keys", "apple": "apples", "cherry": "cherries",
    "tomato": "tomatoes", "potato": "potatoes", "house": "houses", "tree": "trees", "bird": "birds", "star": "stars",
}
COLOUR_OF = {
    "grass": "green", "the sky": "blue", "snow": "white", "a banana": "yellow", "a tomato": "red", "coal": "black",
    "a lemon": "yellow", "a carrot": "orange", "milk": "white", "the sun": "yellow", "a frog": "green",
    "chocolate": "brown", "an elephant": "grey", "a flamingo": "pink", "blood": "red", "a strawberry": "red",
    "a plum": "purple", "the sea": "blue", "a polar bear": "white", "a leaf": "green",
}
SOUND_OF = {
    "dog": "woof", "cat": "meow", "cow": "moo", "sheep": "baa", "duck": "quack", "pig": "oink", "lion": "roar",
    "bee": "buzz", "owl": "hoot", "snake": "hiss", "mouse": "squeak", "horse": "neigh", "wolf": "howl", "frog": "croak",
}
LEGS_OF = {"dog": 4, "cat": 4, "bird": 2, "spider": 8, "ant": 6, "bee": 6, "snake": 0, "horse": 4, "fish": 0, "duck": 2,
           "cow": 4, "hen": 2}
HOME_OF = {"bee": "hive", "bird": "nest", "fish": "sea", "lion": "savanna", "penguin": "cold south", "frog": "pond",
           "bear": "forest", "horse": "stable", "fox": "den", "whale": "ocean", "camel": "desert", "spider": "web"}
YOUNG_OF = {"cat": "kitten", "dog": "puppy", "cow": "calf", "sheep": "lamb", "horse": "foal", "hen": "chick",
            "bear": "cub", "duck": "duckling", "goat": "kid", "frog": "tadpole"}

CATEGORIES = {
    "fruits": FRUITS, "vegetables": VEGETABLES, "animals": ANIMALS, "colours": COLOURS, "foods": FOODS,
    "drinks": DRINKS, "sports": SPORTS, "instruments": INSTRUMENTS, "jobs": JOBS, "tools": TOOLS,
    "vehicles": VEHICLES, "clothes": CLOTHES, "trees": TREES, "shapes": SHAPES, "cities": CITIES, "names": NAMES,
    "countries": list(CAPITALS), "planets": PLANETS, "months": MONTHS, "body parts": BODY,
}

# Common words, for copying and for the tokenizer to know.
COMMON = """about above across after again air all almost alone along also always among another answer any around ask away
back ball bank base be because become before began begin behind believe below best better between beyond body both bottom
break bring build but buy by call came can care carry catch cause centre chance change check choice circle class clear
climb close cloud coast colour come common complete control cook corner correct could count country course cover cross cry
cut dance deep did do done draw dream drink drive drop during each earth east eat edge eight either else enough even
evening ever every example eye face fact fall family famous farm feel few field figure fill final find fine finger finish
fire five floor flow flower fly follow food for force forget form four free fresh friend from front game gave general get
girl give glad glass go gold gone great green ground group grow had half hand happen has have he hear heart heavy help her
here hide hill him his history hold hole home hope hour how hundred hurry ice idea if important inside into iron is island
it join jump just keep kind king knew know lady lake land language large late laugh lead learn leave less let letter level
lift like line list listen little live look lost lot love low machine made make many mark may me mean measure meet middle
might mile mind minute miss moment money month moon more morning most mother mountain move much music must my name nation
need never new next nice nine north not note nothing notice now number object ocean of off often oil on once only or order
other our over own page paint pair paper part party pass past pay people perhaps person picture piece place plain plan
plant play please point possible power present press price problem produce public pull push put question quick quiet quite
rain raise reach read ready real reason record remember rest ride river road rock roll room round row rule run safe said
sail same sand saw say school science sea season seat see seem send sentence serve set seven several shall shape share she
ship shop should show side sign silver simple since sing sister sit six size skin sky sleep smile so soft some song soon
sound south space speak special speed spell spring stand star state stay step still stone stop store story street strong
study such sudden sugar summer sun sure surface swim system take talk tall teach team tell ten test than that the their
them then there these they thing think this those thought thousand three through time tiny to today together told too top
touch toward town track trade travel tree trip true try turn two under unit until up us use usual valley very view village
visit voice wait walk wall want war warm was wash watch water wave way we week weight well went were west what wheel when
where which while white who whole why wide wild will wind wing winter wish with wonder wood word work world would write
year yellow yes yet you young your code data file model token text server program computer user system error value""".split()

ADJECTIVES = "big small old new red blue green tall quiet happy little bright soft warm cold quick brave kind shiny round".split()
VERBS_PAST = "saw found liked took painted carried lost bought sold cleaned dropped watched followed wanted made".split()


def article(noun: str) -> str:
    return f"an {noun}" if noun[0].lower() in "aeiou" else f"a {noun}"


def sentence(rng) -> str:
    """A random sentence of the small world."""
    n, m = rng.sample(NAMES, 2)
    a, t, p = rng.choice(ADJECTIVES), rng.choice(THINGS), rng.choice(PLACES)
    w, v = rng.choice(ANIMALS), rng.choice(VERBS_PAST)
    return rng.choice([
        f"The {a} {w} {v} a {t}.", f"{n} {v} the {t} in the {p}.", f"{n} and {m} went to the {p}.",
        f"The {t} is {rng.choice(COLOURS)}.", f"My {w} sleeps near the {p}.", f"It was {rng.choice(WEATHER)} on {rng.choice(DAYS)}.",
        f"{n} gave {m} a {a} {t}.", f"We like {rng.choice(FOODS)} and {rng.choice(DRINKS)}.",
        f"There are {rng.randint(2, 99)} {rng.choice(THINGS)}s in the {p}.", f"A {rng.choice(JOBS)} {v} the {a} {w}.",
        f"The {w} ran over the {p} and {v} {m}.", f"{n} plays the {rng.choice(INSTRUMENTS)} every {rng.choice(DAYS)}.",
    ])
