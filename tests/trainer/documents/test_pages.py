"""The pages of every kind of document: their order, sizes and what is drawn on them."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from tests.trainer.documents import pdf_files
from trainer.documents import DocumentPage, is_document, read_pages
from trainer.documents.tiff import NEW_SUBFILE_TYPE
from trainer.imaging.decode import ORIENTATION, decode
from trainer.imaging.headers import iterate_directories

PICTURES = [Image.effect_noise(size, 60) for size in ((40, 30), (25, 60), (70, 20))]


def saved(picture: Image.Image, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def tiff(*pictures: Image.Image, **options) -> bytes:
    return saved(pictures[0], "TIFF", save_all=True, append_images=pictures[1:], **options)


def grey_pages(data: bytes, side: int = 200) -> list[np.ndarray]:
    return [decode(page.image, frame=page.frame).grey for page in read_pages(data, side)]


def tiff_of_kinds(*kinds: int) -> bytes:
    """Return a TIFF of several frames, each with this value of the tag NewSubfileType."""
    data = bytearray(tiff(*[PICTURES[0]] * len(kinds), tiffinfo={NEW_SUBFILE_TYPE: 0}))
    for kind, directory in zip(kinds, iterate_directories(bytes(data)), strict=True):
        tag, *_, position = next(directory.iterate_entries())
        assert tag == NEW_SUBFILE_TYPE
        struct.pack_into("<I", data, position, kind)
    return bytes(data)


IMAGES = {format: saved(PICTURES[0], format) for format in ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")}
ANIMATED = {
    format: saved(PICTURES[0], format, save_all=True, append_images=[PICTURES[0].rotate(180)])
    for format in ("PNG", "GIF", "WEBP")
}


@pytest.mark.parametrize("data", [*IMAGES.values(), b"", b"no image"])
def test_a_single_image_is_passed_on_as_it_is(data):
    assert list(read_pages(data, 100)) == [DocumentPage(1, data)]
    assert not is_document(data)


@pytest.mark.parametrize("format", ANIMATED)
def test_an_animated_image_is_one_page(format):
    assert not is_document(ANIMATED[format])
    assert [page.frame for page in read_pages(ANIMATED[format], 100)] == [0]


def test_the_pages_of_a_tiff_come_in_order_with_their_sizes():
    data = tiff(*PICTURES)
    assert is_document(data)
    assert list(read_pages(data, 100)) == [DocumentPage(number + 1, data, number) for number in range(3)]
    for grey, picture in zip(grey_pages(data), PICTURES, strict=True):
        np.testing.assert_array_equal(grey, np.asarray(picture))


def test_a_page_of_a_tiff_has_its_own_orientation():
    turned = Image.open(io.BytesIO(saved(PICTURES[0], "TIFF", tiffinfo={ORIENTATION: 6})))
    shapes = [grey.shape for grey in grey_pages(tiff(PICTURES[0], turned))]
    assert shapes == [(30, 40), (40, 30)]


@pytest.mark.parametrize(("kind", "frames"), [(0, [0, 1, 2]), (1, [0, 2]), (2, [0, 1, 2]), (4, [0, 2])])
def test_previews_and_masks_in_a_tiff_are_no_pages(kind, frames):
    data = tiff_of_kinds(kind, kind, 0)
    assert is_document(data)
    assert [page.frame for page in read_pages(data, 100)] == frames
    assert [page.number for page in read_pages(data, 100)] == list(range(1, len(frames) + 1))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (pdf_files.one_page(), True),
        (b"Content-Type: application/pdf\r\n\r\n" + pdf_files.one_page(), True),
        (b" " * 1024 + pdf_files.one_page(), False),
        (b"\x89PNG\r\n\x1a\n %PDF-1.7", False),
        (tiff(PICTURES[0], PICTURES[1], big_tiff=True), True),
        (tiff_of_kinds(0, 1), False),
    ],
)
def test_a_document_is_recognised_by_its_header(data, expected):
    assert is_document(data) == expected


def test_the_pages_of_a_pdf_have_sizes_in_points_and_the_pixels_of_the_side():
    boxes = ("0 0 612 792", "0 0 300.5 100", "-10 -20 90 80", "200 100 0 0", "0 0 14400 10", "0 0 0 0")
    pages = list(read_pages(pdf_files.pages(*boxes), 330))
    assert [page.number for page in pages] == [1, 2, 3, 4, 5, 6]
    # Of a page without a size PDFium makes US Letter.
    assert [page.size for page in pages] == [(792, 612), (100, 300.5), (100, 100), (100, 200), (10, 14400), (792, 612)]
    assert {(page.unit, page.frame) for page in pages} == {("point", 0)}
    images = [decode(page.image) for page in pages]
    assert [image.grey.shape for image in images] == [
        (330, 255),
        (110, 330),
        (330, 330),
        (165, 330),
        (1, 330),
        (330, 255),
    ]
    assert {image.format_and_mode for image in images} == {"BMP L"}


def test_the_same_pdf_has_the_same_pixels_in_every_process():
    data = pdf_files.one_page()
    (first,), (second,) = read_pages(data, 500), read_pages(data, 500)
    assert first == second
    assert decode(first.image).grey.min() == 0, "letters of a font that is not in the file"


def test_a_page_is_turned_and_cropped_as_the_pdf_says():
    content = "0 0 100 50 re f"  # the lower left quarter
    turned, cropped = (
        pdf_files.one_page(content, page=page) for page in ("/Rotate 90", "/CropBox [80 0 180 40] /Rotate 0")
    )
    (page,) = read_pages(turned, 200)
    assert page.size == (200, 100)
    assert dark_share(page, np.s_[:100, :50]) > 0.99, "the upper left, after a turn to the right"
    assert dark_share(page) == pytest.approx(0.25, abs=0.01)
    (page,) = read_pages(cropped, 200)
    assert page.size == (40, 100)
    assert dark_share(page, np.s_[:, :40]) > 0.97
    assert dark_share(page) == pytest.approx(0.2, abs=0.01)


def dark_share(page: DocumentPage, part=np.s_[:, :]) -> float:
    """Return the share of dark pixels of a part of a page."""
    return float((decode(page.image).grey[part] < 128).mean())


def test_colours_and_transparency_become_grey_levels_on_white_paper():
    content = "/A gs 1 0 0 rg 0 0 50 100 re f 0 1 0 rg 50 0 50 100 re f 0 0 0 1 k 100 0 50 100 re f"
    for opacity in (1.0, 0.5):
        page = f"/Resources << /ExtGState << /A << /ca {opacity} >> >> >>"
        (grey,) = grey_pages(pdf_files.one_page(content, page=page))
        levels = [76, 151, 32, 255]  # by the weights 0.30, 0.59 and 0.11; PDFium's black of CMYK is 32
        expected = [255 - opacity * (255 - level) for level in levels]
        assert grey[50, [25, 75, 125, 175]].tolist() == pytest.approx(expected, abs=2)


@pytest.mark.parametrize(
    "entries", ["/Subtype /Stamp", "/Subtype /Ink", "/Subtype /Widget /FT /Tx", "/Subtype /Widget /FT /Sig /F 132"]
)
def test_annotations_and_the_fields_of_a_form_are_drawn(entries):
    appearance = pdf_files.stream(b"0 0 100 50 re f", "/Type /XObject /Subtype /Form /BBox [0 0 100 50]")
    annotation = f"<< /Type /Annot {entries} /T (name) /Rect [50 25 150 75] /AP << /N 6 0 R >> /P 3 0 R >>"
    form = "/AcroForm << /Fields [7 0 R] >>" if "Widget" in entries else ""
    data = pdf_files.one_page("", page="/Annots [7 0 R]", catalogue=form, objects=[appearance, annotation])
    (page,) = read_pages(data, 200)
    assert dark_share(page, np.s_[26:74, 51:149]) == 1
    assert dark_share(page) == pytest.approx(0.25, abs=0.01)


def test_a_scan_in_a_pdf_has_the_levels_of_the_scan():
    scan = Image.linear_gradient("L").resize((300, 200))
    scans = saved(scan.convert("RGB"), "PDF", save_all=True, append_images=[scan.rotate(180).convert("RGB")])
    upright, turned = grey_pages(scans, 300)
    np.testing.assert_allclose(upright, np.asarray(scan), atol=4)
    np.testing.assert_array_equal(turned.shape, upright.shape)
    np.testing.assert_allclose(turned.astype(int), np.asarray(scan)[::-1, ::-1], atol=4)


@pytest.mark.parametrize("side", [0, -1, 65_536])
def test_a_side_without_a_meaning_is_an_error_of_the_caller(side):
    with pytest.raises(ValueError, match="1 to 65,535"):
        next(read_pages(b"", side))
