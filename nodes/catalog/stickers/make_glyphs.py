"""Writes glyphs.tsv, the subjects that are glyphs: code point, category, name.

Names and groups are those of Unicode's emoji-test.txt (Debian: unicode-data); the categories are chosen here, coarse
enough that each has several members. Left out: flags, people and hands (skin tones), symbols, scenery, and all but one
of glyphs that differ in little (clock faces, moon phases, hearts by colour, mailboxes). A new version of the list
would change which pictures a seed means, so it is committed.

    python3 make_glyphs.py /usr/share/unicode/emoji/emoji-test.txt > glyphs.tsv
"""

import re
import sys

# A whole subgroup's category; None leaves out what no list below names.
SUBGROUPS = {
    "face-smiling": "face", "face-affection": "face", "face-tongue": "face", "face-hand": "face",
    "face-neutral-skeptical": "face", "face-sleepy": "face", "face-unwell": "face", "face-hat": "face",
    "face-glasses": "face", "face-concerned": "face", "face-negative": "face", "face-costume": "monster",
    "cat-face": "cat", "monkey-face": "monkey", "animal-mammal": "animal", "animal-bird": "bird",
    "animal-amphibian": "reptile", "animal-reptile": "reptile", "animal-marine": "fish", "animal-bug": "bug",
    "plant-flower": "flower", "plant-other": "plant", "food-fruit": "fruit", "food-vegetable": "vegetable",
    "food-prepared": "snack", "food-asian": "dish", "food-marine": "shellfish", "food-sweet": "cake",
    "drink": "drink", "dishware": None, "place-building": "building", "place-religious": "building",
    "transport-ground": "car", "transport-water": "boat", "transport-air": "plane", "award-medal": "medal",
    "sport": "ball", "game": "toy", "clothing": "shirt", "musical-instrument": "instrument", "phone": "phone",
    "computer": "computer", "light & video": "camera", "book-paper": "book", "writing": "pen", "tool": "tool",
    "science": "object", "household": "object", "other-object": None, "lock": "lock", "hotel": None, "time": None,
    "sky & weather": None, "event": None, "arts & crafts": None, "heart": None, "emotion": None, "sound": None,
    "music": None, "money": None, "mail": None, "office": None, "medical": None, "place-other": None,
    "place-geographic": None, "place-map": None,
}

# Other categories by name.
NAMES = {
    "cat": "cat face|cat|lion|tiger face|tiger|leopard",
    "dog": "dog face|dog|guide dog|poodle|wolf|fox|raccoon",
    "bear": "bear|koala|panda|sloth|teddy bear|otter",
    "monkey": "monkey face|monkey|gorilla|orangutan",
    "horse": "horse face|horse|unicorn|zebra|donkey|moose|deer|carousel horse|giraffe|llama|camel",
    "cow": "cow face|ox|water buffalo|cow|bison|goat|ram|ewe",
    "mouse": "mouse face|mouse|rat|hamster|chipmunk|hedgehog|rabbit face|rabbit|bat",
    "shellfish": "octopus|spiral shell|jellyfish",
    "monster": "skull|jack-o-lantern|moai|Japanese dolls|nesting dolls|troll|snowman",
    "tree": "evergreen tree|deciduous tree|palm tree|cactus|Christmas tree|tanabata tree|pine decoration",
    "bread": "bread|croissant|baguette bread|flatbread|pretzel|bagel|pancakes|waffle|butter",
    "dish": "cooking|shallow pan of food|pot of food|fondue|bowl with spoon|green salad|shaved ice|mouse trap",
    "sweet": "soft ice cream|ice cream|doughnut|cookie|chocolate bar|candy|lollipop|dango|fortune cookie",
    "cake": "moon cake|fish cake with swirl|cheese wedge",
    "snack": "rice cracker|rice ball|roasted sweet potato|sushi|fried shrimp|dumpling",
    "mug": "hot beverage|teapot|teacup without handle|sake|beer mug|mate|tumbler glass",
    "bottle": "baby bottle|bottle with popping cork|jar|amphora|honey pot|lotion bottle|fire extinguisher|alembic"
              "|test tube|funeral urn|salt|canned food",
    "house": "hut|houses|derelict house|house|house with garden|tent|camping|circus tent",
    "train": "locomotive|railway car|high-speed train|bullet train|train|metro|light rail|station|tram|monorail"
             "|mountain railway|tram car|suspension railway|mountain cableway|aerial tramway",
    "truck": "bus|oncoming bus|trolleybus|minibus|ambulance|fire engine|pickup truck|delivery truck|articulated lorry"
             "|tractor",
    "bike": "motorcycle|motor scooter|manual wheelchair|motorized wheelchair|bicycle|kick scooter|skateboard"
            "|roller skate",
    "clock": "hourglass done|watch|alarm clock|stopwatch|timer clock|mantelpiece clock|three o’clock|compass",
    "star": "crescent moon|new moon face|first quarter moon face|sun|full moon face|sun with face|ringed planet|star"
            "|glowing star|globe showing Americas|globe showing Asia-Australia",
    "cloud": "cloud|sun behind cloud|cloud with lightning and rain|cloud with rain|cloud with snow|tornado|rainbow",
    "heart": "red heart|broken heart|sparkling heart|heart with arrow|heart with ribbon|growing heart|beating heart",
    "ball": "pool 8 ball|crystal ball|mirror ball|confetti ball|yarn",
    "toy": "boxing glove|goal net|ice skate|skis|sled|curling stone|wrapped gift|party popper|running shirt"
           "|carp streamer|kite|ping pong|badminton|ice hockey|flying disc|fishing pole|diving mask",
    "shoe": "thong sandal|man’s shoe|running shoe|hiking boot|flat shoe|high-heeled shoe|woman’s sandal|ballet shoes"
            "|woman’s boot|socks",
    "hat": "crown|woman’s hat|top hat|graduation cap|billed cap|military helmet|rescue worker’s helmet",
    "bag": "purse|handbag|clutch bag|shopping bags|backpack|briefcase|luggage|money bag",
    "shirt": "martial arts uniform",
    "instrument": "bell|postal horn|megaphone|studio microphone|microphone|headphone|bellhop bell",
    "phone": "radio|battery|calendar",
    "computer": "television|video game|joystick|slot machine",
    "lamp": "candle|light bulb|flashlight|red paper lantern|diya lamp|fire|horizontal traffic light"
            "|vertical traffic light|police car light",
    "box": "package|closed mailbox with raised flag|postbox|toolbox|card file box|file cabinet|wastebasket"
           "|takeout box|bento box|ballot box with ballot|beverage box|basket",
    "book": "notebook with decorative cover|closed book|open book|books|ledger|scroll|rolled-up newspaper|bookmark",
    "tool": "scissors|kitchen knife|paintbrush|crutch|syringe|pushpin|fork and knife|spoon|magic wand|broom|plunger",
    "lock": "key|old key|locked with key|shield|puzzle piece",
    "chair": "chair|couch and lamp|bed|seat|toilet|bathtub",
    "object": "closed umbrella|umbrella|framed picture|artist palette|thread|pill|stethoscope|anchor|ring buoy"
              "|parachute|oil drum|fuel pump|wheel|glasses|sunglasses|ring|gem stone|lipstick|fountain|ferris wheel"
              "|telescope|ticket|trophy|balance scale|coin|nazar amulet",
}

# Too like another one, hardly visible, or no subject of its own.
LEAVE_OUT = (
    "skull and crossbones|paw prints|pig nose|tiger face|cat with tears of joy|feather|wing|coral|spider web|microbe"
    "|rosette|leaf fluttering in wind|empty nest|building construction|brick|rock|wood|station|stop sign|construction"
    "|motorway|railway track|bus stop|red circle|e-mail|airplane departure|airplane arrival|tennis|bowling|cricket game"
    "|field hockey|lacrosse|flag in hole|martial arts uniform|spade suit|heart suit|diamond suit|club suit|joker"
    "|mahjong red dragon|flower playing cards|hair pick|prayer beads|woman’s clothes|film frames|clapper board"
    "|magnifying glass tilted right|camera with flash|videocassette|dvd|optical disk|computer disk|low battery"
    "|mobile phone with arrow|newspaper|page with curl|page facing up|bookmark tabs|label|notebook|green book"
    "|orange book|memo|linked paperclips|hammer and pick|hammer and wrench|crossed swords|bow and arrow|link|chains"
    "|white cane|hook|dna|petri dish|x-ray|clinking beer mugs|clinking glasses|pouring liquid|ice|chestnut|beans"
    "|unlocked|locked with pen|elevator|window|bubbles|safety pin|razor|identification card|placard|hamsa|coffin"
    "|headstone|cigarette|oncoming police car|oncoming taxi|oncoming automobile|globe with meridians|2nd place medal"
    "|3rd place medal|bead|face in clouds|upside-down face|dotted line face|lying face|wheel of dharma|mouse trap"
    "|Tokyo tower|Statue of Liberty|trackball|abacus|glasses of wine|oyster|love hotel|Japanese post office|wedding"
    "|suspension railway|mountain cableway|parachute|skis|needle|dashing away|knot|nut and bolt|ladder"
)


def main(path):
    by_name = {name: category for category, names in NAMES.items() for name in names.split("|")}
    left_out = set(LEAVE_OUT.split("|"))
    subgroup = group = None
    for line in open(path, encoding="utf-8"):
        line = line.rstrip("\n")
        if line.startswith("# group:"):
            group = line[9:]
        elif line.startswith("# subgroup:"):
            subgroup = line[12:]
        elif "; fully-qualified" in line:
            points = [p for p in line.split(";")[0].split() if p != "FE0F"]
            name = re.sub(r"^\S+ E[\d.]+ ", "", line.split("# ", 1)[1])
            if len(points) != 1 or name in left_out or group in ("People & Body", "Component", "Symbols", "Flags"):
                continue
            category = by_name.get(name, SUBGROUPS.get(subgroup))
            if category:
                print(points[0], category, name, sep="\t")


main(sys.argv[1])
