"""The paper's claims on energy beside what one constant for all of them gives."""

from dataclasses import dataclass

from secateur.cost.constants import Claim, claims
from secateur.cost.inference import Calibrated
from secateur.network.trace import Trace

# How near, as a share of the GPU's energy, a claim has to come out to follow from the constant.
_NEAR = 0.01


@dataclass(frozen=True)
class Verdict:
    """One claim.

    Args:
        task: that it is about.
        venue: where it was published.
        claimed: share of the GPU's energy that is saved.
        modelled: the same by the calibrated model, for the paper's network.
        needed: joules per column output and bit-plane that the claim asks for.
    """

    task: str
    venue: str
    claimed: float
    modelled: float
    needed: float

    @property
    def follows(self) -> bool:
        """Whether the model meets the claim within a point."""
        return abs(self.modelled - self.claimed) <= _NEAR


def verdicts(model: Calibrated) -> list[Verdict]:
    """Every published saving."""
    return [
        Verdict(claim.task, venue, saving, _modelled(model, claim), _needed(model, claim, saving))
        for claim in claims().values()
        for venue, saving in (("preprint", claim.preprint), ("journal", claim.journal))
    ]


def conclusions(model: Calibrated) -> list[str]:
    """What follows from the one constant and what does not, in sentences."""
    found = verdicts(model)
    used = model.column_energy
    sentences = [
        f"Follows from {used * 1e12:.2f} pJ per column output and bit-plane, within a point: "
        + "; ".join(_words(v) for v in found if v.follows) + "."
    ]  # fmt: skip
    return sentences + [
        f"Does not follow: {_words(v)}; it would take {v.needed * 1e12:.2f} pJ, or a GPU constant "
        f"{used / v.needed:.2g} times as large."
        for v in found
        if not v.follows
    ]


def comparison_of_counts(task: str, trace: Trace) -> str | None:
    """Whether a network has the counts of the paper's; None for a task that the paper lacks."""
    claim = claims().get(task)
    if claim is None:
        return None
    words = f"{_grouped(claim.macs)} MACs and {_grouped(claim.column_outputs)} column outputs"
    bits = {product.bits for product in trace.products}
    met = (trace.macs, trace.column_outputs) == (claim.macs, claim.column_outputs)
    if met and bits == {claim.input_bits}:
        return f"The paper's counts are met: {words}, {claim.input_bits} bit-planes."
    return (
        f"The paper's network has {words}, {claim.input_bits} bit-planes; the recipe's network "
        "or converters are set to something else, so the paper's savings are not expected here."
    )


def _modelled(model: Calibrated, claim: Claim) -> float:
    events = claim.column_outputs * claim.input_bits
    return 1.0 - events * model.column_energy / (2 * claim.macs * model.gpu_operation)


def _needed(model: Calibrated, claim: Claim, saving: float) -> float:
    return claim.implied_column_energy(saving, gpu_operation=model.gpu_operation)


def _words(verdict: Verdict) -> str:
    claimed, modelled = 100 * verdict.claimed, 100 * verdict.modelled
    return f"{verdict.task} {claimed:.1f} % ({verdict.venue}; modelled {modelled:.1f} %)"


def _grouped(number: int) -> str:
    return f"{number:,}".replace(",", " ")
