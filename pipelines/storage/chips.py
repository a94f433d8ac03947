"""One chip's bytes from its address; what is wrong with it is a reason for quarantine."""

from pipelines.errors import (
    ChipRejected,
    ObjectDamaged,
    ObjectTooLarge,
    StorageError,
    StoreDown,
)
from pipelines.storage import store
from schemas.tables import QuarantineReason as Reason


def read_chip(uri: str, most_bytes: int, etag: str | None = None) -> bytes:
    """The bytes of a chip.

    Args:
        etag: the version that was listed; another one is unreadable. None for any.

    Raises:
        ChipRejected: unreadable, too_large, or decode_error if it cannot be decompressed.
        StoreDown: no chip can be read, which ends the run.
    """
    try:
        return store.read_bytes(uri, most_bytes, etag)
    except ObjectTooLarge as error:
        raise ChipRejected(Reason.TOO_LARGE, str(error)) from error
    except ObjectDamaged as error:
        raise ChipRejected(Reason.DECODE_ERROR, str(error)) from error
    except StoreDown:
        raise
    except StorageError as error:
        raise ChipRejected(Reason.UNREADABLE, str(error)) from error
