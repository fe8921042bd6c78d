"""What is written when it is not a signature, and the names people have.

Lists, and type set from them; knows nothing of pens. Printed words go through ``print_word``, handwritten ones through
``hand.py``.
"""

import functools
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

GIVEN_NAMES = (
    "Anna Amara Boris Carla Chen Clara Daniel David Elena Emil Erik Fatima Felix Grace Hana Hugo Ines Ivan Jana Jonas "
    "Julia Kamal Karin Laura Lena Leo Luca Maria Marta Mei Milan Nadia Nina Oscar Olga Paula Peter Quinn Rafael Rosa "
    "Samir Sofia Tariq Thomas Uma Vera Viktor Walter Xenia Yara Yusuf Zoe"
).split()
FAMILY_NAMES = (
    "Almeida Andersson Baker Bauer Bianchi Bielecki Brandt Carvalho Castillo Clarke Cohen Costa Dubois Eriksen Fischer "
    "Fontaine Garcia Gruber Hansen Haddad Hoffmann Horvat Ibrahim Jansen Johnson Kaplan Keller Kovacs Kumar Larsen "
    "Lefevre Lindholm Lopez Marchetti Meyer Moreau Mueller Nakamura Nguyen Novak Okafor Oliveira Petrov Quist Ramirez "
    "Rossi Santos Schneider Silva Simonsen Sokolov Tanaka Torres Ulrich Vargas Visser Wagner Watanabe Yilmaz Zimmer"
).split()
TEXT = (
    "account address agreement amount and annual applicant approved article attached authority balance bank before "
    "between branch building business by cash certificate city clause client company condition contract copy court "
    "credit customer date day december deed delivery department deposit director document due duty each email employee "
    "en energy estate expiry february fee file final first for form from fund general goods holder house identity in "
    "income insurance interest invoice issued item january june land lease legal letter limit line loan mail market "
    "member month monthly name nature net notary notice number of office official on only order origin other owner "
    "paid party payment period person phone place please policy postal premium price private property public purchase "
    "quality quantity received record reference registered remark rent return right road room sale schedule section "
    "security seller service share shall signed state statement street subject sum supplier tax term the this title "
    "total transfer under unit until value vehicle version volume voucher wage warranty weight witness with work year"
).split()
GREEK = (
    "και από την των στο που για ημερομηνία ποσό σύνολο διεύθυνση όνομα αριθμός συμφωνία τράπεζα οδός χρόνος".split()
)
CYRILLIC = (
    "договор сумма дата адрес имя номер улица город счёт банк итого и на от для товар цена услуга месяц год".split()
)
FONTS = (
    "DejaVuSans DejaVuSans-Bold DejaVuSans-Oblique DejaVuSansMono DejaVuSansMono-Bold DejaVuSerif DejaVuSerif-Bold "
    "DejaVuSerif-Italic DejaVuSerif-BoldItalic STIXGeneral STIXGeneralBol STIXGeneralItalic STIXGeneralBolIta "
    "cmr10 cmss10 cmtt10"
).split()


def a_text(rng: np.random.Generator) -> str:
    """A word, a number, a date or a sum, in Latin letters."""
    kind = rng.choice(["word", "two", "date", "sum", "code"], p=[0.66, 0.14, 0.07, 0.08, 0.05])
    if kind == "date":
        return f"{rng.integers(1, 29):02d}.{rng.integers(1, 13):02d}.{rng.integers(1990, 2027)}"
    if kind == "sum":
        return f"{rng.integers(1, 9999)}.{rng.integers(0, 100):02d}"
    if kind == "code":
        return f"{chr(rng.integers(65, 91))}{chr(rng.integers(65, 91))}-{rng.integers(1000, 99999)}"
    count = 2 if kind == "two" else 1
    text = " ".join(rng.choice(TEXT) for _ in range(count))
    return [text, text.capitalize(), text.upper()][rng.choice(3, p=[0.6, 0.25, 0.15])]


def print_word(rng: np.random.Generator) -> np.ndarray:
    """A printed word, ``float32 [h, w]``, 0 no ink to 1 full ink. The fonts come with matplotlib."""
    script = rng.choice(["latin", "greek", "cyrillic"], p=[0.76, 0.12, 0.12])
    name = str(rng.choice(FONTS if script == "latin" else [f for f in FONTS if f.startswith("DejaVu")]))
    text = a_text(rng) if script == "latin" else str(rng.choice(GREEK if script == "greek" else CYRILLIC))
    font = _font(name, int(rng.integers(28, 90)))
    left, top, right, bottom = font.getbbox(text)
    image = Image.new("L", (int(right - left) + 24, int(bottom - top) + 24), 0)
    ImageDraw.Draw(image).text((12 - left, 12 - top), text, 255, font)
    return np.asarray(image, np.float32) / 255


@functools.lru_cache(maxsize=256)
def _font(name: str, size: int):
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)
