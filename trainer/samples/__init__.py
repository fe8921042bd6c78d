"""Drawing of generated images: signatures, skilled forgeries, words in 25 scripts, and what is neither.

``amount.py`` is the size of a dataset; ``sample.py`` draws one image: ``signature.py`` or ``text.py`` says what is
written, ``movement.py`` moves the pen, ``ink.py`` draws its line, ``page.py`` puts it on paper and ``capture.py`` scans
it. ``trainer/generators`` makes files and streams of them. Next: ``sample.py``.
"""
