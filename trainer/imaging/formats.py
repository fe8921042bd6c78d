"""The image files that are looked for in folders, by suffix; ``decode.py`` goes by content."""

FILE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp"})
