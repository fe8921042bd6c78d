"""Who of N known persons wrote this signature? ``unknown`` where none of them is likely (a closed set).

A label is a person: the writer of genuine signatures, or a folder by any other name. Forgeries are left out. Images are
split, not writers. Next: ``_classification.py`` has losses and the rejection limit, ``_class_head.py`` the head.
"""

from trainer.artifact.manifest import UNKNOWN
from trainer.console.errors import UserError
from trainer.corpora import Sample
from trainer.problems._classification import fit_rejecting_classifier, make_closed_set_problem
from trainer.samples.amount import DatasetSpec

GENUINE, FORGED = "genuine", "forged"


class UnsuitablePerson(UserError):
    """The name of a person is missing, ambiguous or reserved; the message says which, and where."""


def label_by_person(samples: list[Sample]) -> list[Sample]:
    """Return the samples that are no forgeries, with the person as their label and writer.

    Writers of two corpora are different persons, so that a name may be in one corpus only. Raises ``UnsuitablePerson``.
    """
    corpus_of_person: dict[str, str] = {}
    labelled = []
    for sample in samples:
        if sample.label == FORGED:
            continue
        person = sample.writer if sample.label == GENUINE else sample.label
        if person is None:
            raise UnsuitablePerson(
                f"nothing says who wrote {str(sample.path)!r}; put the images of each person into a folder with their "
                "name, such as anna/ and ben/, or 001/ and 002/"
            )
        if person == UNKNOWN:
            raise UnsuitablePerson(
                f"{str(sample.path)!r} is by a person called {UNKNOWN!r}, which is the answer to images of nobody in "
                "the training data; take these images out, or rename the person"
            )
        if corpus_of_person.setdefault(person, sample.corpus_id) != sample.corpus_id:
            raise UnsuitablePerson(
                f"a person called {person!r} is in {corpus_of_person[person]!r} and in {sample.corpus_id!r}: rename "
                "the folders if these are two persons, or put the images of one person into one folder"
            )
        labelled.append(sample.relabel(person, writer=person))
    return labelled


PROBLEM = make_closed_set_problem(
    question="who of these people wrote this signature (people known from training)?",
    generated_dataset=DatasetSpec("writer_folders", writers=20, genuine=20),
    relabel=label_by_person,
    fit_decision=fit_rejecting_classifier,
)
