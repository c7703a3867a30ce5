"""The words of the mini language: concepts, their synonyms, opposites, kinds and inflections.

A table row is a concept; `/` separates synonyms, `:` separates a concept from its opposite, and a
word with an irregular form spells it out after `=`. Everything is lower case.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar


@dataclass(frozen=True)
class Verb:
    """One verb: base form, third person singular, past tense and past participle."""

    base: str
    third: str
    past: str
    participle: str


@dataclass(frozen=True)
class Noun:
    """One noun: singular and plural."""

    one: str
    many: str


W = TypeVar("W", str, Noun, Verb)


@dataclass(frozen=True, eq=False)
class Concept(Generic[W]):
    """What a word means. Synonyms are its surface forms; concepts of one kind exclude each other.

    `opposite` is the concept that denies this one, if there is one.
    """

    name: str
    kind: str
    words: tuple[W, ...]
    opposite: "Concept[W] | None" = field(default=None, repr=False)


VOWELS = "aeiou"


def _plural(word: str) -> Noun:
    if "=" in word:
        one, many = word.split("=")
        return Noun(one, many)
    if word.endswith(("s", "sh", "ch", "x")):
        return Noun(word, word + "es")
    if word.endswith("y") and word[-2] not in VOWELS:
        return Noun(word, word[:-1] + "ies")
    return Noun(word, word + "s")


def _conjugate(word: str) -> Verb:
    base, _, irregular = word.partition("=")
    third = base + ("es" if base.endswith(("s", "sh", "ch", "x")) else "s")
    if base.endswith("y") and base[-2] not in VOWELS:
        third = base[:-1] + "ies"
    if irregular:
        past, _, participle = irregular.partition("+")
        return Verb(base, third, past, participle or past)
    past = base + ("d" if base.endswith("e") else "ed")
    if base.endswith("y") and base[-2] not in VOWELS:
        past = base[:-1] + "ied"
    return Verb(base, third, past, past)


def _phrase(word: str) -> str:
    return word.replace("_", " ")


def _concepts(kind: str, table: str, form: Callable[[str], W]) -> tuple[Concept[W], ...]:
    """Parse a table; `a:b` yields two concepts that are each other's opposites."""
    found: list[Concept[W]] = []
    for row in table.split():
        sides = []
        for side in row.split(":"):
            words = tuple(form(word) for word in side.split("/"))
            sides.append(Concept(side.split("/")[0].split("=")[0], kind, words))
        if len(sides) == 2:
            object.__setattr__(sides[0], "opposite", sides[1])
            object.__setattr__(sides[1], "opposite", sides[0])
        found += sides
    return tuple(found)


def _phrases(kind: str, table: str) -> tuple[Concept[str], ...]:
    """The concepts of a table whose words have one form."""
    return _concepts(kind, table, _phrase)


PEOPLE = _concepts(
    "person",
    "doctor/physician lawyer/attorney child=children/kid thief=thieves/robber cook/chef "
    "farmer/grower "
    "soldier/fighter guest/visitor boss/manager writer/author student/pupil sailor/mariner "
    "teacher/tutor singer/vocalist nurse pilot judge king queen painter/artist baker clerk "
    "dancer hunter/trapper",
    _plural,
)

HYPERNYMS = {
    "person": Noun("person", "people"),
    "animal": Noun("animal", "animals"),
    "vehicle": Noun("vehicle", "vehicles"),
    "fruit": Noun("fruit", "fruits"),
    "garment": Noun("garment", "garments"),
    "tool": Noun("tool", "tools"),
    "jewel": Noun("jewel", "jewels"),
    "instrument": Noun("instrument", "instruments"),
}

THINGS = {
    "animal": _concepts(
        "animal",
        "dog/hound cat horse/stallion rabbit/bunny=bunnies pig/hog cow snake/serpent goat "
        "donkey/mule duck",
        _plural,
    ),
    "vehicle": _concepts(
        "vehicle", "car/automobile truck/lorry bicycle/bike boat/vessel plane tractor", _plural
    ),
    "fruit": _concepts("fruit", "apple pear plum cherry lemon peach", _plural),
    "garment": _concepts("garment", "coat/jacket shirt hat/cap shoe dress/gown glove", _plural),
    "tool": _concepts(
        "tool", "hammer rope/cord saw knife=knives/blade ladder spade/shovel", _plural
    ),
    "jewel": _concepts("jewel", "ring necklace crown bracelet pearl", _plural),
    "instrument": _concepts("instrument", "drum violin/fiddle flute guitar piano trumpet", _plural),
}

VERBS = _concepts(
    "verb",
    "buy=bought/purchase:sell=sold/vend find=found/discover:lose=lost/misplace "
    "love/adore:hate/detest push/shove:pull/drag=dragged lift/raise:drop=dropped/lower "
    "clean/wash:soil/stain break=broke+broken/smash:repair/fix "
    "hide=hid+hidden/conceal:show=showed+shown/display "
    "praise/applaud:blame/criticize chase/pursue:avoid/evade protect/defend:attack/assault "
    "watch/observe:ignore/neglect want/desire:refuse/reject carry/transport touch "
    "describe/depict draw=drew+drawn/sketch admire:despise steal=stole+stolen/snatch paint "
    "borrow lend=lent/loan",
    _conjugate,
)

COLOURS = _phrases("colour", "red blue green yellow black white brown purple")
SIZES = _phrases("size", "big/large:small/little")
QUALITIES = _phrases(
    "quality",
    "old/ancient:new/modern cheap/inexpensive:costly/expensive wet/damp:dry heavy/weighty:light "
    "quick/fast:slow",
)
CHARACTERS = _phrases(
    "character",
    "rich/wealthy:poor happy/glad:sad/unhappy clever/smart:stupid/foolish brave/fearless:timid "
    "tall:short calm:angry/furious",
)
MANNERS = _phrases(
    "manner",
    "quickly/rapidly:slowly quietly/silently:loudly/noisily carefully/cautiously:carelessly "
    "gladly/happily:sadly openly/publicly:secretly/covertly",
)
PLACES = _phrases(
    "place",
    "in_the_garden/in_the_yard in_the_kitchen in_the_forest/in_the_woods on_the_street/on_the_road "
    "at_the_station at_the_market at_the_school in_the_office on_the_beach/on_the_shore "
    "in_the_hotel/in_the_inn near_the_river/near_the_stream at_the_church in_the_village "
    "near_the_bridge",
)
TIMES = _phrases(
    "time",
    "yesterday today last_week last_year on_monday on_friday on_sunday in_the_morning/at_dawn "
    "in_the_evening/at_dusk at_noon/at_midday at_night last_summer",
)
NUMBERS = _phrases("number", "two three four five")

TOPICS = _phrases(
    "topic",
    "film/movie meal/dinner service story/tale music/sound acting room plot/script cast "
    "ending/finale humor/comedy dialogue writing camera pace stage",
)
PRAISE = _phrases(
    "praise",
    "good/fine great/superb wonderful/marvelous charming delightful funny/amusing excellent fresh "
    "clever moving/touching warm lovely/beautiful thrilling brilliant pleasant perfect",
)
SCORN = _phrases(
    "scorn",
    "bad/poor awful/terrible boring/dull horrible/dreadful tedious ugly/hideous weak/feeble stale "
    "stupid clumsy/awkward cold annoying/irritating silly messy bland miserable",
)
LIKING = _phrases("liking", "loved/adored enjoyed/liked admired praised")
DISLIKING = _phrases("disliking", "hated/loathed disliked regretted mocked")
DEGREES = ("very", "really", "quite", "truly", "rather", "so", "extremely", "somewhat")

FUNCTION_WORDS = _phrases(
    "function",
    "a an the this these that those some every all no each any most few many one both is are "
    "was were be been being am do does did has have had not never hardly far from nothing i we "
    "he she it they you him her them who whom what where when which how why whose by of to and "
    "but or although though while despite yet because if so as than with without near beside "
    "behind in on at up down out over under about for only also still again just even nobody "
    "anyone everyone someone something person people yes there here can could would will should "
    "may might must want wants wanted seems seemed looks looked feels felt found kind sort "
    "place time way manner day gave star stars",
)

KINDS_OF_NOUN: tuple[Noun, ...] = tuple(
    noun for table in (PEOPLE, *THINGS.values()) for concept in table for noun in concept.words
)


def concept_tables() -> tuple[tuple[Concept[str], ...], ...]:
    """Every table whose words have one form."""
    events = (COLOURS, SIZES, QUALITIES, CHARACTERS, MANNERS, PLACES, TIMES, NUMBERS)
    return (*events, TOPICS, PRAISE, SCORN, LIKING, DISLIKING)


def vocabulary() -> list[str]:
    """Every word of the language, sorted."""
    words = set(DEGREES)
    for noun in (*KINDS_OF_NOUN, *HYPERNYMS.values()):
        words |= {noun.one, noun.many}
    for verb in (word for concept in VERBS for word in concept.words):
        words |= {verb.base, verb.third, verb.past, verb.participle}
    for table in (*concept_tables(), FUNCTION_WORDS):
        for concept in table:
            for phrase in concept.words:
                words |= set(phrase.split())
    return sorted(words)
