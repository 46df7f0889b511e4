"""Runs nftables commands, as text: through libnftables, else through the program `nft`."""

from __future__ import annotations

import ctypes
import ctypes.util
import re
import subprocess
from collections.abc import Callable

from lbfast.errors import ControlError

Runner = Callable[[str], str]


class NftError(ControlError):
    """nftables refused a command; the text is its own."""


def library_runner() -> Runner:
    """Returns a function that runs commands through libnftables; raises OSError without it."""
    lib = ctypes.CDLL(ctypes.util.find_library("nftables") or "libnftables.so.1")
    lib.nft_ctx_new.restype = ctypes.c_void_p
    lib.nft_ctx_new.argtypes = [ctypes.c_uint32]
    lib.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    for name in ("error", "output"):
        getattr(lib, f"nft_ctx_buffer_{name}").argtypes = [ctypes.c_void_p]
        getattr(lib, f"nft_ctx_get_{name}_buffer").argtypes = [ctypes.c_void_p]
        getattr(lib, f"nft_ctx_get_{name}_buffer").restype = ctypes.c_char_p
    context = ctypes.c_void_p(lib.nft_ctx_new(0))
    if not context or lib.nft_ctx_buffer_error(context) or lib.nft_ctx_buffer_output(context):
        raise OSError("libnftables: no memory")

    def run(commands: str) -> str:
        status = lib.nft_run_cmd_from_buffer(context, commands.encode())
        error = lib.nft_ctx_get_error_buffer(context) or b""
        output = lib.nft_ctx_get_output_buffer(context) or b""
        if status:
            raise NftError(f"nftables: {_first_line(error.decode())}")
        return str(output.decode())

    return run


def program_runner() -> Runner:
    """Returns a function that runs commands through the `nft` program."""

    def run(commands: str) -> str:
        try:
            done = subprocess.run(
                ["nft", "-f", "-"], input=commands, capture_output=True, text=True, check=False
            )
        except OSError as e:
            raise NftError(f"nft: {e.strerror}; install the package nftables") from e
        if done.returncode:
            raise NftError(f"nftables: {_first_line(done.stderr)}")
        return done.stdout

    return run


def default_runner() -> Runner:
    try:
        return library_runner()
    except (OSError, AttributeError):
        return program_runner()


def _first_line(text: str) -> str:
    """Returns what nft says without the place in a file that nobody has."""
    line = text.strip().split("\n", 1)[0]
    return re.sub(r"^(\S+:\d+:\d+-\d+: |\w+: )?Error: ", "", line) or "refused without a reason"
