"""An FX graph that is quick to write.

Torch searches the arguments of every node that is added for sizes that are symbols, to warn of them, which
takes longer than the node. Here it is known that there are none: sizes are nodes (`sizes.SizeWriter`).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

from torch import fx
from torch.fx.node import map_arg


@functools.lru_cache(maxsize=4096)
def _stem_of(target: Any) -> str:
    """What nodes of a target are called, a number apart; torch spells it letter by letter, each time anew."""
    return re.sub("[^0-9a-zA-Z_]+", "_", fx.Graph()._target_to_str(target))


@functools.lru_cache(maxsize=1 << 16)
def _parted(name: str) -> tuple[str, int] | None:
    """A name in its stem and its number; None for one without a number, or that torch would change."""
    stem, _, number = name.rpartition("_")
    plain = stem.isidentifier() and stem.isascii() and number.isascii() and number.isdigit()
    return (stem, int(number)) if plain else None


class WrittenGraph(fx.Graph):
    """A graph like any other; a copy of it is an `fx.Graph`.

    `create_node` is as `fx.Graph.create_node` without the search. Read in 2.15 (`torch.fx.graph`).

    >>> graph = WrittenGraph()
    >>> x = graph.placeholder("x")
    >>> copied = WrittenGraph().node_copy(x)
    >>> copied.name, copied.graph is graph
    ('x', False)
    """

    def create_node(
        self,
        op: str,
        target: Any,
        args: tuple[Any, ...] | None = None,
        kwargs: dict[str, Any] | None = None,
        name: str | None = None,
        type_expr: Any | None = None,
    ) -> fx.Node:
        """Adds a node before the insertion point."""
        names = self._graph_namespace
        name = self._unused(_stem_of(target) if name is None else name)
        node = fx.Node(self, name, op, target, args or (), kwargs or {}, type_expr)
        names._obj_to_name[node] = name
        self._insert(node)
        self._find_nodes_lookup_table.insert(node)
        self._len += 1
        return node

    def _unused(self, name: str) -> str:
        """The name, or the next of its kind: what `create_name` gives, found without its two searches."""
        names = self._graph_namespace
        used, counts = names._used_names, names._base_count
        parted = _parted(name)
        if parted is None and name in used and name in counts:
            number = counts[name] + 1
            while (found := f"{name}_{number}") in used:
                number += 1
            counts[name] = number
        elif parted is not None and name not in used:
            found = name
            counts[parted[0]] = parted[1]
        else:
            return names.create_name(name, None)
        used.add(found)
        return found

    def lint(self) -> None:
        """Raises where a node stands before what it takes; names and kinds are right as they are written."""
        seen: set[fx.Node] = set()
        for node in self.nodes:
            if not seen.issuperset(node.all_input_nodes):
                super().lint()  # says which
            seen.add(node)

    def node_copy(self, node: fx.Node, arg_transform: Callable[[fx.Node], Any] = lambda n: n) -> fx.Node:
        """Adds a copy of a node of another graph, each of its arguments replaced by what is given for it."""
        args = map_arg(node.args, arg_transform)
        kwargs = map_arg(node.kwargs, arg_transform) if node.kwargs else {}
        copied = self.create_node(node.op, node.target, args, kwargs, node.name, node.type)
        copied.meta.update(node.meta)
        return copied


def copied(graph: fx.Graph) -> WrittenGraph:
    """A copy of a graph: the same names, arguments and metadata.

    >>> graph = fx.symbolic_trace(lambda x: x + 1).graph
    >>> str(copied(graph)) == str(graph)
    True
    """
    written, copies = WrittenGraph(), dict[fx.Node, fx.Node]()
    for node in graph.nodes:
        copies[node] = written.node_copy(node, copies.__getitem__)
    return written
