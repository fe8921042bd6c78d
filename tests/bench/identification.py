"""``python -m tests.bench.identification``: identification among 1,000, 10,000 and 100,000 generated writers on file.

Prints time, memory and how often the nearest writer is the right one, and whether the rates that an answer states are
those of probes that were not used to find its threshold. The embeddings take about an hour to compute, once: they are
kept in the folder of ``--cache``. Generated signatures differ more than people's; ``--data`` names real ones, whose
writers join the generated ones.
"""

import argparse
import contextlib
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from trainer import corpora, ready
from trainer.artifact.artifact import Artifact
from trainer.data import sources
from trainer.enrolment import writers
from trainer.enrolment.gallery import Gallery, IdentificationParameters
from trainer.enrolment.store import EnrolmentStore
from trainer.generators import signatures
from trainer.imaging import ImageError

BLOCK = 500  # writers whose embeddings are in one file
PROBED = 3000  # of the generated writers, these have more than one image
IMAGES = 6  # of a probed writer: five references and a probe
SEED = 77
STRANGERS = 1000  # further writers, who are not on file
FPIRS = (0.01, 0.05)


def read_block(artifact: Artifact, cache: Path, start: int) -> np.ndarray:
    """Return embeddings ``float16 [BLOCK, images, D]`` of generated writers from ``start``; zeros are no signature."""
    images = IMAGES if start < PROBED else 1
    path = cache / f"{start:06d}.npy"
    if not path.exists():
        rows = [
            artifact.encode(signatures.generate_image(SEED, writer, "genuine", number)[0]).vector
            for writer in range(start, start + BLOCK)
            for number in range(images)
        ]
        np.save(path, np.array(rows, np.float16))
    return np.load(path).reshape(BLOCK, images, -1)


def read_real(artifact: Artifact, data: list[str]) -> dict[str, np.ndarray]:
    """Return embeddings ``float32 [n, D]`` of the genuine signatures of each writer, at most ``IMAGES``."""
    fetched = [sources.fetch_source(path) for path in data]
    readings = corpora.read_corpora((source.label, source.root, source.name) for source in fetched)
    rows: dict[str, list[np.ndarray]] = {}
    for sample in (sample for reading in readings for sample in reading.samples if sample.label == "genuine"):
        name = f"{sample.corpus_id}/{sample.writer}"
        if sample.writer is not None and len(rows.get(name, ())) < IMAGES:
            with contextlib.suppress(ImageError):
                encoded = artifact.encode(sample.path.read_bytes())
                if not encoded.rejection:
                    rows.setdefault(name, []).append(encoded.vector)
    return {name: np.stack(vectors) for name, vectors in rows.items() if len(vectors) == IMAGES}


def measure(artifact: Artifact, cache: Path, count: int, real: dict[str, np.ndarray], folder: Path) -> None:
    """Enrol ``count`` writers and print what identification among them takes and how it errs."""
    path = folder / f"{count}.sqlite"
    decision = artifact.decision
    probes: list[tuple[str, np.ndarray]] = []
    with EnrolmentStore.replace(path, artifact.encoder, artifact.manifest.vector_size) as store, store.transaction():
        half = len(real) // 2  # the others are strangers
        for name, vectors in list(real.items())[:half]:
            writers.put_writer(store, decision, name, writers.make_references((name, v) for v in vectors[:-1]))
            probes.append((name, vectors[-1]))
        for start in range(0, count - half, BLOCK):
            for writer, rows in enumerate(read_block(artifact, cache, start), start):
                vectors = rows[rows.any(axis=1)].astype(np.float32)
                if len(vectors) == 0 or writer >= count - half:
                    continue
                kept = vectors[:-1] if len(vectors) > 1 else vectors
                writers.put_writer(store, decision, str(writer), writers.make_references(("", v) for v in kept))
                if not real and len(vectors) > 1:
                    probes.append((str(writer), vectors[-1]))
    strangers = [vectors[-1] for vectors in list(real.values())[half:]]
    if not real:
        blocks = [read_block(artifact, cache, start) for start in range(100_000, 100_000 + STRANGERS, BLOCK)]
        strangers = [rows[0].astype(np.float32) for block in blocks for rows in block if rows[0].any()]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    with contextlib.closing(EnrolmentStore(path)) as store:
        gallery = Gallery(store, decision)
        opened = time.perf_counter()
        calibration = gallery.calibration
        calibrated = time.perf_counter()
        chosen = [probes[i] for i in np.random.default_rng(1).permutation(len(probes))[:STRANGERS]]
        seconds, right = [], 0
        for name, vector in chosen:
            cpu = time.process_time()
            answer = gallery.identify(vector, IdentificationParameters(1))
            seconds.append(time.process_time() - cpu)
            right += answer["candidates"][0]["writer"] == name
        print(
            f"{len(gallery):7,} writers: {path.stat().st_size / 2**20:6.0f} MB file; opened in {opened - began:.1f} s, "
            f"calibrated in {calibrated - opened:.1f} s, "
            f"{(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024:.0f} MB more memory; CPU ms of an "
            f"identification: median {1000 * np.median(seconds):.1f}, 99 % {1000 * np.quantile(seconds, 0.99):.1f}; "
            f"top-1 {100 * right / len(chosen):.1f} % of {len(chosen)} probes (leaving one out: "
            f"{100 * (calibration.top1 or 0):.1f} %)"
        )
        for fpir in FPIRS:
            parameters = IdentificationParameters(1, fpir)
            answers = [gallery.identify(vector, parameters) for vector in strangers]
            wrong = np.mean([answer["decision"] == "identified" for answer in answers])
            missed = np.mean([gallery.identify(vector, parameters).get("writer") != name for name, vector in chosen])
            stated = calibration.find_threshold(fpir)[1]
            print(
                f"    FPIR stated {100 * stated['fpir']:.1f} %, of {len(strangers)} strangers {100 * wrong:.1f} %; "
                f"FNIR stated {100 * stated.get('fnir', float('nan')):.1f} %, of the probes {100 * missed:.1f} %"
            )


def main(arguments: list[str] | None = None) -> int:
    """Measure each number of writers."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.identification", description=__doc__)
    parser.add_argument("--writers", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--cache", type=Path, default=Path("runs/identification"))
    parser.add_argument("--artifact", default=ready.VERIFIER, help="the verifier (default: %(default)s)")
    parser.add_argument("--data", nargs="+", default=[], help="folders of real signatures, with writers")
    options = parser.parse_args(arguments)
    options.cache.mkdir(parents=True, exist_ok=True)
    artifact = Artifact(ready.fetch_artifact(options.artifact))
    real = read_real(artifact, options.data)
    print(f"{os.cpu_count()} cores; {len(real)} real writers, of whom half are on file", file=sys.stderr)
    for count in options.writers:
        with tempfile.TemporaryDirectory(prefix="identification-") as folder, threadpool_limits(1):
            measure(artifact, options.cache, count, real, Path(folder))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
