"""Words that passages are made of beside those of the world, and what the model declines."""

import random

KEEPERS = [
    "Adam",
    "Bea",
    "Carl",
    "Dina",
    "Erik",
    "Frida",
    "Gerd",
    "Hanna",
    "Ingo",
    "Judy",
    "Kurt",
    "Lena",
    "Mark",
    "Nora",
    "Otto",
    "Petra",
    "Ralf",
    "Sara",
    "Tom",
    "Ute",
    "Vera",
    "Wim",
    "Xaver",
    "Yvonne",
]
NAMES = [
    "Amber",
    "Basil",
    "Cedar",
    "Dot",
    "Echo",
    "Fern",
    "Gus",
    "Honey",
    "Inca",
    "Jolly",
    "Kelp",
    "Lucky",
    "Moss",
    "Nutmeg",
    "Olive",
    "Plum",
    "Quill",
    "Rusty",
    "Sage",
    "Teddy",
    "Umber",
    "Vesper",
    "Waffle",
    "Yogi",
    "Zest",
    "Biscuit",
    "Button",
    "Cricket",
    "Denver",
    "Fudge",
]
PLACES = [
    f"{first} {second}"
    for first in ("Sun", "Star", "Lake", "Hill", "Forest", "Desert", "Snow", "Old", "New")
    for second in ("House", "Garden", "Hall", "Island", "Tower")
]
COLOURS = [
    "red",
    "blue",
    "green",
    "black",
    "white",
    "golden",
    "silver",
    "brown",
    "grey",
    "striped",
    "spotted",
    "old",
    "young",
]

_FRONT = ["zu", "bo", "mi", "ta", "ka", "lo", "re", "vi", "pa", "du"]
_BACK = ["mal", "rin", "pok", "lun", "gar", "tox", "dib", "fel", "nor", "sap"]
INVENTED = [a + b for a in _FRONT for b in _BACK]  # animals there are not
INVENTED_HELD = [b + a for a in ("o", "i") for b in _BACK]  # in no training text

_ONSETS = (*"bcdfghjklmnprstvwz", "br", "dr", "fl", "gr", "kl", "pr", "sh", "st", "tr")
_VOWELS = (*"aeiou", "ai", "oo", "ou")
_CODAS = (*"bdgklmnprstx", "nd", "rn", "st")


def made_up_word(draw: random.Random) -> str:
    """One of some 300,000 words of two syllables, to be copied letter by letter."""
    first, second = draw.choice(_ONSETS), draw.choice(_ONSETS)
    return first + draw.choice(_VOWELS) + second + draw.choice(_VOWELS) + draw.choice(_CODAS)


REFUSAL = "I am a zookeeper. I only know the animals of our zoo."
UNKNOWN_ANIMAL = "I do not know that animal. It is not in our zoo."

_TOPICS = [
    "the capital of France",
    "the capital of Spain",
    "the weather",
    "the moon",
    "the sun",
    "the price of bread",
    "the president",
    "the best car",
    "the fastest car",
    "the time",
    "the date",
    "the news",
    "a good film",
    "a good book",
    "the internet",
    "the stock market",
    "music",
    "football",
    "chess",
    "history",
    "mathematics",
    "chemistry",
    "physics",
    "love",
    "politics",
    "money",
    "cooking",
    "a recipe for soup",
    "a recipe for cake",
    "computers",
    "programming",
    "Python code",
    "the tallest building",
    "the longest bridge",
    "the first king",
    "the last war",
    "the meaning of life",
    "my homework",
    "my job",
    "my car",
    "my phone",
    "the train",
    "the bus",
    "the airport",
    "the bank",
    "the school",
    "the oldest city",
    "the biggest city",
    "a poem",
    "a joke",
    "a song",
    "the stars",
    "the planets",
    "a holiday",
]
_ASKS = (
    "What is {}?",
    "Tell me about {}.",
    "What do you know about {}?",
    "Can you help me with {}?",
    "Who invented {}?",
    "Explain {} to me.",
    "What do you think of {}?",
    "How does {} work?",
)
_HELD_TOPICS = 6  # the last ones are never asked in training
OUTSIDE = [ask.format(topic) for topic in _TOPICS[:-_HELD_TOPICS] for ask in _ASKS]
OUTSIDE_HELD = [ask.format(topic) for topic in _TOPICS[-_HELD_TOPICS:] for ask in _ASKS]
