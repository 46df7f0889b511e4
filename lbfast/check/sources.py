"""Where checks without attempts hear of things: tracked files, and the host's addresses."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from lbfast.check.addresses import LocalAddresses
from lbfast.check.file import judge, weight_of
from lbfast.check.running import EventCheck, Watch
from lbfast.model.check import CheckConfiguration, FileCheck
from lbfast.model.vrrp import TrackFile
from lbfast.notify.watch import FileWatcher, prepare, read_number

logger = logging.getLogger(__name__)


class Sources:
    """Follows what a configuration's checks ask for, and nothing else."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        read_addresses: Callable[[], frozenset[bytes]] | None,
    ) -> None:
        self._loop = loop
        self.addresses = LocalAddresses(loop, read_addresses)
        self._follows_addresses = False
        self._watcher: FileWatcher | None = None
        self._prepared: set[TrackFile] = set()  # a reload does not write first values again

    def follow(self, configuration: CheckConfiguration, checks: Iterable[Watch]) -> None:
        """Begins, or changes over to another configuration; reads all files once, silently."""
        if not self._follows_addresses and any(one.ha_suspend for one in configuration.services):
            self.addresses.open()
            self._follows_addresses = True
        if self._watcher is not None:
            self._watcher.close()
            self._watcher = None
        files = {file.name: file for file in configuration.track_files}
        for check in checks:
            wanted = check.key.identity.check
            if isinstance(check, EventCheck) and isinstance(wanted, FileCheck):
                if wanted.track_file in files:
                    self._follow_file(check, wanted, files[wanted.track_file])
                else:
                    logger.warning("FILE_CHECK: track_file %s unknown", wanted.track_file)

    def _follow_file(self, check: EventCheck, wanted: FileCheck, file: TrackFile) -> None:
        weight, reverse = weight_of(wanted, file)

        def changed(*, is_silent: bool = False) -> None:
            result = judge(read_number(file.path), weight, reverse=reverse)
            check.set(result, is_silent=is_silent)

        if self._watcher is None:
            self._watcher = FileWatcher(self._loop)
        try:
            if file.init_value is not None and file not in self._prepared:
                self._prepared.add(file)
                prepare(file.path, file.init_value, overwrite=file.overwrite)
            self._watcher.watch(file.path, changed)
        except OSError as failed:
            logger.warning("track_file %s not followed: %s", file.name, failed)
        changed(is_silent=True)

    def close(self) -> None:
        self.addresses.close()
        if self._watcher is not None:
            self._watcher.close()
            self._watcher = None
