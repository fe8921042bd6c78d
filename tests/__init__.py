"""Tests mirror the packages; ``contract/`` enumerates plug-ins, ``golden/`` holds data, ``bench/`` is run by hand."""
