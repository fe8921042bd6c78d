"""Documents that are damaged, locked or made to do harm: each is an ``ImageError`` that says why, within limits."""

import struct
import zlib

import pytest
from PIL import Image

from tests.trainer.documents import pdf_files
from tests.trainer.documents.test_pages import saved, tiff
from trainer.documents import (
    DocumentLimits,
    DocumentTooComplex,
    DocumentTooLarge,
    EncryptedDocument,
    UnreadableDocument,
    read_pages,
)
from trainer.imaging import ImageTooLarge, Limits, UnreadableImage
from trainer.imaging.decode import decode

MEBI = 2**20
IMAGE = "/Type /XObject /Subtype /Image /BitsPerComponent 8 /ColorSpace /DeviceGray"


def read(data: bytes, side: int = 100, limits: Limits = Limits(), **document_limits) -> list:
    return [page.number for page in read_pages(data, side, limits, DocumentLimits(**document_limits))]


def test_a_pdf_with_a_password_is_refused_and_one_without_is_decrypted():
    with pytest.raises(EncryptedDocument, match="password") as error:
        read(pdf_files.encrypted(b"secret"))
    assert error.value.code == "encrypted_document"
    (page,) = read_pages(pdf_files.encrypted(b""), 200)
    (plain,) = read_pages(pdf_files.one_page(), 200)
    assert page.image == plain.image


DAMAGED = {
    "a mark alone": b"%PDF-1.7",
    "random bytes": b"%PDF-1.7\n" + bytes(range(256)) * 64,
    "cut off in its objects": pdf_files.one_page()[:300],
    "a loop of cross references": b"%PDF-1.7\nxref\n0 1\n0000000000 65535 f \ntrailer\n<< /Size 1 /Prev 9 >>\n"
    b"startxref\n9\n%%EOF\n",
    "no pages": pdf_files.write(["<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Kids [] /Count 0 >>"]),
    "pages that contain themselves": pdf_files.write(
        ["<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Kids [2 0 R] /Count 1 >>"]
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_pdf_is_unreadable(name):
    with pytest.raises(UnreadableDocument) as error:
        read(DAMAGED[name])
    assert error.value.code == "unreadable_document"


def test_a_pdf_that_lost_its_cross_references_is_read():
    assert read(pdf_files.one_page().split(b"xref")[0] + b"trailer\n<< /Root 1 0 R >>\n") == [1]


def test_a_pdf_of_compressed_objects_is_read():
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R 3 0 R] /Count 2 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 70 50] >>",
    ]
    assert read(pdf_files.write_compressed(objects)) == [1, 2]


def test_the_pages_before_a_damaged_page_are_read():
    pages, data = [], pdf_files.one_page().replace(b"/Count 1", b"/Count 9")
    with pytest.raises(UnreadableDocument, match="page 2"):
        pages.extend(read_pages(data, 100))
    assert [page.number for page in pages] == [1]


def test_a_truncated_tiff_has_a_page_that_is_unreadable():
    data = tiff(*[Image.effect_noise((40, 30), 60)] * 3)
    first, *_, last = read_pages(data[:-100], 100)
    assert decode(first.image, frame=first.frame).grey.size
    with pytest.raises(UnreadableImage):
        decode(last.image, frame=last.frame)


def test_a_document_of_as_many_pages_as_accepted_is_read_and_one_of_more_is_not():
    for data in (pdf_files.pages(*["0 0 9 9"] * 3), tiff(*[Image.new("L", (5, 5))] * 3)):
        assert read(data, max_pages=3) == [1, 2, 3]
        with pytest.raises(DocumentTooLarge, match="pages") as error:
            read(data, max_pages=2)
        assert error.value.code == "document_too_large"


def test_a_pdf_that_repeats_a_page_ten_thousand_times_is_too_large():
    data = pdf_files.write(
        [
            "<< /Type /Catalog /Pages 2 0 R >>",
            f"<< /Type /Pages /Kids [{'3 0 R ' * 10_000}] /Count 10000 >>",
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] >>",
        ]
    )
    with pytest.raises(DocumentTooLarge, match="10,000 pages"):
        read(data)


def test_a_tiff_of_a_million_directories_is_too_large():
    chain = b"".join(struct.pack("<HI", 0, 8 + 6 * (index + 1)) for index in range(MEBI))
    data = struct.pack("<2sHI", b"II", 42, 8) + chain
    with pytest.raises(DocumentTooLarge, match="200 pages"):
        read(data)
    *_, last = read_pages(data, 100, document_limits=DocumentLimits(max_pages=10**9))
    with pytest.raises(ImageTooLarge, match="1,000 pages"):
        decode(last.image, frame=last.frame)


def test_a_pdf_of_as_many_bytes_as_accepted_is_read_and_one_of_more_is_not():
    data = pdf_files.one_page() + b" " * 40_000  # larger than its page, which is a file as well
    assert read(data, limits=Limits(max_bytes=len(data))) == [1]
    with pytest.raises(DocumentTooLarge, match="bytes"):
        read(data, limits=Limits(max_bytes=len(data) - 1))


def test_a_page_has_as_many_pixels_as_can_be_decoded():
    data = pdf_files.one_page()
    assert read(data, 100, Limits(max_pixels=5000)) == [1]
    with pytest.raises(DocumentTooLarge, match="more than 4,999 pixels"):
        read(data, 100, Limits(max_pixels=4999))
    limits = Limits(max_bytes=10_000)
    for side in range(120, 150, 3):
        try:
            (page,) = read_pages(data, side, limits)
        except DocumentTooLarge:
            break
        assert decode(page.image, limits).grey.size
    else:
        pytest.fail("a page is larger than the largest file")


def test_an_image_in_a_pdf_may_have_as_many_pixels_as_an_image_file():
    image = pdf_files.stream(b"\0" * 4800, f"{IMAGE} /Width 80 /Height 60")
    nested = pdf_files.stream(
        b"/X6 Do", "/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /X6 6 0 R >> >>"
    )
    for content in ("/X6 Do", "/X7 Do"):
        data = pdf_files.one_page(content, objects=[image, nested])
        assert read(data, 50, Limits(max_pixels=4800)) == [1]
        with pytest.raises(DocumentTooLarge, match="an image on page 1 of the PDF has more than 4,799"):
            read(data, 50, Limits(max_pixels=4799))


def test_a_page_of_the_largest_size_that_pdf_has_is_read():
    (page,) = read_pages(pdf_files.one_page(box="0 0 14400 14400"), 300)
    assert page.size == (14400, 14400)


@pytest.mark.parametrize("repeated", [False, True])
def test_a_content_stream_that_unpacks_to_gigabytes_is_too_complex(repeated):
    content, filters = pdf_files.zeros(1000 * MEBI), "/FlateDecode"
    if repeated:
        content, filters = zlib.compress(content), "[/FlateDecode /FlateDecode]"
    data = pdf_files.one_page(pdf_files.stream(content, f"/Filter {filters}"))
    assert len(data) < 2 * MEBI
    with pytest.raises(DocumentTooComplex, match="200 MiB") as error:
        read(data, memory_bytes=200 * MEBI)
    assert error.value.code == "document_too_complex"


def test_an_image_stream_that_unpacks_to_gigabytes_is_too_large():
    image = pdf_files.stream(pdf_files.zeros(1000 * MEBI), f"{IMAGE} /Width 32000 /Height 32000 /Filter /FlateDecode")
    with pytest.raises(DocumentTooLarge, match="an image"):
        read(pdf_files.one_page("/X6 Do", objects=[image]))


def test_a_page_without_an_end_is_too_complex():
    with pytest.raises(DocumentTooComplex, match=r"takes too long; at most 0\.3 s"):
        read(pdf_files.nested_forms(depth=20, width=10), page_seconds=0.3)


def test_the_time_of_all_pages_is_limited():
    with pytest.raises(DocumentTooComplex, match=r"0\.001 s on all pages"):
        read(pdf_files.one_page(), seconds=0.001)


def test_messages_contain_nothing_of_the_document():
    secret = "Marketta"
    for data in (
        pdf_files.encrypted(secret.encode(), content=secret.encode()),
        b"%PDF-1.7 " + secret.encode() * 9,
        pdf_files.pages(*["0 0 9 9"] * 201, content=secret),
    ):
        with pytest.raises(UnreadableImage if b"/Count 201" not in data else DocumentTooLarge) as error:
            read(data)
        assert secret not in str(error.value)
        assert error.value.__cause__ is None


def test_a_pdf_that_pillow_writes_is_no_exception():
    assert read(saved(Image.new("1", (50, 50)), "PDF")) == [1]
