"""What is known of a data set before it is read: its files, owners, licence and places."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PublishedFile:
    """One file of a data set.

    Size and checksum are those of the contents after unzipping: Debian packs the owners' files
    again, without the name and time in the gzip header, so the zipped bytes differ between sources
    of the same data.

    Args:
        name: the file's name as its owners publish it, for instance `train-labels.gz`.
        size: bytes of the contents.
        sha256: hexadecimal checksum of the contents. Both are left out where the loader checks
            what it reads by other means; such a file is never downloaded.
    """

    name: str
    size: int = 0
    sha256: str = ""

    def path_in(self, folder: Path) -> Path | None:
        """Where the file lies in `folder`, zipped or unpacked; None where it does not."""
        names = (self.name, self.name.removesuffix(".gz"))
        return next((folder / name for name in names if os.path.isfile(folder / name)), None)


@dataclass(frozen=True)
class PublishedSet:
    """A data set as its owners publish it.

    Args:
        name: the word used in messages and on the command line.
        title: the name for people.
        folder: the name of its folder inside a folder of data sets.
        files: all that belongs to it.
        owner: who publishes it.
        licence: SPDX identifier or a short sentence.
        addresses: folders of its owners on the network, tried in order; none where the owners
            want a registration.
        debian_package: Debian's package, where there is one.
        debian_folder: the folder where that package puts the files.
        by_hand: how to get it from its owners by hand, continuing "get it with".
        archive: the one file that its owners pack them all into, where `addresses` have only
            that; size and checksum are those of the archive as it is.
    """

    name: str
    title: str
    folder: str
    files: tuple[PublishedFile, ...]
    owner: str
    licence: str
    addresses: tuple[str, ...] = ()
    debian_package: str = ""
    debian_folder: Path | None = None
    by_hand: str = ""
    archive: PublishedFile | None = None

    def missing_from(self, folder: Path) -> list[str]:
        """Names of the files that `folder` lacks."""
        return [file.name for file in self.files if file.path_in(folder) is None]
