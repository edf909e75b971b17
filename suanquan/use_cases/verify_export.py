"""Verify an export of the log by the public key alone: the tree in one process, and every rule in another."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from ledger.checkpoint import Checkpoint
from ledger.errors import DomainError, Kind
from ledger.note import Note, open_checkpoint
from ledger.standing import Fault, Wrong
from ledger.tiles import ENTRIES, WIDTH, Tile, Tiling, bundles_of, decode_bundle
from ledger.tree import hash_leaf
from ledger.verify import Replay
from ledger.vkey import VerifierKey
from suanquan.errors import ServiceError

_TILE = Wrong("瓦片缺失或与日志不符", "is missing, or is not what the leaves hash to", "root")
_ROOT = Wrong("根与检查点不符", "its root is not that of the checkpoint", "root")


def verify_export(folder: Path, key: VerifierKey) -> Checkpoint:
    """The checkpoint of an export, once its key, signature, tree and every rule that leaves can show are found right.

    Raises:
        ServiceError: `export-invalid` with the first bad place.

    """
    try:
        checkpoint = open_checkpoint(Note.parse((folder / "checkpoint").read_bytes()), [key])
        shipped = folder / "log.vkey"  # a copy of the log from elsewhere may lack it
        if shipped.is_file() and shipped.read_text("utf-8").strip() != str(key):
            raise _invalid("log.vkey 不是该公钥", "log.vkey is not that key")
        found = recompute(folder, checkpoint.size)
    except UnicodeDecodeError as fault:
        raise _invalid("log.vkey 不是该公钥", "log.vkey is not that key") from fault
    except ServiceError:
        raise
    except DomainError as fault:
        raise _invalid(fault.zh, fault.en) from fault
    except OSError as fault:
        named = Path(fault.filename or folder)
        place = named.relative_to(folder).as_posix() if named.is_relative_to(folder) else named.name
        raise _invalid(f"读不到 {place}", f"{place} cannot be read") from fault
    if found == checkpoint.root:
        return checkpoint
    fault_ = found if isinstance(found, Fault) else _ROOT.at("checkpoint")
    raise _invalid(f"{fault_.where}：{fault_.zh}", f"{fault_.where}: {fault_.en}")


def recompute(folder: Path, size: int) -> bytes | Fault:
    """Root of the leaves of an export, whose tiles are right and which break no rule; or the first fault.

    A second process takes the hashes while this one folds the leaves: each is half of the work.

    Raises:
        LedgerError: `tile-malformed`. OSError: a file is missing.

    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        tree = pool.submit(check_tree, folder, size)
        fault = _replay(folder, size)
        found = tree.result()
    return fault or found


def check_tree(folder: Path, size: int) -> bytes | Fault:
    """Root of the leaves of an export whose tiles are what they hash to; or the first tile that is not."""
    tiling = Tiling()
    for bundle in bundles_of(size):
        for tile, data in tiling.append(map(hash_leaf, _bundle(folder, bundle))):
            if not _holds(folder, tile, data):
                return _TILE.at(tile.path)
    wrong = next((tile for tile, data in tiling.partial() if not _holds(folder, tile, data)), None)
    return tiling.root() if wrong is None else _TILE.at(wrong.path)


def _bundle(folder: Path, tile: Tile) -> list[bytes]:
    return decode_bundle((folder / tile.path).read_bytes(), tile.width)


def _holds(folder: Path, tile: Tile, data: bytes) -> bool:
    path = folder / tile.path
    return path.is_file() and path.read_bytes() == data


def _replay(folder: Path, size: int) -> Fault | None:
    replay = Replay()
    for bundle in bundles_of(size):
        fault = replay.fold(_bundle(folder, bundle))
        if fault is not None:
            return fault
        replay.ended.clear()
    for seq in sorted(replay.reversed):
        number, at = divmod(seq, WIDTH)
        fault = replay.check_original(_bundle(folder, _of(number, size))[at])
        if fault is not None:
            return fault
    return None


def _of(number: int, size: int) -> Tile:
    return Tile(ENTRIES, number, min(WIDTH, size - number * WIDTH))


def _invalid(zh: str, en: str) -> ServiceError:
    return ServiceError(
        "export-invalid", f"导出不可信：{zh}", f"the export is not to be trusted: {en}", kind=Kind.PROOF
    )
