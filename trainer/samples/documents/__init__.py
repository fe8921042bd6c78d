"""What generated pages consist of: letters, contracts, forms, cheques, receipts, tables and cards, with boxes.

``sheet.py`` is the paper that parts are put on, ``kinds.py`` the layout of each kind of document, ``signing.py`` who
signs it, ``parts.py`` and ``typesetting.py`` everything else on it, ``recording.py`` the scan with the boxes of what is
found on it. Next: ``trainer/generators/pages.py`` makes pages of them.
"""
