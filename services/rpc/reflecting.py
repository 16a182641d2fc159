"""What reflection tells callers: the contracts of this process, by the name of whatever is in them."""

from typing import Any, Final

from google.protobuf import descriptor_pool


class ContractPool:
    """The process's descriptors, found by the name of a method, too, which some clients (ghz) ask for."""

    def __init__(self) -> None:
        self._pool: Any = descriptor_pool.Default()

    def FindFileContainingSymbol(self, symbol: str) -> Any:  # noqa: N802 - as the pool calls it
        """Raises KeyError, as all of them."""
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            service, _, method = symbol.rpartition(".")
            return self._pool.FindServiceByName(service).methods_by_name[method].containing_service.file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)


CONTRACTS: Final[Any] = ContractPool()
