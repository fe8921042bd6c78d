"""What is written: words, names, numbers and dates in each script, from Unicode's CLDR (Babel) and from Faker.

Words of the CLDR are names of countries, languages, months and currencies; Faker has names of persons and common words.
Independent of fonts and pens. Next: ``text.py`` and ``signature.py``, which write them.
"""

import dataclasses
import functools
import importlib
import re
import threading
from collections.abc import Iterable

import numpy as np

# Locales of the CLDR and of Faker for each script; scripts without persons in Faker take names from the CLDR.
LOCALES: dict[str, tuple[str, str]] = {
    "latin": (
        "en de fr es it pl tr pt sv cs vi id sw",
        "en_US de_DE fr_FR es_ES it_IT pl_PL tr_TR pt_BR cs_CZ nl_NL sv_SE hu_HU en_IN en_NG id_ID vi_VN",
    ),
    "greek": ("el", "el_GR"),
    "cyrillic": ("ru uk bg sr", "ru_RU uk_UA bg_BG"),
    "arabic": ("ar fa ur", "ar_AA fa_IR"),
    "hebrew": ("he", "he_IL"),
    "devanagari": ("hi mr ne", "hi_IN mr_IN ne_NP"),
    "bengali": ("bn as", "bn_BD"),
    "tamil": ("ta", "ta_IN"),
    "telugu": ("te", ""),
    "thai": ("th", "th_TH"),
    "chinese": ("zh", "zh_CN"),
    "japanese": ("ja", "ja_JP"),
    "korean": ("ko", "ko_KR"),
    "georgian": ("ka", "ka_GE"),
    "ethiopic": ("am", ""),
    "gujarati": ("gu", "gu_IN"),
    "gurmukhi": ("pa", ""),
    "kannada": ("kn", ""),
    "malayalam": ("ml", ""),
    "sinhala": ("si", "si_LK"),
    "khmer": ("km", ""),
    "lao": ("lo", ""),
    "burmese": ("my", ""),
    "armenian": ("hy", "hy_AM"),
    "tibetan": ("bo dz", ""),
}
LOREM = {
    "latin": "en_US de_DE fr_FR es_ES it_IT pl_PL cs_CZ nl_NL la vi_VN",
    "greek": "el_GR",
    "cyrillic": "ru_RU uk_UA",
    "arabic": "ar_AA fa_IR",
    "hebrew": "he_IL",
    "bengali": "bn_BD",
    "thai": "th_TH",
    "chinese": "zh_CN",
    "japanese": "ja_JP",
    "armenian": "hy_AM",
}
ZERO = {  # the digit 0 of scripts that are often written with their own digits
    "arabic": "٠", "devanagari": "०", "bengali": "০", "tamil": "௦", "telugu": "౦", "thai": "๐", "gujarati": "૦",
    "gurmukhi": "੦", "kannada": "೦", "malayalam": "൦", "khmer": "០", "lao": "໐", "burmese": "၀", "tibetan": "༠",
}  # fmt: skip
_LOADING = threading.Lock()  # Faker's modules import each other, which fails in two threads at a time
UNSPACED = ("chinese", "japanese", "thai", "khmer", "lao", "burmese", "tibetan")  # written without spaces
IDEOGRAPHIC = ("chinese", "japanese", "korean")  # a name is two to four characters
CASED = ("latin", "greek", "cyrillic", "armenian")  # a capital begins a name
NAME_FORMS = {  # of signatures in scripts with capitals, and their shares
    "{first} {family}": 0.27,
    "{first} {family[0]}. {family}": 0.05,
    "{first} {family[0]} {family}": 0.04,
    "{first} {particle} {family}": 0.05,
    "{first[0]}. {family}": 0.12,
    "{first[0]}.{family}": 0.06,
    "{first[0]} {family}": 0.06,
    "{family}": 0.12,
    "{first}": 0.14,
    "{first[0]}{family}": 0.03,
    "{first} {family[0]}": 0.03,
    "{first[0]}.{family[0]}. {family}": 0.03,
}
PARTICLES = ("van", "de", "von", "da", "den", "la", "di", "bin", "van der", "el")
KASHIDA = "\u0640"  # the line between joined Arabic letters
UNJOINED = "اأإآٱدذرزوؤةىءڈڑژےۃ"  # Arabic letters that do not join the next one
CURRENCIES = ("$", "€", "£", "¥", "CHF", "EUR", "USD", "Rs.", "kr", "zł", "R$", "RM", "SGD")
MAX_WORD = 14  # characters
# Percentages of words of 2, 3, ... 14 letters in running English text: P. Norvig, "English Letter Frequency Counts:
# Mayzner Revisited" (2013). Other languages differ less from it than a lexicon does.
RUNNING_LENGTHS = (17.7, 20.5, 14.8, 10.7, 8.4, 7.9, 5.9, 4.4, 3.1, 1.8, 1.0, 0.5, 0.2)
_SEPARATORS = re.compile(r"[\s()\[\],;:/\u200b\u200c–—·.’'\"-]+")  # as in the CLDR


@dataclasses.dataclass(frozen=True)
class Lexicon:
    """Words and names of one script; ``given_names`` and ``family_names`` are parts of the names of persons."""

    script: str
    words: tuple[str, ...]
    given_names: tuple[str, ...]
    family_names: tuple[str, ...]


def load_lexicon(script: str) -> Lexicon:
    """Load the lexicon of a script of ``LOCALES``; the same for the same versions of Babel and Faker."""
    with _LOADING:
        return _load_lexicon(script)


@functools.lru_cache(maxsize=32)
def _load_lexicon(script: str) -> Lexicon:
    cldr, persons = LOCALES[script]
    words = [word for name in cldr.split() for word in _read_cldr(name)]
    words += [word for name in LOREM.get(script, "").split() for word in _read_faker("lorem", name, "word_list")]
    given_names = [name for locale in persons.split() for name in _read_faker("person", locale, "first_names")]
    family_names = [name for locale in persons.split() for name in _read_faker("person", locale, "last_names")]
    unique_words, unique_given_names, unique_family_names = (
        _unique(texts, script) for texts in (words, given_names, family_names)
    )
    return Lexicon(script, unique_words, unique_given_names or unique_words, unique_family_names or unique_words)


def generate_number(script: str, rng: np.random.Generator) -> str:
    """Generate a number, date, time, sum of money, percentage, code or telephone number."""
    text = NUMBERS[rng.choice(len(NUMBERS), p=NUMBER_SHARES)](rng)
    if script in ZERO and rng.random() < 0.5:
        text = text.translate({48 + digit: chr(ord(ZERO[script]) + digit) for digit in range(10)})
    return text


def _number(rng: np.random.Generator) -> str:
    return str(int(10 ** rng.uniform(0, 6)))


def generate_date(rng: np.random.Generator) -> str:
    """Generate a date in figures, in one of the usual forms."""
    day, month, year = int(rng.integers(1, 32)), int(rng.integers(1, 13)), int(rng.integers(1900, 2040))
    two_digits = f"{year % 100:02d}"
    forms = (
        f"{day}.{month}.{year}",
        f"{day:02d}/{month:02d}/{two_digits}",
        f"{year}-{month:02d}-{day:02d}",
        f"{day}/{month}/{year}",
        f"{day}-{month}-{two_digits}",
    )
    return pick(forms, rng)


def _time(rng: np.random.Generator) -> str:
    return f"{rng.integers(24)}:{rng.integers(60):02d}"


def _sum_of_money(rng: np.random.Generator) -> str:
    value, cents = int(10 ** rng.uniform(0, 6)), f"{rng.integers(100):02d}"
    forms = (
        f"{value}.{cents}",
        f"{value:,}.{cents}",
        f"{value},{cents}",
        f"{value:,}",
        f"{value}.-",
        f"-{value}.{cents}",
    )
    text = pick(forms, rng)
    if rng.random() < 0.65:
        return text
    currency = pick(CURRENCIES, rng)
    return f"{currency}{text}" if rng.random() < 0.6 else f"{text} {currency}"


def _percentage(rng: np.random.Generator) -> str:
    return f"{rng.integers(1, 101)}%"


def _code(rng: np.random.Generator) -> str:
    letters, value = "".join(chr(65 + code) for code in rng.integers(0, 26, 3)), int(10 ** rng.uniform(0, 6))
    forms = (f"{letters[:2]}-{value}", f"{letters}{value:06d}", f"{value:08d}", f"#{value}", f"{letters[0]}{value}")
    return pick(forms, rng)


def _telephone(rng: np.random.Generator) -> str:
    return f"+{rng.integers(1, 99)} {rng.integers(100, 999)} {rng.integers(1000, 9999)}"


def _item_number(rng: np.random.Generator) -> str:
    return f"({rng.integers(1, 40)})" if rng.random() < 0.5 else f"{rng.integers(1, 40)}."


NUMBERS = (_number, generate_date, _time, _sum_of_money, _percentage, _code, _telephone, _item_number)
NUMBER_SHARES = (0.18, 0.2, 0.06, 0.26, 0.05, 0.13, 0.07, 0.05)


def pick(items: tuple[str, ...], rng: np.random.Generator) -> str:
    """Pick one item; ``Generator.choice`` would copy the whole tuple into an array first."""
    return items[int(rng.integers(len(items)))]


def pick_running_word(script: str, rng: np.random.Generator, least: int = 2) -> str:
    """Pick a word that is as long as a word of running text: of the length that the lexicon has and is nearest.

    ``least`` is the least number of letters.
    """
    groups = _group_by_length(script)
    shares = np.asarray(RUNNING_LENGTHS[least - 2 :])
    length = least + int(rng.choice(len(shares), p=shares / shares.sum()))
    return pick(groups[min(groups, key=lambda size: abs(size - length))], rng)


@functools.lru_cache(maxsize=32)
def _group_by_length(script: str) -> dict[int, tuple[str, ...]]:
    groups: dict[int, list[str]] = {}
    for word in load_lexicon(script).words:
        groups.setdefault(len(word), []).append(word)
    return {length: tuple(words) for length, words in sorted(groups.items()) if length > 1 or len(groups) == 1}


def elongate(word: str, rng: np.random.Generator) -> str:
    """Elongate the line between two letters of an Arabic word, as hands do (kashida), where it has joined letters."""
    indices = [
        index
        for index in range(1, len(word))
        if word[index - 1].isalpha() and word[index - 1] not in UNJOINED and word[index].isalpha()
    ]
    if not indices:
        return word
    index = indices[int(rng.integers(len(indices)))]
    return word[:index] + KASHIDA * int(rng.integers(1, 4)) + word[index:]


def join(words: Iterable[str], script: str) -> str:
    """Join words as the script does."""
    return ("" if script in UNSPACED else " ").join(words)


def generate_name(script: str, rng: np.random.Generator) -> tuple[str, str]:
    """Generate the given name and the family name of a person."""
    lexicon = load_lexicon(script)
    return pick(lexicon.given_names, rng), pick(lexicon.family_names, rng)


def spell_name(script: str, rng: np.random.Generator) -> str:
    """Spell a name as people write it in signatures.

    Where letters have no case, one word by hand may be any word; names of two words are the signature's.
    """
    first, family = generate_name(script, rng)
    if script in IDEOGRAPHIC:
        return f"{family}{first}"[:4] if rng.random() < 0.85 else first[:3]
    if script in UNSPACED:
        return f"{first} {family}"
    if script not in CASED:
        return f"{first} {family}" if rng.random() < 0.85 else f"{first[0]}. {family}"
    form = rng.choice(len(NAME_FORMS), p=list(NAME_FORMS.values()))
    text = list(NAME_FORMS)[form].format(first=first, family=family, particle=pick(PARTICLES, rng))
    return text.upper() if rng.random() < 0.06 else text


def _read_cldr(name: str) -> list[str]:
    from babel import Locale

    locale = Locale(name)
    tables = (locale.territories, locale.languages, locale.currencies, locale.months["format"]["wide"],
              locale.days["format"]["wide"], locale.scripts)  # fmt: skip
    return [word for table in tables for text in table.values() for word in _SEPARATORS.split(str(text))]


def _read_faker(provider: str, locale: str, attribute: str) -> list[str]:
    """Read a list of a provider of Faker, whose items may be weighted (a dictionary)."""
    module = importlib.import_module(f"faker.providers.{provider}.{locale}")
    return [part for text in getattr(module.Provider, attribute) for part in _SEPARATORS.split(str(text))]


def _unique(words: list[str], script: str) -> tuple[str, ...]:
    """Sort, without repetitions, very long words, digits, and Latin letters in another script."""
    refused = re.compile(r"[\d&!?\u0085]" if script == "latin" else r"[\d&!?A-Za-z]")
    return tuple(sorted({word for word in words if 1 <= len(word) <= MAX_WORD and not refused.search(word)}))
