"""SELECTs translated from DuckDB's dialect to BigQuery's by sqlglot.

sqlglot is imported in the functions: only rendering and its tests need it
(docs/decisions/bigquery-sql.md).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlglot.expressions import Expr


def to_bigquery(sql: str, dataset: str, relations: Collection[str]) -> str:
    """A SELECT translated from DuckDB's dialect to BigQuery's, without comments.

    Args:
        sql: the SELECT.
        dataset: where the relations are; BigQuery's views must name it.
        relations: the tables and views; other names in a FROM clause are the SELECT's own.

    Raises:
        sqlglot.errors.SqlglotError: not a SELECT, or one that BigQuery cannot express.
    """
    from sqlglot import ErrorLevel, exp, parse_one

    tree = parse_one(sql, dialect="duckdb").transform(_as_bigquery)
    for table in tree.find_all(exp.Table):
        if table.name in relations:
            table.set("db", exp.to_identifier(dataset))
    return tree.sql("bigquery", pretty=True, comments=False, unsupported_level=ErrorLevel.RAISE)


def _as_bigquery(node: Expr) -> Expr:
    from sqlglot import exp

    if isinstance(node, exp.ArrayContains):  # sqlglot's own way is a subquery
        return exp.In(this=node.expression, unnest=exp.Unnest(expressions=[node.this]))
    if isinstance(node, exp.Anonymous) and node.name.upper() == "ST_GEOMFROMWKB":
        return exp.Anonymous(this="ST_GEOGFROMWKB", expressions=node.expressions)
    if isinstance(node, exp.Select) and node.args.get("qualify") and _is_unfiltered(node):
        return node.where("TRUE")  # QUALIFY needs one of these clauses
    return node


def _is_unfiltered(select: Expr) -> bool:
    return not any(select.args.get(clause) for clause in ("where", "group", "having"))
