"""Which images make a batch: any, P writers x (K genuine + F forged), or explicit pairs. Numbers of rows, drawn by lot.

Losses between images learn from what meets in a batch. Knows no pixels and no files; the same generator gives the same
batches. Next: ``batches.py`` brings the images.
"""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

from trainer.console.errors import UserError
from trainer.settings.flags import BadSetting

IMAGES = "images"  # any that come, each once an epoch: for losses that look at images one by one
WRITERS, PAIRS = "writers", "pairs"  # for losses that compare
GENUINE, FORGED = 4, 4  # of each writer in a batch by writers
WITH_FORGERIES = 0.75  # of the people in a batch by writers: they teach more than those whom nobody forged
ONE_SOURCE = 0.8  # of the batches: else a pen or a scanner tells most people apart, and is learnt instead of hands
Batches = Iterator[np.ndarray]


class TooFewWriters(UserError):
    """Not enough people, or too few signatures of each, to compare hands; the message says what would do."""


@dataclasses.dataclass(frozen=True)
class Hands:
    """Row numbers by writer: ``genuine[i]`` (two or more) and ``forged[i]`` (maybe none) are those of one person.

    ``source[i]`` is the number of the corpus that the person is of.
    """

    genuine: list[np.ndarray]
    forged: list[np.ndarray]
    source: np.ndarray

    @classmethod
    def of(cls, writer: np.ndarray, genuine: np.ndarray, source: np.ndarray) -> "Hands":
        """From arrays ``[N]``; writers with one genuine signature have nothing to be compared with."""
        order = np.argsort(writer, kind="stable")
        rows = np.split(order, np.flatnonzero(np.diff(writer[order])) + 1)
        rows = [each for each in rows if np.count_nonzero(genuine[each]) >= 2]
        first = np.array([each[0] for each in rows], int)
        return cls([each[genuine[each]] for each in rows], [each[~genuine[each]] for each in rows], source[first])

    def __len__(self) -> int:
        return len(self.genuine)


def writers(hands: Hands, size: int, steps: int, rng: np.random.Generator) -> Batches:
    """``steps`` batches of ``size`` rows: P = size / (K + F) people with K genuine and F forged signatures each.

    Four of five batches are of people of one source, drawn by how many people it has, as far as it has enough. People
    come in turn, in a new order each round; three of four have forgeries, where there are both kinds; who has none (in
    the data) brings K + F genuine ones.
    """
    people = size // (GENUINE + FORGED)
    everybody = _mixed(hands, np.arange(len(hands)), people, rng)
    sources = [np.flatnonzero(hands.source == source) for source in np.unique(hands.source)]
    by_source = [_mixed(hands, own, min(people, len(own)), rng) for own in sources]
    share = np.array([len(own) for own in sources]) / len(hands)
    for _ in range(steps):
        chosen = next(by_source[rng.choice(len(sources), p=share)]) if rng.random() < ONE_SOURCE else next(everybody)
        while len(chosen) < people:  # a small source: others fill up, or the same again where there are no others
            more = next(everybody)
            others = np.setdiff1d(more, chosen)
            chosen = np.concatenate([chosen, rng.permutation(others if len(others) else more)[: people - len(chosen)]])
        yield np.array([row for person in chosen for row in _of_one(hands, person, rng)])


def _mixed(hands: Hands, own: np.ndarray, people: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """``people`` of ``own`` at a time, in turn; three of four with forgeries, as far as there are enough of a kind."""
    forged = np.array([len(hands.forged[person]) > 0 for person in own])
    there, others = int(forged.sum()), int((~forged).sum())
    with_forgeries = max(min(there, round(WITH_FORGERIES * people)), people - others) if there else 0
    turns = [_turns(own[forged], with_forgeries, rng), _turns(own[~forged], people - with_forgeries, rng)]
    while True:
        yield np.concatenate([next(turn) for turn in turns])


def pairs(hands: Hands, size: int, steps: int, rng: np.random.Generator) -> Batches:
    """``steps`` batches of ``size / 2`` pairs, rows 2i and 2i + 1, whose order in the pair is drawn.

    Half are genuine signatures of one writer. The others are, in turn, a genuine one with its forgery and with another
    writer's genuine one: were there a forgery in every negative pair, the forger's hand alone would give it away.
    """
    turns = _turns(np.arange(len(hands)), size // 2, rng)
    forged = 0
    for _ in range(steps):
        rows = []
        for place, person in enumerate(next(turns)):
            first, second = rng.choice(hands.genuine[person], 2, replace=False)
            if place % 2:
                forged += 1
                if forged % 2 and len(hands.forged[person]):
                    second = rng.choice(hands.forged[person])
                else:
                    other = (person + rng.integers(1, len(hands))) % len(hands)
                    second = rng.choice(hands.genuine[other])
            rows += [first, second] if rng.random() < 0.5 else [second, first]
        yield np.array(rows)


def check(hands: Hands) -> None:
    """Raises ``TooFewWriters`` when there is nobody to compare; where people are few, they come several times."""
    if len(hands) < 2:
        raise TooFewWriters(
            f"{len(hands)} people have two or more genuine signatures to learn from; to compare hands takes two"
        )


def check_size(way: str, size: int, replicas: int = 1) -> None:
    """Raises ``BadSetting`` for a batch that cannot be filled in this way.

    ``replicas`` are the devices that share a batch. Losses that compare images see the rows of one device, so each
    device needs whole writers, two at least, or whole pairs.
    """
    unit, fewest = {WRITERS: (GENUINE + FORGED, 2), PAIRS: (2, 1)}.get(way, (1, 0))
    share = unit * replicas
    if way in WAYS and (size % share or size < fewest * share):
        enough = max(fewest, -(-size // share)) * share
        devices = f" for each of {replicas} devices" if replicas > 1 else ""
        raise BadSetting(
            f"--batch-size {size}: by {way}, a batch is a multiple of {unit} images{devices}, {fewest * share} or more "
            f"in all; the next larger one is {enough}"
        )


WAYS: dict[str, Callable[[Hands, int, int, np.random.Generator], Batches]] = {WRITERS: writers, PAIRS: pairs}


def _turns(people: np.ndarray, each: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """``each`` people at a time, everybody equally often; nobody twice at a time unless there are too few."""
    waiting = people[:0]
    while True:
        while len(waiting) < each:
            again = rng.permutation(people)
            late = np.isin(again, waiting)  # those who wait already go to the end
            waiting = np.concatenate([waiting, again[~late], again[late]])
        yield waiting[:each]
        waiting = waiting[each:]


def _of_one(hands: Hands, person: int, rng: np.random.Generator) -> list[int]:
    genuine, forged = hands.genuine[person], hands.forged[person]
    rows = _some(forged, FORGED, rng) if len(forged) else []
    return _some(genuine, GENUINE + FORGED - len(rows), rng) + rows


def _some(rows: np.ndarray, count: int, rng: np.random.Generator) -> list[int]:
    """So many of these, each once before any comes twice."""
    rounds = -(-count // len(rows))
    return np.concatenate([rng.permutation(rows) for _ in range(rounds)])[:count].tolist()
