"""Commands that were begun and of which the journal does not know yet what has become."""

from secateur.chip import doubt, failures
from secateur.chip.chip import Chip
from secateur.chip.command import Answer, Outcome, UnansweredError
from secateur.chip.journal import Journal
from secateur.errors import SecateurError


class UnderWay:
    """Takes the answers to a run's commands to its journal, and settles those that have failed.

    Args:
        chip: that the commands are given to.
        journal: of it.
        notes: a sentence is added about each that was in doubt.
    """

    def __init__(self, chip: Chip, journal: Journal, notes: list[str]) -> None:
        self._chip, self._journal, self._notes = chip, journal, notes
        self._sent: list[tuple[str, Answer]] = []
        # Whether a command has failed, and nobody knows after how many of its pulses.
        self._doubtful = False
        # Failures that the program was told of, or is about to be.
        self._told: list[tuple[str, BaseException, bool]] = []

    def add(self, identity: str, answer: Answer) -> None:
        """A command that was sent."""
        self._sent.append((identity, answer))

    def last(self) -> Outcome:
        """Waits for the last one's; nobody else is told of its refusal."""
        return self._outcome(*self._sent.pop())

    def note(self, *, wait: bool) -> None:
        """Writes those that are known, or all.

        Raises:
            SecateurError: of the first that has failed; the others are left for the next time.
        """
        while self._sent and (wait or self._sent[0][1].done()):
            self._outcome(*self._sent.pop(0))

    def go_on(self) -> None:
        """Before another command: what has failed is settled, and the program knows of it.

        Raises:
            SecateurError: as `note`, of what it does not know yet.
        """
        if self._doubtful:
            # Afterwards the cells tell no more of it.
            self.note(wait=True)
            self._notes += doubt.resolve(self._chip, self._journal)
            self._doubtful = False
        self.note(wait=False)
        while self._told:
            identity, error, late = self._told[0]
            failures.keep(self._journal, identity, error, late=late)
            del self._told[0]

    def fail(self, identity: str, error: BaseException, *, pulsed: bool, late: bool) -> None:
        """Writes what an error tells of a command; the caller raises it.

        In doubt, until the chip is asked or the cells are read, is what has no answer, what has
        failed after its first pulses, and what has failed in a way that no driver means. A chip in
        memory dies with its process, and what it was given in part with it.

        Args:
            identity: of the command.
            error: that is raised.
            pulsed: whether some of its pulses were given.
            late: whether other commands may have been given since.
        """
        meant = isinstance(error, SecateurError) and not isinstance(error, UnansweredError)
        if pulsed or not meant:
            self._doubtful = not self._chip.saves
        elif (entry := self._journal.entry(identity)) is not None:
            self._journal.end(identity, Outcome.without(entry.command, "refused"))
        if not self._chip.saves:
            self._told.append((identity, error, late))

    def _outcome(self, identity: str, answer: Answer) -> Outcome:
        try:
            outcome = answer.result()
        except BaseException as error:
            if not isinstance(answer, failures.Failed):
                self.fail(identity, error, pulsed=False, late=True)
            raise
        self._journal.end(identity, outcome, at_once=False)
        if outcome.possible is not None and (entry := self._journal.entry(identity)) is not None:
            # It was in doubt over there, and nobody has told that yet.
            self._notes.append(doubt.in_words(entry.command, outcome))
        return outcome
