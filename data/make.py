"""Makes the samples in this folder: `python data/make.py [FOLDER]`. The same versions give the same bytes.

digits and diabetes are scikit-learn's own copies, rewritten; messages is drawn from the grammar below, which is ours.
"""

import hashlib
import sys
from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SEED = 2026
MESSAGES = 1500

GREETINGS = ["", "", "", "hi,", "hello,", "dear team,", "good morning,", "hey there,", "to whom it may concern,"]
CLOSINGS = ["", "", "", "thanks", "please advise", "kind regards", "waiting for your reply", "many thanks in advance"]
PRODUCTS = ["the lamp", "my headphones", "the coffee grinder", "a desk chair", "the running shoes", "my order", "it"]
WHEN = ["yesterday", "last week", "on monday", "this morning", "two days ago", "since the update", "again", "today"]
VAGUE = [
    "something is wrong and nobody answers",
    "i have been waiting for days now",
    "can somebody look into this please",
    "this is the third time i write",
    "it still does not work as promised",
    "i would like to speak to a person",
]
TOPICS = {
    "billing": [
        "i was charged {twice} for {product} {when}",
        "the invoice for {product} shows the wrong {amount}",
        "my refund has not reached my {bank} yet",
        "why did the price of {product} change after i paid",
        "please send me a receipt with our {tax} number",
        "the discount code was not taken off the {amount}",
        "my card was declined although the {bank} says all is fine",
    ],
    "delivery": [
        "{product} has not arrived, the tracking has not moved {when}",
        "the parcel came {when} but the box was {damaged}",
        "the courier left {product} with a neighbour i do not know",
        "can you send {product} to another address",
        "half of the order is missing from the {parcel}",
        "i got somebody else's {parcel} {when}",
        "how long does shipping to {place} take",
    ],
    "account": [
        "i cannot {login} {when}",
        "please change the email address of my {profile}",
        "the reset link for my password never {arrives}",
        "somebody else seems to use my {profile}",
        "how do i delete my {profile} and all data",
        "my {profile} says it is locked {when}",
        "the code to confirm my phone number never {arrives}",
    ],
    "technical": [
        "the app {crashes} when i open my orders",
        "{product} does not switch on {when}",
        "the website shows a blank page {when}",
        "the search {crashes} on my phone",
        "bluetooth pairing of {product} {crashes} {when}",
        "after the update the screen of {product} stays black",
        "the payment page {crashes} before i can enter my card",
    ],
    "praise": [
        "{product} is {great}, i would buy it again",
        "your support solved my problem in minutes, {great}",
        "the parcel came a day early, {great} service",
        "i just wanted to say that {product} is {great}",
        "the new app is {great}, much better than the old one",
        "no complaints at all, {great} price",
        "thank you for the quick refund, {great} work",
    ],
}
WORDS = {
    "product": PRODUCTS,
    "when": WHEN,
    "twice": ["twice", "two times", "double", "the full amount"],
    "amount": ["amount", "total", "sum", "tax", "currency"],
    "bank": ["account", "bank", "credit card"],
    "tax": ["tax", "company", "order"],
    "damaged": ["crushed", "open", "wet", "empty", "broken"],
    "parcel": ["parcel", "box", "package", "shipment"],
    "place": ["norway", "the islands", "my office", "a pick-up point"],
    "login": ["log in", "sign in", "get into my account", "open my profile"],
    "profile": ["account", "profile", "login", "membership"],
    "arrives": ["arrives", "comes", "works"],
    "crashes": ["crashes", "freezes", "hangs", "fails", "stops working"],
    "great": ["great", "excellent", "wonderful", "lovely", "brilliant", "really good"],
}
ASIDES = [
    "{other}, but that is settled. now {main}",
    "this is not about my last message ({other}): {main}",
    "{main}. last time it was another matter: {other}",
    "my wife says {other}. i only care that {main}",
]


def digits() -> pa.Table:
    """1,797 handwritten digits of 8 x 8 pixels, 0 to 16: columns pixel_0_0 to pixel_7_7, then label."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels = bunch.images.astype(np.uint8)
    columns = {f"pixel_{row}_{column}": pixels[:, row, column] for row in range(8) for column in range(8)}
    return pa.table({**columns, "label": bunch.target.astype(np.int64)})


def diabetes() -> str:
    """442 patients: ten measurements as taken, and the progress of the disease a year later, as CSV."""
    from sklearn.datasets import load_diabetes

    bunch = load_diabetes(scaled=False)
    header = ",".join([*bunch.feature_names, "target"])
    rows = np.column_stack([bunch.data, bunch.target])
    return "\n".join([header, *(",".join(f"{cell:.6g}" for cell in row) for row in rows)]) + "\n"


def messages() -> str:
    """1,500 made-up messages to a shop, none twice: `label<TAB>text` lines, five labels in random order."""
    random = Random(SEED)  # noqa: S311 - a sample, not a secret
    labels = [label for label in TOPICS for _ in range(MESSAGES // len(TOPICS))]
    random.shuffle(labels)
    lines: dict[str, str] = {}
    for label in labels:
        text = _message(random, label)
        while text in lines:
            text = _message(random, label)
        lines[text] = label
    return "".join(f"{label}\t{text}\n" for text, label in lines.items())


def _message(random: Random, label: str) -> str:
    body = _sentence(random, label)
    if random.random() < 0.08:
        other = random.choice([topic for topic in TOPICS if topic != label])
        body = random.choice(ASIDES).format(main=body, other=_sentence(random, other))
    if random.random() < 0.25:
        body = f"{body}. {random.choice(VAGUE)}"
    words = f"{random.choice(GREETINGS)} {body} {random.choice(CLOSINGS)}".split()
    return " ".join(word for word in words if random.random() > 0.03)


def _sentence(random: Random, label: str) -> str:
    if random.random() < 0.02:
        return random.choice(VAGUE)
    chosen = {slot: random.choice(words) for slot, words in WORDS.items()}
    return random.choice(TOPICS[label]).format(**chosen)


def make(folder: Path) -> list[Path]:
    """Writes the three samples; gives their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in ("digits.parquet", "diabetes.csv", "messages.tsv")]
    pq.write_table(digits(), paths[0], compression="zstd", use_dictionary=False, write_statistics=False)
    paths[1].write_text(diabetes(), encoding="utf-8", newline="\n")
    paths[2].write_text(messages(), encoding="utf-8", newline="\n")
    return paths


if __name__ == "__main__":
    for path in make(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent):
        content = path.read_bytes()
        print(f"{hashlib.sha256(content).hexdigest()}  {len(content):>7}  {path.name}")
