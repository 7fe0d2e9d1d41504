"""A model's card in a window."""

from __future__ import annotations

import re

import qt
import slicer
from slicer.i18n import tr as _

from CardiacSegLib.bundles import find_bundle
from CardiacSegLib.errors import CardiacSegError

#: Characters of a card that are shown; a longer one is no card.
_LONGEST = 200_000


def cardText(model: str) -> str:
    """The card of a model, in Markdown; what is wrong where it cannot be read.

    A stranger may have written it: a picture would be looked up at an address of theirs, so pictures become links, and
    HTML becomes text.
    """
    try:
        text = find_bundle(model).card.read_text(encoding="utf-8")[:_LONGEST]
    except (CardiacSegError, OSError, UnicodeError) as error:
        return str(error)
    return re.sub(r"<(?=[A-Za-z/!?])", "\u2039", text.replace("![", "["))


def makeCardDialog(model: str) -> qt.QDialog:
    """A window with the card; the caller shows it."""
    dialog = qt.QDialog(slicer.util.mainWindow())
    dialog.setWindowTitle(_("Model {model}").format(model=model))
    dialog.resize(640, 560)
    browser = qt.QTextBrowser(dialog)
    browser.setObjectName("cardBrowser")
    browser.setOpenExternalLinks(True)
    browser.setMarkdown(cardText(model))
    buttons = qt.QDialogButtonBox(qt.QDialogButtonBox.Close, dialog)
    buttons.connect("rejected()", dialog.close)
    layout = qt.QVBoxLayout(dialog)
    layout.addWidget(browser)
    layout.addWidget(buttons)
    return dialog


def showCard(model: str) -> None:
    """Show the card of a model; the panel stays usable meanwhile."""
    dialog = makeCardDialog(model)
    dialog.setAttribute(qt.Qt.WA_DeleteOnClose)
    dialog.show()
