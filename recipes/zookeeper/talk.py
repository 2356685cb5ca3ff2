"""What people say beside the wordings of world.py: small talk, freer questions, what no fact
tells, and questions that begin with anything but an animal.

The last stage of training has the questions about animals; small talk is in all.
"""

import random

from strangers import stranger
from words import UNKNOWN_ANIMAL
from world import RELATIONS, Facts, answer

SMALL_TALK = [
    "Hello!", "Hi!", "Good morning.", "Hello, how are you?", "How are you today?", "Who are you?",
    "What are you?", "What is your name?", "What can you do?", "Can you help me?", "Help!",
    "Thank you.", "Thanks!", "Goodbye.", "Bye!", "Tell me something.", "Are you a robot?",
    "Are you human?", "Do you like me?", "Do you sleep?", "Where are you?", "How old are you?",
    "Who made you?", "Write a letter.", "Sing!", "What is two plus two?", "What is 7 times 8?",
    "How many days has a year?", "Why is the sky blue?", "Why?", "What?", "Yes.", "No.", "Maybe.",
    "Who is the king?", "Who wrote this?", "Where is Paris?", "Where is the station?",
    "When does the shop close?", "How do I cook rice?", "Do you speak German?", "I am tired.",
    "I am hungry.", "I love you.", "You are wrong.", "What should I wear?", "Is it raining?",
    "Translate this.", "Count to ten.", "Play a game with me.", "Give me some money.",
]  # fmt: skip
SMALL_TALK_HELD = SMALL_TALK[::5]
SMALL_TALK_TAUGHT = [said for said in SMALL_TALK if said not in SMALL_TALK_HELD]

# Each relation as people ask for it; {p} is the plural.
FREE = {
    "class": ("What sort of animal is the {s}?", "What are {p}?"),
    "food": (
        "What does the {s} like to eat?", "What do you give the {s} to eat?", "What do {p} eat?",
    ),
    "habitat": ("Where does the {s} live?", "In nature, where do {p} live?"),
    "continent": ("Where is the {s} from?", "Where do {p} come from?"),
    "size": ("How large is the {s}?", "Is the {s} big or small?", "How big are {p}?"),
    "lifespan": (
        "How long does the {s} live?", "How old can the {s} get?", "How long do {p} live?",
    ),
    "keeper": ("Who takes care of the {s}?", "Who is the keeper of the {s}?"),
    "enclosure": ("Where can I see the {s}?", "Where is the {s}?", "Where are the {p}?"),
    "name": ("What is the name of your {s}?", "Does the {s} have a name?"),
}  # fmt: skip

# What no fact of the world tells.
UNTOLD = (
    "What colour is the {s}?", "How fast is the {s}?", "How heavy is the {s}?",
    "How much does the {s} weigh?", "How many legs does the {s} have?", "Does the {s} bite?",
    "Is the {s} dangerous?", "Can I touch the {s}?", "Can I feed the {s}?", "Can the {s} swim?",
    "Does the {s} sleep at night?", "Is the {s} ill?",
    "Tell me a story about the {s}.", "Why is the {s} so big?",
    "Why does the {s} live there?", "What does the {s} think?", "What does the {s} sound like?",
    "When does the {s} wake up?", "When was the {s} born?", "How old is the {s}?",
    "Does the {s} have children?", "How many children does the {s} have?", "Does the {s} like me?",
    "Who is afraid of the {s}?", "Who would win, the {s} or I?", "Do you like the {s}?",
    "What is the colour of the {s}?", "Tell me the weight of the {s}.",
    "What speed does the {s} have?", "Please name the price of the {s}.",
    "Can you tell me what the age of the {s} is?", "About the {s}: what is its height?",
    "I would like to know the temper of the {s}.", "The birthday of the {s}, please?",
)  # fmt: skip
UNTOLD_HELD = UNTOLD[::5]
_UNTOLD_TAUGHT = [asked for asked in UNTOLD if asked not in UNTOLD_HELD]

# Questions that begin with anything but an animal.
TURNED = {
    "keeper": ("Who is {o}?", "Which animals does {o} look after?"),
    "enclosure": ("Which animals live in the {o}?", "Who lives in the {o}?"),
    "food": ("Which animals eat {o}?", "Who eats {o}?"),
    "continent": ("Which animals come from {o}?",),
    "class": ("Which animals are a kind of {o}?",),
    "name": ("Who is called {o}?", "Which animal is {o}?"),
    "habitat": ("Which animals live in the {o}?",),
    "size": ("Which animals are {o}?", "Which animal is the biggest?"),
    "lifespan": ("Which animal lives {o} years?", "Which animals do you have?"),
}
TURN_BACK = "Please ask me about one animal."
_ODD = (
    "sheep", "fish", "salmon", "moose", "mouse", "goose", "bison", "wolf", "fox", "lynx", "oryx",
)  # fmt: skip


def plural(animal: str) -> str | None:
    """The animal with an s, where that is its plural."""
    odd = animal.endswith((*_ODD, "s", "x", "y", "sh", "ch")) and animal[-2:] not in ("ey", "ay")
    return None if odd else animal + "s"


def free_questions(relation: str, animal: str) -> list[str]:
    several = plural(animal)
    return [
        asked.format(s=animal, p=several)
        for asked in FREE[relation]
        if several is not None or "{p}" not in asked
    ]


def untold(animal: str) -> str:
    """What is said where the question is about an animal of the zoo, and no fact answers it."""
    return f"I do not know that about the {animal}."


def talking(world: Facts, draw: random.Random) -> tuple[str, str]:
    """A question as people ask it, and what is said to it."""
    kind, animal, relation = draw.random(), draw.choice(list(world)), draw.choice(list(RELATIONS))
    if kind < 0.5:
        return draw.choice(free_questions(relation, animal)), answer(
            relation, animal, world[animal][relation]
        )
    if kind < 0.6:
        return draw.choice(TURNED[relation]).format(o=world[animal][relation]), TURN_BACK
    if kind < 0.83:
        return draw.choice(_UNTOLD_TAUGHT).format(s=animal), untold(animal)
    asked = [*free_questions(relation, name := stranger(world, draw)), *_UNTOLD_TAUGHT]
    return draw.choice(asked).format(s=name), UNKNOWN_ANIMAL
