"""An FX graph that is quick to write.

Torch searches the arguments of every node that is added for sizes that are symbols, to warn of them, which
takes longer than the node. Here it is known that there are none: sizes are nodes (`sizes.SizeWriter`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from torch import fx
from torch.fx.node import map_arg

#: What nodes of a target are called, a number apart; torch spells it letter by letter, each time anew.
_stem_of = functools.lru_cache(maxsize=4096)(fx.Graph()._target_to_str)


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
        name = names.create_name(_stem_of(target) if name is None else name, None)
        node = fx.Node(self, name, op, target, args or (), kwargs or {}, type_expr)
        names._obj_to_name[node] = name
        self._insert(node)
        self._find_nodes_lookup_table.insert(node)
        self._len += 1
        return node

    def node_copy(self, node: fx.Node, arg_transform: Callable[[fx.Node], Any] = lambda n: n) -> fx.Node:
        """Adds a copy of a node of another graph, each of its arguments replaced by what is given for it."""
        args = map_arg(node.args, arg_transform)
        kwargs = map_arg(node.kwargs, arg_transform) if node.kwargs else {}
        copied = self.create_node(node.op, node.target, args, kwargs, node.name, node.type)
        copied.meta.update(node.meta)
        return copied
