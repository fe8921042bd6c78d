"""A request's questions to its answers: every image looked at once, on the lanes, then decided, then explained.

Knows neither HTTP nor a model. Next: ``service.py`` for what each step does, ``lanes.py`` for when it is done.
"""

from collections.abc import Mapping
from typing import Any

from predictor import wire
from predictor.errors import BadInstance, BadRequest, Unanswerable
from predictor.lanes import Lanes
from predictor.service import Image, Question, Service
from predictor.telemetry import Record
from trainer.artifact.artifact import Look
from trainer.imaging import ImageError

Looks = Mapping[bytes, Look | ImageError]


async def answers(
    service: Service, lanes: Lanes, asked: wire.Request, deadline: float, record: Record
) -> list[dict[str, Any]]:
    """One answer for each instance, in order; ``deadline`` is a time of ``time.monotonic``.

    Raises what is wrong with the request, or with its first bad instance; where errors go by row, a bad instance's
    answer is ``{"error": {...}}`` and the others are answered.
    """
    service.check(asked)
    images = service.images(asked)
    with lanes.reserve(max(len(images), sum(map(_is_explained, asked.instances)))) as room:
        alone = len(images) == 1 and lanes.taken == room.left

        def look(image: Image) -> Look | ImageError:
            try:
                seen = service.look(image, alone)
            except BadInstance as error:
                if not asked.by_row:
                    raise
                return error.error
            for stage, seconds in seen.seconds.items():
                record.took(stage, seconds)
            return seen

        found = await lanes.run_all(look, images, deadline, room, lambda seconds: record.took("wait", seconds))
        looks = {image.data: look for image, look in zip(images, found, strict=True)}
        rows, explained = [], []
        for position, instance in enumerate(asked.instances):
            row, question = _row(service, asked, position, looks)
            rows.append(row)
            if question and _is_explained(instance) and "distance" in row:
                explained.append((row, question))
        explanations = await lanes.run_all(service.explain, [question for _, question in explained], deadline, room)
    for (row, _), explanation in zip(explained, explanations, strict=True):
        row["explanation"] = explanation
    record.counted(instances=len(rows), images=len(images), errors=sum("error" in row for row in rows))
    return rows


def _is_explained(instance: wire.Instance | BadRequest) -> bool:
    """Whether an answer may need an explanation, which is work of its own: it has something to be compared with."""
    return isinstance(instance, wire.Instance) and instance.explain and bool(instance.references or instance.embeddings)


def _row(service: Service, asked: wire.Request, position: int, looks: Looks) -> tuple[dict[str, Any], Question | None]:
    try:
        question = service.question(asked, position, looks)
        return service.decide(position, question), question
    except (BadRequest, BadInstance, Unanswerable) as error:
        if not asked.by_row:
            raise
        return wire.describe(error.code, str(error), error.instance), None
