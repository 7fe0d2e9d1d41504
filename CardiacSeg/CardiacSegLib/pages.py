"""Self-contained HTML pages from the templates in ``Resources/Pages``: one file that can be sent, kept and printed.

matplotlib and jinja2 are imported where they are used: who asks for no page does not wait for them.
"""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from CardiacSegLib import __version__
from CardiacSegLib.files import replacing
from CardiacSegLib.resources import resource_folder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SIGNATURES = {b"\x89PNG": "image/png", b"GIF8": "image/gif", b"\xff\xd8\xff": "image/jpeg"}


def write_page(path: Path | str, template: str, **values: Any) -> Path:
    """Fill in a template and write it as one HTML file; text is escaped.

    Args:
        path: of the page.
        template: a file of ``Resources/Pages``, which extends ``base.html``.
        values: what the template names; strings are text, pictures come from :func:`picture_uri`.

    Raises:
        CardiacSegError: where the page cannot be written; what stood there stays.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(resource_folder() / "Pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,  # a value that was forgotten is an error, not a gap in the page
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template(template).render(version=__version__, **values)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Path(path)


def picture_uri(picture: Figure | bytes | Path) -> str:
    """A picture as the ``src`` of an ``<img>``, so that the page needs no other file.

    Args:
        picture: a matplotlib figure, which becomes a PNG of 150 dots per inch; or a PNG, GIF or JPEG, as bytes or file.

    Raises:
        ValueError: for bytes that are no such picture.
    """
    if isinstance(picture, Path):
        picture = picture.read_bytes()
    if not isinstance(picture, bytes):
        buffer = io.BytesIO()
        picture.savefig(buffer, format="png", dpi=150)
        picture = buffer.getvalue()
    kind = next((kind for start, kind in _SIGNATURES.items() if picture.startswith(start)), None)
    if kind is None:
        raise ValueError("neither a PNG, nor a GIF, nor a JPEG")
    return f"data:{kind};base64,{base64.b64encode(picture).decode('ascii')}"
