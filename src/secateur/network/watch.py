"""Noticing that scores have changed, at the price of a glance in every forward pass."""

from torch import Tensor, nn


class Watch:
    """Tells whether a weight's scores have changed since it last looked.

    A write in place shows in the tensor's version. A write through `.data` leaves no trace there,
    so about 64 scores, evenly spread, are compared too: such a write is that of an optimizer.

    Args:
        weight: a module with a parameter `scores`.
    """

    def __init__(self, weight: nn.Module) -> None:
        self._weight = weight
        self.look()

    def look(self) -> None:
        """Takes the scores as they are for seen."""
        self._stamp = self._stamp_now()
        self._seen: bytes | None = self._sample()

    def never_seen(self) -> None:
        """Takes the scores for changed, whatever they are."""
        self._stamp, self._seen = self._stamp_now(), None

    def written(self) -> bool:
        """Whether they were written to in place."""
        owner, version = self._stamp_now()
        # The parameters of a copied model are others, whose versions start anew.
        return owner == self._stamp[0] and version != self._stamp[1]

    def replaced(self) -> bool:
        """Whether they are another tensor than the one last looked at."""
        return self._stamp_now()[0] != self._stamp[0]

    def differs(self) -> bool:
        """Whether the sample has other values; where it has not, the tensor is known from now."""
        if self._sample() != self._seen:
            return True
        self._stamp = self._stamp_now()
        return False

    def _scores(self) -> Tensor:
        # A module looks its attributes up slowly, and this is asked several times a step.
        scores = self._weight._parameters["scores"]
        assert scores is not None
        return scores

    def _stamp_now(self) -> tuple[int, int]:
        scores = self._scores()
        return id(scores), scores._version

    def _sample(self) -> bytes:
        flat = self._scores().detach().reshape(-1)
        return flat[:: max(flat.numel() // 64, 1)].cpu().numpy().tobytes()
