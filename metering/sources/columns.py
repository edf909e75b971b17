"""Which cell holds which field of a CSV file: mapped columns, and constants as columns after the last."""

from __future__ import annotations

from metering.sources.faults import columns_missing
from metering.sources.options import FIELDS, SourceOptions
from metering.sources.rows import Table


class Columns:
    """Places of fields in a row to which `constants` were appended."""

    def __init__(self, table: Table, options: SourceOptions) -> None:
        self._table = table
        self._source = options.source
        self._mapping = options.mapping
        self.constants = tuple(value.strip() for value in options.constants.values())
        self._constant_at = {field: len(table.columns) + i for i, field in enumerate(options.constants)}
        if absent := [column for column in options.mapping.values() if column not in table.columns]:
            names = ", ".join(table.columns)
            raise columns_missing(table.file, absent, f"文件中的列：{names}", f"The file has: {names}")

    def optional(self, field: str) -> int | None:
        """Where a field stands, None where it was neither mapped nor set."""
        if field in self._mapping:
            return self._table.at(self._mapping[field])
        return self._constant_at.get(field)

    def needed(self, field: str) -> int:
        """Where a field stands.

        Raises:
            MeteringError: it was neither mapped nor set.

        """
        place = self.optional(field)
        if place is None:
            names = ", ".join(self._table.columns)
            settable = field in FIELDS[self._source].constant
            zh, en = (
                (f"，或用 --set {field}=值 给出常量", f", or give a constant with --set {field}=VALUE")
                if settable
                else ("", "")
            )
            raise columns_missing(
                self._table.file,
                [field],
                f"请用 --map {field}=列名 指定（文件中的列：{names}）{zh}",
                f"Name it with --map {field}=COLUMN (the file has: {names}){en}",
            )
        return place
