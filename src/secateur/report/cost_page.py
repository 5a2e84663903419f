"""The page of `secateur cost`: where the energy goes, and what the saving hangs on."""

from pathlib import Path

from secateur.report.cost_figures import Account, breakdown_plate, tornado_plate
from secateur.report.page import style_sheet, template, write_page


def write_cost_page(account: Account, out: Path) -> Path:
    """Writes the figures of an account as one HTML file that needs nothing else.

    Args:
        account: what `secateur cost --json` prints.
        out: the file; an older page is replaced, only once the new one is complete.

    Raises:
        FileError: where it cannot be written.
    """
    saved = account["saving_percent"]
    page = template("cost.html.jinja").render(
        title=f"What an inference of {account['task']} costs",
        words=f"By the model {account['model']}, pruning on the chip saves {saved:.1f} percent of "
        "the energy of the reference GPU at its peak.",
        style=style_sheet(),
        plates=[breakdown_plate("energy", account), tornado_plate("tornado", account)],
    )
    return write_page(page.strip() + "\n", out)
