"""Commands that were begun and of which the journal does not know yet what has become."""

from secateur.chip import doubt, failures
from secateur.chip.asked import Asked
from secateur.chip.chip import Chip
from secateur.chip.command import Answer, Outcome, UnansweredError
from secateur.chip.journal import Journal
from secateur.errors import FileError, SecateurError


class UnderWay:
    """Takes the answers to a run's commands to its journal, and settles those that have failed.

    Args:
        chip: that the commands are given to.
        journal: of it.
        asked: forgets what it knows where one has failed.
        notes: a sentence is added about each that was in doubt.
    """

    def __init__(self, chip: Chip, journal: Journal, asked: Asked, notes: list[str]) -> None:
        self._chip, self._journal, self._asked, self._notes = chip, journal, asked, notes
        self._sent: list[tuple[str, Answer]] = []
        # Whether a command has failed, and nobody knows after how many of its pulses.
        self._doubtful = False
        # Of earlier processes: told again where they were told.
        self._again: list[failures.Told] = []
        #: Failures that the program is told of, for the journal as soon as it goes on after them.
        self.told: list[tuple[str, int, str, str]] = []

    def add(self, identity: str, answer: Answer) -> None:
        """A command that was sent."""
        self._sent.append((identity, answer))

    def add_again(self, told: failures.Told) -> None:
        """One that is not given, since its failure was gone on after."""
        self._again.append(told)

    def forget_again(self) -> None:
        """The run goes on behind what its program was told."""
        self._again.clear()

    def last(self, *, at: int) -> Outcome:
        """Waits for the last one's; nobody else is told of its refusal."""
        if self._again and self._again[-1].at <= at:
            raise self._told_again(-1)
        return self._outcome(*self._sent.pop(), at=at)

    def note(self, *, wait: bool, at: int) -> None:
        """Writes those that are known, or all.

        Args:
            wait: for all.
            at: how many commands the run has given.

        Raises:
            SecateurError: of the first that has failed; the others are left for the next time.
        """
        if self._again and self._again[0].at <= at:
            raise self._told_again(0)
        while self._sent and (wait or self._sent[0][1].done()):
            self._outcome(*self._sent.pop(0), at=at)

    def settle(self, *, at: int) -> None:
        """Waits for all, and finds out what nobody knows: another command would hide it.

        Raises:
            SecateurError: as `note`.
        """
        self.note(wait=True, at=at)
        if self._doubtful:
            self._notes += doubt.resolve(self._chip, self._journal)
            self._doubtful = False
            self._asked.forget()

    def go_on(self, *, at: int) -> None:
        """Before another command: `settle`, where the cells are in doubt.

        Raises:
            SecateurError: as `note`.
        """
        if self._doubtful:
            self.settle(at=at)

    def leave(self, *, at: int) -> None:
        """Waits for all, since the run may go on from here and not come by them again.

        Raises:
            SecateurError: as `note`.
        """
        self.note(wait=True, at=at)
        if self.told:
            self._journal.keep(failures=self.told)
            self.told.clear()

    def fail(self, identity: str, error: BaseException, *, pulsed: bool, at: int) -> None:
        """Writes what an error tells of a command; the caller raises it.

        In doubt, until the chip is asked or the cells are read, is what has no answer, what has
        failed after its first pulses, and what has failed in a way that no driver means. A chip in
        memory dies with its process, and what it was given in part with it.

        Args:
            identity: of the command.
            error: that is raised.
            pulsed: whether some of its pulses were given.
            at: how many commands the run had given before the call that raises it.
        """
        self._asked.forget()
        if not self._chip.saves:
            self.told.append(failures.row(identity, error, at=at))
        meant = isinstance(error, SecateurError) and not isinstance(error, UnansweredError)
        if pulsed or not meant or not self._refused(identity):
            self._doubtful = not self._chip.saves

    def _told_again(self, which: int) -> BaseException:
        self._asked.forget()
        return self._again.pop(which).error

    def _refused(self, identity: str) -> bool:
        """Whether it could be written that no pulse was given."""
        try:
            if (entry := self._journal.entry(identity)) is not None:
                self._journal.end(identity, Outcome.without(entry.command, "refused"))
        except FileError:
            return False
        return True

    def _outcome(self, identity: str, answer: Answer, *, at: int) -> Outcome:
        try:
            outcome = answer.result()
        except BaseException as error:
            self.fail(identity, error, pulsed=False, at=at)
            raise
        self._journal.end(identity, outcome, at_once=False)
        if outcome.possible is not None and (entry := self._journal.entry(identity)) is not None:
            # It was in doubt over there, and nobody has told that yet.
            self._notes.append(doubt.in_words(entry.command, outcome))
        return outcome
