"""``python -m tests.bench.writer_histories``: random histories of writers on file, each with processes that are killed.

A process adds, replaces and removes writers and references, and reports every write that returned, until SIGKILL ends
it at a random moment. Then the file has to hold exactly what was reported, with the write that was under way done as a
whole or not at all; and no byte of what was removed may be left in the folder. Half of the histories are encrypted.
"""

import argparse
import contextlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from trainer.artifact.verification import Verifier
from trainer.enrolment import writers
from trainer.enrolment.errors import EnrolmentError, NotEnrolled
from trainer.enrolment.records import Reference
from trainer.enrolment.store import EnrolmentStore

DIM = 768  # several references do not fit into one page of the file
WRITERS = ("ann otherwise", "boris godunov", "chen sun-li", "dora of delft")  # long enough not to occur by chance
ROUNDS, OPERATIONS = 3, 25
LONGEST = 0.1  # seconds until the kill
VERIFIER = Verifier(
    embedding_dim=DIM,
    fusion="max",
    prior_cohesion=0.5,
    a0=10.0,
    a1=1.0,
    b0=0.0,
    b1=0.0,
    max_references=10,
    thresholds={"eer": {"1": 0.0, "5": 0.0}, "0.01": {"1": 2.0, "5": 2.0}},
    inconclusive_margin=0.1,
    calibrated_on="skilled",
)
State = dict[str, dict[str, bytes]]  # the stored bytes of each vector, by writer and id of the reference


def make_reference(generator: random.Random) -> Reference:
    """Make a reference with a vector, a label and an id that no other has."""
    vector = np.random.default_rng(generator.getrandbits(64)).standard_normal(DIM)
    label = f"label-{generator.getrandbits(64):x}"
    return Reference(f"{generator.getrandbits(48):012x}", label, (vector / np.linalg.norm(vector)).astype(np.float32))


def operate(generator: random.Random, store: EnrolmentStore | None, state: State) -> State:
    """Apply a random operation to a store, if one is given; return the state after it."""
    name = generator.choice(WRITERS)
    kind = generator.choice(("add", "add", "replace", "remove", "remove_reference"))
    references = [make_reference(generator) for _ in range(generator.randint(1, 4))]
    stored = {each.id: each.vector.astype(np.float16).tobytes() for each in references}
    after = dict(state)
    if kind == "remove_reference" and name in state:
        id = generator.choice(sorted(state[name]))
        if store:
            writers.remove_reference(store, VERIFIER, name, id)
        after[name] = {each: data for each, data in state[name].items() if each != id}
    elif kind == "remove" and name in state:
        if store:
            store.remove(name)
        del after[name]
    elif kind == "replace":
        if store:
            writers.put_writer(store, VERIFIER, name, references)
        after[name] = stored
    else:
        if store:
            writers.add_references(store, VERIFIER, name, references)
        after[name] = {**state.get(name, {}), **stored}
    return {name: rows for name, rows in after.items() if rows}


def read_state(store: EnrolmentStore) -> State:
    """Read everything from a store, and check that the summaries agree with the references."""
    state = {}
    for summary in store.read_summaries():
        references = store.read_references(summary.name)
        assert summary.references == len(references), "a summary of other references"
        state[summary.name] = {each.id: each.vector.astype(np.float16).tobytes() for each in references}
    return state


def run_until_killed(path: Path, key: bytes | None, seed: int, state: State, delay: float) -> list[State]:
    """Operate on the file in a process that is killed after ``delay`` seconds.

    Returns the states that it may have left: that after the last reported write, and that after the next one.
    """
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        try:
            generator = random.Random(seed)
            with contextlib.closing(EnrolmentStore(path, key, is_writable=True)) as store:
                for _ in range(OPERATIONS):
                    state = operate(generator, store, state)
                    os.write(writer, b".")
        finally:
            os._exit(0)
    os.close(writer)
    time.sleep(delay)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    with os.fdopen(reader, "rb") as pipe:
        reported = len(pipe.read())
    generator = random.Random(seed)
    states = [state]
    for _ in range(min(reported + 1, OPERATIONS)):
        states.append(operate(generator, None, states[-1]))
    return states[reported:]


def collect_removed(generations: list[State], state: State) -> list[bytes]:
    """Return the bytes of all vectors, and the names, that were stored once and are not now."""
    kept = {data for rows in state.values() for data in rows.values()}
    once = {data for each in generations for rows in each.values() for data in rows.values()}
    names = {name.encode() for each in generations for name in each} - {name.encode() for name in state}
    return [*(once - kept), *names]


def run_history(seed: int, folder: Path) -> int:
    """Run one history; return how many writes were reported. Raises ``AssertionError``."""
    generator = random.Random(seed)
    path = folder / "people.sqlite"
    key = generator.randbytes(32) if seed % 2 else None
    EnrolmentStore.create(path, "encoder", DIM, key).close()
    state: State = {}
    generations: list[State] = []
    for _ in range(ROUNDS):
        states = run_until_killed(path, key, generator.getrandbits(32), state, generator.uniform(0, LONGEST))
        with contextlib.closing(EnrolmentStore(path, key, is_writable=True)) as store:
            left = read_state(store)
        assert left in states, f"history {seed}: the file holds what no write has left"
        generations += [*states, left]
        state = left
    with contextlib.closing(EnrolmentStore(path, key, is_writable=True)) as store:  # at last, remove some for good
        for name in sorted(state)[: generator.randint(0, len(state))]:
            store.remove(name)
            del state[name]
        with contextlib.suppress(NotEnrolled):
            writers.remove_reference(store, VERIFIER, WRITERS[0], "none")
        revision = store.revision
    content = b"".join(file.read_bytes() for file in sorted(folder.iterdir()))
    removed = collect_removed(generations, state)
    if key:
        removed += [data for rows in state.values() for data in rows.values()]
        removed += [name.encode() for name in state]
    for data in removed:
        pieces = [data] if len(data) < 64 else [data[start : start + 32] for start in range(0, len(data), 32)]
        assert not any(piece in content for piece in pieces), f"history {seed}: what was removed can still be read"
    return revision


def main(arguments: list[str] | None = None) -> int:
    """Run histories; return 1 if one of them lost, halved or kept something."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.writer_histories", description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0, help="of the first history")
    options = parser.parse_args(arguments)
    writes = 0
    for seed in range(options.seed, options.seed + options.count):
        folder = Path(tempfile.mkdtemp(prefix="history-"))
        try:
            writes += run_history(seed, folder)
        except (AssertionError, EnrolmentError) as error:
            print(f"history {seed}: {error}", file=sys.stderr)
            return 1
        finally:
            shutil.rmtree(folder)
    print(
        f"{options.count} histories with {options.count * ROUNDS} kills and {writes} writes: nothing lost, half or left"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
