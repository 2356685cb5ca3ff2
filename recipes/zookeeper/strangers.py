"""Animals that the zoo does not have, for questions that are to be declined: real, or made up."""

import random
from collections.abc import Collection

from words import INVENTED, made_up_word

_REAL = """
aardwolf adder agouti anchovy angelfish anglerfish anole antelope ape aphid asp auk aurochs avocet
aye-aye bandicoot barnacle barracuda bass bear bedbug bilby binturong bittern blackbird bluejay
bobcat bongo booby bowerbird brontosaurus bulbul bullfrog bumblebee bunting bushbaby bustard
buzzard calf canary capuchin caribou cat caterpillar centipede chicken chickadee chihuahua civet
clam cockatiel cockle cockroach coelacanth colobus coot copperhead coral corgi cougar cow coypu crab
crayfish crow cuckoo curlew cuttlefish deer degu dhole diplodocus dipper dodo dog dormouse dove
dragon dragonfly dromedary dugong duiker dunlin dunnart earthworm earwig egret ermine firefly
flea flounder fly flycatcher fossa fowl galago gander gannet gar gaur genet gerbil gerenuk goanna
godwit goldfinch goldfish gopher goshawk grasshopper grebe greyhound griffin grouper grouse guanaco
groundhog guillemot guppy haddock hagfish halibut hamadryas harrier hartebeest hen herring hoatzin
hoopoe hornet hound howler husky hydra hyrax impundulu indri jackdaw jackrabbit jay jellyfish jerboa
kagu kakapo kestrel kinkajou kitten kittiwake klipspringer koi kookaburra kraken krait krill lamb
lamprey lapwing lark leech limpet linnet lionfish lizard lobster locust loon louse lorikeet
lyrebird mackerel maggot mallard mammoth manta mara markhor marlin mastodon mayfly midge millipede
mink minnow moa mockingbird moloch monkey moorhen mosquito moth mouse mudskipper mule muskox muskrat
mussel mynah narwhal nautilus nightingale nightjar numbat nuthatch nutria nyala octopus opossum
oriole otterhound ox oyster panther parakeet partridge perch petrel phoenix pig pigeon piglet pika
pipit plaice plover polecat pony poodle porpoise possum potoroo prawn pronghorn ptarmigan pufferfish
puppy quagga quetzal quoll rat razorbill redstart reedbuck roadrunner roach rook rooster sable saiga
sandpiper sardine sawfish scallop scarab scorpion serow shearwater shrike shrimp sifaka silverfish
skate skua skylark slug snail snake snipe sole solenodon sparrow spider sponge spoonbill squid
starfish starling stegosaurus stickleback stingray stonefish swallow swift swordfish tahr takin
tanager tarantula tarpon tarsier tench termite tern thrush thylacine tick tilapia topi triceratops
tsessebe turbot tyrannosaurus uakari unicorn urchin velociraptor vole wagtail warbler wasp waterbuck
waxwing weevil whale whelk whippet widgeon woodcock woodlouse worm wren yabby zander zebu zorilla
"""
_OF_TWO_WORDS = [
    "polar bear", "sea urchin", "guinea pig", "komodo dragon", "fruit fly", "sea cucumber",
    "prairie dog", "spider crab", "horseshoe crab", "king crab", "killer whale", "blue whale",
    "sperm whale", "stick insect", "water vole", "sea lion", "grizzly bear", "musk ox",
]  # fmt: skip
REAL = [*_REAL.split(), *_OF_TWO_WORDS]
REAL_HELD = REAL[::6]  # in no training text
_TAUGHT = [name for name in REAL if name not in REAL_HELD]


def spliced(animals: Collection[str], draw: random.Random) -> str:
    """The front of one animal's name and the back of another's."""
    one, other = draw.sample(list(animals), 2)
    return one[: draw.randint(2, max(2, len(one) - 1))] + other[draw.randint(1, len(other) // 2) :]


def stranger(animals: Collection[str], draw: random.Random) -> str:
    """An animal that is not one of `animals`, and that training may name."""
    while True:
        kind = draw.random()
        if kind < 0.35:
            name = draw.choice(_TAUGHT)
        elif kind < 0.65:
            name = made_up_word(draw)
        elif kind < 0.9:
            name = spliced(animals, draw)
        else:
            name = draw.choice(INVENTED)
        if name not in animals and name not in REAL_HELD:
            return name
