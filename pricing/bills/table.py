"""A file of a bill (CSV, JSON, JSON lines or Parquet; gzipped or not) → its columns and its rows, one after another."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import IO, Any, Final

from broker.model.errors import InvalidInput, Problem

_PARQUET: Final = b"PAR1"
_GZIP: Final = b"\x1f\x8b"
_BATCH: Final = 20_000  # rows of Parquet that are in memory at once
_LONGEST_FIELD: Final = 10_000_000  # characters

Row = Sequence[Any]
Pick = Callable[[Row], Any]


@dataclass(frozen=True, slots=True)
class Table:
    """What a file has. Its rows are read once, as sequences or as records."""

    file: Path
    columns: tuple[str, ...]  # of JSON: the fields of the first object
    rows: Iterator[tuple[int, Row]]  # with the number of the line; of Parquet and of arrays: of the row
    objects: Iterator[tuple[int, Mapping[str, Any]]] | None = None  # of JSON, with all their fields

    @property
    def records(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """The rows by the names of their columns."""
        if self.objects is not None:
            return self.objects
        return ((line, dict(zip(self.columns, row, strict=True))) for line, row in self.rows)

    def wrong(self, line: int | None, field: str, message: str) -> InvalidInput:
        """What is said of a row that can't be understood."""
        return InvalidInput(Problem(file=str(self.file), line=line, field=field, message=message))


def nothing(_: Row) -> None:
    """The cell of a column that a file does not have."""
    return None


@contextmanager
def opened(file: Path) -> Iterator[Table]:
    """The table of a file. Raises `InvalidInput` when it can't be read, or is of no known form."""
    try:
        with file.open("rb") as raw:
            begin = raw.read(4)
            raw.seek(0)
            if begin == _PARQUET:
                yield _parquet(file)
                return
            stream: Any = gzip.open(raw) if begin[:2] == _GZIP else raw  # noqa: SIM115 - closed with the file below it
            with io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as text:
                first = _first(text)
                yield _csv(file, text) if first not in ("{", "[") else _json(file, text, first)
    except (OSError, EOFError) as error:
        raise InvalidInput(Problem(file=str(file), message=f"can't be read: {error}")) from error
    except UnicodeDecodeError as error:
        raise InvalidInput(Problem(file=str(file), message="is no text in UTF-8, and no Parquet file")) from error


def _first(text: IO[str]) -> str:
    """The first character that is no space; the file is at its beginning again."""
    first = text.read(1)
    while first.isspace():
        first = text.read(1)
    text.seek(0)
    return first


def _csv(file: Path, text: IO[str]) -> Table:
    csv.field_size_limit(_LONGEST_FIELD)
    reader = csv.reader(text)
    columns = tuple(next(reader, ()))
    return Table(file, columns, _csv_rows(file, reader, len(columns)))


def _csv_rows(file: Path, reader: Any, width: int) -> Iterator[tuple[int, Row]]:
    try:
        for row in reader:
            if len(row) != width:
                if not row:
                    continue
                message = f"has {len(row)} columns, its head has {width}: the file is cut off or damaged"
                raise InvalidInput(Problem(file=str(file), line=reader.line_num, message=message))
            yield reader.line_num, row
    except csv.Error as error:
        raise InvalidInput(Problem(file=str(file), line=reader.line_num, message=f"is no CSV: {error}")) from error


def _json(file: Path, text: IO[str], first: str) -> Table:
    objects = _array(file, text) if first == "[" else _lines(file, text)
    begin = next(objects, None)
    if begin is None:
        return Table(file, (), iter(()))
    columns = tuple(begin[1])
    every = chain([begin], objects)
    return Table(file, columns, ((line, [each.get(name) for name in columns]) for line, each in every), every)


def _lines(file: Path, text: IO[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(text, 1):
        if line.strip():
            yield number, _object(file, number, _parsed(file, number, line))


def _array(file: Path, text: IO[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, each in enumerate(_parsed(file, None, text.read()), 1):
        yield number, _object(file, number, each)


def _object(file: Path, number: int, found: Any) -> Mapping[str, Any]:
    if not isinstance(found, dict):
        raise InvalidInput(Problem(file=str(file), line=number, message="is no JSON object"))
    return found


def _parsed(file: Path, line: int | None, text: str) -> Any:
    try:
        return json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(Problem(file=str(file), line=line, message=f"is no JSON: {error}")) from error


def _parquet(file: Path) -> Table:
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        message = "is a Parquet file, which needs pyarrow: pip install gpu-broker[parquet]"
        raise InvalidInput(Problem(file=str(file), message=message)) from error
    try:
        found = parquet.ParquetFile(file)
        return Table(file, tuple(found.schema_arrow.names), _parquet_rows(file, found, arrow.ArrowException))
    except arrow.ArrowException as error:
        raise _damaged(file, error) from error


def _parquet_rows(file: Path, found: Any, broken: type[Exception]) -> Iterator[tuple[int, Row]]:
    number = 0
    try:
        for batch in found.iter_batches(batch_size=_BATCH):
            for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                number += 1
                yield number, row
    except broken as error:
        raise _damaged(file, error) from error


def _damaged(file: Path, error: Exception) -> InvalidInput:
    return InvalidInput(Problem(file=str(file), message=f"is a damaged Parquet file: {error}"))
