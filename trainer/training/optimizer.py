"""The optimizer of a run: Adam with warmup, cosine decay, weight decay and clipping, as the settings say.

Next: ``loop.py``, which steps it.
"""

import keras

from trainer.settings.sections import TrainingSettings


def make_optimizer(settings: TrainingSettings, num_steps: int) -> keras.optimizers.Optimizer:
    """Adam with a linear warmup, then a cosine decay of the learning rate to 0 at the last of ``num_steps``.

    With the small rates of the last epochs the weights settle, so the best of these epochs is a good one.
    """
    rate, warmup_steps = settings.learning_rate, int((settings.warmup or 0) * num_steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0 if warmup_steps else rate,
        num_steps - warmup_steps,
        warmup_target=rate if warmup_steps else None,
        warmup_steps=warmup_steps,
    )
    optimizer = keras.optimizers.Adam(
        schedule, weight_decay=settings.weight_decay or None, clipnorm=settings.clip_norm or None
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer
