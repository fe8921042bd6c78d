"""The suffixes of the files that are read from folders; ``decode.py`` detects the format by the content."""

FILE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp"})
